//! Records in the table: messages and their receipts, the kept menu, the last refused callback, the listed templates.

use serde_json::json;
use testing::{Fault, FaultProxy, TableServer};
use wechat::{
    random,
    store::{
        KeptMenu, ListedTemplates, MenuError, MessageRecord, MessageStatus, REFUSAL_IS_NEWS_FOR, Receipt, Recorded,
        RefusedCallback, Sender, Table,
    },
};

use super::{Bench, NOW, client_of, number, race, sent_to, text};

/// Epoch milliseconds.
const NOW_MILLIS: i64 = NOW * 1000;
const DAY: i64 = 24 * 3600;
const OPENID: &str = "odhkK64I1uXqoUQjt7QYx4O0yUvs";

fn fresh_msgid() -> String {
    u64::from_str_radix(&random::hex::<7>(), 16).unwrap().to_string()
}

fn receipt<'a>(msgid: &'a str, status: MessageStatus, words: &'a str, at: i64) -> Receipt<'a> {
    Receipt {
        msgid,
        openid: OPENID,
        status,
        words,
        at,
    }
}

fn delivered() -> MessageRecord {
    MessageRecord {
        touser: Some(OPENID.to_owned()),
        template_id: Some("template".to_owned()),
        status: MessageStatus::Delivered,
        sent_at: Some(NOW),
        finished_at: Some(NOW + 1),
        receipt: Some("success".to_owned()),
        campaign: None,
    }
}

#[tokio::test]
async fn a_receipt_counts_when_the_send_is_recorded_between_its_two_calls() {
    let server = TableServer::start().await;
    let direct = Table::new(server.client(), testing::TABLE_NAME, "wx1");
    let proxy = FaultProxy::start(&server.endpoint()).await;
    let table = Table::new(client_of(proxy.endpoint()), testing::TABLE_NAME, "wx1");
    for status in [MessageStatus::Delivered, MessageStatus::Failed] {
        let msgid = fresh_msgid();
        // What DynamoDB answers while there is no item. The record is there when the item is read.
        let refusal = json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"});
        proxy.fail(..=1, Fault::json(400, refusal));
        direct
            .record_sent(sent_to(&msgid, OPENID, "template"), NOW_MILLIS)
            .await
            .unwrap();
        let receipt = receipt(&msgid, status, "words", NOW + 1);
        assert_eq!(table.record_receipt(receipt).await.unwrap(), Recorded::Now);
        let record = direct.message(&msgid, NOW + 1).await.unwrap().unwrap();
        assert_eq!((record.status, record.finished_at), (status, Some(NOW + 1)));
        assert_eq!(table.record_receipt(receipt).await.unwrap(), Recorded::Before);
        proxy.mend().await;
    }
}

#[tokio::test]
async fn a_receipt_counts_whether_it_comes_after_the_record_or_before() {
    let Bench { table, .. } = &Bench::start().await;
    for receipt_first in [false, true] {
        let msgid = fresh_msgid();
        let receipt = receipt(&msgid, MessageStatus::Delivered, "success", NOW + 1);
        if receipt_first {
            assert!(table.record_receipt(receipt).await.unwrap().is_recorded());
            let early = table.message(&msgid, NOW + 1).await.unwrap().unwrap();
            assert_eq!(
                (early.status, early.touser),
                (MessageStatus::Delivered, Some(OPENID.to_owned()))
            );
        }
        table
            .record_sent(sent_to(&msgid, OPENID, "template"), NOW_MILLIS)
            .await
            .unwrap();
        if !receipt_first {
            let sent = table.message(&msgid, NOW).await.unwrap().unwrap();
            assert_eq!((sent.status, sent.finished_at), (MessageStatus::Sent, None));
            assert!(table.record_receipt(receipt).await.unwrap().is_recorded());
        }
        assert_eq!(table.message(&msgid, NOW + 1).await.unwrap(), Some(delivered()));
    }
}

