//! What fails, and what the caller learns. The errmsgs are those of the field.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::FOLLOWER;

use testing::{
    Fault, Function, Response, Service, Stage,
    account::{API_KEY, APP_SECRET},
    message, message_to, now,
};

use crate::{BINARY, LIST, SEND, request, send, send_with_key};

async fn send_with_fault(stage: &Stage, function: &mut Function, fault: Value) -> Response {
    stage.wechat.fault(SEND, &fault).await;
    send(function, &message()).await
}

#[tokio::test]
async fn the_four_errors_that_cost_most() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let not_in_whitelist = "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist";
    let answer = send_with_fault(&stage, function, json!({"errcode": 40164, "errmsg": not_in_whitelist})).await;
    assert_eq!((answer.status, &answer.body["errcode"]), (503, &json!(40164)));
    assert!(
        answer.body["rid"]
            .as_str()
            .is_some_and(|rid| rid.split('-').count() == 3),
        "{answer:?}"
    );
    let hint = answer.body["hint"].as_str().unwrap();
    assert!(hint.contains("203.0.113.9") && hint.contains("白名单"), "{hint}");

    let invalid = "argument invalid! data.time5.value invalid";
    let answer = send_with_fault(&stage, function, json!({"errcode": 47003, "errmsg": invalid})).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.body["errmsg"].as_str().unwrap().starts_with(invalid),
        "{answer:?}"
    );
    assert!(answer.body["field"].as_str().unwrap().contains("time5"));

    let quota = "reach max api daily quota limit, could get access_token by getStableAccessToken, more details at \
                 https://mmbizurl.cn/s/JtxxFh33r";
    let answer = send_with_fault(&stage, function, json!({"errcode": 45009, "errmsg": quota})).await;
    assert_eq!(answer.status, 429);
    let retry_after: u64 = answer.headers["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&retry_after) && answer.body["retry_after"] == retry_after);

    assert!(stage.lambda.events().is_empty());
    let dead = "invalid credential, access_token is invalid or not latest";
    let answer = send_with_fault(&stage, function, json!({"errcode": 40001, "errmsg": dead})).await;
    assert_eq!(answer.status, 200);
    let events = stage.lambda.events();
    assert_eq!((events.len(), &events[0]["action"]), (1, &json!("replace")));
    assert_eq!(stage.wechat.phone(FOLLOWER).await.len(), 1);
}

#[tokio::test]
async fn a_token_that_stays_dead_is_asked_for_once_for_all_recipients() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    let followers = stage.wechat.followers(100).await;
    stage.wechat.whitelist(json!(["203.0.113.7"])).await;
    stage.wechat.control("token/invalidate", &json!({})).await;
    let answer = send(function, &message_to(followers)).await;
    assert_eq!(
        (answer.status, &answer.body["errcode"]),
        (503, &json!(40164)),
        "{answer:?}"
    );
    assert_eq!(stage.lambda.events().len(), 1);
}

#[tokio::test]
async fn a_refusal_of_everybody_stops_a_batch_and_is_its_answer() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let followers = stage.wechat.followers(100).await;
    let body = message_to(followers.clone());
    for (errcode, status, has_retry_after) in [
        (45009, 429, true),
        (45011, 429, true),
        (40164, 503, false),
        (48001, 503, false),
        (40037, 400, false),
        (50002, 503, false),
    ] {
        stage
            .wechat
            .fault(SEND, &json!({"errcode": errcode, "times": 100}))
            .await;
        let before = stage.wechat.calls(SEND).await;
        let answer = send(function, &body).await;
        assert_eq!(
            (answer.status, &answer.body["errcode"]),
            (status, &json!(errcode)),
            "{answer:?}"
        );
        assert_eq!(
            answer.headers.get("retry-after").is_some(),
            has_retry_after,
            "{answer:?}"
        );
        let calls = stage.wechat.calls(SEND).await - before;
        // Only the second 50002 shows that it is not about one recipient.
        assert!(calls <= 21, "{errcode} was met {calls} times");
        let hint = answer.body["hint"].as_str().unwrap();
        assert!(!hint.contains("was not asked"), "{hint}");
        stage.wechat.clear_faults().await;
    }
    // Only one recipient fails. 50002 may be about the account, but is about one user here.
    stage.wechat.fault(SEND, &json!({"errcode": 50002, "times": 1})).await;
    let answer = send(function, &body).await;
    let results = answer.body["results"].as_array().unwrap();
    let failed = results.iter().filter(|result| result["errcode"] != 0);
    assert_eq!((answer.status, failed.count()), (207, 1), "{answer:?}");
    stage.wechat.fault(SEND, &json!({"errcode": 43019, "times": 1})).await;
    let answer = send(function, &body).await;
    let failed = answer.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["errcode"] != 0);
    assert_eq!((answer.status, failed.count()), (207, 1), "{answer:?}");
}

