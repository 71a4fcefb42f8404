//! Scans that bind a user to the person who scans, and events that begin or end following.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Mode;
use testing::{
    Fault, Service, Stage,
    event::{CREATED_AT, callback, message_from},
    now,
};

use crate::{
    outages::slow_secret,
    setup::{Answer, MODES, Webhook, hand_over, publish, stage, stage_with},
};

const ID: &str = "0123456789abcdef0123456789abcdef";
const BOUND: &str = "绑定成功";
const FAILED: &str = "二维码已失效，请重新获取";
/// WeChat hangs up after 5 s.
const IN_TIME: Duration = Duration::from_millis(4800);

/// A follower's scan of the code of the binding `id`.
fn scan(openid: &str, id: &str) -> String {
    let fields = format!("<Event>SCAN</Event><EventKey>bind.{id}</EventKey><Ticket>t</Ticket>");
    message_from(openid, CREATED_AT, "event", &fields)
}

/// The scan of a stranger, who begins to follow by it.
fn first_scan(openid: &str, id: &str) -> String {
    let fields = format!("<Event>subscribe</Event><EventKey>qrscene_bind.{id}</EventKey><Ticket>t</Ticket>");
    message_from(openid, CREATED_AT, "event", &fields)
}

fn event(openid: &str, name: &str, at: i64) -> String {
    let fields = format!("<Event>{name}</Event><EventKey></EventKey>");
    message_from(openid, at, "event", &fields)
}

/// Makes a binding of `user`, as `users` does, which ends in `seconds`.
async fn begin_for(stage: &Stage, id: &str, user: &str, seconds: i64) {
    let ends = now() + seconds;
    let binding = json!({"user": user, "expires_at": ends, "ttl": ends + 24 * 3600});
    stage.table.set(&format!("bind#{id}"), &binding).await;
}

async fn begin(stage: &Stage, id: &str, user: &str) {
    begin_for(stage, id, user, 600).await;
}

/// Ties `user` and `openid`, as an import does.
async fn tie(stage: &Stage, user: &str, openid: &str) {
    let of_user = json!({"openid": openid, "bound_at": 1});
    stage.table.set(&format!("user#{user}"), &of_user).await;
    let of_openid = json!({ "user": user });
    stage.table.set(&format!("openid#{openid}"), &of_openid).await;
}

async fn user(stage: &Stage, user: &str) -> Value {
    stage.table.item(&format!("user#{user}")).await
}

async fn openid_of(stage: &Stage, name: &str) -> Value {
    user(stage, name).await["openid"].clone()
}

/// Whether the user follows, as both items say.
async fn followed(stage: &Stage, name: &str) -> Value {
    let user = user(stage, name).await;
    let item = stage
        .table
        .item(&format!("openid#{}", user["openid"].as_str().unwrap()))
        .await;
    let both = ["followed", "followed_at"].map(|attribute| (&user[attribute], &item[attribute]));
    assert!(both.iter().all(|(user, item)| user == item), "{user} {item}");
    user["followed"].clone()
}

/// The items that say who is who.
async fn ties(stage: &Stage) -> Vec<Value> {
    let mut items = stage.table.items().await;
    items.retain(|item| !item["pk"].as_str().unwrap().starts_with("callback"));
    items.sort_by_key(|item| item["pk"].to_string());
    items
}

#[tokio::test]
async fn a_scan_binds_a_follower_and_a_stranger_in_every_mode() {
    for mode in MODES {
        let stage = stage(mode).await;
        begin(&stage, "b1", "u-1").await;
        begin(&stage, ID, "u-2").await;
        let mut webhook = Webhook::start(&stage).await;
        for (xml, name, openid) in [
            (scan("oFollower", "b1"), "u-1", "oFollower"),
            (first_scan("oStranger", ID), "u-2", "oStranger"),
            (scan("oFollower", "b1").replace("SCAN", "scan"), "u-1", "oFollower"),
        ] {
            let answer = webhook.send(&callback(&xml).in_mode(mode)).await;
            assert_eq!(answer.reply_to(&xml, mode).text("Content"), Some(BOUND), "{xml}");
            let bound = user(&stage, name).await;
            assert_eq!(bound["openid"], openid);
            assert!((bound["bound_at"].as_i64().unwrap() - now()).abs() < 60, "{bound}");
        }
        assert_eq!(followed(&stage, "u-1").await, Value::Null, "a scan does not say it");
        assert_eq!(followed(&stage, "u-2").await, true);
        assert_eq!(stage.table.item("bind#b1").await["openid"], "oFollower");
    }
}