#[tokio::test]
async fn a_repeat_keeps_the_time_of_the_first_send_and_undoes_no_receipt() {
    let Bench { table, .. } = &Bench::start().await;
    let msgid = fresh_msgid();
    table
        .record_sent(sent_to(&msgid, OPENID, "template"), NOW_MILLIS)
        .await
        .unwrap();
    let receipt = receipt(&msgid, MessageStatus::Delivered, "success", NOW + 1);
    assert!(table.record_receipt(receipt).await.unwrap().is_recorded());
    table
        .record_sent(sent_to(&msgid, OPENID, "template"), NOW_MILLIS + 60_000)
        .await
        .unwrap();
    assert_eq!(table.message(&msgid, NOW + 60).await.unwrap(), Some(delivered()));
}

#[tokio::test]
async fn of_a_record_and_its_receipt_at_the_same_time_neither_is_lost() {
    let bench = Bench::start().await;
    let msgid = fresh_msgid();
    race(|racer| {
        let (table, msgid) = (bench.table.clone(), msgid.clone());
        async move {
            if racer % 2 == 0 {
                table
                    .record_sent(sent_to(&msgid, OPENID, "template"), NOW_MILLIS)
                    .await
                    .unwrap();
            } else {
                let receipt = receipt(&msgid, MessageStatus::Delivered, "success", NOW + 1);
                assert!(table.record_receipt(receipt).await.unwrap().is_recorded());
            }
        }
    })
    .await;
    assert_eq!(bench.table.message(&msgid, NOW).await.unwrap(), Some(delivered()));
}

/// When the consoles of two accounts name the same URL and Token, plain mode does not show whose a callback is.
#[tokio::test]
async fn a_receipt_changes_only_a_message_that_this_account_sent_to_that_user() {
    let bench = Bench::start().await;
    let table = &bench.table;
    let other_table = &Table::new(bench.client.clone(), &bench.name, "wxfedcba9876543210");
    let msgid = fresh_msgid();
    let record = async |table: &Table| table.record_sent(sent_to(&msgid, OPENID, "template"), NOW_MILLIS).await;
    record(table).await.unwrap();
    record(other_table).await.unwrap();
    let own = receipt(&msgid, MessageStatus::Blocked, "failed:user block", NOW + 1);
    let foreign = Receipt {
        openid: "oOfAnotherAccount",
        ..own
    };
    assert!(!table.record_receipt(foreign).await.unwrap().is_recorded());
    let status = async |table: &Table| table.message(&msgid, NOW).await.unwrap().unwrap().status;
    assert_eq!(status(table).await, MessageStatus::Sent);
    assert!(table.record_receipt(own).await.unwrap().is_recorded());
    assert_eq!(status(table).await, MessageStatus::Blocked);
    assert_eq!(status(other_table).await, MessageStatus::Sent);
}

#[tokio::test]
async fn a_message_is_kept_for_thirty_days() {
    let bench = Bench::start().await;
    let msgid = fresh_msgid();
    assert_eq!(bench.table.message(&msgid, NOW).await.unwrap(), None);
    bench
        .table
        .record_sent(sent_to(&msgid, OPENID, "template"), NOW_MILLIS)
        .await
        .unwrap();
    let blocked = receipt(&msgid, MessageStatus::Blocked, "failed:user block", NOW + DAY);
    assert!(bench.table.record_receipt(blocked).await.unwrap().is_recorded());
    let item = bench.item(format!("message#{}#{msgid}", bench.app_id)).await.unwrap();
    assert_eq!(
        (text(&item, "status"), number(&item, "ttl")),
        ("blocked", NOW + 30 * DAY)
    );
    assert!(bench.table.message(&msgid, NOW + 30 * DAY - 1).await.unwrap().is_some());
    assert!(bench.table.message(&msgid, NOW + 30 * DAY).await.unwrap().is_none());
}

/// Replaces the kept menu, as admin does.
async fn keep(table: &Table, menu: &str, now: i64) {
    let kept = table.kept_menu().await.unwrap();
    table.keep_menu("one", kept.as_ref(), menu, now).await.unwrap();
}

async fn claim(table: &Table, owner: &str, now: i64) -> Option<KeptMenu> {
    table.claim_menu(owner, now).await.unwrap()
}