/// The caller would take the refusal for the whole truth, send again, and the phone would show the message twice.
#[tokio::test]
async fn a_refusal_of_a_repeat_does_not_hide_that_the_first_may_have_been_sent() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    for errcode in [45011, 45009, 48001, 47003, 43019, 40164] {
        stage.wechat.fault(SEND, &json!({"drop": true})).await;
        stage.wechat.fault(SEND, &json!({"errcode": errcode})).await;
        let answer = send(function, &message()).await;
        let body = &answer.body;
        assert_eq!(
            (answer.status, &body["type"]),
            (504, &json!("urn:wechat-bundle:may-have-been-sent")),
            "{body}"
        );
        assert_eq!(
            (&body["may_have_been_sent"], &body["errcode"]),
            (&json!(true), &Value::Null),
            "{body}"
        );
        assert_eq!(
            (answer.headers.get("retry-after"), &body["retry_after"]),
            (None, &Value::Null),
            "{body}"
        );

        let phone = stage.wechat.phone(FOLLOWER).await.len();
        let mut again = message();
        again["client_msg_id"] = body["client_msg_id"].clone();
        assert_eq!(send(function, &again).await.status, 200, "{errcode}");
        assert_eq!(stage.wechat.phone(FOLLOWER).await.len(), phone, "{errcode}");
    }
}

#[tokio::test]
async fn the_start_and_the_wait_at_the_gateway_are_part_of_a_requests_25_seconds() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    stage.wechat.fault(SEND, &json!({"delay_ms": 60_000, "times": 2})).await;
    let late = request(&message()).with("/requestContext/timeEpoch", now() * 1000 - 20_000);
    let started = Instant::now();
    let answer = function.ask(late).within(29_000).await;
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_token_that_is_refused_again_and_again_says_when_to_ask_again() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    stage.wechat.fault(SEND, &json!({"errcode": 40001, "times": 9})).await;
    let answer = send(function, &message()).await;
    let retry = (&answer.body["errcode"], &answer.body["retry_after"]);
    assert_eq!((answer.status, retry), (503, (&json!(40001), &json!(30))), "{answer:?}");
}

/// The count of calls continues after the replacement of the token, so no call that may have sent the message is forgotten.
#[tokio::test]
async fn a_dead_token_a_busy_wechat_and_a_dead_token_again_make_three_calls() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    for errcode in [40001, -1, 40001, 40001] {
        stage.wechat.fault(SEND, &json!({"errcode": errcode})).await;
    }
    let before = stage.wechat.calls(SEND).await;
    let answer = send(function, &message()).await;
    assert_eq!(
        (answer.status, &answer.body["may_have_been_sent"]),
        (504, &json!(true)),
        "{answer:?}"
    );
    assert_eq!(stage.wechat.calls(SEND).await - before, 3);
}

#[tokio::test]
async fn a_mini_program_that_wechat_refuses_is_the_callers_fault() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let mut with_program = message();
    with_program["miniprogram"] = json!({"appid": "wx0000000000000000", "pagepath": "pages/index"});
    for (body, errcode, status, field) in [
        (&with_program, 40013, 400, json!("miniprogram.appid")),
        (&with_program, 40166, 400, json!("miniprogram.appid")),
        (&with_program, 40165, 400, json!("miniprogram.pagepath")),
        (&message(), 40013, 503, Value::Null),
    ] {
        stage.wechat.fault(SEND, &json!({"errcode": errcode})).await;
        let answer = send(function, body).await;
        assert_eq!((answer.status, &answer.body["field"]), (status, &field), "{answer:?}");
        assert!(answer.body["hint"].is_string(), "{answer:?}");
    }
}

