//! Requests that are not WeChat's, or not what it sends: refused with 4xx, told of without a secret, survived.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use wechat::store::{RefusedCallback, Sender};

use crate::setup::{
    AES_KEY, APP_ID, Answer, NONCE, TOKEN, Variables, Webhook, callback, check, compat, document, encrypted, event_bus,
    key, nothing_listens, now, pairs, plain, receipt, request, safe, signed, signed_at, store, table, text,
};

const GREETING: &str = "a]]>b\u{1}\r\n0";

/// A function whose rules greet new followers with [`GREETING`].
async fn webhook(mode: &str, variables: &[(&str, &str)]) -> (testing::EmbeddedTable, Webhook) {
    let table = table(&json!({"subscribe": {"type": "text", "content": GREETING}})).await;
    let webhook = Variables::new(mode, &table.endpoint()).with(variables).start().await;
    (table, webhook)
}

fn subscribe() -> String {
    callback("event", "<Event>subscribe</Event>")
}

fn with_query(event: &Value, change: impl Fn(&mut Vec<(String, String)>)) -> Value {
    let raw = event["rawQueryString"].as_str().unwrap();
    let mut query: Vec<(String, String)> = url::form_urlencoded::parse(raw.as_bytes()).into_owned().collect();
    change(&mut query);
    let pairs: Vec<(&str, &str)> = query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let method = event["requestContext"]["http"]["method"].as_str().unwrap();
    request(method, &pairs, event["body"].as_str())
}

fn without(event: &Value, parameter: &str) -> Value {
    with_query(event, |query| query.retain(|(name, _)| name != parameter))
}

fn set(event: &Value, parameter: &str, value: &str) -> Value {
    with_query(event, |query| {
        query.retain(|(name, _)| name != parameter);
        query.push((parameter.to_owned(), value.to_owned()));
    })
}

/// Neither `encrypt_type=aes` nor the lack of `Encrypt` gets a forged body past the checks.
#[tokio::test]
async fn no_query_talks_the_checks_away() {
    for mode in ["plain", "compat", "safe"] {
        let (_table, mut webhook) = webhook(mode, &[]).await;
        let xml = subscribe();
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
            let answer = webhook.send(&request("POST", &query, Some(&xml))).await;
            assert_eq!(answer, Answer::forbidden(), "{mode} {query:?}");
        }
        // Signed, and said to be encrypted, but clear.
        let answer = webhook.send(&set(&plain(&xml), "encrypt_type", "aes")).await;
        assert!(matches!(answer.status, 400 | 403), "{mode} {answer:?}");
        let signed = set(&plain(&xml), "encrypt_type", "aes");
        let answer = webhook.send(&set(&signed, "msg_signature", "x")).await;
        assert!(matches!(answer.status, 400 | 403), "{mode} {answer:?}");
    }
}

/// With a ciphertext only `msg_signature` counts; a valid `signature` does not replace it.
#[tokio::test]
async fn a_ciphertext_needs_its_own_signature() {
    for (mode, event) in [("compat", compat(&subscribe())), ("safe", safe(&subscribe()))] {
        let (_table, mut webhook) = webhook(mode, &[]).await;
        let right = webhook.send(&event).await;
        assert_eq!(right.status, 200);
        let wrong = set(&event, "msg_signature", &"0".repeat(40));
        assert_eq!(webhook.send(&wrong).await, Answer::forbidden(), "{mode}");
        assert_eq!(
            webhook.send(&without(&event, "msg_signature")).await,
            Answer::forbidden(),
            "{mode}"
        );
        let undeclared = without(&without(&event, "encrypt_type"), "msg_signature");
        assert_eq!(webhook.send(&undeclared).await, Answer::forbidden(), "{mode}");
    }
    let (_table, mut webhook) = webhook("safe", &[]).await;
    let answer = webhook.send(&set(&safe(&subscribe()), "signature", "wrong")).await;
    assert_eq!(answer.status, 200, "msg_signature decides: {answer:?}");
}

