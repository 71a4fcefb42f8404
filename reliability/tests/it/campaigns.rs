//! Campaigns and scheduled messages, when the table, WeChat or the refresher breaks while they are sent: the ledger is compared
//! with the platform's own list of who got what.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use simulator::{FOLLOWER, TEMPLATE_ID};
use testing::{
    Fault, Service,
    account::APP_ID,
    event::{api, post},
    eventually, now, now_millis,
};
use wechat::{
    api::{FieldValue, TemplateMessage},
    campaign::{Audience, CampaignState, Content, Order, Plan, Recipient, RecipientState, Totals, into_chunks},
    store::{MessageStatus, Receipt, ScheduledMessage, ScheduledState, Table},
};

use crate::{
    report::{self, Row},
    stage::{Program, Stage, ask, called, service_faults, table_faults},
};

const ID: &str = "c1";
/// People in the audience of the suite's campaigns.
pub(crate) const PEOPLE: usize = 3;
/// More of them, so that a fault meets messages on the way.
const MANY: usize = 60;

fn table(stage: &Stage) -> Table {
    Table::new(stage.table.client(), "wechat", APP_ID)
}

fn data() -> BTreeMap<String, FieldValue> {
    let field = |(name, value): (&str, &str)| {
        let value = FieldValue {
            value: value.to_owned(),
            color: None,
        };
        (name.to_owned(), value)
    };
    [("thing1", "停水通知"), ("time2", "10:00"), ("const3", "通过")]
        .map(field)
        .into()
}

fn plan(pace: u32) -> Plan {
    Plan {
        name: "n".to_owned(),
        content: Content {
            template_id: TEMPLATE_ID.to_owned(),
            url: None,
            miniprogram: None,
            data: data(),
        },
        audience: Audience::List,
        pace,
        start_at: None,
        canary: None,
        keep_for_single_sends: None,
        only_warns: false,
    }
}

/// Openids that the platform makes itself are random; these are the same at each run.
fn openid(index: usize) -> String {
    format!("odhkK{index:023}")
}

async fn follow(stage: &Stage, people: usize) {
    for index in 0..people {
        let follow = json!({"openid": openid(index)});
        stage.wechat.control("follow", &follow).await;
    }
}

/// An empty draft.
pub(crate) async fn draft(stage: &Stage) {
    follow(stage, PEOPLE).await;
    table(stage)
        .create_campaign(ID, &plan(100), now_millis())
        .await
        .unwrap();
}

/// The request that loads its audience.
pub(crate) fn part() -> Value {
    let recipients: Vec<String> = (0..PEOPLE).map(openid).collect();
    let path = format!("/api/campaigns/{ID}/recipients");
    post(&path, &json!({"part": "1", "recipients": recipients})).into()
}

/// Asserts that the audience is that of the part.
pub(crate) async fn assert_loaded(stage: &Stage) {
    let table = table(stage);
    let campaign = table.campaign(ID).await.unwrap().unwrap();
    let chunks = table.chunks(ID, 0..campaign.chunks).await.unwrap();
    let counted = chunks.into_iter().filter(|(chunk, _)| !campaign.skips(*chunk));
    let entries: usize = counted.map(|(_, recipients)| recipients.len()).sum();
    assert_eq!((campaign.entries, entries), (PEOPLE as u64, PEOPLE));
}

async fn load(stage: &Stage, people: usize) {
    let part = (0..people).map(|index| Recipient::of(openid(index))).collect();
    let chunks = into_chunks(part);
    table(stage).put_part(ID, "1", "digest", &chunks, now()).await.unwrap();
}

/// A draft with its audience.
pub(crate) async fn loaded(stage: &Stage) {
    draft(stage).await;
    load(stage, PEOPLE).await;
}

/// The request with an order.
pub(crate) fn order(order: &str) -> Value {
    api("POST", &format!("/api/campaigns/{ID}/{order}")).into()
}

async fn start(stage: &Stage) {
    let started = table(stage).order_campaign(ID, Order::Start, now()).await;
    started.unwrap().unwrap().unwrap();
}

/// A campaign that is due.
pub(crate) async fn started(stage: &Stage) {
    loaded(stage).await;
    start(stage).await;
}

/// Runs the worker until the campaign has ended.
pub(crate) async fn finish(stage: &Stage) {
    let mut worker = stage.serving(Program::Worker).await;
    for _ in 0..5 {
        let campaign = table(stage).campaign(ID).await.unwrap().unwrap();
        if campaign.state == CampaignState::Done {
            return;
        }
        let resumes_now = json!({"resumes_at": now()});
        if campaign.state == CampaignState::Waiting {
            stage.table.set(&format!("campaign#{ID}"), &resumes_now).await;
        }
        stage.table.end_claims().await;
        stage
            .table
            .set(&format!("campaign#{ID}#due"), &json!({"isk": now()}))
            .await;
        assert_eq!(ask(&mut worker, &json!({"action": "run"})).await.status, 200);
    }
    panic!("it does not end: {:?}", table(stage).campaign(ID).await.unwrap());
}

/// Asserts that each person got one message and that the totals and the ledger say so.
pub(crate) async fn assert_sent_once(stage: &Stage) {
    assert_agreement(stage, PEOPLE).await;
    let campaign = table(stage).campaign(ID).await.unwrap().unwrap();
    assert_eq!(campaign.totals().sent, PEOPLE as u64, "{campaign:?}");
}