/// WeChat delivers again when an answer came too late, and people scan twice.
#[tokio::test]
async fn a_redelivery_and_a_later_scan_get_the_same_answer_and_change_nothing() {
    let stage = stage(Mode::Plain).await;
    begin(&stage, "b1", "u-1").await;
    let mut webhook = Webhook::start(&stage).await;
    let xml = first_scan("o1", "b1");
    assert_eq!(webhook.post(&xml).await.content(&xml), BOUND);
    // Another time than now, so that a second binding would show.
    stage.table.set("user#u-1", &json!({"bound_at": 1})).await;
    let ended = json!({"expires_at": now() - 1});
    stage.table.set("bind#b1", &ended).await;
    let before = ties(&stage).await;
    for xml in [xml, scan("o1", "b1")] {
        assert_eq!(webhook.post(&xml).await.content(&xml), BOUND);
        assert_eq!(ties(&stage).await, before);
    }
}

#[tokio::test]
async fn a_code_that_binds_nobody_any_more_is_answered_so_and_changes_nothing() {
    let stage = stage(Mode::Plain).await;
    begin(&stage, "used", "u-1").await;
    begin_for(&stage, "ended", "u-2", -1).await;
    let mut webhook = Webhook::start(&stage).await;
    let xml = scan("o1", "used");
    assert_eq!(webhook.post(&xml).await.content(&xml), BOUND);
    let before = ties(&stage).await;
    for id in ["used", "ended", "never_was", ""] {
        for xml in [scan("oOther", id), first_scan("oOther", id)] {
            assert_eq!(webhook.post(&xml).await.content(&xml), FAILED, "{id}");
        }
    }
    assert_eq!(ties(&stage).await, before);
    let lines = webhook.log_lines_of_requests(9).await;
    let named: Vec<&Value> = lines.iter().map(|line| &line["binding"]).collect();
    let expected = ["bound", "used_by_another", "expired", "unknown", "unknown"];
    assert_eq!(
        named.into_iter().step_by(2).collect::<Vec<_>>(),
        expected[..].iter().collect::<Vec<_>>()
    );
}

/// Other ids cannot be in the table, so the table is asked only whether the person counts as unfollowed.
#[tokio::test]
async fn what_cannot_be_an_id_is_answered_without_a_look_for_it() {
    let stage = stage_with(&json!({})).await.behind_proxies().await;
    let table = stage.proxy(Service::Table);
    let mut webhook = Webhook::start(&stage).await;
    // Reads the rules and notes that a callback came.
    webhook.post(&event("o1", "VIEW", CREATED_AT)).await;
    table.mend().await;
    for id in ["a#b", "a b", "码", "../x", &"x".repeat(65), "0123.4567"] {
        let xml = scan("o1", id);
        assert_eq!(webhook.post(&xml).await.content(&xml), FAILED, "{id}");
    }
    let long = scan(&"o".repeat(3000), "b1");
    assert_eq!(webhook.post(&long).await.content(&long), FAILED);
    assert_eq!(table.requests(), ["GetItem"; 6]);
}

#[tokio::test]
async fn of_two_people_who_scan_at_once_one_is_bound_and_each_is_told_the_truth() {
    let stage = stage(Mode::Plain).await;
    for round in 0..5 {
        let (id, name) = (format!("b{round}"), format!("u-{round}"));
        begin(&stage, &id, &name).await;
        let (mut one, mut other) = (Webhook::start(&stage).await, Webhook::start(&stage).await);
        let scans = ["o1", "o2"].map(|openid| scan(openid, &id));
        let (first, second) = tokio::join!(one.post(&scans[0]), other.post(&scans[1]));
        let answers = [first.content(&scans[0]), second.content(&scans[1])];
        let winner = match answers.each_ref().map(String::as_str) {
            [BOUND, FAILED] => "o1",
            [FAILED, BOUND] => "o2",
            other => panic!("{other:?}"),
        };
        assert_eq!(openid_of(&stage, &name).await, winner);
    }
}

#[tokio::test]
async fn two_deliveries_of_a_scan_at_once_bind_once_and_get_the_same_answer() {
    let stage = stage(Mode::Plain).await;
    begin(&stage, "b1", "u-1").await;
    let (mut one, mut other) = (Webhook::start(&stage).await, Webhook::start(&stage).await);
    let xml = first_scan("o1", "b1");
    let (first, second) = tokio::join!(one.post(&xml), other.post(&xml));
    assert_eq!([first.content(&xml), second.content(&xml)], [BOUND, BOUND]);
    assert_eq!(openid_of(&stage, "u-1").await, "o1");
    assert_eq!(followed(&stage, "u-1").await, true);
}