/// What encloses no ciphertext has no `msg_signature` that could hold.
#[tokio::test]
async fn without_a_ciphertext_the_querys_own_signature_decides() {
    for mode in ["compat", "safe"] {
        let (_table, mut webhook) = webhook(mode, &[]).await;
        for body in ["garbage", "<xml/>", &subscribe()] {
            let mut event = safe(&subscribe());
            event["body"] = json!(body);
            assert_eq!(webhook.send(&event).await.status, 400, "{mode} {body}");
            let forged = set(&event, "signature", &"0".repeat(40));
            assert_eq!(webhook.send(&forged).await, Answer::forbidden(), "{mode} {body}");
        }
    }
}

#[tokio::test]
async fn missing_and_repeated_parameters_are_refused() {
    let (_table, mut webhook) = webhook("safe", &[]).await;
    for parameter in ["timestamp", "nonce", "msg_signature"] {
        let event = safe(&subscribe());
        assert_eq!(
            webhook.send(&without(&event, parameter)).await,
            Answer::forbidden(),
            "{parameter}"
        );
        let twice = with_query(&event, |query| {
            let again = query.iter().find(|(name, _)| name == parameter).unwrap().clone();
            query.push(again);
        });
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
    let other = with_query(&check(TOKEN), |query| {
        query.push(("openid".to_owned(), "oTwice".to_owned()))
    });
    assert_eq!(
        webhook.send(&other).await.status,
        200,
        "what is not signed may be anything"
    );
}

/// The timestamp is signed as text: `0123` is not `123`.
#[tokio::test]
async fn timestamps_far_from_now_are_refused() {
    let (_table, mut webhook) = webhook("plain", &[]).await;
    let at = |timestamp: String| request("POST", &pairs(&signed_at(TOKEN, &timestamp)), Some(&text("hi", 1)));
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
    let (_table, mut webhook) = webhook("safe", &rotating).await;
    for token in [TOKEN, "oldToken"] {
        assert_eq!(webhook.send(&check(token)).await.status, 200, "{token}");
        for aes_key in [AES_KEY, &previous_key] {
            let answer = webhook.send(&encrypted(token, aes_key, APP_ID, subscribe(), "")).await;
            let sealed = document(&answer.body);
            let part = |name| sealed.text(name).unwrap();
            let clear = key(aes_key).decrypt(part("Encrypt"), APP_ID).unwrap();
            assert!(clear.contains("oUser"), "sealed with the key that it came with");
            let parts = [token, part("TimeStamp"), part("Nonce"), part("Encrypt")];
            assert_eq!(part("MsgSignature"), wechat::callback::signature::sign(&parts));
        }
    }
    assert_eq!(webhook.send(&check("olderToken")).await, Answer::forbidden());
    let other_key = encrypted(TOKEN, &"C".repeat(43), APP_ID, subscribe(), "");
    assert_eq!(webhook.send(&other_key).await.status, 400);
}

/// All 32 paddings open, with a key whose last character carries stray bits. The AppID is checked.
#[tokio::test]
async fn every_padding_opens_and_only_for_this_account() {
    let (_table, mut webhook) = webhook("safe", &[]).await;
    for length in 0..32 {
        let xml = text(&"x".repeat(length), 1);
        assert_eq!(webhook.send(&safe(&xml)).await, Answer::success(), "{length}");
    }
    let other = encrypted(TOKEN, AES_KEY, "wxfedcba9876543210", subscribe(), "");
    assert_eq!(webhook.send(&other).await.status, 400);
}

/// A reply has exactly the text of the rule, except for what XML and WeChat do not allow.
#[tokio::test]
async fn a_reply_cannot_break_out_of_its_xml() {
    for (mode, send) in [("plain", plain as fn(&str) -> Value), ("safe", safe)] {
        let (_table, mut webhook) = webhook(mode, &[]).await;
        let first = webhook.send(&send(&subscribe())).await;
        let reply = first.reply_to(&subscribe(), mode == "safe");
        assert_eq!(reply.text("Content"), Some("a]]>b\n0"), "{mode}");
        assert_eq!(reply.members().count(), 5);
        if mode == "safe" {
            let second = webhook.send(&send(&subscribe())).await;
            let nonce = |answer: &Answer| document(&answer.body).text("Nonce").unwrap().to_owned();
            assert_ne!(nonce(&first), nonce(&second), "sealed anew");
        }
    }
}

/// Once the signature holds, a refusal would be repeated and shown to a follower as an error.
#[tokio::test]
async fn bodies_that_wechat_does_not_send_are_acknowledged_and_survived() {
    let (_table, mut webhook) = webhook("plain", &[]).await;
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
    let told = webhook.told(13).await;
    assert!(
        told.iter()
            .all(|line| line["level"] == "WARN" && line["outcome"] == "unreadable")
    );
    let mut not_utf8 = plain("");
    not_utf8["body"] = json!("/////w==");
    not_utf8["isBase64Encoded"] = json!(true);
    assert_eq!(webhook.send(&not_utf8).await, Answer::success());
    let mut not_base64 = plain("");
    not_base64["body"] = json!("<xml>");
    not_base64["isBase64Encoded"] = json!(true);
    assert_eq!(webhook.send(&not_base64).await, Answer::success());
    let mut no_raw_query = plain(&text("still here", 1));
    no_raw_query["rawQueryString"] = json!("");
    assert_eq!(webhook.send(&no_raw_query).await, Answer::success());
    let mut no_uri = plain(&subscribe());
    no_uri["rawQueryString"] = json!("q=<script>&\u{7f}=\"&%ff=%");
    assert_eq!(webhook.send(&no_uri).await, Answer::forbidden());
    let mut no_body = plain("");
    no_body["body"] = Value::Null;
    assert_eq!(webhook.send(&no_body).await, Answer::success());
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(
            webhook
                .send(&request(method, &pairs(&signed(TOKEN)), None))
                .await
                .status,
            405
        );
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
        "<?php ]]> &amp; & ]]]]><![CDATA[>",
    ];
    let rule = |(index, value): (usize, &&str)| json!({"match": "exact", "value": value, "reply": {"type": "text", "content": index.to_string()}});
    let keywords: Vec<Value> = texts.iter().enumerate().map(rule).collect();
    let table = table(&json!({ "keywords": keywords })).await;
    for mode in ["plain", "compat", "safe"] {
        let mut webhook = Variables::new(mode, &table.endpoint()).start().await;
        for (index, content) in texts.iter().enumerate() {
            let xml = text(content, 1);
            let event = match mode {
                "plain" => plain(&xml),
                // As WeChat makes it: the clear part says the same.
                "compat" => {
                    let clear = xml.strip_prefix("<xml>").and_then(|xml| xml.strip_suffix("</xml>"));
                    encrypted(TOKEN, AES_KEY, APP_ID, &xml, clear.unwrap())
                }
                _ => safe(&xml),
            };
            let answer = webhook.send(&event).await;
            let expected = callback("text", "");
            let reply = answer.reply_to(&expected, mode != "plain");
            assert_eq!(reply.text("Content"), Some(&*index.to_string()), "{mode} {content}");
        }
    }
}

