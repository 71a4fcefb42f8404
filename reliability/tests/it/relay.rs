//! What a program with an SDK of its own gets while something is broken, and whether WeChat has carried its call out.

use serde_json::{Value, json};
use testing::{
    Fault, Function, Service,
    account::{API_KEY, APP_ID},
    event::{Request, api},
};

use crate::{
    report::{self, ANSWERED_WITHIN, Row},
    stage::{Program, Seen, Stage, ask, called, service_faults, table_faults},
};

const CREATE: &str = "/cgi-bin/tags/create";

/// What a call meets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Warm,
    DeadToken,
    NewInstance,
}

impl Case {
    const fn name(self) -> &'static str {
        match self {
            Self::Warm => "a call",
            Self::DeadToken => "a call whose token WeChat refuses",
            Self::NewInstance => "the first request for a token to a new instance",
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay() {
    let wechat = service_faults()
        .into_iter()
        .map(|fault| (Case::Warm, Service::WeChat, fault));
    let warm = table_faults()
        .into_iter()
        .map(|fault| (Case::Warm, Service::Table, fault));
    let dead = table_faults()
        .into_iter()
        .map(|fault| (Case::DeadToken, Service::Table, fault));
    let refresher = service_faults()
        .into_iter()
        .map(|fault| (Case::DeadToken, Service::Lambda, fault));
    let cold = table_faults()
        .into_iter()
        .map(|fault| (Case::NewInstance, Service::Table, fault));
    let cases = wechat.chain(warm).chain(dead).chain(refresher).chain(cold);
    let cases = cases.map(|(case, service, (breaks, fault))| broken(case, service, breaks, fault));
    let rows = report::run(cases).await;
    report::section(
        report::TITLES[14],
        "A program makes a tag by `POST /cgi-bin/tags/create`. A second tag of the same name is refused with 45157, so a repeat tells \
         whether the first call was carried out. The status of an outage is its errcode too: SDKs look at that alone.",
        rows,
    );
}

/// The relay, and the program's token.
struct Bench {
    stage: Stage,
    relay: Function,
    token: String,
}

impl Bench {
    async fn start() -> Self {
        let stage = Stage::new().await;
        let mut relay = stage.serving(Program::Relay).await;
        let issued = ask(&mut relay, &get_token()).await;
        let token = issued.body["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{issued:?}"));
        let token = token.to_owned();
        // The count of this call is written before the fault begins.
        stage.mend().await;
        Self { stage, relay, token }
    }

    fn create(&self) -> Request {
        let path = format!("{CREATE}?access_token={}", self.token);
        api("POST", &path).keyless().json(&json!({"tag": {"name": "one"}}))
    }

    /// The errcodes of the calls that WeChat took, in their order.
    async fn taken(&self) -> Vec<Value> {
        let calls = self.stage.wechat.all_calls().await;
        let calls = calls.into_iter().filter(|call| call["path"] == CREATE);
        let errcodes = calls.map(|call| call["errcode"].clone());
        errcodes.filter(|errcode| *errcode != 40001).collect()
    }
}

fn get_token() -> Value {
    let query = format!("grant_type=client_credential&appid={APP_ID}&secret={API_KEY}");
    api("GET", &format!("/cgi-bin/token?{query}")).keyless().into()
}

async fn broken(case: Case, service: Service, breaks: &'static str, fault: Fault) -> Row {
    let mut bench = Bench::start().await;
    if case == Case::DeadToken {
        bench.stage.wechat.control("token/invalidate", &json!({})).await;
    }
    bench.stage.proxy(service).fail(1.., fault);
    let event = match case {
        Case::NewInstance => get_token(),
        Case::Warm | Case::DeadToken => bench.create().into(),
    };
    if case == Case::NewInstance {
        bench.relay = bench.stage.start(Program::Relay, &[]).await;
    }
    let first = ask(&mut bench.relay, &event).await;
    let what = format!("{case:?}, {} {breaks}: {first:?}", called(service));
    assert!(first.took < ANSWERED_WITHIN, "{what}");
    let code = first.body["errcode"].as_i64();
    assert!(
        first.status == 200 || code == Some(first.status.cast_signed()),
        "{what}"
    );
    let taken = bench.taken().await;
    assert!(taken.len() <= 1, "{what}: called twice: {taken:?}");
    let has_tag = taken.contains(&json!(0));
    bench.stage.mend().await;
    bench.stage.table.end_claims().await;
    let again = ask(&mut bench.relay, &event).await;
    assert_eq!(again.status, 200, "{what}: {again:?}");
    Row {
        step: case.name().to_owned(),
        breaks: format!("{} {breaks}", called(service)),
        gets: outcome_text(&first),
        within: "25 s",
        kept: match (case, has_tag) {
            (Case::NewInstance, _) => "nothing is changed".to_owned(),
            (_, false) => "no tag".to_owned(),
            (_, true) => "one tag".to_owned(),
        },
        returns: format!("the same request: {}", outcome_text(&again)),
    }
}

fn outcome_text(seen: &Seen) -> String {
    match (seen.status, seen.body["errcode"].as_i64()) {
        (200, _) if seen.body.is_string() => "200, the page as it came".to_owned(),
        (200, None | Some(0)) => "200, the answer".to_owned(),
        // The fault's own answer.
        (200, Some(errcode)) => format!("200, WeChat's errcode {errcode}"),
        (status, _) => format!("{status}, with that as errcode"),
    }
}
