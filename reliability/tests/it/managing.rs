//! What the callers of `admin` get while something is broken: the menu, the reply rules, the doctor.

use std::time::Duration;

use serde_json::{Value, json};
use testing::{
    Fault, Function, Service,
    event::{Request, api, get, post},
};

use crate::{
    report::{self, ANSWERED_WITHIN, Cases, Row},
    stage::{Program, Seen, Stage, ask, called, faults_of, table_faults},
};

/// The doctor answers within this time, whatever hangs.
const DOCTOR: Duration = Duration::from_secs(10);

pub(crate) fn menu(name: &str) -> Value {
    json!({"button": [{"type": "click", "name": name, "key": "K"}]})
}

pub(crate) fn set_menu(name: &str) -> Request {
    post("/api/menu", &menu(name))
}

pub(crate) fn get_menu() -> Request {
    get("/api/menu")
}

pub(crate) fn replies(content: &str) -> Value {
    json!({"default": {"type": "text", "content": content}})
}

pub(crate) fn put_replies(content: &str) -> Request {
    api("PUT", "/api/replies").json(&replies(content))
}

/// The name of the account's menu.
pub(crate) async fn menu_name(function: &mut Function) -> String {
    let seen = ask(function, &get_menu()).await;
    let name = seen.body.pointer("/menu/button/0/name").and_then(Value::as_str);
    name.unwrap_or("(none)").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managing() {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Admin).await;
    assert_eq!(ask(&mut function, &set_menu("new")).await.status, 200);
    assert_eq!(stage.proxy(Service::Table).requests(), ["GetItem", "UpdateItem"]);
    assert_eq!(
        stage.proxy(Service::WeChat).requests(),
        ["GET /cgi-bin/menu/get", "POST /cgi-bin/menu/create"]
    );

    let mut menus = Vec::new();
    for (service, step, name) in [
        (Service::WeChat, 1, "`POST /api/menu`: asking for the menu there is"),
        (Service::Table, 1, "`POST /api/menu`: looking at what is kept"),
        (Service::Table, 2, "`POST /api/menu`: keeping that"),
        (Service::WeChat, 2, "`POST /api/menu`: creating the new one"),
    ] {
        menus.extend(faults_of(service).into_iter().map(|fault| (service, step, name, fault)));
    }
    let menus = menus
        .into_iter()
        .map(|(service, step, name, (breaks, fault))| change_menu(service, step, name, breaks, fault));
    let mut cases = Cases::default();
    cases.add(menus);
    let rules = table_faults()
        .into_iter()
        .map(|(breaks, fault)| change_replies(breaks, fault));
    cases.add(rules);
    let mut rollbacks = Vec::new();
    for (service, step, name) in [
        (Service::Table, 1, "`POST /api/menu/rollback`: claiming it"),
        (
            Service::WeChat,
            1,
            "`POST /api/menu/rollback`: asking for the menu there is",
        ),
        (Service::Table, 2, "`POST /api/menu/rollback`: keeping that"),
        (Service::WeChat, 2, "`POST /api/menu/rollback`: creating the old one"),
        (Service::Table, 3, "`POST /api/menu/rollback`: noting that it is done"),
    ] {
        rollbacks.extend(faults_of(service).into_iter().map(|fault| (service, step, name, fault)));
    }
    let rollbacks = rollbacks
        .into_iter()
        .map(|(service, step, name, (breaks, fault))| rollback_menu(service, step, name, breaks, fault));
    cases.add(rollbacks);
    let rules = table_faults()
        .into_iter()
        .map(|(breaks, fault)| rollback_replies(breaks, fault));
    cases.add(rules);
    let keys = table_faults().into_iter().map(|(breaks, fault)| use_key(breaks, fault));
    cases.add(keys);
    let keys = table_faults()
        .into_iter()
        .map(|(breaks, fault)| make_key(breaks, fault));
    cases.add(keys);
    for service in [Service::Table, Service::WeChat, Service::Lambda] {
        // A check may take 2 s, which a service that is very slow comes close to.
        let faults = faults_of(service).into_iter();
        let faults = faults.filter(|(breaks, _)| *breaks != "is very slow");
        cases.add(faults.map(|(breaks, fault)| doctor(service, breaks, fault)));
    }
    report::section(
        report::TITLES[5],
        "Once it is mended, the caller sends the same request again. The menu from before is kept, to roll back to. \
         `POST /api/menu/rollback` once more would undo the rollback, so its caller looks first.",
        cases.run().await,
    );
}

