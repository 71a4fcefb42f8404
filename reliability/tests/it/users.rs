//! What visitors and the team's back end get while something is broken, and who an openid is afterwards.

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{
    Browser, Fault, Function, PUBLIC_URL, Service,
    event::{Request, api, get, post},
    message_for, now, parameter,
};

use crate::{
    report::{self, ANSWERED_WITHIN, Cases, Row},
    stage::{BINDING, Program, Seen, Stage, ask, called, faults_of, ties},
};

/// A request that a function makes for one of its own.
#[derive(Clone, Copy, Debug)]
struct Step {
    service: Service,
    /// Counts the requests to this service from 1.
    number: usize,
    name: &'static str,
    /// Whether it changes the table. The SDK repeats a change whose answer is lost.
    is_write: bool,
}

const fn reads(number: usize, name: &'static str) -> Step {
    calls(Service::Table, number, name)
}

const fn writes(number: usize, name: &'static str) -> Step {
    Step {
        is_write: true,
        ..reads(number, name)
    }
}

const fn calls(service: Service, number: usize, name: &'static str) -> Step {
    Step {
        service,
        number,
        name,
        is_write: false,
    }
}

const MAKE_BINDING: [Step; 2] = [
    calls(Service::WeChat, 1, "`POST /api/bindings`: making the QR code"),
    writes(1, "`POST /api/bindings`: storing the binding"),
];
/// What the way back of a binding's link makes the function do, in order.
const BIND: [Step; 7] = [
    reads(1, "a link's way back: reading the login"),
    writes(2, "a link's way back: claiming it"),
    calls(Service::Lambda, 1, "a link's way back: having the code exchanged"),
    reads(3, "a link's way back: reading the binding"),
    reads(4, "a link's way back: reading who is who"),
    writes(5, "a link's way back: binding"),
    writes(6, "a link's way back: storing the end"),
];
/// What the way back of a login makes the function do, in order.
const LOG_IN: [Step; 4] = [
    reads(1, "a login's way back: reading the login"),
    writes(2, "a login's way back: claiming it"),
    calls(Service::Lambda, 1, "a login's way back: having the code exchanged"),
    writes(3, "a login's way back: storing the end and the one-time code"),
];
const REDEEM: [Step; 4] = [
    reads(1, "`POST /api/logins/{login}`: reading the person"),
    reads(2, "`POST /api/logins/{login}`: looking the openid up"),
    reads(3, "`POST /api/logins/{login}`: reading the user"),
    writes(4, "`POST /api/logins/{login}`: redeeming the code"),
];
const PUT: [Step; 2] = [
    reads(1, "`PUT /api/users/{user}`: reading who is who"),
    writes(2, "`PUT /api/users/{user}`: binding"),
];
const IMPORT: [Step; 2] = [
    reads(1, "`POST /api/users`: reading who is who"),
    writes(5, "`POST /api/users`: binding the last"),
];
/// What the deletion of a user with one message makes the function do, in order.
const DELETE: [Step; 8] = [
    reads(1, "`DELETE /api/users/{user}`: reading the user"),
    reads(2, "`DELETE /api/users/{user}`: finding the messages"),
    writes(3, "`DELETE /api/users/{user}`: removing the openid from a message"),
    reads(4, "`DELETE /api/users/{user}`: finding the bindings"),
    reads(5, "`DELETE /api/users/{user}`: reading the user again"),
    writes(6, "`DELETE /api/users/{user}`: deleting"),
    reads(7, "`DELETE /api/users/{user}`: finding newer messages"),
    reads(8, "`DELETE /api/users/{user}`: finding newer bindings"),
];
const SIGN: [Step; 3] = [
    reads(1, "the first `GET /jssdk/config`: reading the ticket"),
    calls(
        Service::Lambda,
        1,
        "the first `GET /jssdk/config`: having a ticket issued",
    ),
    reads(2, "the first `GET /jssdk/config`: reading the new ticket"),
];
const SEND: [Step; 1] = [reads(1, "a send to a `user`: reading the user")];

const EXCHANGE_PATH: &str = "/sns/oauth2/access_token";
/// A one-time code.
const CODE: &str = "fedcba9876543210fedcba9876543210";
const PAGE: &str = "https://shop.example.com/page";
const OTHER: &str = "oOther";

/// The faults of a service, without those that differ in their duration only.
const KINDS: [&str; 4] = ["refuses connections", "freezes", "answers garbage", "loses its answers"];

