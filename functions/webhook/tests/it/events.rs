//! The sample events of `events/`, as its README says to run them.

use crate::setup::{ACCOUNT, AES_KEY, Answer, Variables, Webhook, document, table, unseal};

async fn answer(webhook: &mut Webhook, name: &str) -> Answer {
    webhook.send(&testing::event(name)).await
}

/// What the reply in `answer` says.
fn content(answer: &Answer) -> String {
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (200, "application/xml; charset=utf-8")
    );
    let reply = document(&answer.body);
    assert_eq!(reply.text("MsgType"), Some("text"));
    assert_eq!(reply.text("ToUserName"), Some("oEventsUser00000000000000001"));
    assert_eq!(reply.text("FromUserName"), Some(ACCOUNT));
    reply.text("Content").unwrap().to_owned()
}

#[tokio::test]
async fn every_sample_event_is_answered_as_its_readme_says() {
    let rules = serde_json::from_str(testing::event("replies-put")["body"].as_str().unwrap()).unwrap();
    let table = table(&rules).await;
    let endless = [("WECHAT_MAX_CLOCK_SKEW", "0"), ("WECHAT_ENCODING_AES_KEY", AES_KEY)];
    let mut webhook = Variables::new("plain", &table.endpoint()).with(&endless).start().await;

    let verify = answer(&mut webhook, "webhook-verify").await;
    assert_eq!(verify, Answer::text(200, "6871542190871234567"));
    for (name, expected) in [
        ("webhook-text", "你好"),
        ("webhook-base64", "你好"),
        ("webhook-subscribe", "欢迎关注"),
        ("webhook-click", "请直接留言，我们会尽快回复。"),
        ("webhook-scan", "订单 42 已签收。"),
    ] {
        assert_eq!(content(&answer(&mut webhook, name).await), expected, "{name}");
    }
    for name in ["webhook-image", "webhook-view", "webhook-template-receipt"] {
        assert_eq!(answer(&mut webhook, name).await, Answer::success(), "{name}");
    }
    let bad = answer(&mut webhook, "webhook-bad-signature").await;
    assert_eq!(bad, Answer::forbidden());

    let mut webhook = Variables::new("safe", &table.endpoint()).with(&endless).start().await;
    let sealed = answer(&mut webhook, "webhook-safe-mode").await;
    assert_eq!(document(&unseal(&sealed.body)).text("Content"), Some("你好"));
    let clear = answer(&mut webhook, "webhook-text").await;
    assert!(
        matches!(clear.status, 400 | 403),
        "safe mode refuses a clear body: {clear:?}"
    );
}