/// The menu `old` is to become `new`.
async fn change_menu(service: Service, step: usize, name: &str, breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Admin).await;
    assert_eq!(ask(&mut function, &set_menu("old")).await.status, 200);
    stage.proxy(service).fail(step.., fault);
    let first = ask(&mut function, &set_menu("new")).await;
    assert!(first.took < ANSWERED_WITHIN, "{name}, {breaks}: {first:?}");
    stage.mend().await;
    assert_eq!(ask(&mut function, &set_menu("new")).await.status, 200);
    assert_eq!(menu_name(&mut function).await, "new");
    assert_eq!(
        kept_menu(&mut function).await,
        "old",
        "{name}, {breaks}: the old menu is lost"
    );
    row(
        name,
        service,
        breaks,
        &first,
        "25 s",
        "the new menu; the old one to roll back to",
        "the same request: 200",
    )
}

/// Rolls back, to see what was kept.
pub(crate) async fn kept_menu(function: &mut Function) -> String {
    let rolled_back = ask(function, &post("/api/menu/rollback", &Value::Null)).await;
    assert_eq!(rolled_back.status, 200, "{rolled_back:?}");
    menu_name(function).await
}

/// How service returns after a request to roll `new` back to `old` failed or was not answered. Checks that both are kept.
pub(crate) async fn rollback_again(stage: &Stage, function: &mut Function) -> &'static str {
    stage.table.end_claims().await;
    // Once the end is noted, the same request is another one, which undoes it.
    let was_done = menu_name(function).await == "old";
    let mut brought_back = kept_menu(function).await;
    let returns = if brought_back == "old" {
        brought_back = kept_menu(function).await;
        "the same request, once a claim has ended (30 s): 200"
    } else {
        assert!(was_done, "the old menu is lost");
        "`GET /api/menu` shows that it was done; the same request would undo it"
    };
    assert_eq!(brought_back, "new", "the new menu is lost");
    returns
}

async fn rollback_menu(service: Service, step: usize, name: &str, breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Admin).await;
    for menu in ["old", "new"] {
        assert_eq!(ask(&mut function, &set_menu(menu)).await.status, 200);
    }
    stage.proxy(service).fail(step.., fault);
    let first = ask(&mut function, &post("/api/menu/rollback", &Value::Null)).await;
    assert!(first.took < ANSWERED_WITHIN, "{name}, {breaks}: {first:?}");
    stage.mend().await;
    let returns = match (rollback_again(&stage, &mut function).await, first.status) {
        (_, 200) => "nothing was missed",
        (returns, _) => returns,
    };
    row(name, service, breaks, &first, "25 s", "both menus", returns)
}

async fn rollback_replies(breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Admin).await;
    for content in ["old", "new"] {
        assert_eq!(ask(&mut function, &put_replies(content)).await.status, 200);
    }
    let to_old = post("/api/replies/rollback", &json!({"version": 1}));
    stage.proxy(Service::Table).fail(.., fault);
    let first = ask(&mut function, &to_old).await;
    assert!(first.took < ANSWERED_WITHIN, "{breaks}: {first:?}");
    stage.mend().await;
    assert_eq!(ask(&mut function, &to_old).await.status, 200);
    let stored = ask(&mut function, &get("/api/replies")).await;
    assert_eq!(stored.body, replies("old"), "{breaks}");
    let to_new = post("/api/replies/rollback", &json!({"version": 2}));
    assert_eq!(ask(&mut function, &to_new).await.body, replies("new"), "{breaks}");
    row(
        "`POST /api/replies/rollback` to a version",
        Service::Table,
        breaks,
        &first,
        "25 s",
        "the version's rules, and the others",
        "the same request: 200",
    )
}

async fn change_replies(breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Admin).await;
    assert_eq!(ask(&mut function, &put_replies("old")).await.status, 200);
    stage.proxy(Service::Table).fail(.., fault);
    let first = ask(&mut function, &put_replies("new")).await;
    assert!(first.took < ANSWERED_WITHIN, "{breaks}: {first:?}");
    stage.mend().await;
    assert_eq!(ask(&mut function, &put_replies("new")).await.status, 200);
    let stored = ask(&mut function, &get("/api/replies")).await;
    assert_eq!(stored.body, replies("new"), "{breaks}");
    row(
        "`PUT /api/replies`",
        Service::Table,
        breaks,
        &first,
        "25 s",
        "the new rules, and the earlier versions",
        "the same request: 200",
    )
}

