//! Requests that are not WeChat's, or not what it sends: refused with 4xx, logged without a secret, survived.

use serde_json::{Value, json};
use simulator::{Mode, crypto::sign};
use testing::{
    Stage,
    account::{AES_KEY, ORIGINAL_ID, TOKEN},
    event::{CREATED_AT, Request, callback, check, message, receipt, text},
    loopback::nobody,
    now,
};

use crate::setup::{Answer, MODES, Webhook, document, publish, set_mode, stage, stage_with};

const GREETING: &str = "a]]>b\u{1}\r\n0";

/// A function whose rules greet new followers with [`GREETING`].
async fn webhook(mode: Mode) -> (Stage, Webhook) {
    let stage = stage(mode).await;
    let rules = json!({"subscribe": {"type": "text", "content": GREETING}});
    stage.table.save_rules(&rules).await;
    let webhook = Webhook::start(&stage).await;
    (stage, webhook)
}

fn subscribe() -> String {
    message("event", "<Event>subscribe</Event>")
}

fn without(event: &Request, parameter: &str) -> Request {
    let mut query = event.query();
    query.retain(|(name, _)| name != parameter);
    event.clone().with_query(&query)
}

fn set(event: &Request, parameter: &str, value: &str) -> Request {
    let mut query = without(event, parameter).query();
    query.push((parameter.to_owned(), value.to_owned()));
    event.clone().with_query(&query)
}

/// Neither `encrypt_type=aes` nor the lack of `Encrypt` gets a forged body past the checks.
#[tokio::test]
async fn no_query_talks_the_checks_away() {
    for mode in MODES {
        let (_stage, mut webhook) = webhook(mode).await;
        let unsigned = callback(subscribe()).plain();
        for query in [
            vec![],
            vec![("encrypt_type", "aes"), ("signature", "x")],
            vec![
                ("encrypt_type", "aes"),
                ("signature", "x"),
                ("timestamp", "1"),
                ("nonce", "1"),
            ],
        ] {
            let answer = webhook.send(&unsigned.clone().with_query(&query)).await;
            assert_eq!(answer, Answer::forbidden(), "{mode:?} {query:?}");
        }
        // Signed, and said to be encrypted, but clear.
        let signed = set(&callback(subscribe()).plain(), "encrypt_type", "aes");
        let answer = webhook.send(&signed).await;
        assert!(matches!(answer.status, 400 | 403), "{mode:?} {answer:?}");
        let answer = webhook.send(&set(&signed, "msg_signature", "x")).await;
        assert!(matches!(answer.status, 400 | 403), "{mode:?} {answer:?}");
    }
}

/// With a ciphertext `msg_signature` decides, and a valid `signature` is no substitute.
#[tokio::test]
async fn a_ciphertext_needs_its_own_signature() {
    for mode in [Mode::Compat, Mode::Safe] {
        let (_stage, mut webhook) = webhook(mode).await;
        let event = callback(subscribe()).in_mode(mode);
        let right = webhook.send(&event).await;
        assert_eq!(right.status, 200);
        let wrong = set(&event, "msg_signature", &"0".repeat(40));
        assert_eq!(webhook.send(&wrong).await, Answer::forbidden(), "{mode:?}");
        assert_eq!(
            webhook.send(&without(&event, "msg_signature")).await,
            Answer::forbidden(),
            "{mode:?}"
        );
        let undeclared = without(&without(&event, "encrypt_type"), "msg_signature");
        assert_eq!(webhook.send(&undeclared).await, Answer::forbidden(), "{mode:?}");
    }
    let (_stage, mut webhook) = webhook(Mode::Safe).await;
    let answer = webhook
        .send(&set(&callback(subscribe()).safe(), "signature", "wrong"))
        .await;
    assert_eq!(answer.status, 200, "msg_signature decides: {answer:?}");
}

/// A body without a ciphertext has no `msg_signature` that could be valid.
#[tokio::test]
async fn without_a_ciphertext_the_querys_own_signature_decides() {
    for mode in [Mode::Compat, Mode::Safe] {
        let (_stage, mut webhook) = webhook(mode).await;
        for body in ["garbage", "<xml/>", &subscribe()] {
            let event = callback(subscribe()).safe().text(body);
            assert_eq!(webhook.send(&event).await.status, 400, "{mode:?} {body}");
            let forged = set(&event, "signature", &"0".repeat(40));
            assert_eq!(webhook.send(&forged).await, Answer::forbidden(), "{mode:?} {body}");
        }
    }
}

