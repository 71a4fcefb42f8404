//! What stops a campaign, and what it waits for.

use futures_util::future::join_all;
use serde_json::json;
use testing::{SEND, now, plan};
use wechat::campaign::{CampaignState, Order, Plan, WaitingFor};

use super::{bench, expected, of, run};
use crate::start;

/// The contents are the caller's, so the campaign has to be corrected or created again; until then WeChat is asked for
/// nobody else.
#[tokio::test]
async fn a_refusal_of_everybody_stops_it_and_after_a_resume_the_others_get_their_message() {
    join_all([40249, 43116, 40037, 48001].map(async |errcode: i64| {
        let bench = bench().await;
        let openids = bench.stage.wechat.followers(120).await;
        let fault = json!({"errcode": errcode, "after": 30, "times": 100});
        bench.stage.wechat.fault(SEND, &fault).await;
        let slow = Plan { pace: 200, ..plan() };
        bench.started(slow, &openids).await;
        let mut worker = start(&bench.stage).await;
        run(&mut worker).await;
        let campaign = bench.campaign().await;
        assert_eq!(campaign.state, CampaignState::Stopped, "{errcode}: {campaign:?}");
        let reason = campaign.reason.clone().unwrap();
        assert!(
            reason.starts_with(&format!("errcode {errcode} (")) && reason.contains(" / "),
            "{reason}"
        );
        let totals = bench.totals().await;
        assert_eq!((totals.sent, totals.refused, totals.queued), (30, 0, 90), "{errcode}");

        bench.stage.wechat.clear_faults().await;
        bench.order(Order::Resume).await;
        bench.run_to_end(worker).await;
        assert_eq!(of(bench.totals().await), expected([("sent", 120)]), "{errcode}");
        assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
    }))
    .await;
}

#[tokio::test]
async fn when_the_first_fifty_are_refused_it_stops() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 43004, "times": 1000}))
        .await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    bench.run_to_end(start(&bench.stage).await).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Stopped);
    let sends = bench.sends().await;
    assert!((50..=60).contains(&sends), "{sends}");
    assert_eq!(bench.totals().await.refused, sends as u64);
}

/// A run on AWS ends after two minutes, in which a slow campaign gets fewer answers than count.
#[tokio::test]
async fn half_of_two_hundred_refusals_stop_it_however_many_runs_they_take() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(320).await;
    let wechat = &bench.stage.wechat;
    wechat
        .fault(SEND, &json!({"errcode": 43004, "after": 5, "times": 120}))
        .await;
    wechat
        .fault(SEND, &json!({"errcode": 42001, "after": 5, "times": 1000}))
        .await;
    bench.started(Plan { pace: 100, ..plan() }, &openids).await;
    let mut worker = start(&bench.stage).await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Token));
    assert_eq!(bench.totals().await.refused, 120);

    wechat.clear_faults().await;
    wechat.fault(SEND, &json!({"errcode": 43004, "times": 1000})).await;
    bench.end_wait().await;
    bench.run_to_end(worker).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.state, CampaignState::Stopped, "{campaign:?}");
    let totals = bench.totals().await;
    assert!((195..=215).contains(&totals.refused), "{totals:?}");
}

#[tokio::test]
async fn a_whitelist_or_a_dead_token_is_waited_for_and_nobody_is_refused_for_it() {
    let waits = [(40164, WaitingFor::Whitelist), (42001, WaitingFor::Token)];
    join_all(waits.map(async |(errcode, waits_for)| {
        let bench = bench().await;
        let openids = bench.stage.wechat.followers(40).await;
        bench
            .stage
            .wechat
            .fault(SEND, &json!({"errcode": errcode, "after": 10, "times": 1000}))
            .await;
        bench.started(Plan { pace: 100, ..plan() }, &openids).await;
        let mut worker = start(&bench.stage).await;
        run(&mut worker).await;
        let campaign = bench.campaign().await;
        assert_eq!(campaign.waiting_for, Some(waits_for), "{campaign:?}");
        assert_eq!(of(bench.totals().await), expected([("sent", 10), ("queued", 30)]));
        let resumes_at = campaign.resumes_at.unwrap();
        assert!((20..=60).contains(&(resumes_at - now())));

        bench.stage.wechat.clear_faults().await;
        bench.end_wait().await;
        bench.run_to_end(worker).await;
        assert_eq!(of(bench.totals().await), expected([("sent", 40)]), "{errcode}");
        assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
    }))
    .await;
}

#[tokio::test]
async fn a_probe_without_a_clear_answer_is_no_success() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(30).await;
    let fault = json!({"errcode": 42001, "after": 10, "times": 1000});
    bench.stage.wechat.fault(SEND, &fault).await;
    bench.started(Plan { pace: 100, ..plan() }, &openids).await;
    let mut worker = start(&bench.stage).await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Token));

    bench.stage.wechat.clear_faults().await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": -1, "times": 1000}))
        .await;
    let before = bench.sends().await;
    bench.end_wait().await;
    run(&mut worker).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.state, CampaignState::Waiting, "{campaign:?}");
    assert_eq!(campaign.progress.probes, 1);
    assert_eq!(bench.sends().await, before + 1, "one message for one probe");

    bench.stage.wechat.clear_faults().await;
    bench.end_wait().await;
    bench.run_to_end(worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 30)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}