/// A key that was made at run time is used at an instance that has not read the keys yet.
async fn use_key(breaks: &str, fault: Fault) -> Row {
    const KEY: &str = "wk_0123456789abcdef0123456789abcdef";
    let stage = Stage::new().await;
    stage
        .table
        .save_keys(&[(KEY, json!({"name": "shop", "scopes": ["menu"]}))])
        .await;
    let mut function = stage.serving(Program::Admin).await;
    assert_eq!(ask(&mut function, &set_menu("old")).await.status, 200);
    stage.proxy(Service::Table).fail(.., fault);
    let by_key = get_menu().api_key(KEY);
    let first = ask(&mut function, &by_key).await;
    assert!(first.took < ANSWERED_WITHIN, "{breaks}: {first:?}");
    assert_ne!(first.status, 401, "{breaks}: {first:?}");
    assert_eq!(ask(&mut function, &get_menu()).await.status, 200, "one of API_KEYS");
    stage.mend().await;
    assert_eq!(ask(&mut function, &by_key).await.status, 200, "{breaks}");
    row(
        "`GET /api/menu` with a key of `/api/keys`: reading the keys",
        Service::Table,
        breaks,
        &first,
        "25 s",
        "nothing is changed; `API_KEYS` work all the while",
        "the same request: 200",
    )
}

async fn make_key(breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Admin).await;
    let make = |name: &str| post("/api/keys", &json!({"name": name, "scopes": ["menu"]}));
    assert_eq!(ask(&mut function, &make("old")).await.status, 201);
    stage.proxy(Service::Table).fail(.., fault);
    let first = ask(&mut function, &make("new")).await;
    assert!(first.took < ANSWERED_WITHIN, "{breaks}: {first:?}");
    stage.mend().await;
    assert_eq!(ask(&mut function, &make("again")).await.status, 201, "{breaks}");
    let listed = ask(&mut function, &get("/api/keys")).await.body;
    let names: Vec<&Value> = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["name"])
        .collect();
    let count = |name: &str| names.iter().filter(|listed| **listed == name).count();
    assert!(
        count("old") == 1 && count("again") == 1 && count("new") <= 1,
        "{breaks}: {names:?}"
    );
    assert!(count("new") == 1 || first.status != 201, "{breaks}: {names:?}");
    row(
        "`POST /api/keys`",
        Service::Table,
        breaks,
        &first,
        "25 s",
        "the other keys; of an answer that was lost, a key that nobody has seen",
        "the same request: 201; `GET /api/keys` shows what to delete",
    )
}

async fn doctor(service: Service, breaks: &str, fault: Fault) -> Row {
    let event = get("/api/doctor");
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::Admin).await;
    // The refresher starts with its first request, which takes longer than later ones.
    assert_eq!(ask(&mut function, &event).await.status, 200);
    stage.proxy(service).fail(.., fault);
    let first = ask(&mut function, &event).await;
    assert!(first.took < DOCTOR, "{breaks}: {first:?}");
    assert_eq!(first.status, 200, "{breaks}: {first:?}");
    let failed: Vec<&Value> = first.body["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .collect();
    assert!(failed.iter().all(|check| check["hint"].is_string()), "{failed:?}");
    stage.mend().await;
    let again = ask(&mut function, &event).await;
    let still: Vec<&Value> = again.body["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .collect();
    // The simulated account has no callback URL.
    assert!(still.iter().all(|check| check["name"] == "callback URL"), "{still:?}");
    let names: Vec<String> = failed
        .iter()
        .filter(|check| check["name"] != "callback URL")
        .map(|check| format!("\"{}\"", check["name"].as_str().unwrap()))
        .collect();
    let gets = if names.is_empty() {
        "200, all is well".to_owned()
    } else {
        format!("200, failed and hinted at: {}", names.join(", "))
    };
    Row {
        step: "`GET /api/doctor`".to_owned(),
        breaks: format!("{} {breaks}", called(service)),
        gets,
        within: "10 s",
        kept: "nothing is changed".to_owned(),
        returns: "the same request: all is well".to_owned(),
    }
}

fn row(
    step: &str,
    service: Service,
    breaks: &str,
    first: &Seen,
    within: &'static str,
    kept: &str,
    returns: &str,
) -> Row {
    Row {
        step: step.to_owned(),
        breaks: format!("{} {breaks}", called(service)),
        gets: first.outcome.clone(),
        within,
        kept: kept.to_owned(),
        returns: returns.to_owned(),
    }
}