/// A service that breaks at a step of a request.
#[derive(Clone, Debug)]
struct Broken {
    step: Step,
    breaks: &'static str,
    /// The last request that the fault hits.
    last: usize,
    fault: Fault,
}

impl Broken {
    /// Every fault at each of `steps`.
    fn at(steps: &[Step]) -> Vec<Self> {
        let mut all = Vec::new();
        for step in steps.iter().copied() {
            let lasting = faults_of(step.service)
                .into_iter()
                .filter(|(breaks, _)| KINDS.contains(breaks));
            let lasting = lasting.map(|fault| (usize::MAX, fault));
            let once = (step.number, ("loses one answer", Fault::LoseAnswer));
            let faults = lasting.chain(step.is_write.then_some(once));
            all.extend(faults.map(|(last, (breaks, fault))| Self {
                step,
                breaks,
                last,
                fault,
            }));
        }
        all
    }

    /// Makes the request under the fault, and mends it.
    async fn ask(&self, stage: &Stage, function: &mut Function, event: &Value) -> Seen {
        let Step { service, number, .. } = self.step;
        stage.proxy(service).fail(number..=self.last, self.fault.clone());
        let seen = ask(function, event).await;
        assert!(seen.took < ANSWERED_WITHIN, "{self:?}: {seen:?}");
        assert!(
            matches!(seen.status, 200..400 | 500..600),
            "{self:?}, which nobody but the service is to blame for: {seen:?}"
        );
        stage.mend().await;
        seen
    }

    fn row(self, first: &Seen, kept: &str, returns: &str) -> Row {
        Row {
            step: self.step.name.to_owned(),
            breaks: format!("{} {}", called(self.step.service), self.breaks),
            gets: first.outcome.clone(),
            within: "25 s",
            kept: kept.to_owned(),
            returns: match first.status {
                200 | 201 | 204 | 302 => "nothing was missed",
                _ => returns,
            }
            .to_owned(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_an_openid_is() {
    let mut cases = Cases::default();
    cases.add(Broken::at(&MAKE_BINDING).into_iter().map(make_binding));
    cases.add(Broken::at(&BIND).into_iter().map(bind));
    cases.add(Broken::at(&LOG_IN).into_iter().map(log_in));
    cases.add(Broken::at(&REDEEM).into_iter().map(redeem));
    cases.add(Broken::at(&PUT).into_iter().map(put_user));
    cases.add(Broken::at(&IMPORT).into_iter().map(import));
    cases.add(Broken::at(&DELETE).into_iter().map(delete));
    cases.add(Broken::at(&SIGN).into_iter().map(sign));
    cases.add(Broken::at(&SEND).into_iter().map(send_to_user));
    report::section(
        report::TITLES[6],
        "A person who opens a binding's link, or logs in, goes to WeChat and comes back to `/oauth/back` with a code, which \
         token-refresher exchanges for the openid, once. Once the fault is over, the browser opens the same address again, and \
         the link or the team's page when that fails; the back end makes the same request again. At all times users \
         and openids are tied one to one, and a binding binds one person.",
        cases.run().await,
    );
}

/// The requests of one run without a fault are those that the steps name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_users_are_these() {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Users).await;
    let link = open_link(&stage, &mut function).await;
    let requests = async |function: &mut Function, event: &Value| {
        stage.mend().await;
        let seen = ask(function, event).await;
        assert!(seen.status < 400, "{seen:?}");
        let requests = Service::ALL.map(|service| stage.proxy(service).requests());
        let [table, wechat, lambda, _] = requests;
        (table, wechat.len(), lambda.len())
    };
    let (get, update, transact) = ("GetItem", "UpdateItem", "TransactWriteItems");
    let table = |requests: &[&str]| requests.iter().map(|&request| request.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        requests(&mut function, &make().into()).await,
        (table(&["PutItem"]), 1, 0)
    );
    assert_eq!(
        requests(&mut function, &link).await,
        (table(&[get, update, get, "BatchGetItem", transact, transact]), 0, 1)
    );
    let login = open_login(&stage, &mut function).await;
    assert_eq!(
        requests(&mut function, &login).await,
        (table(&[get, update, transact]), 0, 1)
    );
    begin_code(&stage).await;
    assert_eq!(
        requests(&mut function, &redemption()).await,
        (table(&[get, get, get, update]), 0, 0)
    );
    record_message(&stage, "1").await;
    assert_eq!(
        requests(&mut function, &deletion()).await,
        (
            table(&[
                get,
                "Query",
                update,
                "Query",
                "DeleteItem",
                get,
                transact,
                "Query",
                "Query"
            ]),
            0,
            0
        )
    );
    assert_eq!(
        requests(&mut function, &put_follower().into()).await,
        (table(&["BatchGetItem", transact]), 0, 0)
    );
    assert_eq!(requests(&mut function, &config()).await, (table(&[get, get]), 0, 1));
}

fn make() -> Request {
    post("/api/bindings", &json!({"user": "u-1"}))
}

async fn make_binding(broken: Broken) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Users).await;
    let first = broken.ask(&stage, &mut function, &make().into()).await;
    let unseen = bindings(&stage).await - usize::from(first.status == 201);
    let again = function.send(&make().into()).await;
    assert_eq!(again.status, 201, "{broken:?}: {again:?}");
    let opened = Browser::default()
        .open(&mut function, again.body["link"].as_str().unwrap())
        .await;
    assert_eq!(opened.status, 302, "{broken:?}: {opened:?}");
    let kept = match unseen {
        0 => "no binding but those that were answered",
        _ => "a binding that nobody has seen, until it ends",
    };
    broken.row(&first, kept, "the same request: 201")
}

async fn bindings(stage: &Stage) -> usize {
    let items = stage.table.items().await;
    let bindings = items
        .iter()
        .filter(|item| item["pk"].as_str().unwrap().starts_with("bind#"));
    bindings.count()
}

/// The address of the binding's link.
fn link() -> String {
    format!("{PUBLIC_URL}/bind/{BINDING}")
}

/// Opens `address` as `openid` in a new browser and confirms on WeChat's page: the request of the way back.
async fn confirm(stage: &Stage, function: &mut Function, address: &str, openid: &str) -> Value {
    let mut browser = Browser::default();
    let opened = browser.open(function, address).await;
    assert_eq!(opened.status, 302, "{opened:?}");
    let back = stage.wechat.authorize(opened.location(), openid).await;
    browser.request(&back).into()
}

/// Begins a binding whose link the follower opens: the request of the way back.
pub(crate) async fn open_link(stage: &Stage, function: &mut Function) -> Value {
    stage.begin_binding().await;
    confirm(stage, function, &link(), FOLLOWER).await
}

/// Ends the claim on a login, if a request has left one, and returns which address the browser opens then.
async fn same_address(stage: &Stage) -> &'static str {
    let items = stage.table.items().await;
    let is_claimed = items.iter().any(|item| {
        let claimed_until = item["claim_expires_at"].as_i64();
        item["end"].is_null() && claimed_until.is_some_and(|until| until > now())
    });
    stage.table.end_claims().await;
    if is_claimed {
        "the same address, once the claim has ended (30 s)"
    } else {
        "the same address"
    }
}

