//! The team's own code: it gets every callback at least once, and may answer.

use std::{
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use simulator::Mode;
use testing::{
    Authority, Fault, OwnAnswer, OwnCode, Service, Stage, TlsFront,
    account::ORIGINAL_ID,
    event::{Request, callback, message, receipt, text},
    loopback::nobody,
    now, now_millis,
};

use crate::setup::{Answer, MODES, Webhook, hand_over, set_mode, stage_with};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREVIOUS_SECRET: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
/// What the rules answer.
const RULES: &str = "from the rules";
/// WeChat hangs up after 5 s.
const IN_TIME: Duration = Duration::from_millis(4800);

/// A stage with rules that answer everything, for functions in plain mode with `own_code`.
async fn stage(own_code: &OwnCode) -> Stage {
    let greeting = json!({"type": "text", "content": RULES});
    let mut stage = stage_with(&json!({"default": greeting, "clicks": {"k": greeting}})).await;
    stage.set([
        ("FORWARD_URL", format!("{}/wechat?password=hidden", own_code.endpoint())),
        ("FORWARD_SECRET", SECRET.to_owned()),
    ]);
    stage
}

/// The callback with `xml`, as the gateway received it `age` milliseconds ago.
fn received(xml: &str, age: i64) -> Request {
    callback(xml)
        .plain()
        .with("/requestContext/timeEpoch", now_millis() - age)
}

/// The callbacks that the table keeps for own code.
async fn forwards(stage: &Stage) -> Vec<Value> {
    let mut items = stage.table.items().await;
    items.retain(|item| item["pk"].as_str().unwrap().starts_with("forward#"));
    items
}

/// The only callback that the table keeps for own code.
async fn forward(stage: &Stage) -> Value {
    let forwards = forwards(stage).await;
    assert_eq!(forwards.len(), 1, "{forwards:?}");
    forwards[0].clone()
}

fn click() -> String {
    message("event", "<Event>CLICK</Event><EventKey>k</EventKey>")
}

#[tokio::test]
async fn own_code_gets_a_signed_callback_and_its_reply_is_shown() {
    let own_code = OwnCode::start().await;
    let mut stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::reply("from own code"));
    for mode in MODES {
        set_mode(&mut stage, mode);
        let mut webhook = Webhook::start(&stage).await;
        let xml = text("你好", mode as u64 + 1);
        let answer = webhook.send(&callback(&xml).in_mode(mode)).await;
        let reply = answer.reply_to(&xml, mode);
        assert_eq!(reply.text("Content"), Some("from own code"));

        let request = own_code.requests().pop().unwrap();
        assert_eq!(request.header("webhook-signature"), request.signature(SECRET));
        let timestamp: i64 = request.header("webhook-timestamp").parse().unwrap();
        assert!((timestamp - now()).abs() < 10);
        assert_eq!(request.header("wechat-reply"), "expected");
        assert!(request.header("content-type").starts_with("application/json"));
        assert_eq!(request.target, "/wechat?password=hidden");
        let body = request.json();
        assert_eq!(body["id"], request.header("webhook-id"));
        assert_eq!(
            (&body["type"], &body["from"], &body["to"]),
            (&json!("text"), &json!("oUser"), &json!(ORIGINAL_ID))
        );
        assert_eq!(body["message"]["content"], "你好");
        assert_eq!(body["document"]["Content"], "你好");
        let logs = webhook.0.logs();
        assert!(
            !logs.contains("hidden") && !logs.contains("oUser") && !logs.contains("你好"),
            "{logs}"
        );
        assert!(webhook.0.metrics().iter().any(|line| line["ForwardsTaken"] == 1.0));
    }
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_sign() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let proxy = nobody();
    let variables = [
        ("FORWARD_SECRET_PREVIOUS", PREVIOUS_SECRET),
        // The proxy is only for calls to WeChat.
        ("HTTPS_PROXY", &*proxy),
        ("HTTP_PROXY", &*proxy),
    ];
    let mut webhook = Webhook::start_with(&stage, &variables).await;
    webhook.post(&click()).await;
    let request = &own_code.requests()[0];
    let both = format!("{} {}", request.signature(SECRET), request.signature(PREVIOUS_SECRET));
    assert_eq!(request.header("webhook-signature"), both);
    assert_eq!(request.json()["type"], "event.CLICK");
}

