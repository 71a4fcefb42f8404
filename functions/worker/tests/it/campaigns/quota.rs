//! The day's quota, and what is kept for single sends.

use serde_json::json;
use testing::{now, now_millis};
use wechat::campaign::{Audience, CampaignState, Canary, Order, Plan, WaitingFor};

use super::{Bench, QUOTA, SEND, expected, of, plan, run};

#[tokio::test]
async fn a_used_up_quota_is_waited_for_until_midnight_in_beijing() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 45009, "after": 20, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    let campaign = bench.campaign().await;
    assert_eq!(
        (campaign.state, campaign.waiting_for),
        (CampaignState::Waiting, Some(WaitingFor::Quota))
    );
    let resumes_at = campaign.resumes_at.unwrap();
    let to_midnight = (resumes_at + 8 * 3600) % 86_400;
    assert!(
        to_midnight < 900 || resumes_at - now() <= 300,
        "{to_midnight} s after midnight"
    );
    assert_eq!(of(bench.totals().await), expected([("sent", 20), ("queued", 40)]));
    assert_eq!(run(&mut worker).await, json!({}), "it is not due");

    // One probe, which finds that there is no quota yet.
    bench.wait_is_over().await;
    let before = bench.sends().await;
    run(&mut worker).await;
    assert_eq!(bench.sends().await, before + 1);
    assert_eq!(bench.campaign().await.state, CampaignState::Waiting);

    bench.stage.wechat.clear_faults().await;
    bench.wait_is_over().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 60)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn what_is_kept_for_single_sends_is_never_taken() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench
        .stage
        .wechat
        .control("quotas", &json!({"path": SEND, "daily_limit": 120}))
        .await;
    let reserved = Plan {
        keep_for_single_sends: Some(33),
        ..plan()
    };
    bench.started(reserved, &openids).await;
    run(&mut bench.worker().await).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.waiting_for, Some(WaitingFor::Quota));
    let reason = campaign.reason.unwrap();
    assert!(reason.contains("33") && reason.contains("120"), "{reason}");
    assert_eq!(bench.sends().await, 120 - 33);
    assert_eq!(of(bench.totals().await), expected([("sent", 87), ("queued", 63)]));
}

#[tokio::test]
async fn two_campaigns_at_once_leave_what_is_kept() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench
        .stage
        .wechat
        .control("quotas", &json!({"path": SEND, "daily_limit": 120}))
        .await;
    let reserved = || Plan {
        keep_for_single_sends: Some(33),
        pace: 50,
        ..plan()
    };
    let other = Plan {
        audience: Audience::Followers,
        ..reserved()
    };
    bench.table.create_campaign("c2", &other, now_millis()).await.unwrap();
    bench.order_of("c2", Order::Start).await;
    bench.started(reserved(), &openids).await;
    run(&mut bench.worker().await).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Quota));
    let sends = bench.sends().await;
    assert!((120 - 33 - 2..=120 - 33).contains(&sends), "{sends}");
}

/// An account may lack the permission for `quota/get`: WeChat's own refusal ends the day then.
#[tokio::test]
async fn without_an_answer_about_the_quota_it_goes_on() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(30).await;
    bench
        .stage
        .wechat
        .fault(QUOTA, &json!({"errcode": 48001, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    run(&mut bench.worker().await).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 30)]));
}

/// Its messages are sent, and it waits for their receipts: it needs no quota meanwhile.
#[tokio::test]
async fn a_canary_that_waits_keeps_no_quota_from_others() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(60).await;
    let limit = json!({"path": SEND, "daily_limit": 200});
    bench.stage.wechat.control("quotas", &limit).await;
    let canary = Plan {
        audience: Audience::Followers,
        canary: Some(Canary { count: 2, wait: 3_600 }),
        keep_for_single_sends: Some(130),
        ..plan()
    };
    bench.table.create_campaign("c2", &canary, now_millis()).await.unwrap();
    bench.order_of("c2", Order::Start).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    assert_eq!(bench.sends().await, 2);
    bench.stage.table.set("campaign#c2#due", &json!({"isk": now()})).await;
    let other = Plan {
        keep_for_single_sends: Some(130),
        ..plan()
    };
    bench.started(other, &openids).await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 60)]));
}

#[tokio::test]
async fn a_probe_without_a_clear_answer_waits_for_no_other_day() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(5).await;
    let used_up = json!({"errcode": 45009, "after": 2, "times": 1000});
    bench.stage.wechat.fault(SEND, &used_up).await;
    bench.started(plan(), &openids).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Quota));

    bench.stage.wechat.clear_faults().await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 45011, "times": 1}))
        .await;
    bench.wait_is_over().await;
    run(&mut worker).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.waiting_for, Some(WaitingFor::Platform));
    assert!(campaign.resumes_at.unwrap() - now() <= 300, "{campaign:?}");

    bench.wait_is_over().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 5)]));
}

/// The reserve may be all that is left.
#[tokio::test]
async fn while_wechat_does_not_answer_about_the_quota_nothing_goes_out() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(5).await;
    bench
        .stage
        .wechat
        .fault(QUOTA, &json!({"errcode": -1, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Platform));
    assert_eq!(bench.sends().await, 0);

    bench.stage.wechat.clear_faults().await;
    bench.wait_is_over().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 5)]));
}