#[tokio::test]
async fn a_newer_binding_replaces_the_older_and_what_is_known_of_the_follower_stays() {
    let stage = stage(Mode::Plain).await;
    tie(&stage, "u-1", "o1").await;
    tie(&stage, "u-2", "o2").await;
    begin(&stage, "b1", "u-1").await;
    let mut webhook = Webhook::start(&stage).await;
    webhook.post(&event("o2", "subscribe", CREATED_AT)).await;
    let xml = scan("o2", "b1");
    assert_eq!(webhook.post(&xml).await.content(&xml), BOUND);
    assert_eq!(openid_of(&stage, "u-1").await, "o2");
    assert_eq!(followed(&stage, "u-1").await, true);
    assert_eq!(user(&stage, "u-2").await, Value::Null);
    assert_eq!(stage.table.item("openid#o1").await, Value::Null);
    let binding = stage.table.item("bind#b1").await;
    assert_eq!(
        (&binding["replaced_openid"], &binding["replaced_user"]),
        (&json!("o1"), &json!("u-2"))
    );
}

#[tokio::test]
async fn the_rules_have_the_words_in_place_of_the_greeting_and_null_is_silence() {
    let text = |content: &str| json!({"type": "text", "content": content});
    let own = json!({"subscribe": text("hello"), "bound": text("welcome"), "bind_failed": text("sorry")});
    let silent = json!({"subscribe": text("hello"), "bound": null, "bind_failed": null});
    for (rules, bound, failed) in [(own, Some("welcome"), Some("sorry")), (silent, None, None)] {
        let stage = stage_with(&rules).await;
        begin(&stage, "b1", "u-1").await;
        let mut webhook = Webhook::start(&stage).await;
        for (xml, expected) in [
            (first_scan("o1", "b1"), bound),
            (first_scan("o2", "b1"), failed),
            (event("o3", "subscribe", CREATED_AT), Some("hello")),
        ] {
            let answer = webhook.post(&xml).await;
            match expected {
                Some(expected) => assert_eq!(answer.content(&xml), expected),
                None => assert_eq!(answer, Answer::success()),
            }
        }
        assert_eq!(openid_of(&stage, "u-1").await, "o1");
    }
}

#[tokio::test]
async fn a_scan_without_a_sender_is_acknowledged_and_binds_nobody() {
    let stage = stage(Mode::Plain).await;
    begin(&stage, "b1", "u-1").await;
    let mut webhook = Webhook::start(&stage).await;
    let xml = scan("o1", "b1").replace("FromUserName", "Other");
    assert_eq!(webhook.post(&xml).await, Answer::success());
    assert_eq!(user(&stage, "u-1").await, Value::Null);
}

/// The binding is in the table, so the webhook cannot guess the answer. `worker` might bind only after the user has given
/// up.
#[tokio::test]
async fn a_scan_while_the_table_is_down_or_frozen_is_delivered_again_and_binds_then() {
    for fault in [Fault::Refuse, Fault::Freeze] {
        let mut stage = stage_with(&json!({})).await.behind_proxies().await;
        hand_over(&mut stage);
        publish(&mut stage);
        begin(&stage, "b1", "u-1").await;
        let mut webhook = Webhook::start(&stage).await;
        webhook.0.started().await;
        stage.proxy(Service::Table).fail(1.., fault);
        let started = Instant::now();
        let xml = first_scan("o1", "b1");
        assert_eq!(webhook.post(&xml).await, Answer::try_again());
        assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
        assert!(stage.lambda.kept().is_empty() && stage.bus.entries().is_empty());
        let line = webhook.log_lines_of_requests(1).await.remove(0);
        assert_eq!(line["level"], "ERROR");
        assert!(
            line["error"].as_str().unwrap().contains("DynamoDB") || line["error"].as_str().unwrap().contains("table")
        );

        stage.mend().await;
        assert_eq!(webhook.post(&xml).await.content(&xml), BOUND);
        assert_eq!(openid_of(&stage, "u-1").await, "o1");
        assert_eq!(followed(&stage, "u-1").await, true);
        assert_eq!(stage.bus.entries().len(), 1, "published once");
    }
}