#[tokio::test]
async fn own_code_behind_tls_is_asked_when_its_certificate_is_trusted() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::reply("over TLS"));
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let roots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("own-code.pem");
    std::fs::write(&roots, trusted.pem()).unwrap();
    for (number, (authority, reply)) in [(trusted, "over TLS"), (stranger, RULES)].into_iter().enumerate() {
        let front = TlsFront::start(&authority, &own_code.endpoint()).await;
        let url = format!("{}/wechat", front.endpoint());
        let variables = [
            ("FORWARD_URL", url.as_str()),
            ("SSL_CERT_FILE", roots.to_str().unwrap()),
        ];
        let mut webhook = Webhook::start_with(&stage, &variables).await;
        let xml = text("你好", number as u64);
        assert_eq!(webhook.post(&xml).await.content(&xml), reply);
    }
    assert_eq!(own_code.requests().len(), 1);
}

#[tokio::test]
async fn any_answer_2xx_takes_a_callback_and_what_it_says_decides_the_reply() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await.behind_proxies().await;
    let mut webhook = Webhook::start(&stage).await;
    let too_long = format!("{{\"reply\":null,\"x\":\"{}\"}}", "x".repeat(64 * 1024));
    let cases = [
        (204, "", Some(RULES), false),
        (200, "", Some(RULES), false),
        (202, "{\"accepted\":true}", Some(RULES), false),
        (200, "{\"reply\":null}", None, false),
        (200, "success", Some(RULES), true),
        (200, "{\"reply\":{\"type\":\"sticker\"}}", Some(RULES), true),
        (200, &too_long, Some(RULES), true),
    ];
    // The first callback is also noted for the doctor.
    webhook.post(&click()).await;
    let mut warnings = 0;
    for (index, (status, body, reply, is_warned_of)) in cases.into_iter().enumerate() {
        own_code.answer(OwnAnswer::status(status, body));
        stage.mend().await;
        let xml = text("你好", index as u64);
        let answer = webhook.post(&xml).await;
        match reply {
            Some(reply) => assert_eq!(answer.content(&xml), reply, "{body:.40}"),
            None => assert_eq!(answer, Answer::success(), "{body:.40}"),
        }
        // Two writes and no read.
        assert_eq!(
            stage.proxy(Service::Table).requests(),
            ["PutItem", "UpdateItem"],
            "{body:.40}"
        );
        webhook.log_lines_of_requests(index + 2).await;
        warnings += usize::from(is_warned_of);
        let logs = webhook.0.logs();
        assert_eq!(
            logs.matches("own code's reply cannot be used").count(),
            warnings,
            "{body:.40}: {logs}"
        );
    }
    for item in forwards(&stage).await {
        assert_eq!(item["state"], "done");
        assert!((item["ttl"].as_i64().unwrap() - now() - 3600).abs() < 30);
        assert!(item.get("body").is_none() && item.get("ipk").is_none(), "{item}");
    }
    let connections: Vec<usize> = own_code.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections[..6], [1; 6], "the connection is kept");
}

