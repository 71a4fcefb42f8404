//! What the sender of a template message gets while something is broken, and whether the message is sent once.

use std::time::Duration;

use serde_json::{Value, json};
use testing::{
    Fault, Function, SEND, Service,
    event::{get, post},
    message,
};

use crate::{
    report::{self, ANSWERED_WITHIN, Cases, Row},
    stage::{Program, Stage, ask, ask_within, garbage, send, service_faults, table_faults},
};

const KEY: Option<&str> = Some("order-1");
const LIST: &str = "GET /cgi-bin/template/get_all_private_template";

/// What a send with an `Idempotency-Key` makes the function do, in order. WeChat is asked after the first.
const STEPS: [(usize, &str); 3] = [
    (1, "claiming the key"),
    (2, "recording the message"),
    (3, "recording the answer"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_table_breaks() {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    assert_eq!(ask(&mut function, &send(KEY)).await.status, 200);
    assert_eq!(stage.proxy(Service::Table).requests(), ["UpdateItem"; 3]);
    assert_eq!(stage.proxy(Service::WeChat).requests().len(), 1);

    let mut broken = Vec::new();
    for (step, name) in STEPS {
        broken.extend(table_faults().into_iter().map(|fault| (step, name, fault)));
    }
    let sends = broken.into_iter().map(|(step, name, (breaks, fault))| {
        sent_once(
            Service::Table,
            step,
            name,
            format!("the table {breaks}"),
            fault,
            Duration::from_secs(30),
        )
    });
    let mut cases = Cases::default();
    cases.add(sends);
    let lookups = table_faults().into_iter().map(|(breaks, fault)| look_up(breaks, fault));
    cases.add(lookups);
    report::section(
        report::TITLES[1],
        "One message with an `Idempotency-Key`: the key is claimed, WeChat asked, the message recorded, and then the answer. \
         Once the table is back, the caller sends the same request again.",
        cases.run().await,
    );
}

/// A send under a fault, and the same request again once it is mended: one message, whatever happened.
async fn sent_once(
    service: Service,
    step: usize,
    name: &'static str,
    breaks: String,
    fault: Fault,
    left: Duration,
) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    stage.proxy(service).fail(step.., fault);
    let first = ask_within(&mut function, &send(KEY), left).await;
    assert!(first.took < left.min(ANSWERED_WITHIN), "{name}, {breaks}: {first:?}");
    stage.mend().await;
    let returns = repeat(&stage, &mut function).await;
    Row {
        step: name.to_owned(),
        breaks,
        gets: first.outcome,
        within: if left < ANSWERED_WITHIN {
            "6 s, the time left"
        } else {
            "25 s"
        },
        kept: kept(&stage, &mut function).await,
        returns,
    }
}

/// Sends the same again, and once more when the claim of the first has ended.
pub(crate) async fn repeat(stage: &Stage, function: &mut Function) -> String {
    let mut again = ask(function, &send(KEY)).await;
    let mut returns = String::from("the same request: ");
    if again.status == 409 {
        assert!(again.body["retry_after"].is_u64(), "{again:?}");
        returns += "409 until the claim ends after 35 s, then ";
        stage.table.end_claims().await;
        again = ask(function, &send(KEY)).await;
    }
    assert_eq!(again.status, 200, "{again:?}");
    let phone = stage.phone().await;
    assert_eq!(again.body["msgid"], phone[0]["msgid"], "{phone:?}");
    returns + "200"
}

/// The messages on the phone, and what `GET /api/messages/{msgid}` knows of them.
pub(crate) async fn kept(stage: &Stage, function: &mut Function) -> String {
    let phone = stage.phone().await;
    assert_eq!(phone.len(), 1, "lost, or sent twice: {phone:?}");
    let msgid = phone[0]["msgid"].as_str().unwrap();
    let found = ask(function, &get(&format!("/api/messages/{msgid}"))).await;
    match found.status {
        200 => "one message, recorded".to_owned(),
        404 => "one message; its record comes with its receipt".to_owned(),
        _ => panic!("{found:?}"),
    }
}

async fn look_up(breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    let sent = ask(&mut function, &send(None)).await;
    let event = get(&format!("/api/messages/{}", sent.body["msgid"].as_str().unwrap()));
    stage.proxy(Service::Table).fail(.., fault);
    let first = ask(&mut function, &event).await;
    assert!(first.took < WITHIN_A_READ, "{first:?}");
    stage.mend().await;
    assert_eq!(ask(&mut function, &event).await.status, 200);
    Row {
        step: "looking a message up".to_owned(),
        breaks: format!("the table {breaks}"),
        gets: first.outcome,
        within: "5 s",
        kept: "one message, recorded".to_owned(),
        returns: "the same request: 200".to_owned(),
    }
}

const WITHIN_A_READ: Duration = Duration::from_secs(5);

fn errcode(errcode: i64, errmsg: &str) -> Fault {
    Fault::json(200, json!({"errcode": errcode, "errmsg": errmsg}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_wechat_breaks() {
    let mut faults = service_faults();
    faults.extend([
        (
            "answers 502 and HTML",
            Fault::Answer {
                status: 502,
                headers: vec![],
                body: "<html>".to_owned(),
            },
        ),
        (
            "answers JSON cut in the middle",
            Fault::json(200, "{\"errcode\":0,\"msg"),
        ),
        ("answers `{}`", Fault::json(200, "{}")),
        ("is busy, errcode -1", errcode(-1, "system error")),
        (
            "refuses the address, 40164",
            errcode(
                40164,
                "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist",
            ),
        ),
        (
            "refuses the value, 47003",
            errcode(47003, "argument invalid! data.thing1.value invalid"),
        ),
        (
            "says that the quota is used up, 45009",
            errcode(45009, "reach max api daily quota limit"),
        ),
        (
            "says that the calls come too fast, 45011",
            errcode(45011, "api minute-quota reach limit"),
        ),
        (
            "refuses every token, 40001",
            errcode(40001, "invalid credential, access_token is invalid or not latest"),
        ),
        ("answers an errcode that nobody knows, 99999", errcode(99999, "?")),
    ]);
    let sends = faults.into_iter().map(|(breaks, fault)| {
        sent_once(
            Service::WeChat,
            1,
            "sending",
            format!("WeChat {breaks}"),
            fault,
            Duration::from_secs(30),
        )
    });
    let mut cases = Cases::default();
    cases.add(sends);
    cases.add([sent_once(
        Service::WeChat,
        1,
        "sending",
        "WeChat freezes, with 6 s to the deadline".to_owned(),
        Fault::Freeze,
        Duration::from_secs(6),
    )]);
    let once = [
        ("resets one connection", Fault::Reset),
        ("loses one answer", Fault::LoseAnswer),
        ("is busy once, errcode -1", errcode(-1, "system error")),
        ("refuses the token once, 42001", errcode(42001, "access_token expired")),
        (
            "answers 502 once",
            Fault::Answer {
                status: 502,
                headers: vec![],
                body: String::new(),
            },
        ),
    ];
    cases.add(once.into_iter().map(|(breaks, fault)| passing(breaks, fault)));
    let lists = service_faults()
        .into_iter()
        .map(|(breaks, fault)| listing(breaks, fault));
    cases.add(lists);
    report::section(
        report::TITLES[2],
        "One message with an `Idempotency-Key`. WeChat recognises a repeat by its `client_msg_id`, for 10 minutes. Once WeChat \
         is back, the caller sends the same request again.",
        cases.run().await,
    );
}

/// A fault of one request, which the caller does not see.
async fn passing(breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    stage.proxy(Service::WeChat).fail(1..=1, fault);
    let first = ask(&mut function, &send(KEY)).await;
    assert!(first.took < ANSWERED_WITHIN, "{first:?}");
    let returns = repeat(&stage, &mut function).await;
    Row {
        step: "sending".to_owned(),
        breaks: format!("WeChat {breaks}"),
        gets: first.outcome,
        within: "25 s",
        kept: kept(&stage, &mut function).await,
        returns,
    }
}

/// The first send of a process that finds no list of templates asks for it.
async fn listing(breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    stage.table.delete("templates").await;
    let mut function = stage.serving(Program::SendTemplate).await;
    stage.proxy(Service::WeChat).fail(1..=1, fault);
    let first = ask(&mut function, &send(KEY)).await;
    assert!(first.took < ANSWERED_WITHIN, "{first:?}");
    let asked = stage.proxy(Service::WeChat).requests();
    // A proxy that refuses connections sees no request.
    assert!(asked.first().is_none_or(|first| first == LIST), "{asked:?}");
    stage.mend().await;
    let returns = repeat(&stage, &mut function).await;
    Row {
        step: "listing the templates, to check the message".to_owned(),
        breaks: format!("WeChat {breaks}"),
        gets: first.outcome,
        within: "25 s",
        kept: kept(&stage, &mut function).await,
        returns,
    }
}

/// What a keyless send meets after its first answer was lost, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key() {
    let refuses = |errcode: i64, errmsg: &str| Some(json!({"errcode": errcode, "errmsg": errmsg}));
    let then = [
        ("", None),
        (
            ", then says that the quota is used up, 45009",
            refuses(45009, "reach max api daily quota limit"),
        ),
        (
            ", then that the calls come too fast, 45011",
            refuses(45011, "api minute-quota reach limit"),
        ),
        (", then refuses the account, 48001", refuses(48001, "api unauthorized")),
        (
            ", then refuses the value, 47003",
            refuses(47003, "argument invalid! data.thing1.value invalid"),
        ),
        (
            ", then refuses the recipient, 43019",
            refuses(43019, "require remove blacklist"),
        ),
        (", then loses that of the repeat too", Some(json!({"drop": true}))),
        (", then freezes", Some(json!({"delay_ms": 60_000}))),
    ];
    let rows = report::run(then.into_iter().map(|(then, fault)| keyless(then, fault))).await;
    report::section(
        report::TITLES[11],
        "WeChat loses the answer to a message that it has taken, and the function repeats the call with the same \
         `client_msg_id`. When that brings no message id, the answer says `may_have_been_sent` and names the `client_msg_id`: \
         the caller sends once more with it. That this is one message rests on WeChat recognising the `client_msg_id` for 10 \
         minutes, as its documents say and the simulator does; a caller that sends again without it sends a second message.",
        rows,
    );
}

async fn keyless(then: &str, fault: Option<Value>) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    for fault in [Some(json!({"drop": true})), fault].into_iter().flatten() {
        stage.wechat.fault(SEND, &fault).await;
    }
    let first = ask(&mut function, &send(None)).await;
    assert!(first.took < ANSWERED_WITHIN, "{then}: {first:?}");
    let returns = match first.status {
        200 => "nothing to do".to_owned(),
        504 => {
            assert_eq!(first.body["may_have_been_sent"], true, "{first:?}");
            let mut again = message();
            again["client_msg_id"] = first.body["client_msg_id"].clone();
            let event = post("/api/sendTemplateMessage", &again);
            let again = ask(&mut function, &event).await;
            assert_eq!(again.status, 200, "{again:?}");
            "the same message with that `client_msg_id`: 200".to_owned()
        }
        _ => panic!("{then}: {first:?}"),
    };
    Row {
        step: "sending".to_owned(),
        breaks: format!("WeChat loses one answer{then}"),
        gets: first.outcome,
        within: "25 s",
        kept: kept(&stage, &mut function).await,
        returns,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_refresher_breaks() {
    let lambda = |status, code: &'static str| Fault::Answer {
        status,
        headers: vec![("x-amzn-errortype", code), ("content-type", "application/json")],
        body: json!({"Message": "broken by the suite", "Type": "User"}).to_string(),
    };
    let failing = |error: Value| Fault::Answer {
        status: 200,
        headers: vec![
            ("x-amz-function-error", "Unhandled"),
            ("content-type", "application/json"),
        ],
        body: error.to_string(),
    };
    let mut faults = service_faults();
    faults.extend([
        ("is not there, 404", lambda(404, "ResourceNotFoundException")),
        ("may not be asked, 403", lambda(403, "AccessDeniedException")),
        ("is throttled", lambda(429, "TooManyRequestsException")),
        ("fails inside AWS Lambda, 500", lambda(500, "ServiceException")),
        (
            "crashes",
            failing(json!({"errorType": "Runtime.ExitError", "errorMessage": "RequestId: 1 Error: exit status 1"})),
        ),
        (
            "runs into its timeout",
            failing(json!({"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 25.00 seconds"})),
        ),
        (
            "is refused by WeChat, 40164",
            failing(json!({"errorType": "WeChat40164", "errorMessage": "errcode 40164: invalid ip 203.0.113.9"})),
        ),
        (
            "finds WeChat frozen",
            failing(json!({"errorType": "WeChatUnreachable", "errorMessage": "WeChat did not answer in time"})),
        ),
    ]);
    let sends = faults.into_iter().map(|(breaks, fault)| without_token(breaks, fault));
    let mut cases = Cases::default();
    cases.add(sends);
    cases.add([dead_token()]);
    report::section(
        report::TITLES[3],
        "One message with an `Idempotency-Key`, by a process that finds no token in the table and asks for one.",
        cases.run().await,
    );
}

async fn without_token(breaks: &str, fault: Fault) -> Row {
    let stage = Stage::without_token().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    stage.proxy(Service::Lambda).fail(.., fault);
    let first = ask(&mut function, &send(KEY)).await;
    assert!(first.took < ANSWERED_WITHIN, "{breaks}: {first:?}");
    let asked = stage.proxy(Service::Lambda).requests().len();
    assert!(asked <= 5, "{breaks}: asked {asked} times");
    stage.mend().await;
    let returns = repeat(&stage, &mut function).await;
    Row {
        step: "having the token refreshed".to_owned(),
        breaks: format!("the refresher {breaks}"),
        gets: first.outcome,
        within: "25 s",
        kept: kept(&stage, &mut function).await,
        returns,
    }
}

/// WeChat refuses the token that the table holds, and the refresher cannot replace it.
async fn dead_token() -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    stage.wechat.control("token/invalidate", &json!({})).await;
    stage.proxy(Service::Lambda).fail(.., garbage());
    let first = ask(&mut function, &send(KEY)).await;
    assert!(first.took < ANSWERED_WITHIN, "{first:?}");
    stage.mend().await;
    let returns = repeat(&stage, &mut function).await;
    Row {
        step: "having a dead token replaced".to_owned(),
        breaks: "the refresher answers garbage".to_owned(),
        gets: first.outcome,
        within: "25 s",
        kept: kept(&stage, &mut function).await,
        returns,
    }
}
