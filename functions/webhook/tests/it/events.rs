//! The sample events of `events/`, as its README says to run them.

use simulator::Mode;
use testing::{
    account::{AES_KEY, ORIGINAL_ID, TOKEN},
    event::sample,
};
use wechat::xml::Document;

use crate::setup::{Answer, Webhook, document, set_mode, stage_with};

async fn answer(webhook: &mut Webhook, name: &str) -> Answer {
    webhook.send(&sample(name)).await
}

/// The content of a `reply` to the user of the samples.
fn content(reply: &Document) -> String {
    assert_eq!(reply.text("MsgType"), Some("text"));
    assert_eq!(reply.text("ToUserName"), Some("oEventsUser00000000000000001"));
    assert_eq!(reply.text("FromUserName"), Some(ORIGINAL_ID));
    reply.text("Content").unwrap().to_owned()
}

#[tokio::test]
async fn every_sample_event_is_answered_as_its_readme_says() {
    let rules = serde_json::from_str(sample("replies-put")["body"].as_str().unwrap()).unwrap();
    let mut stage = stage_with(&rules).await;
    stage.set([("WECHAT_MAX_CLOCK_SKEW", "0")]);
    let mut webhook = Webhook::start_with(&stage, &[("WECHAT_ENCODING_AES_KEY", AES_KEY)]).await;

    let verify = answer(&mut webhook, "webhook-verify").await;
    assert_eq!(verify, Answer::text(200, "6871542190871234567"));
    for (name, expected) in [
        ("webhook-text", "你好"),
        ("webhook-base64", "你好"),
        ("webhook-subscribe", "欢迎关注"),
        ("webhook-click", "请直接留言，我们会尽快回复。"),
        ("webhook-scan", "订单 42 已签收。"),
    ] {
        let answer = answer(&mut webhook, name).await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (200, "application/xml; charset=utf-8")
        );
        assert_eq!(content(&document(&answer.body)), expected, "{name}");
    }
    for name in ["webhook-image", "webhook-view", "webhook-template-receipt"] {
        assert_eq!(answer(&mut webhook, name).await, Answer::success(), "{name}");
    }
    let bad = answer(&mut webhook, "webhook-bad-signature").await;
    assert_eq!(bad, Answer::forbidden());

    set_mode(&mut stage, Mode::Safe);
    let mut webhook = Webhook::start(&stage).await;
    let sealed = answer(&mut webhook, "webhook-safe-mode").await;
    assert_eq!(content(&sealed.unsealed(TOKEN, AES_KEY)), "你好");
    let clear = answer(&mut webhook, "webhook-text").await;
    assert!(
        matches!(clear.status, 400 | 403),
        "safe mode refuses a clear body: {clear:?}"
    );
}
