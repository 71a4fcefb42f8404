//! The beginning and the end of a campaign: its start, its canary, its deletion.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use testing::{CAMPAIGN, Fault, SEND, Service, eventually, now, now_millis, plan, scheduled_message};
use wechat::{
    campaign::{Audience, CampaignState, Canary, CanaryStep, Order, Plan, Recipient},
    store::MessageStatus,
};

use super::{QUOTA, bench, expected, of, run};
use crate::start;

/// Single messages go first, but slow answers to them must not hold a campaign up for a minute.
#[tokio::test]
async fn single_messages_that_hang_do_not_keep_a_campaign_from_beginning() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(2).await;
    for number in 0..60 {
        let single = scheduled_message(now(), None);
        let scheduled = bench.table.schedule_message(&format!("s{number}"), &single).await;
        assert_eq!(scheduled.unwrap(), None);
    }
    let hangs = json!({"delay_ms": 60_000, "times": 60});
    bench.stage.wechat.fault(SEND, &hangs).await;
    bench.started(plan(), &openids).await;
    let mut worker = start(&bench.stage).await;
    let began = Instant::now();
    tokio::select! {
        done = run(&mut worker) => panic!("the single messages hang: {done}"),
        () = eventually("the campaign", async || (bench.stage.wechat.calls(QUOTA).await > 0).then_some(())) => {}
    }
    let after = began.elapsed().as_secs();
    assert!((14..21).contains(&after), "{after} s");
}

#[tokio::test]
async fn a_canary_whose_receipts_say_failed_stops_it_and_a_good_one_goes_on() {
    let ends = [
        (MessageStatus::Failed, CampaignState::Stopped),
        (MessageStatus::Delivered, CampaignState::Done),
    ];
    join_all(ends.map(async |(status, state)| {
        let bench = bench().await;
        let openids = bench.stage.wechat.followers(50).await;
        let canary = Plan {
            canary: Some(Canary { count: 10, wait: 3 }),
            ..plan()
        };
        bench.started(canary, &openids).await;
        let worker = start(&bench.stage).await;
        let receipts = async {
            bench.until_sends(10).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(bench.sends().await, 10);
            bench.record_receipts(&openids, status, now()).await;
        };
        tokio::join!(bench.run_to_end(worker), receipts);
        let campaign = bench.campaign().await;
        assert_eq!(campaign.state, state, "{campaign:?}");
        let sends = if state == CampaignState::Stopped { 10 } else { 50 };
        assert_eq!(bench.sends().await, sends);
    }))
    .await;
}

#[tokio::test]
async fn the_canary_goes_to_as_many_as_was_said_whoever_is_refused_before() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(30).await;
    let nobody = (0..20).map(|number| Recipient {
        user: Some(format!("nobody-{number}")),
        ..Recipient::default()
    });
    let part: Vec<Recipient> = nobody.chain(openids.iter().cloned().map(Recipient::of)).collect();
    let canary = Plan {
        canary: Some(Canary { count: 10, wait: 600 }),
        ..plan()
    };
    bench.draft(canary, &[part]).await;
    bench.order(Order::Start).await;
    let is_waiting = || async {
        let canary = bench.campaign().await.progress.canary;
        matches!(canary, CanaryStep::AwaitingReceipts(_))
    };
    bench.run_until(start(&bench.stage).await, is_waiting).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Canary);
    let totals = [("sent", 10), ("refused", 20), ("queued", 20)];
    assert_eq!(of(bench.totals().await), expected(totals));
}

#[tokio::test]
async fn a_start_in_the_future_is_waited_for() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(5).await;
    let later = Plan {
        start_at: Some(now() + 3600),
        ..plan()
    };
    bench.started(later, &openids).await;
    let mut worker = start(&bench.stage).await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Scheduled);
    assert_eq!(bench.sends().await, 0);
    bench
        .stage
        .table
        .set(&format!("campaign#{CAMPAIGN}"), &json!({"start_at": now()}))
        .await;
    bench.make_due().await;
    bench.run_to_end(worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 5)]));
}