#[tokio::test]
async fn what_own_code_does_not_take_is_kept_for_worker_and_the_rules_answer() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let redirect = OwnAnswer::Status {
        status: 307,
        body: String::new(),
        headers: vec![("location", format!("{}/elsewhere", own_code.endpoint()))],
    };
    for (index, (conduct, reason)) in [
        (OwnAnswer::status(500, "{\"reply\":null}"), "own code answered 500"),
        (OwnAnswer::status(404, ""), "own code answered 404"),
        (redirect, "own code answered 307"),
        (OwnAnswer::Reset, "own code gave no answer"),
        (OwnAnswer::BreakOff, "own code gave no answer"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut webhook = Webhook::start(&stage).await;
        own_code.answer(conduct);
        let xml = text("你好", index as u64);
        assert_eq!(webhook.post(&xml).await.content(&xml), RULES, "{reason}");
        assert_eq!(own_code.requests().len(), index + 1, "{reason}");
        let forwards = forwards(&stage).await;
        let kept = forwards
            .iter()
            .filter(|item| item["last_error"].as_str().unwrap().starts_with(reason));
        assert_eq!(kept.count(), if index == 4 { 2 } else { 1 }, "{reason}: {forwards:?}");
        let lines = webhook.log_lines_of_requests(1).await;
        assert_eq!(
            (&lines[0]["own_code"], &lines[0]["level"]),
            (&json!("kept"), &json!("WARN"))
        );
        assert!(webhook.0.metrics().iter().any(|line| line["ForwardsKept"] == 1.0));
    }
    for item in forwards(&stage).await {
        assert_eq!(
            (&item["state"], &item["attempts"], &item["from"]),
            (&json!("waiting"), &json!(1), &json!("oUser"))
        );
        let next = item["isk"].as_f64().unwrap() - now() as f64;
        assert!((40.0..=67.0).contains(&next), "{next}");
        assert!(item["ipk"].as_str().unwrap().starts_with("due#") && item.get("owner").is_none());
        let sent = own_code
            .requests()
            .into_iter()
            .find(|request| item["body"] == request.body.as_str());
        assert!(sent.is_some(), "the same bytes");
    }
}

#[tokio::test]
async fn a_callback_that_own_code_refuses_for_good_is_dead() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::status(410, ""));
    let xml = text("你好", 1);
    let mut webhook = Webhook::start(&stage).await;
    assert_eq!(webhook.post(&xml).await.content(&xml), RULES);
    assert_eq!(forward(&stage).await["state"], "dead");
    assert_eq!(webhook.post(&xml).await.content(&xml), RULES);
    assert_eq!(own_code.requests().len(), 1);
    // The alarm counts this name in the webhook and in the worker.
    assert!(webhook.0.metrics().iter().any(|line| line["DeadForwards"] == 1.0));
}

#[tokio::test]
async fn own_code_that_is_too_slow_costs_no_delivery() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::Hang);
    // The budget, how long ago the gateway received it, and how long it may take.
    let case = async |number: u64, budget: &str, age: i64, took: Range<u128>| {
        let mut webhook = Webhook::start_with(&stage, &[("FORWARD_BUDGET_MS", budget)]).await;
        webhook.0.started().await;
        let xml = text("你好", number);
        let started = Instant::now();
        assert_eq!(webhook.send(&received(&xml, age)).await.content(&xml), RULES);
        let millis = started.elapsed().as_millis();
        assert!(took.contains(&millis), "{budget} {age}: {millis} ms");
    };
    tokio::join!(
        case(1, "3500", 0, 3400..4200),
        case(2, "4500", 0, 4000..4700),
        case(3, "400", 0, 300..900),
        case(4, "3500", 3000, 300..1200),
    );
}

/// Such a time comes from another clock.
#[tokio::test]
async fn a_gateways_time_that_cannot_be_is_not_believed() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::reply("in time").after(Duration::from_millis(300)));
    let mut webhook = Webhook::start(&stage).await;
    for age in [11_000_i64, -3_000, 1_000_000_000] {
        let xml = text("你好", age.unsigned_abs());
        assert_eq!(
            webhook.send(&received(&xml, age)).await.content(&xml),
            "in time",
            "{age}"
        );
    }
}