#[tokio::test]
async fn without_a_token_the_refresher_is_asked_and_its_refusal_told() {
    let stage = Stage::new().await;
    stage.wechat.whitelist(json!(["203.0.113.7"])).await;
    let function = &mut stage.function(BINARY).await;
    for key in ["order-1", "order-1"] {
        let answer = send_with_key(function, &message(), key).await;
        assert_eq!((answer.status, &answer.body["errcode"]), (503, &json!(40164)));
        assert!(
            answer.body["hint"].as_str().unwrap().contains("127.0.0.1"),
            "{answer:?}"
        );
    }
    stage.wechat.whitelist(json!(null)).await;
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_is_not_wechats_may_hide_a_sent_message() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    for fault in [
        json!({"body": "<html>登录</html>"}),
        json!({"http_status": 500, "times": 2}),
        json!({"http_status": 403}),
        json!({"body": "{\"errcode\":0}"}),
        json!({"errcode": -1, "times": 2}),
        json!({"drop": true, "times": 2}),
    ] {
        let answer = send_with_fault(&stage, function, fault.clone()).await;
        assert_eq!(
            (answer.status, &answer.body["may_have_been_sent"]),
            (504, &json!(true)),
            "{fault}: {answer:?}"
        );
        assert!(
            answer.body["client_msg_id"].as_str().is_some_and(|id| id.len() == 32),
            "{fault}: {answer:?}"
        );
    }
    // A list of templates changes nothing.
    stage.wechat.fault(LIST, &json!({"body": "<html>"})).await;
    assert_eq!(function.get("/api/templates").await.status, 502);
    stage.wechat.fault(SEND, &json!({"delay_ms": 60_000})).await;
    let started = Instant::now();
    let answer = function.ask(request(&message())).within(3_000).await;
    assert_eq!(answer.status, 504);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn without_a_connection_to_wechat_it_says_that_nothing_was_sent() {
    let stage = Stage::with_token().await;
    let function = &mut stage
        .function_with(BINARY, &[("WECHAT_API_BASE", "http://127.0.0.1:1")])
        .await;
    let answer = send(function, &message()).await;
    assert_eq!(answer.status, 504);
    assert!(
        answer.body["hint"].as_str().unwrap().contains("Nothing was sent"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn without_its_store_it_answers_504() {
    let stage = Stage::with_token().await;
    let function = &mut stage
        .function_with(BINARY, &[("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")])
        .await;
    let started = Instant::now();
    assert_eq!(send(function, &message()).await.status, 504);
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 504);
    assert_eq!(function.get("/api/messages/1").await.status, 504);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(stage.wechat.calls(SEND).await, 0);
}

#[tokio::test]
async fn a_store_that_fails_after_the_send_costs_neither_the_answer_nor_a_second_message() {
    let stage = Stage::with_token().await.behind_proxies().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    stage.proxy(Service::Table).fail(.., Fault::Refuse);
    let answer = send(function, &message()).await;
    assert_eq!((answer.status, stage.wechat.phone(FOLLOWER).await.len()), (200, 2));
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 504);
    assert_eq!(stage.wechat.phone(FOLLOWER).await.len(), 2);
}

#[tokio::test]
async fn only_a_key_in_the_header_or_the_gateways_authorizer_lets_a_caller_in() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let large = "x".repeat(256 * 1024 + 1);
    let right = || request(&message());
    let in_query = [
        ("authorization", format!("Bearer {API_KEY}")),
        ("api_key", API_KEY.to_owned()),
        ("access_token", API_KEY.to_owned()),
    ];
    for (request, status) in [
        (right().keyless(), 401),
        (right().api_key("another-key"), 401),
        (right().header("authorization", &format!("Basic {API_KEY}")), 401),
        (right().api_key(""), 401),
        (right().keyless().with_query(&in_query), 401),
        (right().keyless().text(&large), 401),
        (right().text(&large), 413),
        (right().base64(&large), 413),
        (right().jwt(), 200),
    ] {
        let answer = function.send(&request).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.headers["www-authenticate"] == "Bearer", status == 401);
    }
}

#[tokio::test]
async fn bodies_are_read_whatever_their_content_type_and_refused_with_a_reason() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let encoded = request(&Value::Null).base64(message().to_string());
    assert_eq!(function.send(&encoded).await.status, 200);
    let form = request(&message()).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(function.send(&form).await.status, 200);
    for (body, field) in [
        ("", Value::Null),
        ("touser=o", Value::Null),
        ("[]", Value::Null),
        (
            "{\"touser\":\"o\",\"template_id\":\"T\",\"tousers\":[]}",
            json!("tousers"),
        ),
        (
            "{\"touser\":\"o\",\"template_id\":\"T\",\"data\":{\"number1\":{\"value\":7}}}",
            json!("data.number1.value"),
        ),
        (
            "{\"touser\":\"o\",\"template_id\":\"T\",\"url\":\"javascript:alert(1)\"}",
            json!("url"),
        ),
    ] {
        let answer = function.send(&request(&Value::Null).text(body)).await;
        assert_eq!((answer.status, &answer.body["field"]), (400, &field), "{body}");
    }
    assert_eq!(stage.wechat.calls(SEND).await, 2);
}