/// A binding that may have happened is not reported as failed.
#[tokio::test]
async fn a_scan_that_bound_while_the_answer_was_lost_is_bound_for_the_redelivery() {
    let stage = stage_with(&json!({})).await.behind_proxies().await;
    begin(&stage, "b1", "u-1").await;
    let mut webhook = Webhook::start(&stage).await;
    webhook.0.started().await;
    let table = stage.proxy(Service::Table);
    // The reads of the binding and of the ties, then the transaction.
    table.fail(3.., Fault::LoseAnswer);
    let xml = scan("o1", "b1");
    assert_eq!(webhook.post(&xml).await, Answer::try_again());
    stage.mend().await;
    let before = ties(&stage).await;
    assert_eq!(openid_of(&stage, "u-1").await, "o1");
    assert_eq!(webhook.post(&xml).await.content(&xml), BOUND);
    assert_eq!(ties(&stage).await, before);
}

/// All that may be slow at once, in the first callback of a process.
#[tokio::test]
async fn a_slow_start_a_slow_binding_and_a_slow_hand_over_still_end_in_time() {
    let mut stage = stage(Mode::Plain).await;
    hand_over(&mut stage);
    publish(&mut stage);
    let mut stage = stage.behind_proxies().await;
    begin(&stage, "b1", "u-1").await;
    stage
        .proxy(Service::Table)
        .fail(.., Fault::Delay(Duration::from_millis(400)));
    stage.proxy(Service::EventBus).fail(.., Fault::Freeze);
    stage
        .proxy(Service::Lambda)
        .fail(.., Fault::Delay(Duration::from_millis(700)));
    let _secrets = slow_secret(&mut stage).await;
    let started = Instant::now();
    let xml = first_scan("o1", "b1");
    let answer = Webhook::start(&stage).await.post(&xml).await;
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    assert_eq!(answer.content(&xml), BOUND);
    assert_eq!(stage.lambda.kept().len(), 1, "its other effects come later");
}