#[tokio::test]
async fn a_delivery_that_came_too_late_for_own_code_is_kept_and_answered() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut webhook = Webhook::start(&stage).await;
    let xml = text("你好", 1);
    assert_eq!(webhook.send(&received(&xml, 4_500)).await.content(&xml), RULES);
    assert!(own_code.requests().is_empty());
    assert_eq!(forward(&stage).await["attempts"], 0);

    // WeChat had hung up, and delivers it again.
    own_code.answer(OwnAnswer::reply("own"));
    assert_eq!(webhook.send(&received(&xml, 0)).await.content(&xml), "own");
    assert_eq!(forward(&stage).await["attempts"], 1);
}

#[tokio::test]
async fn a_redelivery_gets_the_same_answer_and_own_code_is_asked_once() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer_once(OwnAnswer::reply("the first"));
    own_code.answer_once(OwnAnswer::status(500, ""));
    own_code.answer(OwnAnswer::reply("the second"));
    let (first, second) = (text("a", 1), text("b", 2));
    for _ in 0..3 {
        let mut webhook = Webhook::start(&stage).await;
        assert_eq!(webhook.post(&first).await.content(&first), "the first");
        assert_eq!(
            webhook.post(&second).await.content(&second),
            RULES,
            "it is left to worker"
        );
    }
    assert_eq!(own_code.requests().len(), 2);
}

#[tokio::test]
async fn of_two_deliveries_at_once_one_asks_and_both_get_the_answer() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await.behind_proxies().await;
    own_code.answer(OwnAnswer::reply("for both").after(Duration::from_millis(900)));
    let (mut earlier, mut later) = (Webhook::start(&stage).await, Webhook::start(&stage).await);
    later.0.started().await;
    let xml = text("你好", 1);
    stage.mend().await;
    let (earlier, later) = tokio::join!(earlier.post(&xml), later.post(&xml));
    assert_eq!(
        (earlier.content(&xml).as_str(), later.content(&xml).as_str()),
        ("for both", "for both")
    );
    assert_eq!(own_code.requests().len(), 1);
    let mut looks = stage.proxy(Service::Table).requests();
    looks.retain(|call| call == "GetItem");
    assert!(looks.len() <= 6, "{looks:?}");
}

#[tokio::test]
async fn a_callback_whose_function_was_killed_is_not_lost_and_asked_again_at_the_next_delivery() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer_once(OwnAnswer::Hang);
    own_code.answer(OwnAnswer::reply("at last"));
    let xml = text("你好", 1);
    let mut webhook = Webhook::start(&stage).await;
    tokio::select! {
        answer = webhook.post(&xml) => panic!("{answer:?}"),
        () = own_code.asked(1) => {}
    }
    webhook.0.kill().await;
    let kept = forward(&stage).await;
    assert_eq!((&kept["state"], &kept["attempts"]), (&json!("waiting"), &json!(1)));
    assert!(kept["ipk"].as_str().unwrap().ends_with("#forward") && kept["isk"].is_number());
    let ends_in = kept["claim_expires_at"].as_f64().unwrap() * 1000.0 - now_millis() as f64;
    assert!(
        (3000.0..4900.0).contains(&ends_in),
        "before WeChat's next delivery: {ends_in}"
    );

    stage.table.end_claims().await;
    assert_eq!(Webhook::start(&stage).await.post(&xml).await.content(&xml), "at last");
    let requests = own_code.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
}

#[tokio::test]
async fn without_the_table_own_code_is_asked_and_what_it_does_not_take_comes_again() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await.behind_proxies().await;
    let mut webhook = Webhook::start(&stage).await;
    webhook.0.started().await;
    own_code.answer(OwnAnswer::reply("without a table"));
    for fault in [Fault::Refuse, Fault::Freeze] {
        stage.proxy(Service::Table).fail(1.., fault);
        let xml = text("你好", 1);
        let started = Instant::now();
        assert_eq!(webhook.post(&xml).await.content(&xml), "without a table");
        assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    }
    own_code.answer(OwnAnswer::status(503, ""));
    assert_eq!(webhook.post(&click()).await, Answer::try_again());
    let lines = webhook.log_lines_of_requests(3).await;
    assert!(lines[2]["error"].as_str().unwrap().contains("503"), "{lines:?}");
    assert!(webhook.0.metrics().iter().any(|line| line["ForwardsFailed"] == 1.0));
}