/// A message is not lost for one broken character in it.
#[tokio::test]
async fn bytes_that_are_not_utf8_are_read_around() {
    let rules =
        json!({"keywords": [{"match": "contains", "value": "退款", "reply": {"type": "text", "content": "refund"}}]});
    let table = table(&rules).await;
    let xml = text("\u{1}退款", 1);
    let broken: Vec<u8> = xml.bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    let mut clear = plain("");
    clear["body"] = json!(STANDARD.encode(&broken));
    clear["isBase64Encoded"] = json!(true);
    let sealed = encrypted(TOKEN, AES_KEY, APP_ID, &broken, "");
    for (mode, event) in [("plain", &clear), ("compat", &sealed), ("safe", &sealed)] {
        let mut webhook = Variables::new(mode, &table.endpoint()).start().await;
        let reply = webhook.send(event).await.reply_to(&xml, mode != "plain");
        assert_eq!(reply.text("Content"), Some("refund"), "{mode}");
    }
}

/// What was decrypted for this account is WeChat's, whatever it is.
#[tokio::test]
async fn a_ciphertext_that_opens_is_never_refused() {
    for mode in ["compat", "safe"] {
        let (_table, mut webhook) = webhook(mode, &[]).await;
        for clear in [
            "",
            "hello",
            "<xml>",
            "<xml><a>&e;</a></xml>",
            "<!DOCTYPE xml><xml/>",
            "{",
        ] {
            assert_eq!(webhook.send(&safe(clear)).await, Answer::success(), "{mode} {clear}");
        }
    }
}