#[tokio::test]
async fn the_newest_event_says_whether_a_bound_user_follows() {
    let stage = stage(Mode::Plain).await;
    tie(&stage, "u-1", "o1").await;
    let mut webhook = Webhook::start(&stage).await;
    for (name, at, expected) in [
        ("subscribe", 100, true),
        ("unsubscribe", 90, true),
        ("unsubscribe", 100, false),
        ("subscribe", 100, false),
        ("unsubscribe", 100, false),
        ("subscribe", 110, true),
        ("subscribe", 110, true),
    ] {
        let answer = webhook.post(&event("o1", name, at)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(followed(&stage, "u-1").await, expected, "{name} {at}");
    }
}

/// In plain mode a stranger can write any `CreateTime`.
#[tokio::test]
async fn an_event_of_next_year_does_not_outlive_those_of_today() {
    let stage = stage(Mode::Plain).await;
    tie(&stage, "u-1", "o1").await;
    let mut webhook = Webhook::start(&stage).await;
    webhook.post(&event("o1", "unsubscribe", now() + 31_536_000)).await;
    assert_eq!(followed(&stage, "u-1").await, false);
    let at = user(&stage, "u-1").await["followed_at"].as_i64().unwrap();
    assert!(at <= now() + 600, "{at}");
}

/// An account that binds nobody pays one read for each new follower.
#[tokio::test]
async fn an_unbound_follower_is_looked_up_and_not_stored() {
    let stage = stage_with(&json!({})).await.behind_proxies().await;
    let table = stage.proxy(Service::Table);
    let mut webhook = Webhook::start(&stage).await;
    // Reads the rules and notes that a callback came.
    webhook.post(&event("o1", "VIEW", CREATED_AT)).await;
    table.mend().await;
    for name in ["subscribe", "unsubscribe"] {
        webhook.post(&event("o1", name, CREATED_AT)).await;
    }
    assert_eq!(table.requests(), ["GetItem", "GetItem"]);
    webhook.post(&event("o1", "VIEW", CREATED_AT)).await;
    assert_eq!(table.requests().len(), 2, "others cost nothing");
}

/// The webhook was down when the person followed again. Nobody else can scan such a code or tap such a button.
#[tokio::test]
async fn a_follower_whose_event_was_lost_is_known_again_by_a_scan_or_a_tap() {
    let stage = stage(Mode::Plain).await;
    tie(&stage, "u-1", "o1").await;
    let mut webhook = Webhook::start(&stage).await;
    for (round, name) in [
        "SCAN",
        "scan",
        "CLICK",
        "scancode_push",
        "scancode_waitmsg",
        "pic_sysphoto",
        "pic_photo_or_album",
        "pic_weixin",
        "location_select",
    ]
    .into_iter()
    .enumerate()
    {
        let at = now() - 1000 + 10 * i64::try_from(round).unwrap();
        webhook.post(&event("o1", "unsubscribe", at)).await;
        webhook.post(&event("o1", name, at - 1)).await;
        assert_eq!(followed(&stage, "u-1").await, false, "{name} came late");
        webhook.post(&event("o1", "VIEW", at + 1)).await;
        assert_eq!(followed(&stage, "u-1").await, false, "anybody can follow a link");
        assert_eq!(webhook.post(&event("o1", name, at + 1)).await.status, 200);
        assert_eq!(followed(&stage, "u-1").await, true, "{name}");
    }
}

#[tokio::test]
async fn a_tap_is_answered_whatever_the_table_does() {
    for fault in [Fault::Refuse, Fault::Freeze] {
        let mut stage = stage(Mode::Plain).await.behind_proxies().await;
        hand_over(&mut stage);
        let mut webhook = Webhook::start(&stage).await;
        webhook.0.started().await;
        stage.proxy(Service::Table).fail(1.., fault);
        let started = Instant::now();
        let xml = event("o1", "CLICK", now());
        assert_eq!(webhook.post(&xml).await, Answer::success());
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert_eq!(stage.lambda.kept().len(), 0, "nothing is handed over");
    }
}

#[tokio::test]
async fn who_follows_is_handed_over_while_the_table_is_down_and_the_greeting_goes_out() {
    for fault in [Fault::Refuse, Fault::Freeze] {
        let mut stage = stage(Mode::Plain).await.behind_proxies().await;
        hand_over(&mut stage);
        tie(&stage, "u-1", "o1").await;
        let mut webhook = Webhook::start(&stage).await;
        webhook.0.started().await;
        stage.proxy(Service::Table).fail(1.., fault);
        let started = Instant::now();
        let xml = event("o1", "subscribe", now());
        assert_eq!(webhook.post(&xml).await.content(&xml), "欢迎关注");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert_eq!(
            webhook.post(&event("o1", "unsubscribe", now())).await,
            Answer::success()
        );
        let kept = stage.lambda.kept();
        let events: Vec<&Value> = kept.iter().map(|event| &event["callback"]["Event"]).collect();
        assert_eq!(events, ["subscribe", "unsubscribe"]);
    }
}

#[tokio::test]
async fn without_a_worker_a_greeting_outlives_the_table_and_the_log_tells_what_is_lost() {
    for fault in [Fault::Refuse, Fault::Freeze] {
        let stage = stage(Mode::Plain).await.behind_proxies().await;
        tie(&stage, "u-1", "o1").await;
        let mut webhook = Webhook::start(&stage).await;
        webhook.0.started().await;
        stage.proxy(Service::Table).fail(1.., fault);
        let xml = event("o1", "subscribe", now());
        let started = Instant::now();
        assert_eq!(webhook.post(&xml).await.content(&xml), "欢迎关注");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        let line = webhook.log_lines_of_requests(1).await.remove(0);
        assert_eq!((&line["level"], &line["outcome"]), (&json!("ERROR"), &json!("replied")));
        assert!(line["error"].as_str().unwrap().contains("follows"), "{line}");
        assert!(webhook.0.metrics().iter().any(|line| line["LostEffects"] == 1.0));
    }
}

#[tokio::test]
async fn neither_log_nor_answer_tells_a_binding_an_openid_or_a_user() {
    let stage = stage(Mode::Plain).await.behind_proxies().await;
    begin(&stage, ID, "user-not-shown").await;
    let mut webhook = Webhook::start(&stage).await;
    let mut shown = String::new();
    for xml in [
        scan("oNotTold", ID),
        first_scan("oNotTold", ID),
        scan("oOtherNotTold", ID),
    ] {
        shown += &webhook.post(&xml).await.body;
    }
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    shown += &webhook.post(&scan("oThird", ID)).await.body;
    let shown = shown
        .replace("<ToUserName><![CDATA[oNotTold]]>", "")
        .replace("<ToUserName><![CDATA[oOtherNotTold]]>", "");
    webhook.log_lines_of_requests(4).await;
    let shown = shown + &webhook.0.logs();
    for secret in [ID, "NotTold", "oThird", "user-not-shown"] {
        assert!(!shown.contains(secret), "{secret} is shown: {shown}");
    }
}