#[tokio::test]
async fn missing_and_repeated_parameters_are_refused() {
    let (_stage, mut webhook) = webhook(Mode::Safe).await;
    for parameter in ["timestamp", "nonce", "msg_signature"] {
        let event = callback(subscribe()).safe();
        assert_eq!(
            webhook.send(&without(&event, parameter)).await,
            Answer::forbidden(),
            "{parameter}"
        );
        let mut query = event.query();
        query.push(query.iter().find(|(name, _)| name == parameter).unwrap().clone());
        let twice = event.with_query(&query);
        assert_eq!(webhook.send(&twice).await, Answer::forbidden(), "{parameter} twice");
    }
    for parameter in ["signature", "timestamp", "nonce", "echostr"] {
        assert_eq!(
            webhook.send(&without(&check(TOKEN), parameter)).await,
            Answer::forbidden(),
            "{parameter}"
        );
        assert_eq!(
            webhook.send(&set(&check(TOKEN), parameter, "")).await,
            Answer::forbidden(),
            "{parameter}"
        );
    }
    let mut query = check(TOKEN).query();
    query.push(("openid".to_owned(), "oTwice".to_owned()));
    let other = check(TOKEN).with_query(&query);
    assert_eq!(
        webhook.send(&other).await.status,
        200,
        "what is not signed may be anything"
    );
}

/// The timestamp is signed as it is spelt.
#[tokio::test]
async fn timestamps_far_from_now_are_refused() {
    let (_stage, mut webhook) = webhook(Mode::Plain).await;
    let at = |timestamp: String| callback(text("hi", 1)).at(&timestamp).plain();
    for offset in [-590, 0, 590] {
        let answer = webhook.send(&at((now() + offset).to_string())).await;
        assert_eq!(answer, Answer::success(), "{offset}");
    }
    let spelt = webhook.send(&at(format!("000{}", now()))).await;
    assert_eq!(spelt, Answer::success());
    for timestamp in [now() - 610, now() + 610, now() * 1000, 0, i64::MIN] {
        assert_eq!(
            webhook.send(&at(timestamp.to_string())).await,
            Answer::forbidden(),
            "{timestamp}"
        );
    }
    for timestamp in ["soon", "1e9", "99999999999999999999"] {
        assert_eq!(
            webhook.send(&at(timestamp.to_owned())).await,
            Answer::forbidden(),
            "{timestamp}"
        );
    }
}

#[tokio::test]
async fn the_previous_token_and_key_serve_while_they_are_rotated() {
    let previous_key = "B".repeat(43);
    let rotating = [
        ("WECHAT_TOKEN_PREVIOUS", "oldToken"),
        ("WECHAT_ENCODING_AES_KEY_PREVIOUS", previous_key.as_str()),
    ];
    let mut stage = stage_with(&json!({"subscribe": {"type": "text", "content": GREETING}})).await;
    set_mode(&mut stage, Mode::Safe);
    let mut webhook = Webhook::start_with(&stage, &rotating).await;
    for token in [TOKEN, "oldToken"] {
        assert_eq!(webhook.send(&check(token)).await.status, 200, "{token}");
        for aes_key in [AES_KEY, &previous_key] {
            let event = callback(subscribe()).token(token).aes_key(aes_key).safe();
            // Opens the reply with the key of the callback.
            let clear = webhook.send(&event).await.unsealed(token, aes_key);
            assert_eq!(clear.text("ToUserName"), Some("oUser"));
        }
    }
    assert_eq!(webhook.send(&check("olderToken")).await, Answer::forbidden());
    let other_key = callback(subscribe()).aes_key(&"C".repeat(43)).safe();
    assert_eq!(webhook.send(&other_key).await.status, 400);
}

