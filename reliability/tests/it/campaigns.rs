//! Campaigns and scheduled messages, when the table, WeChat or the refresher breaks while they are sent: the ledger is compared
//! with the platform's own list of who got what.

use std::time::Duration;

use serde_json::{Value, json};
use testing::{
    CAMPAIGN, CampaignStage, Fault, Service,
    event::{api, post},
    now, plan, scheduled_message,
};
use wechat::{
    campaign::{CampaignState, Order, Plan, RecipientState, Totals},
    store::MessageStatus,
};

use crate::{
    report::{self, Cases, Row},
    stage::{Program, Stage, ask, called, faults_of},
};

/// The id of the suite's scheduled message.
const SCHEDULED: &str = "s1";
/// People in the audience of the suite's campaigns.
pub(crate) const PEOPLE: usize = 3;
/// More of them, so that a fault meets messages on the way.
const MANY: usize = 60;

/// A plan of so many messages a second.
fn paced(pace: u32) -> Plan {
    Plan { pace, ..plan() }
}

/// The campaign of the stage.
fn bench(stage: &Stage) -> CampaignStage<&testing::Stage> {
    CampaignStage::new(stage)
}

/// Openids that the platform makes itself are random; these are the same at each run.
fn openid(index: usize) -> String {
    format!("odhkK{index:023}")
}

/// The openids of so many new followers.
async fn followers(stage: &Stage, people: usize) -> Vec<String> {
    let openids: Vec<String> = (0..people).map(openid).collect();
    for openid in &openids {
        stage.wechat.control("follow", &json!({"openid": openid})).await;
    }
    openids
}

/// An empty draft.
pub(crate) async fn draft(stage: &Stage) {
    followers(stage, PEOPLE).await;
    bench(stage).draft(paced(100), &[]).await;
}

/// The request that loads its audience.
pub(crate) fn part() -> Value {
    let recipients: Vec<String> = (0..PEOPLE).map(openid).collect();
    let path = format!("/api/campaigns/{CAMPAIGN}/recipients");
    post(&path, &json!({"part": "1", "recipients": recipients})).into()
}

/// Asserts that the audience is that of the part.
pub(crate) async fn assert_loaded(stage: &Stage) {
    let bench = bench(stage);
    let campaign = bench.campaign().await;
    let chunks = bench.table.chunks(CAMPAIGN, 0..campaign.chunks).await.unwrap();
    let counted = chunks.into_iter().filter(|(chunk, _)| !campaign.skips(*chunk));
    let entries: usize = counted.map(|(_, recipients)| recipients.len()).sum();
    assert_eq!((campaign.entries, entries), (PEOPLE as u64, PEOPLE));
}

/// A draft with its audience.
pub(crate) async fn loaded(stage: &Stage) {
    let openids = followers(stage, PEOPLE).await;
    bench(stage).loaded(paced(100), &openids).await;
}

/// The request with an order.
pub(crate) fn order(order: &str) -> Value {
    api("POST", &format!("/api/campaigns/{CAMPAIGN}/{order}")).into()
}

/// A campaign that is due.
pub(crate) async fn started(stage: &Stage) {
    loaded(stage).await;
    bench(stage).order(Order::Start).await;
}

/// Runs the worker until the campaign has ended.
pub(crate) async fn finish(stage: &Stage) {
    let bench = bench(stage);
    let state = bench.campaign().await.state;
    if state.has_ended() {
        return;
    }
    stage.table.end_claims().await;
    match state {
        CampaignState::Waiting => bench.end_wait().await,
        _ => bench.make_due().await,
    }
    bench.run_to_end(stage.serving(Program::Worker).await).await;
}

/// Asserts that each person got one message and that the totals and the ledger say so.
pub(crate) async fn assert_sent_once(stage: &Stage) {
    assert_agreement(stage, PEOPLE).await;
    let campaign = bench(stage).campaign().await;
    assert_eq!(campaign.totals().sent, PEOPLE as u64, "{campaign:?}");
}

