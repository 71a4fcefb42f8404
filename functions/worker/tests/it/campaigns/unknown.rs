//! Outcomes that are unknown: repeated while that is safe, then said.

use serde_json::json;
use testing::{CampaignStage, Fault, SEND, Service, now, plan};
use wechat::{
    campaign::{CampaignState, Order, Plan},
    store::MessageStatus,
};

use super::{TEN_MINUTES, bench, expected, kill_while_it_sends, of, run};
use crate::start;

#[tokio::test]
async fn an_answer_that_leaves_open_what_happened_is_asked_for_again_and_sent_once() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench.started(Plan { pace: 100, ..plan() }, &openids).await;
    let proxy = bench.stage.proxy(Service::WeChat);
    let worker = start(&bench.stage).await;
    // The first is the question about the quota.
    proxy.fail(5..=12, Fault::LoseAnswer);
    bench.run_to_end(worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 60)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
    assert!(bench.sends().await > 60);
}

#[tokio::test]
async fn a_message_that_was_refused_as_a_repeat_may_have_been_sent() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(3).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": -1, "times": 1}))
        .await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 40241, "after": 2, "times": 100}))
        .await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    bench.run_to_end(start(&bench.stage).await).await;
    let totals = bench.totals().await;
    assert_eq!((totals.sent, totals.unknown), (2, 1), "{totals:?}");
    assert_eq!(bench.sends().await, 4, "a clear refusal is not asked for again");
}

#[tokio::test]
async fn receipts_are_taken_in_while_another_outcome_is_asked_for_again() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(20).await;
    let fault = json!({"errcode": -1, "after": 19, "times": 1000});
    bench.stage.wechat.fault(SEND, &fault).await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    let receipts = async {
        bench.until_sends(20).await;
        bench.record_receipts(&openids, MessageStatus::Delivered, now()).await;
    };
    let is_taken_in = || async { bench.totals().await.delivered == 19 };
    tokio::join!(bench.run_until(start(&bench.stage).await, is_taken_in), receipts);
    let totals = bench.totals().await;
    assert_eq!(
        (totals.delivered, totals.queued + totals.unknown),
        (19, 1),
        "{totals:?}"
    );
}

#[tokio::test]
async fn a_stopped_campaign_that_resends_loses_nobody() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(120).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 40249, "after": 40, "times": 1000}))
        .await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    kill_while_it_sends(&bench, 20).await;
    bench.forget_messages(&openids).await;
    bench.age(TEN_MINUTES).await;
    bench.run_to_end(start(&bench.stage).await).await;
    let stopped = bench.totals().await;
    assert_eq!(bench.campaign().await.state, CampaignState::Stopped);
    assert!(stopped.unknown > 0 && stopped.queued > 0, "{stopped:?}");

    // WeChat refuses repeats to recipients whom the message may have reached: their outcome stays unknown.
    bench.stage.wechat.clear_faults().await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 43004, "times": 1}))
        .await;
    bench.order(Order::Resend).await;
    bench.run_to_end(start(&bench.stage).await).await;
    let resent = bench.totals().await;
    assert_eq!(bench.campaign().await.state, CampaignState::Stopped);
    assert_eq!(
        (resent.unknown, resent.refused, resent.queued),
        (1, 0, stopped.queued),
        "{resent:?}"
    );
    assert_eq!(resent.sent, stopped.sent + stopped.unknown - 1);

    bench.order(Order::Resume).await;
    bench.run_to_end(start(&bench.stage).await).await;
    let totals = bench.totals().await;
    assert_eq!((totals.sent, totals.unknown, totals.queued), (119, 1, 0), "{totals:?}");
}

#[tokio::test]
async fn a_resend_that_is_cut_short_before_anybody_is_queued_goes_on_later() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(3).await;
    let fault = json!({"errcode": -1, "after": 2, "times": 1000});
    bench.stage.wechat.fault(SEND, &fault).await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    let (mut worker, event) = (start(&bench.stage).await, json!({"action": "run"}));
    worker.invoke_within(&event, 3_000).await;
    bench.age(TEN_MINUTES).await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Done);
    assert_eq!(of(bench.totals().await), expected([("sent", 2), ("unknown", 1)]));

    bench.stage.wechat.clear_faults().await;
    bench.order(Order::Resend).await;
    worker.invoke_within(&event, 30).await;
    bench.run_to_end(worker).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Done);
    assert_eq!(of(bench.totals().await), expected([("sent", 3)]));
}

/// A campaign that has ended with all outcomes unknown: WeChat took the messages, and its answers were lost.
async fn ended_without_answers(bench: &CampaignStage, openids: &[String]) {
    bench.started(Plan { pace: 20, ..plan() }, openids).await;
    // The first call is the question about the quota.
    bench.stage.proxy(Service::WeChat).fail(2.., Fault::LoseAnswer);
    let mut worker = start(&bench.stage).await;
    worker.invoke_within(&json!({"action": "run"}), 4_000).await;
    bench.stage.mend().await;
    bench.age(TEN_MINUTES).await;
    bench.run_to_end(worker).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Done);
    assert_eq!(of(bench.totals().await), expected([("unknown", openids.len() as u64)]));
}

#[tokio::test]
async fn a_resend_leaves_out_those_whose_receipts_have_come() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(3).await;
    ended_without_answers(&bench, &openids).await;
    let sends = bench.sends().await;
    bench
        .record_receipts(&openids[..2], MessageStatus::Delivered, now())
        .await;
    bench.order(Order::Resend).await;
    bench.run_to_end(start(&bench.stage).await).await;
    assert_eq!(bench.sends().await, sends + 1);
    assert_eq!(of(bench.totals().await), expected([("delivered", 2), ("sent", 1)]));
}

#[tokio::test]
async fn who_is_cancelled_in_a_resend_stays_unknown() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(3).await;
    ended_without_answers(&bench, &openids).await;
    let used_up = json!({"errcode": 45009, "times": 1000});
    bench.stage.wechat.fault(SEND, &used_up).await;
    let mut worker = start(&bench.stage).await;
    bench.order(Order::Resend).await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Waiting);
    bench.order(Order::Cancel).await;
    assert_eq!(of(bench.totals().await), expected([("unknown", 3)]));

    bench
        .record_receipts(&openids[..1], MessageStatus::Delivered, now())
        .await;
    bench.look_for_receipts().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("delivered", 1), ("unknown", 2)]));

    bench.stage.wechat.clear_faults().await;
    bench.order(Order::Resend).await;
    bench.run_to_end(worker).await;
    assert_eq!(of(bench.totals().await), expected([("delivered", 1), ("sent", 2)]));
}