#[tokio::test]
async fn the_table_that_freezes_after_the_answer_of_own_code_delays_it_little() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await.behind_proxies().await;
    let mut webhook = Webhook::start(&stage).await;
    let first = text("a", 1);
    webhook.post(&first).await;
    stage.proxy(Service::Table).fail(2.., Fault::Freeze);
    own_code.answer(OwnAnswer::reply("taken"));
    let (xml, started) = (text("b", 2), Instant::now());
    assert_eq!(webhook.post(&xml).await.content(&xml), "taken");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(webhook.0.logs().contains("it is asked again"), "{}", webhook.0.logs());
}

#[tokio::test]
async fn a_callback_that_cannot_be_answered_waits_a_second_and_shows_no_reply() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut webhook = Webhook::start(&stage).await;
    let events = [
        receipt("1", "success"),
        message("event", "<Event>unsubscribe</Event>"),
        message("event", "<Event>LOCATION</Event><Latitude>1</Latitude>"),
        message("event", "<Event>VIEW</Event><EventKey>https://example.com</EventKey>"),
        message("event", "<Event>kf_create_session</Event>"),
    ];
    own_code.answer(OwnAnswer::reply("not to be shown"));
    for xml in &events {
        assert_eq!(webhook.post(xml).await, Answer::success(), "{xml}");
        assert_eq!(own_code.requests().pop().unwrap().header("wechat-reply"), "too-late");
    }
    own_code.answer(OwnAnswer::Hang);
    let started = Instant::now();
    assert_eq!(webhook.post(&receipt("2", "success")).await, Answer::success());
    let took = started.elapsed().as_millis();
    assert!((900..1500).contains(&took), "{took} ms");

    for number in 3..=9 {
        webhook.post(&receipt(&number.to_string(), "success")).await;
    }
    assert_eq!(own_code.requests().len(), events.len() + 5, "then it is left alone");
    // Own code may work longer than a second on events, and answer messages all the same.
    own_code.answer(OwnAnswer::reply("here"));
    let xml = text("你好", 1);
    assert_eq!(webhook.post(&xml).await.content(&xml), "here");
}

#[tokio::test]
async fn own_code_that_is_down_is_left_alone_for_a_while() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::status(502, ""));
    let mut webhook = Webhook::start(&stage).await;
    let texts: Vec<String> = (0..8).map(|index| text("你好", index)).collect();
    for xml in &texts[..4] {
        assert_eq!(webhook.post(xml).await.content(xml), RULES);
    }
    own_code.answer_once(OwnAnswer::status(200, ""));
    webhook.post(&text("in between", 99)).await;
    assert_eq!(own_code.requests().len(), 5);
    for xml in &texts {
        webhook.post(xml).await;
    }
    assert_eq!(
        own_code.requests().len(),
        9,
        "four repeats, four failures after a success"
    );
    for index in 100..103 {
        let xml = text("你好", index);
        assert_eq!(webhook.post(&xml).await.content(&xml), RULES);
    }
    assert_eq!(own_code.requests().len(), 10, "left alone after the fifth in a row");
    let unasked = forwards(&stage).await.into_iter().filter(|item| item["attempts"] == 0);
    assert_eq!(unasked.count(), 2);
    let down = Webhook::start_with(&stage, &[("FORWARD_URL", &nobody())])
        .await
        .post(&click())
        .await;
    assert_eq!(down.content(&click()), RULES);
}