/// `echostr` is not signed: what the URL check sends back could be anything.
#[tokio::test]
async fn only_what_looks_like_an_echostr_is_echoed() {
    let (_table, mut webhook) = webhook("safe", &[]).await;
    for echostr in ["4375120948345356249", "a1B2", &"9".repeat(128)] {
        let answer = webhook.send(&set(&check(TOKEN), "echostr", echostr)).await;
        assert_eq!(answer, Answer::text(200, echostr));
    }
    for echostr in ["<script>alert(1)</script>", "a b", "1\r\n2", "你好", &"9".repeat(129)] {
        let answer = webhook.send(&set(&check(TOKEN), "echostr", echostr)).await;
        assert_eq!(answer, Answer::forbidden(), "{echostr:.40}");
    }
}

/// Empty, missing and unknown parts, names in any case, control characters.
#[tokio::test]
async fn what_wechat_really_sends_is_read() {
    let (_table, mut webhook) = webhook("plain", &[]).await;
    for fields in [
        "<Event>SUBSCRIBE</Event><EventKey/>",
        "<EventKey></EventKey><Event><![CDATA[subscribe]]></Event>",
    ] {
        let xml = format!("\u{feff}<?xml version=\"1.0\"?>\n{}", callback("event", fields));
        webhook.post(&xml).await.reply_to(&callback("event", fields), false);
    }
    let body = json!({"ToUserName": "gh_0a1b2c3d4e5f", "FromUserName": "oUser", "CreateTime": 1_767_225_600,
        "MsgType": "event", "Event": "subscribe", "EventKey": ""})
    .to_string();
    webhook.post(&body).await.reply_to(&subscribe(), false);
    for xml in [
        text("a\u{1d}b\u{8}", 1),
        callback("event", "<Event>SCAN</Event><EventKey>1</EventKey>"),
        callback("event", "<Event>never_heard_of</Event><New><Deep>1</Deep></New>"),
        callback("never_heard_of", ""),
        "<xml><InfoType>component_verify_ticket</InfoType></xml>".to_owned(),
    ] {
        assert_eq!(webhook.post(&xml).await, Answer::success(), "{xml}");
    }
}

#[tokio::test]
async fn a_message_without_an_address_is_acknowledged() {
    let table = table(&json!({"default": {"type": "text", "content": "reply"}})).await;
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    let whole = text("hi", 1);
    webhook.post(&whole).await.reply_to(&whole, false);
    for name in ["FromUserName", "ToUserName"] {
        let without = whole.replace(name, "Other");
        assert_eq!(webhook.post(&without).await, Answer::success(), "{name}");
    }
}

/// No answer and no log line helps to forge a request or shows what users write.
#[tokio::test]
async fn neither_log_nor_answer_tells_a_secret_or_a_text() {
    let table = table(&json!({"default": {"type": "text", "content": "reply-text"}})).await;
    let bus = event_bus().await;
    let mut webhook = Variables::new("compat", &table.endpoint())
        .publishing(bus.endpoint())
        .start()
        .await;
    let xml = text("message-text", 1);
    let mut right_signatures = Vec::new();
    for event in [
        check("wrong"),
        set(&compat(&xml), "msg_signature", "wrong"),
        set(&plain(&xml), "signature", "wrong"),
        compat(&xml),
        plain(&xml),
        compat("<xml>message-text"),
        encrypted(TOKEN, AES_KEY, "wxfedcba9876543210", &xml, ""),
    ] {
        let raw = event["rawQueryString"].as_str().unwrap().to_owned();
        let timestamp = url::form_urlencoded::parse(raw.as_bytes()).find(|(name, _)| name == "timestamp");
        let right = wechat::callback::signature::sign(&[TOKEN, &timestamp.unwrap().1, NONCE]);
        let answer = webhook.send(&event).await;
        if answer.status != 200 {
            assert!(!answer.body.contains(&right), "{answer:?}");
            assert_eq!(answer.content_type, "text/plain; charset=utf-8");
        }
        right_signatures.push(right);
    }
    bus.refuse(1);
    assert_eq!(webhook.send(&plain(&text("message-text", 2))).await.status, 500);
    webhook.told(8).await;
    let logs = webhook.0.logs();
    let secrets = [
        "message-text",
        "reply-text",
        "oUser",
        "oNotSigned",
        TOKEN,
        AES_KEY,
        "gh_0a1b2c3d4e5f",
    ];
    for secret in secrets.into_iter().chain(right_signatures.iter().map(String::as_str)) {
        assert!(!logs.contains(secret), "{secret} in\n{logs}");
    }
}