/// Compares the ledger of a campaign that has ended with the phones. Returns the totals.
async fn assert_agreement(stage: &Stage, people: usize) -> Totals {
    let bench = bench(stage);
    let campaign = bench.campaign().await;
    let chunks = bench.table.chunks(CAMPAIGN, 0..campaign.chunks).await.unwrap();
    let ledgers = bench.table.ledgers(CAMPAIGN, 0..campaign.chunks).await.unwrap();
    let mut counted = Totals::default();
    for (chunk, recipients) in chunks {
        for (position, recipient) in recipients.iter().enumerate() {
            let ledger = &ledgers[&chunk].ledger;
            let state = ledger.marks()[position].state().unwrap();
            *counted.of(state) += 1;
            let phone = stage.wechat.phone(recipient.openid.as_deref().unwrap()).await;
            assert!(phone.len() <= 1, "two messages to one person");
            match state {
                RecipientState::Sent => {
                    assert_eq!(phone[0]["msgid"].as_str(), ledger.msgid(position), "another message");
                }
                RecipientState::Queued | RecipientState::Refused => assert!(phone.is_empty(), "{state:?}"),
                _ => {}
            }
        }
    }
    assert_eq!(counted, campaign.totals(), "the totals are not those of the ledger");
    assert_eq!(counted.all(), people as u64);
    counted
}

/// Schedules a message to the follower that is due.
pub(crate) async fn schedule(stage: &Stage) {
    let scheduled = scheduled_message(now(), None);
    bench(stage)
        .table
        .schedule_message(SCHEDULED, &scheduled)
        .await
        .unwrap();
}

/// Ends the claim of a run that died while it sent the scheduled message.
pub(crate) async fn end_scheduled_claim(stage: &Stage) {
    let item = stage.table.item(&format!("scheduled#{SCHEDULED}")).await;
    if item["state"] == "waiting" {
        let ended = json!({"claim_expires_at": now(), "isk": now()});
        stage.table.set(&format!("scheduled#{SCHEDULED}"), &ended).await;
    }
}