/// All 32 paddings open, with a key whose last character carries stray bits. The AppID is checked.
#[tokio::test]
async fn every_padding_opens_and_only_for_this_account() {
    let (_stage, mut webhook) = webhook(Mode::Safe).await;
    for length in 0..32 {
        let xml = text(&"x".repeat(length), 1);
        assert_eq!(
            webhook.send(&callback(&xml).safe()).await,
            Answer::success(),
            "{length}"
        );
    }
    let other = callback(subscribe()).app_id("wxfedcba9876543210").safe();
    assert_eq!(webhook.send(&other).await.status, 400);
}

/// A reply says exactly what the rule says, except for characters that XML and WeChat cannot carry.
#[tokio::test]
async fn a_reply_cannot_break_out_of_its_xml() {
    for mode in [Mode::Plain, Mode::Safe] {
        let (_stage, mut webhook) = webhook(mode).await;
        let event = callback(subscribe()).in_mode(mode);
        let first = webhook.send(&event).await;
        let reply = first.reply_to(&subscribe(), mode);
        assert_eq!(reply.text("Content"), Some("a]]>b\n0"), "{mode:?}");
        assert_eq!(reply.members().count(), 5);
        if mode == Mode::Safe {
            let second = webhook.send(&event).await;
            let nonce = |answer: &Answer| document(&answer.body).text("Nonce").unwrap().to_owned();
            assert_ne!(nonce(&first), nonce(&second), "sealed anew");
        }
    }
}

/// If the signature is valid, WeChat would deliver a refused callback again and show the follower an error.
#[tokio::test]
async fn bodies_that_wechat_does_not_send_are_acknowledged_and_survived() {
    let (_stage, mut webhook) = webhook(Mode::Plain).await;
    let deep = "<a>".repeat(40) + &"</a>".repeat(40);
    let large = text(&"x".repeat(300_000), 1);
    for body in [
        "",
        " ",
        "hello",
        "<xml>",
        "<xml/>",
        "<xml><a></xml>",
        "<xml><Content>no type</Content></xml>",
        "<!DOCTYPE xml [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><xml><MsgType>text</MsgType><Content>&e;</Content></xml>",
        "<xml><MsgType>text</MsgType><Content>&e;</Content></xml>",
        "{\"MsgType\": \"text\"",
        "[]",
        &deep,
        &large,
    ] {
        assert_eq!(webhook.post(body).await, Answer::success(), "{body:.80}");
    }
    let lines = webhook.log_lines_of_requests(13).await;
    assert!(
        lines
            .iter()
            .all(|line| line["level"] == "WARN" && line["outcome"] == "unreadable")
    );
    let empty = callback("").plain();
    let not_utf8 = empty.clone().base64([0xff; 4]);
    assert_eq!(webhook.send(&not_utf8).await, Answer::success());
    let not_base64 = empty.clone().text("<xml>").with("/isBase64Encoded", true);
    assert_eq!(webhook.send(&not_base64).await, Answer::success());
    let no_raw_query = callback(text("still here", 1)).plain().with("/rawQueryString", "");
    assert_eq!(webhook.send(&no_raw_query).await, Answer::success());
    let no_uri = callback(subscribe())
        .plain()
        .with("/rawQueryString", "q=<script>&\u{7f}=\"&%ff=%");
    assert_eq!(webhook.send(&no_uri).await, Answer::forbidden());
    let no_body = empty.clone().with("/body", Value::Null);
    assert_eq!(webhook.send(&no_body).await, Answer::success());
    for method in ["PUT", "DELETE", "PATCH"] {
        let event = empty.clone().with("/requestContext/http/method", method);
        assert_eq!(webhook.send(&event).await.status, 405);
    }
    assert_eq!(webhook.post(&text("still here", 1)).await, Answer::success());
}