#[tokio::test]
async fn one_line_and_its_metrics_tell_of_each_request() {
    let (_table, mut webhook) = webhook("plain", &[]).await;
    webhook.post(&subscribe()).await;
    webhook.post(&receipt("1", "success")).await;
    webhook.post(&receipt("1", "success")).await;
    webhook.post("hello").await;
    webhook.send(&check("wrong")).await;
    webhook.send(&check(TOKEN)).await;

    let told = webhook.told(6).await;
    let tells = |line: &Value| {
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
        told.iter().map(tells).collect::<Vec<_>>(),
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
        told[4]["error"].as_str().unwrap().contains("WECHAT_TOKEN"),
        "it says what to do: {}",
        told[4]
    );

    let metrics: Vec<Value> = webhook
        .log_lines()
        .into_iter()
        .filter(|line| line.get("_aws").is_some())
        .collect();
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
        "a redelivered receipt tells of the same delivery"
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
    let quiet = [("AWS_LAMBDA_LOG_LEVEL", "WARN")];
    let mut webhook = Variables::new("plain", &nothing_listens()).with(&quiet).start().await;
    webhook.send(&check("wrong")).await;
    let told = webhook.told(1).await;
    assert_eq!(told[0]["span"]["requestId"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
}

/// The console's check of the URL passes all the same: it is signed alike in every mode.
#[tokio::test]
async fn a_console_in_plain_mode_is_told_from_a_stranger() {
    let (table, mut webhook) = webhook("safe", &[]).await;
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 200);
    assert_eq!(webhook.send(&plain(&subscribe())).await, Answer::forbidden());
    let noted = refused(&table).await.remove(0);
    assert_eq!(noted.sender, Sender::WeChat);
    assert!(noted.cause.contains("WECHAT_MESSAGE_MODE"), "{}", noted.cause);
}

/// "token 验证失败" is all that the console says: the cause is kept for the doctor.
#[tokio::test]
async fn the_cause_of_a_refusal_is_noted_unless_one_is_that_tells_more() {
    let table = testing::EmbeddedTable::start(None).await.unwrap();
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    assert_eq!(webhook.send(&check("wrong-token")).await, Answer::forbidden());
    let noted = refused(&table).await.remove(0);
    assert!(noted.cause.contains("WECHAT_TOKEN"), "{}", noted.cause);
    assert_eq!(noted.source, Some([203, 0, 113, 10].into()));

    let missing = request("GET", &[("echostr", "1")], None);
    assert_eq!(webhook.send(&missing).await, Answer::forbidden());
    let again = refused(&table).await.remove(0);
    assert_eq!(again.cause, noted.cause, "a browser that opens the URL hides nothing");
    assert_eq!(webhook.send(&safe(&subscribe())).await.status, 400);
    let proven = refused(&table).await.remove(0);
    assert_eq!(proven.sender, Sender::WeChat, "{}", proven.cause);
    let pk = AttributeValue::S(format!("refused#{APP_ID}"));
    let forget = table
        .client()
        .delete_item()
        .table_name(testing::TABLE_NAME)
        .key("pk", pk);
    forget.send().await.unwrap();
    assert_eq!(webhook.send(&safe(&subscribe())).await.status, 400);
    let flood = refused(&table).await;
    assert_eq!(flood, [], "a flood of bad requests costs one write in ten seconds");
}

async fn refused(table: &testing::EmbeddedTable) -> Vec<RefusedCallback> {
    store(table).refused_callbacks(now()).await.unwrap()
}