/// Own code takes 2 s here, of a budget of 6 s. With the real times it takes 12 s, and the third delivery is answered.
#[tokio::test]
async fn a_late_reply_is_shown_by_the_first_delivery_that_can_wait_for_it() {
    let own_code = OwnCode::start().await;
    let mut stage = stage(&own_code).await;
    let reply =
        json!({"reply": {"type": "text", "content": "after a while", "then": [{"type": "text", "content": "more"}]}});
    own_code.answer(OwnAnswer::status(200, reply.to_string()).after(Duration::from_secs(2)));
    hand_over(&mut stage);
    let late = [("FORWARD_BUDGET_MS", "6000")];
    let mut first = Webhook::start_with(&stage, &late).await;
    let (mut second, mut third) = (
        Webhook::start_with(&stage, &late).await,
        Webhook::start_with(&stage, &late).await,
    );
    second.0.started().await;
    third.0.started().await;
    let xml = text("你好", 1);
    let repeats = async {
        own_code.asked(1).await;
        let started = Instant::now();
        // The 5 s of this delivery end before the budget.
        let failed = second.send(&received(&xml, 4_000)).await;
        let took = started.elapsed().as_millis();
        assert!((550..1000).contains(&took), "{took} ms");
        assert_eq!(failed, Answer::try_again());
        tokio::time::sleep(Duration::from_millis(500)).await;
        third.send(&received(&xml, 0)).await
    };
    let delivery = received(&xml, 3_500);
    let (answer, answered) = tokio::join!(first.send(&delivery), repeats);
    assert_eq!(answered.content(&xml), "after a while");
    assert_eq!(answer.content(&xml), "after a while", "nobody listens any more");
    // Nobody waits for this delivery any more, so it has more time to hand over the further replies.
    assert!(!first.0.logs().contains("LostReplies"));
    assert_eq!(stage.lambda.kept().len(), 2);
    assert_eq!(own_code.requests().len(), 1);
}

/// WeChat has hung up by then, so there is time to write again.
#[tokio::test]
async fn a_table_that_hesitates_does_not_lose_a_late_reply() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await.behind_proxies().await;
    own_code.answer(OwnAnswer::reply("after a while").after(Duration::from_millis(1500)));
    let mut webhook = Webhook::start_with(&stage, &[("FORWARD_BUDGET_MS", "13000")]).await;
    webhook.0.started().await;
    stage.proxy(Service::Table).fail(2..=2, Fault::Freeze);
    let xml = text("你好", 1);
    webhook.send(&received(&xml, 4_000)).await;
    assert_eq!(webhook.post(&xml).await.content(&xml), "after a while");
    assert_eq!(own_code.requests().len(), 1);
}

/// WeChat's last delivery comes 10 s after the first.
#[tokio::test]
async fn a_run_that_takes_over_answers_while_wechat_waits() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::Hang);
    let late = [("FORWARD_BUDGET_MS", "13000")];
    let mut first = Webhook::start_with(&stage, &late).await;
    let mut last = Webhook::start_with(&stage, &late).await;
    last.0.started().await;
    let xml = text("你好", 1);
    tokio::select! {
        answer = first.post(&xml) => panic!("{answer:?}"),
        () = own_code.asked(1) => {}
    }
    first.0.kill().await;
    let kept = forward(&stage).await;
    let died = json!({"at": now() - 10, "claim_expires_at": now() - 1});
    let name = format!("forward#{}", kept["pk"].as_str().unwrap().rsplit_once('#').unwrap().1);
    stage.table.set(&name, &died).await;
    let started = Instant::now();
    assert_eq!(last.post(&xml).await.content(&xml), RULES);
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    assert_eq!(own_code.requests().len(), 2);
}

#[tokio::test]
async fn a_late_reply_that_does_not_come_is_replaced_by_the_rules() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::status(500, "").after(Duration::from_secs(1)));
    let late = [("FORWARD_BUDGET_MS", "13000")];
    let (mut first, mut second) = (
        Webhook::start_with(&stage, &late).await,
        Webhook::start_with(&stage, &late).await,
    );
    second.0.started().await;
    let xml = text("你好", 1);
    let repeat = async {
        own_code.asked(1).await;
        second.post(&xml).await
    };
    let (_, repeat) = tokio::join!(first.post(&xml), repeat);
    assert_eq!(repeat.content(&xml), RULES);
    assert_eq!(own_code.requests().len(), 1);
}

