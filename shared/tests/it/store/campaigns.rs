//! Campaigns, their parts and ledgers, and scheduled messages in the table.

use std::collections::BTreeMap;

use wechat::{
    api::{TemplateContent, TemplateMessage},
    campaign::{
        Audience, Campaign, CampaignState, Change, Ledger, NewState, Order, Plan, Progress, Recipient, Refused,
        into_chunks,
    },
    clock::beijing_day,
    random,
    store::{
        CampaignLease, LeasedCampaign, MessageStatus, PartOutcome, ProblemRecord, Receipt, ScheduledEnd,
        ScheduledMessage, ScheduledState, StoreError, StoreErrorKind, StoredLedger, Table,
    },
};

use super::{Bench, NOW, RACERS, race, sent_to};

fn plan() -> Plan {
    Plan {
        name: "n".to_owned(),
        content: TemplateContent {
            template_id: "T".to_owned(),
            url: None,
            miniprogram: None,
            data: BTreeMap::new(),
        },
        audience: Audience::List,
        pace: 50,
        start_at: None,
        canary: None,
        keep_for_single_sends: Some(7),
        only_warns: false,
    }
}

async fn draft(table: &Table) -> String {
    let id = random::hex::<8>();
    table.create_campaign(&id, &plan(), NOW * 1000).await.unwrap();
    id
}

fn people(range: std::ops::Range<u32>) -> Vec<Vec<Recipient>> {
    into_chunks(range.map(|index| Recipient::of(format!("o{index}"))).collect())
}

async fn order(table: &Table, id: &str, order: Order) -> Result<Campaign, Refused> {
    table.order_campaign(id, order, NOW).await.unwrap().unwrap()
}

/// A draft with a recipient, which can be started.
async fn loaded(table: &Table) -> String {
    let id = draft(table).await;
    table.put_part(&id, "p", "digest", &people(0..1), NOW).await.unwrap();
    id
}

#[tokio::test]
async fn a_campaign_is_read_as_it_was_made_and_listed_the_newest_first() {
    let Bench { table, .. } = &Bench::start().await;
    table.create_campaign("a", &plan(), NOW * 1000).await.unwrap();
    table.create_campaign("b", &plan(), NOW * 1000 + 1).await.unwrap();
    let campaign = table.campaign("a").await.unwrap().unwrap();
    assert_eq!(
        (campaign.plan, campaign.state, campaign.created_at),
        (plan(), CampaignState::Draft, NOW)
    );
    let page = table.page_of_campaigns(None).await.unwrap();
    let ids: Vec<&str> = page.entries.iter().map(|campaign| campaign.id.as_str()).collect();
    assert_eq!((ids, page.next), (vec!["b", "a"], None));
    assert_eq!(table.campaign("c").await.unwrap(), None);
}

#[tokio::test]
async fn parts_that_come_at_the_same_time_are_each_loaded_once() {
    let bench = Bench::start().await;
    let id = draft(&bench.table).await;
    let outcomes = race(|racer| {
        let (table, id) = (bench.table.clone(), id.clone());
        // Each part comes twice.
        let part = u32::try_from(racer / 2).unwrap();
        async move {
            let chunks = people(part * 300..part * 300 + 250);
            let name = part.to_string();
            table.put_part(&id, &name, &name, &chunks, NOW).await.unwrap()
        }
    })
    .await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, PartOutcome::Complete(_))),
        "{outcomes:?}"
    );
    let campaign = bench.table.campaign(&id).await.unwrap().unwrap();
    let parts = u32::try_from(RACERS / 2).unwrap();
    assert_eq!((campaign.entries, campaign.chunks), (u64::from(parts) * 250, parts * 3));
    assert!(campaign.incomplete.is_empty(), "{campaign:?}");
    let mut found = Vec::new();
    for recipients in bench
        .table
        .chunks(&id, 0..campaign.chunks)
        .await
        .unwrap()
        .into_values()
        .flatten()
    {
        found.push(recipients.openid.unwrap());
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len() as u64, campaign.entries);
}

#[tokio::test]
async fn a_part_with_other_content_or_after_the_start_is_refused() {
    let Bench { table, .. } = &Bench::start().await;
    let id = draft(table).await;
    let put = async |name: &str, digest: &str| table.put_part(&id, name, digest, &people(0..3), NOW).await.unwrap();
    assert_eq!(put("1", "a").await, PartOutcome::Complete(3));
    assert_eq!(put("1", "b").await, PartOutcome::OtherContent);
    order(table, &id, Order::Start).await.unwrap();
    assert_eq!(
        put("1", "a").await,
        PartOutcome::Complete(3),
        "a repeat of one that is loaded"
    );
    assert_eq!(put("2", "a").await, PartOutcome::NotADraft);
    assert_eq!(
        table.put_part("none", "1", "a", &people(0..1), NOW).await.unwrap(),
        PartOutcome::NotADraft
    );
}