/// Opens the way back of the link again, and the link when that fails. The follower is bound by then, once. Returns how.
pub(crate) async fn bind_again(stage: &Stage, function: &mut Function, back: &Value) -> String {
    let address = same_address(stage).await;
    let again = ask(function, back).await;
    let returns = match again.status {
        200 => format!("{address}: 200"),
        502 => match Browser::default().open(function, &link()).await.status {
            302 => {
                let back = confirm(stage, function, &link(), FOLLOWER).await;
                let bound = ask(function, &back).await;
                assert_eq!(bound.status, 200, "{bound:?}");
                format!("{address}: 502; the link: 200")
            }
            410 => format!("{address}: 502; the link: 410, because it has bound"),
            status => panic!("{status}"),
        },
        _ => panic!("{again:?}"),
    };
    stage.assert_bound().await;
    let binding = get(&format!("/api/bindings/{BINDING}"));
    assert_eq!(ask(function, &binding).await.body["state"], "bound");
    returns
}

async fn bind(broken: Broken) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Users).await;
    let back = open_link(&stage, &mut function).await;
    let stranger = stage.wechat.follower().await;
    let stranger = confirm(&stage, &mut function, &link(), &stranger).await;
    let first = broken.ask(&stage, &mut function, &back).await;
    assert!(stage.wechat.calls(EXCHANGE_PATH).await <= 1, "{broken:?}");
    let is_bound = !stage.ties().await.is_empty();
    let is_told = first.status == 200;
    let answer_is_lost = matches!(broken.fault, Fault::LoseAnswer);
    assert!(
        is_bound == is_told || (is_bound && answer_is_lost),
        "{broken:?}: {first:?}"
    );
    let returns = bind_again(&stage, &mut function, &back).await;
    let refused = ask(&mut function, &stranger).await;
    assert_eq!(refused.status, 410, "{broken:?}: {refused:?}");
    stage.assert_bound().await;
    broken.row(&first, "the user is bound, once", &returns)
}