/// Twelve seconds of work by the real clock.
#[tokio::test]
async fn twelve_seconds_of_work_are_answered_at_the_third_delivery() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    own_code.answer(OwnAnswer::reply("worth the wait").after(Duration::from_secs(12)));
    let late = [("FORWARD_BUDGET_MS", "13000")];
    let mut functions = Vec::new();
    for _ in 0..3 {
        let mut webhook = Webhook::start_with(&stage, &late).await;
        webhook.0.started().await;
        functions.push(webhook);
    }
    let xml = &text("你好", 1);
    let deliveries = functions.iter_mut().zip(0..).map(|(webhook, number)| async move {
        tokio::time::sleep(Duration::from_secs(5 * number)).await;
        let started = Instant::now();
        let answer = webhook.send(&received(xml, 0)).await;
        (answer, started.elapsed())
    });
    let mut deliveries = deliveries.collect::<Vec<_>>().into_iter();
    let (first, second, third) = tokio::join!(
        deliveries.next().unwrap(),
        deliveries.next().unwrap(),
        deliveries.next().unwrap()
    );
    assert!(first.1 > Duration::from_secs(11), "WeChat has hung up: {:?}", first.1);
    assert_eq!(second.0, Answer::try_again());
    assert!((4500..4900).contains(&second.1.as_millis()), "{:?}", second.1);
    assert_eq!(third.0.content(xml), "worth the wait");
    assert!(third.1 < Duration::from_millis(2800), "{:?}", third.1);
    assert_eq!(own_code.requests().len(), 1);
}

#[tokio::test]
async fn own_codes_reply_to_a_scan_that_binds_wins() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut webhook = Webhook::start(&stage).await;
    for (id, answer, reply) in [
        ("b1", OwnAnswer::reply("welcome back"), "welcome back"),
        ("b2", OwnAnswer::status(204, ""), "绑定成功"),
    ] {
        let binding = json!({"user": id, "expires_at": now() + 600, "ttl": now() + 6000});
        stage.table.set(&format!("bind#{id}"), &binding).await;
        own_code.answer(answer);
        let xml = message("event", &format!("<Event>SCAN</Event><EventKey>bind.{id}</EventKey>"));
        assert_eq!(webhook.post(&xml).await.content(&xml), reply);
        assert_eq!(stage.table.item(&format!("bind#{id}")).await["openid"], "oUser");
    }
}

#[tokio::test]
async fn receipts_and_the_event_bus_go_on_beside_own_code() {
    let own_code = OwnCode::start().await;
    let mut stage = stage(&own_code).await;
    stage.set([("EVENT_BUS_NAME", "callbacks")]);
    own_code.answer(OwnAnswer::status(500, ""));
    let mut webhook = Webhook::start(&stage).await;
    assert_eq!(webhook.post(&receipt("7", "success")).await, Answer::success());
    assert_eq!(stage.table.item("message#7").await["status"], "delivered");
    let mut body = own_code.requests()[0].json();
    assert_eq!(body["type"], "event.TEMPLATESENDJOBFINISH");
    body.as_object_mut().unwrap().remove("type");
    assert_eq!(stage.bus.entries()[0]["Detail"], body);
}

#[tokio::test]
async fn without_own_code_nothing_is_kept_for_it() {
    let stage = crate::setup::stage(Mode::Plain).await;
    let mut webhook = Webhook::start(&stage).await;
    webhook.post(&text("你好", 1)).await;
    assert!(forwards(&stage).await.is_empty());
    assert!(webhook.log_lines_of_requests(1).await[0].get("own_code").is_none());
}