/// WeChat puts a text into CDATA as it is.
#[tokio::test]
async fn a_text_is_matched_as_the_follower_typed_it_whatever_it_holds() {
    let texts = [
        "if (a[b[0]]>1) { x<y }",
        "]]>",
        "]]></Content><MsgId>7</MsgId><Content><![CDATA[",
        "]]></Content></xml>",
        "]]></Content><FromUserName><![CDATA[oForged]]></FromUserName><MsgType>event</MsgType><Event>subscribe</Event>",
        "]]></Content><Encrypt><![CDATA[AAAA]]></Encrypt><Content><![CDATA[",
        "<!DOCTYPE xml [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>]]>&e;",
        &format!("]]></Content>{}", "<a>".repeat(40)),
        "<?php ]]> &amp; & ]]]]>",
    ];
    let rule = |(index, value): (usize, &&str)| json!({"match": "exact", "value": value, "reply": {"type": "text", "content": index.to_string()}});
    let keywords: Vec<Value> = texts.iter().enumerate().map(rule).collect();
    let mut stage = stage_with(&json!({ "keywords": keywords })).await;
    for mode in MODES {
        set_mode(&mut stage, mode);
        let mut webhook = Webhook::start(&stage).await;
        for (index, content) in texts.iter().enumerate() {
            let xml = text(content, 1);
            // As WeChat makes it: the clear part of compat mode says the same.
            let clear = xml.strip_prefix("<xml>").and_then(|xml| xml.strip_suffix("</xml>"));
            let event = match mode {
                Mode::Compat => callback(&xml).beside(clear.unwrap()).compat(),
                mode => callback(&xml).in_mode(mode),
            };
            let answer = webhook.send(&event).await;
            let expected = message("text", "");
            let reply = answer.reply_to(&expected, mode);
            assert_eq!(reply.text("Content"), Some(&*index.to_string()), "{mode:?} {content}");
        }
    }
}

/// A message is not lost for one broken character in it.
#[tokio::test]
async fn bytes_that_are_not_utf8_are_read_around() {
    let rules =
        json!({"keywords": [{"match": "contains", "value": "退款", "reply": {"type": "text", "content": "refund"}}]});
    let mut stage = stage_with(&rules).await;
    let xml = text("\u{1}退款", 1);
    let broken: Vec<u8> = xml.bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    for mode in MODES {
        set_mode(&mut stage, mode);
        let mut webhook = Webhook::start(&stage).await;
        let event = callback(&broken).beside("").in_mode(mode);
        let reply = webhook.send(&event).await.reply_to(&xml, mode);
        assert_eq!(reply.text("Content"), Some("refund"), "{mode:?}");
    }
}

/// A ciphertext that decrypts for this account comes from WeChat, whatever it contains.
#[tokio::test]
async fn a_ciphertext_that_opens_is_never_refused() {
    for mode in [Mode::Compat, Mode::Safe] {
        let (_stage, mut webhook) = webhook(mode).await;
        for clear in [
            "",
            "hello",
            "<xml>",
            "<xml><a>&e;</a></xml>",
            "<!DOCTYPE xml><xml/>",
            "{",
        ] {
            assert_eq!(
                webhook.send(&callback(clear).safe()).await,
                Answer::success(),
                "{mode:?} {clear}"
            );
        }
    }
}