#[tokio::test]
async fn a_send_is_refused_with_every_fault_at_once() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let body = json!({
        "touser": FOLLOWER, "template_id": "TEMPLATE_ID", "urls": "x", "url": "javascript:alert(1)",
        "data": {"thing1": 7, "a/b": {"value": 7}},
    });
    let answer = send(function, &body).await;
    let first = (answer.status, &answer.body["field"], &answer.body["pointer"]);
    assert_eq!(first, (400, &json!("urls"), &json!("/urls")), "{answer:?}");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("urls is unknown") && detail.contains("did you mean url?"),
        "{detail}"
    );
    let faults = answer.body["faults"].as_array().unwrap();
    let named: Vec<_> = faults
        .iter()
        .map(|fault| [&fault["field"], &fault["pointer"]])
        .collect();
    let expected = [
        ["urls", "/urls"],
        ["url", "/url"],
        ["data.a/b.value", "/data/a~1b/value"],
        ["data.thing1", "/data/thing1"],
    ];
    assert_eq!(json!(named), json!(expected));
    assert!(
        faults
            .iter()
            .all(|fault| fault["detail"].as_str().unwrap().contains(" / "))
    );
    assert_eq!(stage.wechat.calls(SEND).await, 0);
}

/// A part that the template does not take is named in both ways too.
#[tokio::test]
async fn findings_have_a_pointer_beside_their_field() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let mut body = message();
    body["data"]["thing1"] = json!("长".repeat(21));
    let answer = send(function, &body).await;
    for named in [&answer.body, &answer.body["findings"][0]] {
        assert_eq!(
            (&named["field"], &named["pointer"]),
            (&json!("data.thing1.value"), &json!("/data/thing1/value"))
        );
    }
}

#[tokio::test]
async fn no_secret_no_openid_and_no_text_is_logged() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    for fault in [
        json!({"errcode": 47003, "errmsg": "argument invalid! data.time2.value invalid"}),
        json!({"errcode": 40001}),
        json!({"errcode": 40003, "errmsg": format!("invalid openid {FOLLOWER}")}),
        json!({"body": "<html>"}),
        json!({"drop": true, "times": 2}),
    ] {
        send_with_fault(&stage, function, fault).await;
    }
    let mut wrong = message();
    wrong["data"]["thing1"] = "长".repeat(21).into();
    send_with_key(function, &wrong, "order-1").await;
    let logs = function.logs();
    assert!(logs.contains("request answered"), "{logs}");
    let msgid = stage.wechat.phone(FOLLOWER).await[0]["msgid"]
        .as_str()
        .unwrap()
        .to_owned();
    let line = logs.lines().find(|line| line.contains("template message")).unwrap();
    assert!(
        line.contains(&msgid) && line.contains("\"root\""),
        "one message can be followed: {line}"
    );
    let token = stage.table.item("token").await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    for secret in [API_KEY, APP_SECRET, &token, FOLLOWER, "项目审核", "长长长"] {
        assert!(!logs.contains(secret), "{secret} is in:\n{logs}");
    }
}

/// Another process has replaced the token by one that is dead as well.
#[tokio::test]
async fn a_second_dead_token_in_the_table_is_replaced_too() {
    let stage = Stage::with_token().await;
    let mut function = stage.function(BINARY).await;
    assert_eq!(
        send(&mut function, &message()).await.status,
        200,
        "the token is remembered now"
    );
    stage.wechat.control("token/invalidate", &json!({})).await;
    let dead = json!({"access_token": "97_another-dead-token", "generation": 2});
    stage.table.set("token", &dead).await;
    let before = stage.wechat.calls(SEND).await;
    let healed = send(&mut function, &message()).await;
    assert_eq!(healed.status, 200, "{}", healed.body);
    assert_eq!(
        stage.wechat.calls(SEND).await - before,
        3,
        "both dead tokens, and the working one"
    );
}