/// The follower opens the page of a login: the request of the way back.
async fn open_login(stage: &Stage, function: &mut Function) -> Value {
    let login = "/oauth/login?to=https%3A%2F%2Fshop.example.com%2Fpage";
    confirm(stage, function, login, FOLLOWER).await
}

async fn log_in(broken: Broken) -> Row {
    let stage = Stage::new().await;
    stage.tie().await;
    let mut function = stage.serving(Program::Users).await;
    let back = open_login(&stage, &mut function).await;
    let first = broken.ask(&stage, &mut function, &back).await;
    assert!(stage.wechat.calls(EXCHANGE_PATH).await <= 1, "{broken:?}");
    let address = same_address(&stage).await;
    let mut ended = function.send(&back).await;
    let returns = match ended.status {
        302 => format!("{address}: 302"),
        502 => {
            let back = open_login(&stage, &mut function).await;
            ended = function.send(&back).await;
            format!("{address}: 502; the page: 302")
        }
        _ => panic!("{broken:?}: {ended:?}"),
    };
    let code = parameter(ended.location(), "login");
    let redeem = Value::from(api("POST", &format!("/api/logins/{code}")));
    let redeemed = ask(&mut function, &redeem).await;
    assert_eq!(redeemed.body, follower(), "{broken:?}: {redeemed:?}");
    assert_eq!(ask(&mut function, &redeem).await.status, 404, "{broken:?}");
    broken.row(&first, "one login, for the person who came back", &returns)
}

/// Whom a one-time code stands for.
fn follower() -> Value {
    json!({"openid": FOLLOWER, "user": "u-1"})
}

/// Stores the one-time code of the follower, as the end of a login does.
pub(crate) async fn begin_code(stage: &Stage) {
    let ends = now() + 120;
    let code = json!({"openid": FOLLOWER, "expires_at": ends, "ttl": ends + 600});
    stage.table.set(&format!("login#{CODE}"), &code).await;
}

/// The request that redeems this code.
pub(crate) fn redemption() -> Value {
    api("POST", &format!("/api/logins/{CODE}")).into()
}

/// Redeems the code again, after the answers `before`; returns what is kept and how service returned.
pub(crate) async fn redeem_again(function: &mut Function, before: Option<&Seen>) -> (&'static str, &'static str) {
    let again = ask(function, &redemption()).await;
    let answers = before.into_iter().chain([&again]);
    let redeemed: Vec<&Seen> = answers.filter(|seen| seen.status == 200).collect();
    assert!(redeemed.len() <= 1, "redeemed twice");
    assert!(redeemed.iter().all(|seen| seen.body == follower()), "{redeemed:?}");
    assert_eq!(ask(function, &redemption()).await.status, 404);
    match (again.status, redeemed.len()) {
        (200, _) => ("the code, good once", "the same request: 200"),
        (404, 1) => ("the code, good once", "nothing was missed"),
        (404, _) => (
            "the code is spent, and nobody has seen whose it was",
            "the same request: 404; the visitor logs in again",
        ),
        _ => panic!("{again:?}"),
    }
}

async fn redeem(broken: Broken) -> Row {
    let stage = Stage::new().await;
    stage.tie().await;
    begin_code(&stage).await;
    let mut function = stage.serving(Program::Users).await;
    let first = broken.ask(&stage, &mut function, &redemption()).await;
    let is_spent = stage.table.item(&format!("login#{CODE}")).await["owner"].is_string();
    let (kept, returns) = redeem_again(&mut function, Some(&first)).await;
    let is_lost = is_spent && first.status != 200;
    assert_eq!(is_lost, returns.contains("404"), "{broken:?}: {first:?}");
    broken.row(&first, kept, returns)
}

fn put_follower() -> Request {
    api("PUT", "/api/users/u-1").json(&json!({"openid": FOLLOWER}))
}

/// `u-1` gets the openid of `u-2` in place of another.
async fn put_user(broken: Broken) -> Row {
    let stage = Stage::new().await;
    stage.table.bind("u-1", OTHER).await;
    stage.table.bind("u-2", FOLLOWER).await;
    let before = stage.ties().await;
    let mut function = stage.serving(Program::Users).await;
    let first = broken.ask(&stage, &mut function, &put_follower().into()).await;
    let (new, now) = (ties([("u-1", FOLLOWER)]), stage.ties().await);
    assert!(
        now == new || (now == before && first.status != 200),
        "{broken:?}: {now:?}"
    );
    let again = ask(&mut function, &put_follower().into()).await;
    assert_eq!(again.status, 200, "{broken:?}: {again:?}");
    assert_eq!(stage.ties().await, new, "{broken:?}");
    let kept = "the new tie alone; until then the old ones, or the new one";
    broken.row(&first, kept, "the same request: 200")
}