/// The state of the scheduled message.
pub(crate) async fn scheduled_state(stage: &Stage) -> Value {
    stage.table.item(&format!("scheduled#{SCHEDULED}")).await["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn campaigns() {
    let mut cases = Cases::default();
    for service in [Service::Table, Service::WeChat] {
        let faults = faults_of(service).into_iter();
        cases.add(faults.map(move |(breaks, fault)| broken(service, breaks, fault)));
    }
    cases.add([receipts_that_get_lost()]);
    for (service, requests) in requests_of_a_run().await {
        for request in 1..=requests {
            cases.add([
                killed(service, request, Fault::Freeze, "has received a request"),
                killed(service, request, Fault::WithholdAnswer, "has carried one out"),
            ]);
        }
    }
    report::section(
        report::TITLES[13],
        "A campaign to 60 people, whose worker meets the fault after the first messages and is invoked again when it is over. The \
         ledger is compared with what the phones of the platform show, person by person. Then a run of a campaign to 3 people is \
         killed at each of its requests.",
        cases.run().await,
    );
}

/// How many requests a run of a campaign makes to each service.
async fn requests_of_a_run() -> Vec<(Service, usize)> {
    let stage = Stage::new().await;
    started(&stage).await;
    let mut worker = stage.serving(Program::Worker).await;
    assert_eq!(ask(&mut worker, &json!({"action": "run"})).await.status, 200);
    assert_sent_once(&stage).await;
    let services = [Service::Table, Service::WeChat].into_iter();
    services
        .map(|service| (service, stage.proxy(service).requests().len()))
        .collect()
}

/// A run is killed at one of its requests. They come in no fixed order, because it does several things at once.
async fn killed(service: Service, request: usize, fault: Fault, words: &'static str) -> Row {
    let stage = Stage::new().await;
    started(&stage).await;
    let mut worker = stage.serving(Program::Worker).await;
    stage.proxy(service).fail(request..=request, fault);
    let event = json!({"action": "run"});
    tokio::select! {
        // It made fewer requests than the run that was counted.
        _ = worker.invoke(&event) => {}
        () = stage.proxy(service).struck() => {}
    }
    worker.kill().await;
    stage.mend().await;
    finish(&stage).await;
    assert_sent_once(&stage).await;
    Row {
        step: "a run of a campaign".to_owned(),
        breaks: format!("the process is killed once {} {words}", called(service)),
        gets: "nothing".to_owned(),
        within: "at once",
        kept: "each person gets one message, and the totals say so".to_owned(),
        returns: "the next run, once the lease has ended (30 s)".to_owned(),
    }
}

/// The service breaks while messages go out.
async fn broken(service: Service, breaks: &'static str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let bench = bench(&stage);
    let openids = followers(&stage, MANY).await;
    bench.started(paced(30), &openids).await;
    let mut worker = stage.serving(Program::Worker).await;
    let event = json!({"action": "run"});
    let breaking = async {
        bench.until_sends(10).await;
        stage.proxy(service).fail(1.., fault);
    };
    let (seen, ()) = tokio::join!(ask(&mut worker, &event), breaking);
    assert!(seen.took < Duration::from_secs(30), "{breaks}: {seen:?}");
    let during = bench.campaign().await;
    stage.mend().await;
    finish(&stage).await;
    let totals = assert_agreement(&stage, MANY).await;
    assert_eq!((totals.queued, totals.refused), (0, 0), "{breaks}: {totals:?}");
    let waits = during.waiting_for.map(|waiting| waiting.as_str());
    Row {
        step: "a campaign: sending".to_owned(),
        breaks: format!("{} {breaks}", called(service)),
        gets: match (during.state, waits) {
            (CampaignState::Waiting, Some(waits)) => format!("`waiting` for `{waits}`"),
            (CampaignState::Done, _) => "`done`".to_owned(),
            _ => "`running`, and no message while the table is broken".to_owned(),
        },
        within: "30 s",
        kept: match totals.unknown {
            0 => "each person got one message".to_owned(),
            _ => panic!("{breaks}: {totals:?}"),
        },
        returns: match during.state {
            CampaignState::Done => "nothing was missed",
            CampaignState::Waiting => "a probe, half a minute later",
            _ => "the next run, once the lease has ended (30 s)",
        }
        .to_owned(),
    }
}

/// Receipts of messages that a dead run has sent and could not record.
async fn receipts_that_get_lost() -> Row {
    let stage = Stage::new().await;
    started(&stage).await;
    let bench = bench(&stage);
    let mut worker = stage.serving(Program::Worker).await;
    // Neither the records nor the ledger get their outcome.
    let breaking = async {
        bench.until_sends(1).await;
        stage.proxy(Service::Table).fail(1.., Fault::Freeze);
        bench.until_sends(PEOPLE).await;
    };
    let event = json!({"action": "run"});
    tokio::select! {
        seen = ask(&mut worker, &event) => panic!("{seen:?}"),
        () = breaking => {}
    }
    worker.kill().await;
    stage.mend().await;
    bench.age(600).await;
    let openids: Vec<String> = (0..PEOPLE).map(openid).collect();
    bench
        .record_receipts(&openids, MessageStatus::Delivered, now() - 590)
        .await;
    finish(&stage).await;
    let totals = assert_agreement(&stage, PEOPLE).await;
    assert_eq!(totals.delivered, PEOPLE as u64, "{totals:?}");
    Row {
        step: "a campaign: recording what was sent".to_owned(),
        breaks: "the table freezes and the process is killed, for 10 minutes".to_owned(),
        gets: "`running`".to_owned(),
        within: "at once",
        kept: "each person got one message".to_owned(),
        returns: "the next run finds them by their receipts: `delivered`".to_owned(),
    }
}
