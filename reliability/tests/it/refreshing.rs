//! How token-refresher copes with a broken table or WeChat, and whether the next run obtains a token or a ticket.

use std::time::Duration;

use serde_json::{Value, json};
use testing::{Fault, Service, event::sample};

use crate::{
    report::{self, Cases, Row},
    stage::{Program, Seen, Stage, ask, ask_within, called, faults_of, service_faults},
};

pub(crate) const TOKEN_PATH: &str = "/cgi-bin/stable_token";
pub(crate) const TICKET_PATH: &str = "/cgi-bin/ticket/getticket";
/// The timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(25);
/// What a run without a token does, in order.
const STEPS: [(Service, usize, &str); 4] = [
    (Service::Table, 1, "reading the token"),
    (Service::Table, 2, "taking the lease"),
    (Service::WeChat, 1, "asking for a token"),
    (Service::Table, 3, "storing the token"),
];

pub(crate) fn refresh() -> Value {
    sample("refresh-on-demand")
}

pub(crate) fn ticket() -> Value {
    sample("ticket")
}

/// Makes WeChat issue tickets.
pub(crate) async fn issue_tickets(stage: &Stage) {
    let issued = json!({"errcode": 0, "errmsg": "ok", "ticket": "jsapi-ticket", "expires_in": 7200});
    let fault = json!({"body": issued.to_string(), "times": 100});
    stage.wechat.fault(TICKET_PATH, &fault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshing_the_token() {
    let stage = Stage::without_token().await;
    let mut function = stage.serving(Program::TokenRefresher).await;
    assert_eq!(ask(&mut function, &refresh()).await.status, 200);
    assert_eq!(
        stage.proxy(Service::Table).requests(),
        ["GetItem", "UpdateItem", "UpdateItem"]
    );

    let mut broken = Vec::new();
    for (service, step, name) in STEPS {
        let mut faults = faults_of(service);
        if service == Service::WeChat {
            faults.extend(refusals([
                ("is busy, errcode -1", -1),
                ("refuses the address, 40164", 40164),
                ("refuses the AppSecret, 40125", 40125),
                ("says that the quota is used up, 45009", 45009),
            ]));
        }
        broken.extend(faults.into_iter().map(|fault| (service, step, name, fault)));
    }
    let runs = broken
        .into_iter()
        .map(|(service, step, name, (breaks, fault))| run(service, step, name, breaks, fault));
    let mut cases = Cases::default();
    cases.add(runs);
    let faults = service_faults().into_iter().chain(refusals([
        ("is busy, errcode -1", -1),
        ("grants no such right, 48001", 48001),
        ("refuses the token and the AppSecret, 40001", 40001),
    ]));
    cases.add(faults.map(|(breaks, fault)| ticket_run(breaks, fault)));
    report::section(
        report::TITLES[4],
        "A run of `token-refresher` that finds no token, and one that is asked for a jsapi_ticket when there is a token. The \
         next one, a minute later on the schedule or on demand, is the suite's next run.",
        cases.run().await,
    );
}

fn refusals<const N: usize>(of: [(&'static str, i64); N]) -> [(&'static str, Fault); N] {
    let refusal = |errcode| Fault::json(200, json!({"errcode": errcode, "errmsg": "broken"}));
    of.map(|(breaks, errcode)| (breaks, refusal(errcode)))
}

/// What a run got that is to keep the `kind` of credential.
fn outcome_text(first: Seen, kind: &str) -> String {
    if first.status == 200 {
        format!("the {kind} is refreshed")
    } else {
        first.outcome
    }
}

async fn ticket_run(breaks: &str, fault: Fault) -> Row {
    let name = "asking for the ticket";
    let stage = Stage::new().await;
    issue_tickets(&stage).await;
    let mut function = stage.serving(Program::TokenRefresher).await;
    stage.proxy(Service::WeChat).fail(1.., fault);
    let first = ask_within(&mut function, &ticket(), TIMEOUT).await;
    assert!(first.took < TIMEOUT, "{breaks}: {first:?}");
    let run = ask_within(&mut function, &json!({}), TIMEOUT).await;
    assert_eq!(run.status, 200, "{breaks}: the token is alive: {run:?}");
    stage.mend().await;
    let again = ask_within(&mut function, &ticket(), TIMEOUT).await;
    assert_eq!(again.status, 200, "{breaks}: {again:?}");
    let kept = stage.table.item("ticket").await;
    assert!(
        kept["ticket"].is_string() && kept.get("lease_expires_at").is_none(),
        "{breaks}: {kept}"
    );
    Row {
        step: name.to_owned(),
        breaks: format!("{} {breaks}", called(Service::WeChat)),
        gets: outcome_text(first, "ticket"),
        within: "25 s",
        kept: "one ticket, no lease".to_owned(),
        returns: "the next run: 200".to_owned(),
    }
}

async fn run(service: Service, step: usize, name: &str, breaks: &str, fault: Fault) -> Row {
    let stage = Stage::without_token().await;
    let mut function = stage.serving(Program::TokenRefresher).await;
    stage.proxy(service).fail(step.., fault);
    let first = ask_within(&mut function, &refresh(), TIMEOUT).await;
    assert!(first.took < TIMEOUT, "{name}, {breaks}: {first:?}");
    stage.mend().await;
    // The schedule's next run comes when every lease has ended.
    stage.table.end_claims().await;
    let again = ask_within(&mut function, &refresh(), TIMEOUT).await;
    assert_eq!(again.status, 200, "{name}, {breaks}: {again:?}");
    let calls = stage.wechat.calls(TOKEN_PATH).await;
    assert!(calls <= 4, "{name}, {breaks}: {calls} calls");
    let token = stage.table.item("token").await;
    assert_eq!(
        token["generation"], 1,
        "{name}, {breaks}: a token was replaced that worked"
    );
    assert!(
        token.get("lease_expires_at").is_none(),
        "{name}, {breaks}: a lease is left"
    );
    Row {
        step: name.to_owned(),
        breaks: format!("{} {breaks}", called(service)),
        gets: outcome_text(first, "token"),
        within: "25 s",
        kept: "one token, no lease".to_owned(),
        returns: "the next run: 200".to_owned(),
    }
}
