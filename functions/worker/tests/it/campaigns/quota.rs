//! The day's quota, and what is kept for single sends.

use serde_json::json;
use testing::{CampaignStage, SEND, eventually, now, plan};
use wechat::campaign::{Audience, CampaignState, Canary, CanaryStep, Order, Plan, WaitingFor};

use super::{QUOTA, bench, expected, of, run};
use crate::start;

const OTHER: &str = "c2";

/// Lets the account send this many messages a day.
async fn limit(bench: &CampaignStage, daily_limit: u64) {
    let limit = json!({"path": SEND, "daily_limit": daily_limit});
    bench.stage.wechat.control("quotas", &limit).await;
}

/// A plan that keeps this many of the day's messages for single sends.
fn keeping(messages: u64) -> Plan {
    Plan {
        keep_for_single_sends: Some(messages),
        ..plan()
    }
}

/// Starts `plan`, to all followers, as another campaign.
async fn start_other(bench: &CampaignStage, plan: Plan) {
    let plan = Plan {
        audience: Audience::Followers,
        ..plan
    };
    bench.draft_of(OTHER, plan).await;
    bench.order_of(OTHER, Order::Start).await;
}

#[tokio::test]
async fn a_used_up_quota_is_waited_for_until_midnight_in_beijing() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 45009, "after": 20, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    let mut worker = start(&bench.stage).await;
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
    bench.end_wait().await;
    let before = bench.sends().await;
    run(&mut worker).await;
    assert_eq!(bench.sends().await, before + 1);
    assert_eq!(bench.campaign().await.state, CampaignState::Waiting);

    bench.stage.wechat.clear_faults().await;
    bench.end_wait().await;
    bench.run_to_end(worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 60)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn what_is_kept_for_single_sends_is_never_taken() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(150).await;
    limit(&bench, 120).await;
    bench.started(keeping(33), &openids).await;
    let is_waiting = || async { bench.campaign().await.state == CampaignState::Waiting };
    bench.run_until(start(&bench.stage).await, is_waiting).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.waiting_for, Some(WaitingFor::Quota));
    let reason = campaign.reason.unwrap();
    assert!(reason.contains("33") && reason.contains("120"), "{reason}");
    assert_eq!(bench.sends().await, 120 - 33);
    assert_eq!(of(bench.totals().await), expected([("sent", 87), ("queued", 63)]));
}

#[tokio::test]
async fn two_campaigns_at_once_leave_what_is_kept() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(150).await;
    limit(&bench, 120).await;
    let plan = Plan {
        pace: 50,
        ..keeping(33)
    };
    start_other(&bench, plan.clone()).await;
    bench.started(plan, &openids).await;
    run(&mut start(&bench.stage).await).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Quota));
    let sends = bench.sends().await;
    assert!((120 - 33 - 2..=120 - 33).contains(&sends), "{sends}");
}

/// An account may lack the permission for `quota/get`: WeChat's own refusal ends the day then.
#[tokio::test]
async fn without_an_answer_about_the_quota_it_goes_on() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(30).await;
    bench
        .stage
        .wechat
        .fault(QUOTA, &json!({"errcode": 48001, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    bench.run_to_end(start(&bench.stage).await).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 30)]));
}

/// A gateway answers one question about the quota with an HTML page.
#[tokio::test]
async fn an_unreadable_answer_about_the_quota_does_not_give_the_reserve_away() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(150).await;
    limit(&bench, 200).await;
    let html = json!({"body": "<html>busy</html>", "after": 1, "times": 1});
    bench.stage.wechat.fault(QUOTA, &html).await;
    let plan = Plan {
        pace: 100,
        ..keeping(100)
    };
    bench.started(plan, &openids).await;
    run(&mut start(&bench.stage).await).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Quota));
    assert_eq!(bench.sends().await, 100);
}

/// The question about the quota comes first, and its failure says as much as a message's.
#[tokio::test]
async fn what_keeps_the_quota_from_being_read_is_said() {
    for (errcode, waiting_for) in [
        (40164, WaitingFor::Whitelist),
        (45009, WaitingFor::Quota),
        (42001, WaitingFor::Token),
    ] {
        let bench = bench().await;
        let openids = bench.stage.wechat.followers(3).await;
        let refused = json!({"errcode": errcode, "times": 1000});
        bench.stage.wechat.fault(QUOTA, &refused).await;
        bench.started(plan(), &openids).await;
        run(&mut start(&bench.stage).await).await;
        let campaign = bench.campaign().await;
        assert_eq!(campaign.waiting_for, Some(waiting_for), "{campaign:?}");
        let reason = campaign.reason.unwrap();
        assert!(reason.contains(&errcode.to_string()), "{reason}");
        assert_eq!(bench.sends().await, 0);
    }
}

/// Its messages are sent, and it waits for their receipts: it needs no quota meanwhile.
#[tokio::test]
async fn a_canary_that_waits_keeps_no_quota_from_others() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(60).await;
    limit(&bench, 200).await;
    let canary = Plan {
        canary: Some(Canary { count: 2, wait: 3_600 }),
        ..keeping(130)
    };
    start_other(&bench, canary).await;
    let mut waits = start(&bench.stage).await;
    let others = async {
        let is_waiting = || async {
            let canary = bench.campaign_of(OTHER).await.progress.canary;
            matches!(canary, CanaryStep::AwaitingReceipts(_)).then_some(())
        };
        eventually("the wait for the receipts", is_waiting).await;
        assert_eq!(bench.sends().await, 2);
        bench.started(keeping(130), &openids).await;
        bench.run_to_end(start(&bench.stage).await).await;
    };
    tokio::select! {
        done = run(&mut waits) => panic!("it waits no more: {done}"),
        () = others => {}
    }
    assert_eq!(of(bench.totals().await), expected([("sent", 60)]));
}

#[tokio::test]
async fn a_probe_without_a_clear_answer_waits_for_no_other_day() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(5).await;
    let used_up = json!({"errcode": 45009, "after": 2, "times": 1000});
    bench.stage.wechat.fault(SEND, &used_up).await;
    bench.started(plan(), &openids).await;
    let mut worker = start(&bench.stage).await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Quota));

    bench.stage.wechat.clear_faults().await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 45011, "times": 1}))
        .await;
    bench.end_wait().await;
    run(&mut worker).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.waiting_for, Some(WaitingFor::Platform));
    assert!(campaign.resumes_at.unwrap() - now() <= 300, "{campaign:?}");

    bench.end_wait().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 5)]));
}

/// The reserve may be all that is left.
#[tokio::test]
async fn while_wechat_does_not_answer_about_the_quota_nothing_goes_out() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(5).await;
    bench
        .stage
        .wechat
        .fault(QUOTA, &json!({"errcode": -1, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    let mut worker = start(&bench.stage).await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Platform));
    assert_eq!(bench.sends().await, 0);

    bench.stage.wechat.clear_faults().await;
    bench.end_wait().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 5)]));
}