/// `echostr` is not signed, so the answer to the URL check could contain anything.
#[tokio::test]
async fn an_echostr_is_echoed_as_plain_text_that_no_browser_takes_for_a_page() {
    let (_stage, mut webhook) = webhook(Mode::Safe).await;
    for echostr in [
        "4375120948345356249",
        "a-b_c+d/e==",
        "<script>alert(1)</script>",
        "1\r\n2",
        "你好",
    ] {
        let echoed = webhook.0.send(&set(&check(TOKEN), "echostr", echostr)).await;
        assert_eq!((echoed.status, echoed.body.as_str()), (200, Some(echostr)));
        assert_eq!(echoed.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(echoed.headers["x-content-type-options"], "nosniff");
    }
    let endless = set(&check(TOKEN), "echostr", &"9".repeat(2049));
    assert_eq!(webhook.send(&endless).await, Answer::forbidden());
}

/// Empty, missing and unknown parts, names in any case, control characters.
#[tokio::test]
async fn what_wechat_really_sends_is_read() {
    let (_stage, mut webhook) = webhook(Mode::Plain).await;
    for fields in [
        "<Event>SUBSCRIBE</Event><EventKey/>",
        "<EventKey></EventKey><Event><![CDATA[subscribe]]></Event>",
    ] {
        let xml = format!("\u{feff}<?xml version=\"1.0\"?>\n{}", message("event", fields));
        webhook
            .post(&xml)
            .await
            .reply_to(&message("event", fields), Mode::Plain);
    }
    let body = json!({"ToUserName": ORIGINAL_ID, "FromUserName": "oUser", "CreateTime": CREATED_AT,
        "MsgType": "event", "Event": "subscribe", "EventKey": ""})
    .to_string();
    webhook.post(&body).await.reply_to(&subscribe(), Mode::Plain);
    for xml in [
        text("a\u{1d}b\u{8}", 1),
        message("event", "<Event>SCAN</Event><EventKey>1</EventKey>"),
        message("event", "<Event>never_heard_of</Event><New><Deep>1</Deep></New>"),
        message("never_heard_of", ""),
        "<xml><InfoType>component_verify_ticket</InfoType></xml>".to_owned(),
    ] {
        assert_eq!(webhook.post(&xml).await, Answer::success(), "{xml}");
    }
}

#[tokio::test]
async fn a_message_without_an_address_is_acknowledged() {
    let stage = stage_with(&json!({"default": {"type": "text", "content": "reply"}})).await;
    let mut webhook = Webhook::start(&stage).await;
    let whole = text("hi", 1);
    webhook.post(&whole).await.reply_to(&whole, Mode::Plain);
    for name in ["FromUserName", "ToUserName"] {
        let without = whole.replace(name, "Other");
        assert_eq!(webhook.post(&without).await, Answer::success(), "{name}");
    }
}

/// Nothing that a stranger or a reader of the log gets to see helps to forge a request, or shows what users write.
#[tokio::test]
async fn neither_log_nor_answer_tells_a_secret_or_a_text() {
    let mut stage = stage_with(&json!({"default": {"type": "text", "content": "reply-text"}})).await;
    set_mode(&mut stage, Mode::Compat);
    publish(&mut stage);
    let mut webhook = Webhook::start(&stage).await;
    let xml = text("message-text", 1);
    let mut right_signatures = Vec::new();
    for event in [
        check("wrong"),
        set(&callback(&xml).compat(), "msg_signature", "wrong"),
        set(&callback(&xml).plain(), "signature", "wrong"),
        callback(&xml).compat(),
        callback(&xml).plain(),
        callback("<xml>message-text").compat(),
        callback(&xml).app_id("wxfedcba9876543210").beside("").compat(),
    ] {
        let query = event.query();
        let value = |parameter: &str| query.iter().find(|(name, _)| name == parameter).unwrap().1.as_str();
        let right = sign(&[TOKEN, value("timestamp"), value("nonce")]);
        let answer = webhook.send(&event).await;
        if answer.status != 200 {
            assert!(!answer.body.contains(&right), "{answer:?}");
            assert_eq!(answer.content_type, "text/plain; charset=utf-8");
        }
        right_signatures.push(right);
    }
    stage.bus.refuse(1);
    assert_eq!(webhook.post(&text("message-text", 2)).await.status, 500);
    webhook.log_lines_of_requests(8).await;
    let logs = webhook.0.logs();
    let secrets = [
        "message-text",
        "reply-text",
        "oUser",
        "oNotSigned",
        TOKEN,
        AES_KEY,
        ORIGINAL_ID,
    ];
    for secret in secrets.into_iter().chain(right_signatures.iter().map(String::as_str)) {
        assert!(!logs.contains(secret), "{secret} in\n{logs}");
    }
}

#[tokio::test]
async fn one_line_and_its_metrics_tell_of_each_request() {
    let (_stage, mut webhook) = webhook(Mode::Plain).await;
    webhook.post(&subscribe()).await;
    webhook.post(&receipt("1", "success")).await;
    webhook.post(&receipt("1", "success")).await;
    webhook.post("hello").await;
    webhook.send(&check("wrong")).await;
    webhook.send(&check(TOKEN)).await;

    let lines = webhook.log_lines_of_requests(6).await;
    let summary = |line: &Value| {
        assert!(
            line["timestamp"].is_string() && line["millis"].is_i64() && line["status"].is_u64(),
            "{line}"
        );
        assert_eq!(line["span"]["requestId"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
        let part = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {}",
            part("level"),
            part("type"),
            part("event"),
            part("outcome")
        )
    };
    assert_eq!(
        lines.iter().map(summary).collect::<Vec<_>>(),
        [
            "INFO event subscribe replied",
            "INFO event TEMPLATESENDJOBFINISH acknowledged",
            "INFO event TEMPLATESENDJOBFINISH acknowledged",
            "WARN - - unreadable",
            "WARN - - forbidden",
            "INFO - - echoed",
        ]
    );
    assert!(
        lines[4]["error"].as_str().unwrap().contains("WECHAT_TOKEN"),
        "it says what to do: {}",
        lines[4]
    );

    let metrics = webhook.0.metrics();
    let count = |name: &str| metrics.iter().filter(|line| line[name] == 1.0).count();
    assert_eq!(
        (
            count("Callbacks"),
            count("BadSignatures"),
            count("Unreadable"),
            count("Duplicates")
        ),
        (3, 1, 1, 1)
    );
    assert_eq!(
        count("Deliveries"),
        1,
        "a redelivered receipt counts as the same delivery"
    );
    assert_eq!(
        metrics.iter().filter(|line| line["ReplyLatency"].is_number()).count(),
        3
    );
    let types: Vec<&Value> = metrics.iter().filter_map(|line| line.get("Type")).collect();
    assert_eq!(
        types,
        [
            "event.subscribe",
            "event.templatesendjobfinish",
            "event.templatesendjobfinish"
        ]
    );
}

#[tokio::test]
async fn a_warning_names_its_request_at_a_quiet_log_level() {
    let mut stage = stage(Mode::Plain).await;
    stage.set([
        ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &nobody()),
    ]);
    let mut webhook = Webhook::start(&stage).await;
    webhook.send(&check("wrong")).await;
    let lines = webhook.log_lines_of_requests(1).await;
    assert_eq!(lines[0]["span"]["requestId"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
}

/// The console's check of the URL passes all the same: it is signed in the same way in every mode.
#[tokio::test]
async fn a_console_in_plain_mode_is_told_from_a_stranger() {
    let (stage, mut webhook) = webhook(Mode::Safe).await;
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 200);
    assert_eq!(webhook.post(&subscribe()).await, Answer::forbidden());
    let noted = refused(&stage).await.remove(0);
    assert_eq!(noted["sender"], WECHAT);
    assert!(cause(&noted).contains("WECHAT_MESSAGE_MODE"), "{noted}");
}

/// "token 验证失败" is all that the console says: the cause is kept for the doctor.
#[tokio::test]
async fn the_cause_of_a_refusal_is_noted_unless_one_is_that_tells_more() {
    let stage = stage(Mode::Plain).await;
    let mut webhook = Webhook::start(&stage).await;
    assert_eq!(webhook.send(&check("wrong-token")).await, Answer::forbidden());
    let noted = refused(&stage).await.remove(0);
    assert!(cause(&noted).contains("WECHAT_TOKEN"), "{noted}");
    assert_eq!(noted["source"], "203.0.113.10");

    let missing = check(TOKEN).with_query(&[("echostr", "1")]);
    assert_eq!(webhook.send(&missing).await, Answer::forbidden());
    let again = refused(&stage).await.remove(0);
    assert_eq!(
        again["cause"], noted["cause"],
        "a browser that opens the URL hides nothing"
    );
    let sealed = callback(subscribe()).safe();
    assert_eq!(webhook.send(&sealed).await.status, 400);
    let proven = refused(&stage).await.remove(0);
    assert_eq!(proven["sender"], WECHAT, "{proven}");
    stage.table.delete("refused").await;
    assert_eq!(webhook.send(&sealed).await.status, 400);
    let flood = stage.table.item("refused").await;
    assert_eq!(
        flood,
        Value::Null,
        "a flood of bad requests costs one write in ten seconds"
    );
}

/// The `sender` of a request whose signature proves that WeChat sent it.
const WECHAT: i64 = 2;

/// The noted refusals, the best known sender first.
async fn refused(stage: &Stage) -> Vec<Value> {
    let noted = stage.table.item("refused").await;
    let mut refusals = noted["refusals"].as_array().unwrap().clone();
    refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal["sender"].as_i64()));
    refusals
}

fn cause(refusal: &Value) -> &str {
    refusal["cause"].as_str().unwrap()
}