#[tokio::test]
async fn of_several_orders_at_once_each_is_judged_on_the_state_that_it_finds() {
    let bench = Bench::start().await;
    let id = loaded(&bench.table).await;
    let outcomes = race(|_| {
        let (table, id) = (bench.table.clone(), id.clone());
        async move { order(&table, &id, Order::Start).await.is_ok() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|is_ok| **is_ok).count(), 1);
    assert_eq!(bench.table.due_campaigns(NOW).await.unwrap(), [id]);
    assert!(bench.table.due_campaigns(NOW - 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_campaign_that_this_version_cannot_read_is_an_error_and_stays() {
    let bench = Bench::start().await;
    let table = &bench.table;
    let id = &loaded(table).await;
    order(table, id, Order::Start).await.unwrap();
    let pk = format!("campaign#{}#{id}", bench.app_id);
    bench.set(&pk, "state", "of a later version").await;
    let read = table.campaign(id).await.unwrap_err();
    let leased = table
        .lease_campaign(id, "a", NOW, NOW + 30, NOW + 60)
        .await
        .unwrap_err();
    let renewed = table
        .renew_campaign(id, "a", &Progress::default(), NOW + 60)
        .await
        .unwrap_err();
    for error in [read, leased, renewed] {
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
    }
    assert_eq!(table.due_campaigns(NOW).await.unwrap(), std::slice::from_ref(id));
    assert_eq!(table.campaign(&format!("{id}#due")).await.unwrap(), None);
}

/// If such an attribute counted as absent, the progress would start again and the canary would be skipped.
#[tokio::test]
async fn an_unreadable_attribute_of_a_campaign_does_not_count_as_absent() {
    let bench = Bench::start().await;
    for attribute in ["progress", "canary"] {
        let id = &loaded(&bench.table).await;
        let pk = format!("campaign#{}#{id}", bench.app_id);
        bench.set(&pk, attribute, "of a later version").await;
        let error = bench.table.campaign(id).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{attribute}");
    }
}

fn won(lease: Result<CampaignLease, StoreError>) -> LeasedCampaign {
    match lease.unwrap() {
        CampaignLease::Won(leased) => *leased,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_campaign_sends_until_its_run_has_noticed_the_pause() {
    let bench = Bench::start().await;
    let table = &bench.table;
    let (sends, loads) = (&loaded(table).await, &loaded(table).await);
    for id in [sends, loads] {
        order(table, id, Order::Start).await.unwrap();
    }
    let campaign = won(table.lease_campaign(sends, "a", NOW, NOW + 30, NOW + 60).await).campaign;
    let running = NewState::plain(CampaignState::Running);
    assert!(table.advance_campaign(&campaign, "a", &running, None).await.unwrap());
    let senders = async |now| table.sending_campaigns(now).await.unwrap();
    assert_eq!(senders(NOW).await, std::slice::from_ref(sends));
    order(table, sends, Order::Pause).await.unwrap();
    assert_eq!(senders(NOW + 29).await, std::slice::from_ref(sends));
    assert!(senders(NOW + 30).await.is_empty(), "its run has died");
}

#[tokio::test]
async fn one_run_holds_the_lease_and_an_order_is_never_overwritten() {
    let bench = Bench::start().await;
    let table = &bench.table;
    let id = &loaded(table).await;
    order(table, id, Order::Start).await.unwrap();
    let leases = race(|racer| {
        let (table, id) = (table.clone(), id.clone());
        async move {
            let leased = table
                .lease_campaign(&id, &racer.to_string(), NOW, NOW + 30, NOW + 60)
                .await;
            matches!(leased.unwrap(), CampaignLease::Won(_)).then_some(racer.to_string())
        }
    })
    .await;
    let owners: Vec<String> = leases.into_iter().flatten().collect();
    let [owner] = &owners[..] else { panic!("{owners:?}") };

    let progress = Progress {
        recipients: 5,
        ..Progress::default()
    };
    let renewed = table
        .renew_campaign(id, owner, &progress, NOW + 60)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (renewed.campaign.progress.clone(), renewed.campaign.state),
        (progress.clone(), CampaignState::Loading)
    );
    let stranger = table.renew_campaign(id, "other", &progress, NOW + 60).await.unwrap();
    assert!(stranger.is_none());

    order(table, id, Order::Pause).await.unwrap();
    let done = NewState::plain(CampaignState::Done);
    assert!(
        !table
            .advance_campaign(&renewed.campaign, owner, &done, Some(NOW + 9))
            .await
            .unwrap()
    );
    let ordered = table
        .renew_campaign(id, owner, &progress, NOW + 60)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (ordered.campaign.state, ordered.campaign.changes),
        (CampaignState::Paused, renewed.campaign.changes + 1)
    );
    assert!(
        table
            .advance_campaign(&ordered.campaign, owner, &done, Some(NOW + 9))
            .await
            .unwrap()
    );
    let returned = table.renew_campaign(id, owner, &progress, NOW + 60).await.unwrap();
    assert!(returned.is_none(), "the lease is given back");
    assert_eq!(&table.due_campaigns(NOW + 9).await.unwrap(), std::slice::from_ref(id));

    // A lease whose holder died ends by itself, and the next holder learns of it.
    won(table.lease_campaign(id, "dead", NOW, NOW + 30, NOW + 60).await);
    let early = table.lease_campaign(id, "next", NOW + 29, NOW + 60, NOW + 90).await;
    let held = CampaignLease::Held {
        run_ends_at: Some(NOW + 60),
    };
    assert_eq!(early.unwrap(), held);
    let next = won(table.lease_campaign(id, "next", NOW + 30, NOW + 60, NOW + 90).await);
    assert!(next.has_died);
}

#[tokio::test]
async fn a_ledger_is_replaced_only_by_a_run_that_has_read_it() {
    let Bench { table, .. } = &Bench::start().await;
    let id = draft(table).await;
    let mut mine = StoredLedger {
        ledger: Ledger::new(3),
        version: 0,
    };
    mine.ledger.claim(&[0, 1], NOW);
    assert_eq!(table.put_ledger(&id, 0, &mine, "a").await.unwrap(), Some(1));
    assert_eq!(
        table.put_ledger(&id, 0, &mine, "a").await.unwrap(),
        Some(1),
        "its answer was lost"
    );
    assert_eq!(table.put_ledger(&id, 0, &mine, "b").await.unwrap(), None);
    let stored = table.ledgers(&id, 0..5).await.unwrap();
    assert_eq!(stored.len(), 1);
    let mut next = stored[&0].clone();
    assert_eq!((&next.ledger, next.version), (&mine.ledger, 1));
    next.ledger.apply(0, Change::Sent("7".to_owned()));
    assert_eq!(table.put_ledger(&id, 0, &next, "b").await.unwrap(), Some(2));
    assert_eq!(table.put_ledger(&id, 0, &next, "a").await.unwrap(), None);
}

#[tokio::test]
async fn a_deleted_campaign_is_seen_by_nobody_but_the_worker() {
    let Bench { table, .. } = &Bench::start().await;
    let id = &draft(table).await;
    table.put_part(id, "1", "a", &people(0..250), NOW).await.unwrap();
    assert!(
        table
            .delete_campaign(id, NOW, |_| false)
            .await
            .unwrap()
            .unwrap()
            .is_err()
    );
    assert!(table.delete_campaign(id, NOW, |_| true).await.unwrap().unwrap().is_ok());
    assert_eq!(table.campaign(id).await.unwrap(), None);
    assert!(table.page_of_campaigns(None).await.unwrap().entries.is_empty());
    let leased = won(table.lease_campaign(id, "a", NOW, NOW + 30, NOW + 60).await);
    assert!(leased.is_deleted);
    table.delete_chunks(id, 0..leased.campaign.chunks).await.unwrap();
    table.forget_campaign(id).await.unwrap();
    assert!(table.chunks(id, 0..3).await.unwrap().is_empty());
    assert!(table.due_campaigns(NOW).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lost_message_of_a_campaign_is_found_by_its_record_or_its_receipt() {
    let Bench { table, .. } = &Bench::start().await;
    let find = async |openid: &str| {
        let found = table.find_message("c1", openid, NOW).await.unwrap();
        found.map(|(msgid, _)| msgid)
    };
    let mut recorded = sent_to("1", "o1", "T");
    recorded.campaign = Some("c1");
    table.record_sent(recorded, (NOW + 5) * 1000).await.unwrap();
    table
        .record_sent(sent_to("2", "o2", "T"), (NOW + 5) * 1000)
        .await
        .unwrap();
    let receipt = |msgid, openid, at| Receipt {
        msgid,
        openid,
        status: MessageStatus::Delivered,
        words: "success",
        at,
    };
    table.record_receipt(receipt("3", "o3", NOW + 6)).await.unwrap();
    table.record_receipt(receipt("4", "o4", NOW + 3600)).await.unwrap();
    assert_eq!(find("o1").await.as_deref(), Some("1"));
    assert_eq!(find("o2").await, None, "another message to the same person");
    assert_eq!(find("o3").await.as_deref(), Some("3"));
    assert_eq!(find("o4").await, None, "too late to be the answer that was lost");
}

#[tokio::test]
async fn a_problem_is_listed_on_its_day_once() {
    let Bench { table, .. } = &Bench::start().await;
    let receipt = |msgid, status, at| Receipt {
        msgid,
        openid: "o1",
        status,
        words: "w",
        at,
    };
    let next_day = NOW + 24 * 3600;
    for delivered_at in [NOW, next_day] {
        table
            .record_receipt(receipt("1", MessageStatus::Failed, delivered_at))
            .await
            .unwrap();
    }
    table
        .record_receipt(receipt("2", MessageStatus::Delivered, NOW))
        .await
        .unwrap();
    table
        .record_receipt(receipt("3", MessageStatus::Blocked, next_day))
        .await
        .unwrap();
    // The first receipt counts.
    table
        .record_receipt(receipt("2", MessageStatus::Failed, NOW + 1))
        .await
        .unwrap();
    let page = table.page_of_problems(&beijing_day(NOW), None, NOW).await.unwrap();
    let [ProblemRecord::Message(msgid, record)] = &page.entries[..] else {
        panic!("{page:?}")
    };
    assert_eq!((msgid.as_str(), record.status), ("1", MessageStatus::Failed));
    // DynamoDB deletes late.
    let later = NOW + 31 * 24 * 3600;
    let page = table.page_of_problems(&beijing_day(NOW), None, later).await.unwrap();
    assert_eq!(page.entries, []);
}

fn scheduled() -> ScheduledMessage {
    ScheduledMessage {
        message: TemplateMessage {
            touser: "o1".to_owned(),
            template_id: "T".to_owned(),
            url: None,
            miniprogram: None,
            client_msg_id: "m".to_owned(),
            data: BTreeMap::new(),
        },
        user: None,
        send_at: NOW + 60,
        key: "root".to_owned(),
        fingerprint: "f".to_owned(),
        state: ScheduledState::Waiting,
        asked_at: None,
        msgid: None,
        errcode: None,
    }
}

#[tokio::test]
async fn a_scheduled_message_is_claimed_by_one_run_when_it_is_due() {
    let bench = Bench::start().await;
    let table = &bench.table;
    assert_eq!(table.schedule_message("s", &scheduled()).await.unwrap(), None);
    assert_eq!(
        table.schedule_message("s", &scheduled()).await.unwrap(),
        Some(scheduled())
    );
    assert!(table.due_scheduled(NOW, None).await.unwrap().entries.is_empty());
    assert_eq!(table.claim_scheduled("s", "early", NOW, NOW + 30).await.unwrap(), None);
    assert_eq!(table.due_scheduled(NOW + 60, None).await.unwrap().entries, ["s"]);
    let claims = race(|racer| {
        let table = table.clone();
        async move {
            let claimed = table
                .claim_scheduled("s", &racer.to_string(), NOW + 60, NOW + 90)
                .await
                .unwrap();
            claimed.map(|_| racer.to_string())
        }
    })
    .await;
    let owners: Vec<String> = claims.into_iter().flatten().collect();
    let [owner] = &owners[..] else { panic!("{owners:?}") };
    assert!(!table.cancel_scheduled("s", NOW + 60).await.unwrap());
    let again = ScheduledEnd::Again {
        at: NOW + 120,
        may_have_landed: false,
        errcode: Some(45009),
    };
    table.finish_scheduled("s", owner, again, NOW + 61).await.unwrap();
    let waits = table.scheduled_message("s", NOW).await.unwrap().unwrap();
    assert_eq!(
        (waits.state, waits.errcode, waits.asked_at),
        (ScheduledState::Waiting, Some(45009), None)
    );
    assert!(
        table
            .claim_scheduled("s", "later", NOW + 120, NOW + 150)
            .await
            .unwrap()
            .is_some()
    );
    let sent = ScheduledEnd::Sent {
        touser: "o1",
        msgid: "7",
    };
    table.finish_scheduled("s", "later", sent, NOW + 121).await.unwrap();
    let done = table.scheduled_message("s", NOW).await.unwrap().unwrap();
    assert_eq!(
        (done.state, done.msgid.as_deref(), done.errcode),
        (ScheduledState::Sent, Some("7"), None)
    );
    let late = NOW + 31 * 24 * 3600;
    assert_eq!(
        table.scheduled_message("s", late).await.unwrap(),
        None,
        "DynamoDB deletes late"
    );
    assert!(table.due_scheduled(NOW + 999, None).await.unwrap().entries.is_empty());
}
