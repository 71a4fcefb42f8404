//! The pace, and how soon an order is followed.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use testing::{CampaignStage, now, plan};
use wechat::campaign::{CampaignState, Order, Plan};

use super::{bench, expected, lose_token_for, of, run, send_times};
use crate::start;

async fn sends_by_second(bench: &CampaignStage) -> BTreeMap<i64, i64> {
    let mut by_second = BTreeMap::new();
    for at in send_times(bench).await {
        *by_second.entry(at).or_default() += 1;
    }
    by_second
}

#[tokio::test]
async fn the_pace_is_kept_in_every_second_of_a_run() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(700).await;
    bench.started(Plan { pace: 40, ..plan() }, &openids).await;
    let mut worker = start(&bench.stage).await;
    worker.invoke_within(&json!({"action": "run"}), 22_000).await;
    let by_second = sends_by_second(&bench).await;
    assert!(by_second.values().all(|count| *count <= 60), "{by_second:?}");
    let seconds: Vec<i64> = by_second.values().copied().collect();
    let most_in = |seconds_in_a_row| {
        let sums = seconds.windows(seconds_in_a_row).map(|row| row.iter().sum::<i64>());
        sums.max().unwrap()
    };
    assert!(most_in(10) <= 420, "{by_second:?}");
    // What a busy machine has missed is not caught up, so the best five seconds show the pace.
    assert!(most_in(5) >= 190, "{by_second:?}");
}

#[tokio::test]
async fn after_a_pause_no_message_goes_out_and_after_a_resume_the_rest_does() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    let mut worker = start(&bench.stage).await;
    let pause = async {
        bench.until_sends(20).await;
        bench.order(Order::Pause).await;
        now()
    };
    let (_, paused_at) = tokio::join!(run(&mut worker), pause);
    let last = send_times(&bench).await.into_iter().max().unwrap();
    assert!(last - paused_at <= 5, "{} s after the pause", last - paused_at);
    let campaign = bench.campaign().await;
    assert_eq!(campaign.state, CampaignState::Paused);
    let totals = bench.totals().await;
    assert_eq!(totals.sent as usize, bench.sends().await);
    assert!(totals.queued > 0);
    bench.order(Order::Resume).await;
    bench.run_to_end(worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 150)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

/// Messages that WeChat refused because of the token wait for the next token, longer than a pause may take to stop the
/// sends.
#[tokio::test]
async fn a_message_that_waits_for_a_token_does_not_go_out_after_a_pause() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench.started(Plan { pace: 50, ..plan() }, &openids).await;
    let mut worker = start(&bench.stage).await;
    let pause = async {
        bench.until_sends(20).await;
        lose_token_for(&bench, 8).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.order(Order::Pause).await;
        now()
    };
    let event = json!({"action": "run"});
    let (_, paused_at) = tokio::join!(worker.invoke_within(&event, 20_000), pause);
    let last = send_times(&bench).await.into_iter().max().unwrap();
    assert!(last - paused_at <= 5, "{} s after the pause", last - paused_at);
    assert_eq!(bench.campaign().await.state, CampaignState::Paused);
    bench.stage.mend().await;
    bench.order(Order::Resume).await;
    bench.run_to_end(worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 150)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn those_who_waited_for_a_token_go_out_at_the_pace() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench.started(Plan { pace: 30, ..plan() }, &openids).await;
    let worker = start(&bench.stage).await;
    let lose_token = async {
        bench.until_sends(20).await;
        lose_token_for(&bench, 4).await;
    };
    tokio::join!(bench.run_to_end(worker), lose_token);
    assert_eq!(of(bench.totals().await), expected([("sent", 150)]));
    let by_second = sends_by_second(&bench).await;
    assert!(by_second.values().all(|count| *count <= 36), "{by_second:?}");
}

/// Another program ends the token, and the next one comes a moment later.
#[tokio::test]
async fn those_in_line_do_not_go_out_with_a_dead_token() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(300).await;
    bench.started(Plan { pace: 50, ..plan() }, &openids).await;
    let worker = start(&bench.stage).await;
    let lose_token = async {
        bench.until_sends(60).await;
        lose_token_for(&bench, 1).await;
    };
    tokio::join!(bench.run_to_end(worker), lose_token);
    assert_eq!(of(bench.totals().await), expected([("sent", 300)]));
    let refused = bench.sends().await - 300;
    assert!((1..=30).contains(&refused), "{refused} went out with the dead token");
}