/// Compares the ledger of a campaign that has ended with the phones. Returns the totals.
async fn assert_agreement(stage: &Stage, people: usize) -> Totals {
    let table = table(stage);
    let campaign = table.campaign(ID).await.unwrap().unwrap();
    let chunks = table.chunks(ID, 0..campaign.chunks).await.unwrap();
    let ledgers = table.ledgers(ID, 0..campaign.chunks).await.unwrap();
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
    let scheduled = ScheduledMessage {
        message: TemplateMessage {
            touser: FOLLOWER.to_owned(),
            template_id: TEMPLATE_ID.to_owned(),
            url: None,
            miniprogram: None,
            client_msg_id: "m1".to_owned(),
            data: data(),
        },
        user: None,
        send_at: now(),
        key: "root".to_owned(),
        fingerprint: "f".to_owned(),
        state: ScheduledState::Waiting,
        asked_at: None,
        msgid: None,
        errcode: None,
    };
    table(stage).schedule_message(ID, &scheduled).await.unwrap();
}

/// Ends the claim of a run that died while it sent the scheduled message.
pub(crate) async fn end_scheduled_claim(stage: &Stage) {
    let item = stage.table.item(&format!("scheduled#{ID}")).await;
    if item["state"] == "waiting" {
        let ended = json!({"claim_expires_at": now(), "isk": now()});
        stage.table.set(&format!("scheduled#{ID}"), &ended).await;
    }
}

/// The state of the scheduled message.
pub(crate) async fn scheduled_state(stage: &Stage) -> Value {
    stage.table.item(&format!("scheduled#{ID}")).await["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn campaigns() {
    let services = [Service::Table, Service::WeChat].into_iter();
    let cases = services.flat_map(|service| {
        let faults = match service {
            Service::Table => table_faults(),
            _ => service_faults(),
        };
        faults
            .into_iter()
            .map(move |(breaks, fault)| broken(service, breaks, fault))
    });
    let mut rows = report::run(cases).await;
    rows.extend(report::run([receipts_that_get_lost()]).await);
    let mut kills = Vec::new();
    for (service, requests) in requests_of_a_run().await {
        for request in 1..=requests {
            kills.push(killed(service, request, Fault::Freeze, "has received a request"));
            kills.push(killed(service, request, Fault::WithholdAnswer, "has carried one out"));
        }
    }
    rows.extend(report::run(kills).await);
    report::section(
        report::TITLES[13],
        "A campaign to 60 people, whose worker meets the fault after the first messages and is invoked again when it is over. The \
         ledger is compared with what the phones of the platform show, person by person. Then a run of a campaign to 3 people is \
         killed at each of its requests.",
        rows,
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
    follow(&stage, MANY).await;
    table(&stage)
        .create_campaign(ID, &plan(30), now_millis())
        .await
        .unwrap();
    load(&stage, MANY).await;
    start(&stage).await;
    let mut worker = stage.serving(Program::Worker).await;
    let event = json!({"action": "run"});
    let breaking = async {
        until_sends(&stage, 10).await;
        stage.proxy(service).fail(1.., fault);
    };
    let (seen, ()) = tokio::join!(ask(&mut worker, &event), breaking);
    assert!(seen.took < Duration::from_secs(30), "{breaks}: {seen:?}");
    let during = table(&stage).campaign(ID).await.unwrap().unwrap();
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

/// Waits until WeChat has been asked for so many messages.
async fn until_sends(stage: &Stage, sends: usize) {
    let asked = || async { (stage.wechat.calls("/cgi-bin/message/template/send").await >= sends).then_some(()) };
    eventually("a send", asked).await;
}

/// Receipts of messages that a dead run has sent and could not record.
async fn receipts_that_get_lost() -> Row {
    let stage = Stage::new().await;
    started(&stage).await;
    let mut worker = stage.serving(Program::Worker).await;
    // Neither the records nor the ledger get their outcome.
    let breaking = async {
        until_sends(&stage, 1).await;
        stage.proxy(Service::Table).fail(1.., Fault::Freeze);
        until_sends(&stage, PEOPLE).await;
    };
    let event = json!({"action": "run"});
    tokio::select! {
        seen = ask(&mut worker, &event) => panic!("{seen:?}"),
        () = breaking => {}
    }
    worker.kill().await;
    stage.mend().await;
    age(&stage, 600).await;
    for index in 0..PEOPLE {
        for message in stage.wechat.phone(&openid(index)).await {
            let receipt = Receipt {
                msgid: message["msgid"].as_str().unwrap(),
                openid: &openid(index),
                status: MessageStatus::Delivered,
                words: "success",
                at: now() - 590,
            };
            assert!(table(&stage).record_receipt(receipt).await.unwrap().is_recorded());
        }
    }
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

/// Moves what is in flight into the past by `seconds`.
async fn age(stage: &Stage, seconds: i64) {
    for item in stage.table.items().await {
        let Some(ledger) = item["ledger"].as_str() else {
            continue;
        };
        let mut ledger: Value = serde_json::from_str(ledger).unwrap();
        if let Some(at) = ledger["t"].as_i64() {
            ledger["t"] = (at - seconds).into();
        }
        let name = item["pk"].as_str().unwrap();
        stage.table.set(name, &json!({"ledger": ledger.to_string()})).await;
    }
}