#[tokio::test]
async fn a_run_with_nothing_due_asks_the_table_a_few_times_and_wechat_never() {
    let bench = bench().await;
    let mut worker = start(&bench.stage).await;
    bench.stage.mend().await;
    let began = now_millis();
    assert_eq!(run(&mut worker).await, json!({}));
    assert!(now_millis() - began < 1_000);
    assert!(bench.stage.proxy(Service::Table).requests().len() <= 10);
    assert!(bench.stage.proxy(Service::WeChat).requests().is_empty());
}

#[tokio::test]
async fn of_a_deleted_campaign_nothing_stays_but_the_records_of_its_messages() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(120).await;
    bench.started(plan(), &openids).await;
    let mut worker = start(&bench.stage).await;
    run(&mut worker).await;
    assert!(
        bench
            .table
            .delete_campaign(CAMPAIGN, now(), |campaign| campaign.state.has_ended())
            .await
            .unwrap()
            .unwrap()
            .is_ok()
    );
    assert_eq!(bench.table.campaign(CAMPAIGN).await.unwrap(), None);
    run(&mut worker).await;
    let items = bench.stage.table.items().await;
    let left: Vec<&str> = items
        .iter()
        .filter_map(|item| item["pk"].as_str())
        .filter(|pk| pk.starts_with("campaign#") && !pk.contains("#part#"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(items.iter().filter(|item| item["campaign"] == CAMPAIGN).count(), 120);
}

/// With a table this slow the run notices the order while it reads the last of three blocks of chunks.
#[tokio::test]
async fn a_pause_in_the_last_step_of_loading_keeps_the_totals_and_the_canary() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(201).await;
    let careful = Plan {
        canary: Some(Canary { count: 10, wait: 600 }),
        ..plan()
    };
    bench.draft(careful, &[]).await;
    let chunks: Vec<_> = openids
        .iter()
        .map(|openid| vec![Recipient::of(openid.clone())])
        .collect();
    bench.table.put_chunks(CAMPAIGN, 0, &chunks).await.unwrap();
    let counted = json!({"chunks": 201, "entries": 201});
    bench.stage.table.set(&format!("campaign#{CAMPAIGN}"), &counted).await;
    bench.order(Order::Start).await;
    let mut worker = start(&bench.stage).await;
    let slow = Fault::Delay(Duration::from_millis(500));
    bench.stage.proxy(Service::Table).fail(.., slow);
    let pause = async {
        eventually("the run", || async { bench.campaign().await.run_ends_at.map(|_| ()) }).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        bench.order(Order::Pause).await;
    };
    tokio::join!(run(&mut worker), pause);
    assert_eq!(bench.campaign().await.state, CampaignState::Paused);
    assert_eq!(of(bench.totals().await), expected([("queued", 201)]));

    bench.stage.mend().await;
    bench.order(Order::Resume).await;
    worker.invoke_within(&json!({"action": "run"}), 12_000).await;
    assert_eq!(bench.sends().await, 10);
}

/// A run writes a page of followers before the campaign counts it, and may die in between.
#[tokio::test]
async fn of_a_deleted_campaign_no_followers_stay_that_it_did_not_count() {
    let bench = bench().await;
    let followers = Plan {
        audience: Audience::Followers,
        ..plan()
    };
    bench.draft(followers, &[]).await;
    let progress = json!({"loading": {"step": "followers", "after": "o1"}}).to_string();
    let name = format!("campaign#{CAMPAIGN}");
    bench.stage.table.set(&name, &json!({"progress": progress})).await;
    let page = vec![vec![Recipient::of("o2".to_owned())]];
    bench.table.put_chunks(CAMPAIGN, 0, &page).await.unwrap();
    let deleted = bench.table.delete_campaign(CAMPAIGN, now(), |_| true).await;
    assert!(deleted.unwrap().unwrap().is_ok());
    run(&mut start(&bench.stage).await).await;
    let items = bench.stage.table.items().await;
    assert!(
        !items
            .iter()
            .any(|item| item["pk"].as_str().unwrap().contains("#chunk#")),
        "{items:?}"
    );
}