/// An import of three users, who are bound side by side.
async fn import(broken: Broken) -> Row {
    let all = [("u-1", FOLLOWER), ("u-2", OTHER), ("u-3", "oThird")];
    let users = all.map(|(user, openid)| json!({"user": user, "openid": openid}));
    let import = Value::from(post("/api/users", &json!({"users": users})));
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Users).await;
    let first = broken.ask(&stage, &mut function, &import).await;
    let bound = stage.ties().await;
    for result in first.body["results"].as_array().unwrap() {
        let text = |name: &str| result[name].as_str().unwrap().to_owned();
        let is_bound = bound.contains(&(text("user"), text("openid")));
        assert!(
            is_bound || result["status"].as_u64().unwrap() >= 500,
            "{broken:?}: {result}"
        );
    }
    let again = ask(&mut function, &import).await;
    assert_eq!((again.status, stage.ties().await), (200, ties(all)), "{broken:?}");
    let kept = "all ties; until then those whose `status` is 200, at least";
    broken.row(&first, kept, "the same request: 200")
}

/// Records the message `msgid` to the follower, as its send does.
pub(crate) async fn record_message(stage: &Stage, msgid: &str) {
    let message = json!({
        "touser": FOLLOWER, "template_id": "T", "status": "delivered", "sent_at": now(),
        "ipk": format!("to#{}#{FOLLOWER}", testing::account::APP_ID), "isk": now(), "ttl": now() + 1000,
    });
    stage.table.set(&format!("message#{msgid}"), &message).await;
}

/// The request that deletes `u-1`.
pub(crate) fn deletion() -> Value {
    api("DELETE", "/api/users/u-1").into()
}

/// Deletes the user again: no item names the openid then.
pub(crate) async fn delete_again(stage: &Stage, function: &mut Function) -> &'static str {
    let again = ask(function, &deletion()).await;
    let left = format!("{:?}", stage.table.items().await);
    assert!(!left.contains(FOLLOWER), "{left}");
    assert_eq!(stage.table.item("message#1").await["status"], "delivered");
    match again.status {
        204 => "the same request: 204",
        404 => "the same request: 404",
        _ => panic!("{again:?}"),
    }
}

async fn delete(broken: Broken) -> Row {
    let stage = Stage::new().await;
    stage.tie().await;
    record_message(&stage, "1").await;
    let mut function = stage.serving(Program::Users).await;
    let first = broken.ask(&stage, &mut function, &deletion()).await;
    stage.ties().await;
    let returns = delete_again(&stage, &mut function).await;
    broken.row(&first, "the message, without the openid; nothing else", returns)
}

fn config() -> Value {
    get("/jssdk/config").keyless().with_query(&[("url", PAGE)]).into()
}

async fn sign(broken: Broken) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Users).await;
    let first = broken.ask(&stage, &mut function, &config()).await;
    let again = ask(&mut function, &config()).await;
    assert_eq!(again.status, 200, "{broken:?}: {again:?}");
    for seen in [&first, &again].into_iter().filter(|seen| seen.status == 200) {
        let mut check = seen.body.clone();
        check["url"] = json!(PAGE);
        let checked = stage.wechat.control("jssdk/check", &check).await;
        assert_eq!(checked, json!({"ok": true}), "{broken:?}: {check}");
    }
    assert_eq!(stage.wechat.calls("/cgi-bin/ticket/getticket").await, 1, "{broken:?}");
    broken.row(&first, "one ticket", "the same request: 200")
}

async fn send_to_user(broken: Broken) -> Row {
    let event = Value::from(post("/api/sendTemplateMessage", &message_for("user", "u-1")));
    let stage = Stage::new().await;
    stage.tie().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    let first = broken.ask(&stage, &mut function, &event).await;
    let sent = stage.phone().await.len();
    assert_eq!(sent, usize::from(first.status == 200), "{broken:?}: {first:?}");
    if first.status != 200 {
        let again = ask(&mut function, &event).await;
        assert_eq!(again.status, 200, "{broken:?}: {again:?}");
    }
    assert_eq!(stage.phone().await.len(), 1, "{broken:?}");
    broken.row(
        &first,
        "one message; none before the user could be read",
        "the same request: 200",
    )
}