/// Seconds until the rollback of another run ends.
fn retry_after<T: std::fmt::Debug>(outcome: Result<T, MenuError>) -> i64 {
    match outcome.unwrap_err() {
        MenuError::InProgress { retry_after } => retry_after,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_menu_before_the_last_change_is_kept() {
    let Bench { table, .. } = &Bench::start().await;
    assert_eq!(table.kept_menu().await.unwrap(), None);
    for menu in [r#"{"menu":{"button":[]}}"#, r#"{"menu":{"button":[{"name":"今日"}]}}"#] {
        // The second time is the retry of a change that was cut short.
        for _ in 0..2 {
            keep(table, menu, NOW).await;
            assert_eq!(table.kept_menu().await.unwrap().unwrap().menu, menu);
        }
    }
    assert_eq!(
        table.kept_menu().await.unwrap().unwrap().earlier.as_deref(),
        Some(r#"{"menu":{"button":[]}}"#)
    );
}

/// DynamoDB accepts items of up to 400 KB.
#[tokio::test]
async fn two_menus_that_fill_an_item_are_not_kept_together() {
    let Bench { table, .. } = &Bench::start().await;
    let large = |name: &str| format!(r#"{{"menu":"{}"}}"#, name.repeat(197_000));
    for name in ["a", "b"] {
        keep(table, &large(name), NOW).await;
        let kept = table.kept_menu().await.unwrap().unwrap();
        assert!(kept.menu == large(name) && kept.earlier.is_none());
    }
    let kept = claim(table, "run", NOW).await.unwrap();
    let rolled_back = table.keep_menu_for_rollback("run", &kept, &large("c"), NOW).await;
    assert!(matches!(rolled_back, Err(MenuError::TooLarge)));
    assert_eq!(
        table.kept_menu().await.unwrap().unwrap(),
        kept,
        "the menu to restore is not lost"
    );
}

#[tokio::test]
async fn one_rollback_at_a_time_and_no_other_change_beside_it() {
    let Bench { table, .. } = &Bench::start().await;
    assert_eq!(claim(table, "a", NOW).await, None);
    assert_eq!(table.kept_menu().await.unwrap(), None, "a claim alone keeps no menu");
    table.release_menu("a").await.unwrap();
    table.refuse_claimed_menu(NOW).await.unwrap();
    keep(table, "1", NOW).await;
    let kept = table.kept_menu().await.unwrap();
    assert_eq!(claim(table, "a", NOW).await, kept);
    assert_eq!(claim(table, "a", NOW).await, kept, "a repeat by the SDK");
    let other = table.claim_menu("b", NOW + 10).await;
    assert_eq!(retry_after(other), 20);
    assert_eq!(retry_after(table.refuse_claimed_menu(NOW + 10).await), 20);
    table.refuse_claimed_menu(NOW + 30).await.unwrap();
    for menu in ["1", "2"] {
        let change = table.keep_menu("one", kept.as_ref(), menu, NOW + 29).await;
        assert_eq!(retry_after(change), 1, "{menu}");
    }
    assert_eq!(
        claim(table, "b", NOW + 30).await,
        kept,
        "the first has died, and nothing was changed"
    );
    let kept = kept.unwrap();
    let late = table.keep_menu_for_rollback("a", &kept, "2", NOW + 30).await;
    assert_eq!(retry_after(late), 30, "it is the other's now");
    table.release_menu("a").await.unwrap();
    let other = table.claim_menu("c", NOW + 31).await;
    assert_eq!(retry_after(other), 29, "only its holder gives a claim up");
    keep(table, "2", NOW + 60).await;
}

#[tokio::test]
async fn a_rollback_is_known_until_it_has_ended() {
    let Bench { table, .. } = &Bench::start().await;
    let is_restoring = async || table.kept_menu().await.unwrap().unwrap().is_restoring;
    let rollback = async |owner: &str, menu: &str| {
        let kept = claim(table, owner, NOW).await.unwrap();
        let keep = table.keep_menu_for_rollback(owner, &kept, menu, NOW);
        keep.await.unwrap();
    };
    keep(table, "1", NOW).await;
    assert!(!is_restoring().await);
    rollback("a", "2").await;
    table.release_menu("a").await.unwrap();
    assert!(is_restoring().await, "the next one goes on");
    claim(table, "b", NOW).await;
    table.finish_menu_rollback("a").await.unwrap();
    assert!(is_restoring().await, "only the run with the claim may end the rollback");
    table.finish_menu_rollback("b").await.unwrap();
    assert!(!is_restoring().await);
    for menu in ["4", "3"] {
        rollback("c", "3").await;
        table.release_menu("c").await.unwrap();
        keep(table, menu, NOW).await;
        assert!(!is_restoring().await, "another change has come between");
    }
}

fn refused(sender: Sender, last_octet: u8, at: i64) -> RefusedCallback {
    RefusedCallback {
        cause: format!("the signature does not match ({at})"),
        sender,
        source: Some([203, 0, 113, last_octet].into()),
        at,
    }
}

#[tokio::test]
async fn the_last_refused_callback_is_remembered_for_a_week() {
    let Bench { table, .. } = &Bench::start().await;
    assert_eq!(table.refused_callbacks(NOW).await.unwrap(), []);
    let browser = refused(Sender::Stranger, 1, NOW);
    let wechat = refused(Sender::WeChat, 2, NOW + 5);
    let again = refused(Sender::WeChat, 2, NOW + 6);
    let forger = refused(Sender::Unproven, 3, NOW + 7);
    let nowhere = RefusedCallback {
        source: None,
        ..refused(Sender::Unproven, 0, NOW + 8)
    };
    for refused in [&browser, &wechat, &again, &forger, &nowhere] {
        table.record_refused_callback(refused).await.unwrap();
    }
    let refusals = |now| table.refused_callbacks(now);
    let by_sender = [again.clone(), nowhere.clone(), forger.clone(), browser.clone()];
    assert_eq!(refusals(NOW + 9).await.unwrap(), by_sender);
    let old = NOW + 8 + REFUSAL_IS_NEWS_FOR;
    assert_eq!(
        refusals(old).await.unwrap(),
        [nowhere.clone(), forger, again, browser],
        "the latest first"
    );
    let week = NOW + 7 * DAY;
    assert_eq!(refusals(week + 7).await.unwrap(), [nowhere]);
    assert_eq!(refusals(week + 8).await.unwrap(), []);
}

/// A stranger can send any number of requests that are refused.
#[tokio::test]
async fn a_flood_of_refused_strangers_hides_no_refused_callback() {
    let Bench { table, .. } = &Bench::start().await;
    let wechat = refused(Sender::Unproven, 1, NOW);
    table.record_refused_callback(&wechat).await.unwrap();
    for (at, last_octet) in (NOW..).zip(2..=60) {
        let stranger = refused(Sender::Stranger, last_octet, at);
        table.record_refused_callback(&stranger).await.unwrap();
    }
    let refusals = table.refused_callbacks(NOW + 60).await.unwrap();
    assert_eq!((refusals.len(), &refusals[0]), (16, &wechat));
}

#[tokio::test]
async fn of_refusals_that_are_recorded_at_the_same_time_none_is_lost() {
    let bench = Bench::start().await;
    race(|racer| {
        let table = bench.table.clone();
        async move {
            let refused = refused(Sender::Unproven, u8::try_from(racer).unwrap(), NOW);
            table.record_refused_callback(&refused).await.unwrap();
        }
    })
    .await;
    let refusals = bench.table.refused_callbacks(NOW).await.unwrap();
    assert_eq!(refusals.len(), 16);
}

#[tokio::test]
async fn the_last_callback_is_remembered_without_an_end() {
    let Bench { table, .. } = &Bench::start().await;
    assert_eq!(table.last_callback().await.unwrap(), None);
    for at in [NOW, NOW + 400 * DAY] {
        table.note_callback(at).await.unwrap();
        assert_eq!(table.last_callback().await.unwrap(), Some(at));
    }
}

#[tokio::test]
async fn listed_templates_serve_for_a_day() {
    let Bench { table, .. } = &Bench::start().await;
    assert_eq!(table.templates(NOW).await.unwrap(), None);
    let listed = ListedTemplates {
        templates: serde_json::from_value(json!({"TEMPLATE": ["thing1", "time2"], "EMPTY": []})).unwrap(),
        listed_at: NOW,
    };
    table.save_templates(&listed).await.unwrap();
    assert_eq!(table.templates(NOW + DAY - 1).await.unwrap(), Some(listed));
    assert_eq!(table.templates(NOW + DAY).await.unwrap(), None);
}
