//! A run that dies, another that takes over, and a table that fails.

use std::collections::HashSet;

use serde_json::json;
use testing::{CampaignStage, Fault, SEND, Service, now, plan};
use wechat::{
    campaign::{CampaignState, Order, Plan},
    store::MessageStatus,
};

use super::{TEN_MINUTES, bench, expected, kill_while_it_sends, of, run, send_times};
use crate::start;

#[tokio::test]
async fn what_was_in_flight_when_a_campaign_was_cancelled_is_counted_in_the_end() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench.started(Plan { pace: 30, ..plan() }, &openids).await;
    kill_while_it_sends(&bench, 30).await;
    bench.order(Order::Cancel).await;
    bench.age(TEN_MINUTES).await;
    bench.make_due().await;
    run(&mut start(&bench.stage).await).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Cancelled);
    let totals = bench.totals().await;
    let received: usize = bench.received(&openids).await.iter().sum();
    assert!(totals.sent + totals.unknown >= received as u64, "{totals:?}");
    assert_eq!(received, bench.sends().await, "nothing goes out after the order");
}

#[tokio::test]
async fn a_run_that_dies_loses_nothing_and_doubles_nothing() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(250).await;
    bench.started(Plan { pace: 100, ..plan() }, &openids).await;
    for sends in [20, 90, 170] {
        kill_while_it_sends(&bench, sends).await;
        bench.stage.table.end_claims().await;
    }
    bench.run_to_end(start(&bench.stage).await).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 250)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

/// The messages that the run had claimed may have been sent, and WeChat would no longer recognise a repeat.
#[tokio::test]
async fn a_run_that_dies_leaves_seconds_of_its_pace_unknown() {
    for pace in [1, 20] {
        let bench = bench().await;
        let openids = bench.stage.wechat.followers(500).await;
        bench.started(Plan { pace, ..plan() }, &openids).await;
        kill_while_it_sends(&bench, 3).await;
        let answered = bench.received(&openids).await.iter().sum::<usize>() as u64;
        bench.age(TEN_MINUTES).await;
        bench.stage.table.end_claims().await;
        // The second run counts what the dead one has left before it sends.
        kill_while_it_sends(&bench, 4).await;
        let claimed = 12 * u64::from(pace);
        let unknown = bench.totals().await.unknown;
        assert!(unknown <= answered + claimed, "{unknown} at {pace} a second");
    }
}

#[tokio::test]
async fn what_a_dead_run_sent_long_ago_is_counted_by_its_records_and_receipts_or_unknown() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench.started(Plan { pace: 30, ..plan() }, &openids).await;
    kill_while_it_sends(&bench, 30).await;
    let received = bench.received(&openids).await;
    let sent: Vec<String> = openids
        .iter()
        .zip(&received)
        .filter(|(_, count)| **count > 0)
        .map(|(openid, _)| openid.clone())
        .collect();
    // The run could not record these messages. Of the first ten the receipts come; of the others nothing is known.
    bench.forget_messages(&sent[..15]).await;
    bench
        .record_receipts(&sent[..10], MessageStatus::Delivered, now())
        .await;
    bench.age(TEN_MINUTES).await;
    let mut other = start(&bench.stage).await;
    run(&mut other).await;
    let totals = bench.totals().await;
    assert_eq!(totals.delivered, 10, "{totals:?} {}", other.logs());
    assert!(totals.unknown >= 5 && totals.queued == 0, "{totals:?}");
    assert!(bench.received(&openids).await.iter().all(|count| *count <= 1));

    // A caller may order to send them again.
    bench.order(Order::Resend).await;
    bench.run_to_end(start(&bench.stage).await).await;
    let campaign = bench.campaign().await;
    assert_eq!(
        (campaign.state, bench.totals().await.unknown),
        (CampaignState::Done, 0),
        "{campaign:?}"
    );
    assert!(
        bench
            .received(&openids)
            .await
            .iter()
            .all(|count| (1..=2).contains(count))
    );
}

#[tokio::test]
async fn of_two_runs_at_once_one_works_and_the_other_takes_over_when_it_ends() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(300).await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    let (mut one, mut two) = (start(&bench.stage).await, start(&bench.stage).await);
    let event = json!({"action": "run"});
    let first = async {
        one.invoke_within(&event, 12_000).await;
        now()
    };
    let second = async {
        bench.until_sends(1).await;
        two.invoke_within(&event, 20_000).await
    };
    let (first_ended, _) = tokio::join!(first, second);
    let times = send_times(&bench).await;
    assert!(times.iter().any(|at| *at > first_ended), "the other did not take over");
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest <= 5, "{longest} s without a message");
    let distinct: HashSet<String> = clients(&bench).await.into_iter().collect();
    assert_eq!(distinct.len(), times.len(), "nobody was asked for twice");
}

async fn clients(bench: &CampaignStage) -> Vec<String> {
    let calls = bench.stage.wechat.all_calls().await;
    let sends = calls.iter().filter(|call| call["path"] == SEND);
    sends
        .map(|call| call["body"]["client_msg_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_table_that_fails_now_and_then_neither_loses_nor_doubles_a_message() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(120).await;
    bench.started(Plan { pace: 60, ..plan() }, &openids).await;
    let mut worker = start(&bench.stage).await;
    let throttled =
        json!({"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "m"});
    let fault = Fault::json(400, throttled);
    for requests in [20..60, 100..140, 10..15] {
        bench.stage.proxy(Service::Table).fail(requests, fault.clone());
        let _ = worker.invoke(&json!({"action": "run"})).await;
        bench.stage.mend().await;
        bench.stage.table.end_claims().await;
        bench.make_due().await;
    }
    bench.run_to_end(worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 120)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn a_message_that_the_table_did_not_take_is_recorded_by_the_next_look() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(3).await;
    bench.started(plan(), &openids).await;
    let mut worker = start(&bench.stage).await;
    run(&mut worker).await;
    let lost = bench.forget_messages(&openids).await;
    assert_eq!(lost.len(), 3);
    bench.look_for_receipts().await;
    run(&mut worker).await;
    for message in &lost {
        let record = bench.stage.table.item(message).await;
        assert!(openids.iter().any(|openid| record["touser"] == **openid), "{record}");
    }
}
