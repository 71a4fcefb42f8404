//! The API keys that are made at run time.

use aws_sdk_dynamodb::types::AttributeValue;
use wechat::{
    api_key::{ApiKey, Grants, Scope},
    random,
    store::{CreatedKey, KEYS_LIMIT},
};

use super::{Bench, NOW, RACERS, race};

fn key(id: &str) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        digest: random::hex::<32>(),
        name: format!("的 {id}"),
        grants: Grants {
            scopes: vec![Scope::Send, Scope::Relay],
            templates: None,
            paths: Some(vec!["/cgi-bin/menu".to_owned()]),
        },
        created_at: NOW,
        last_used: None,
    }
}

#[tokio::test]
async fn a_key_is_kept_until_it_is_deleted() {
    let table = Bench::start().await.table;
    assert_eq!(table.api_keys().await.unwrap(), []);
    assert!(!table.delete_api_key("k1").await.unwrap(), "no item yet");
    let (first, mut second) = (key("k1"), key("k2"));
    second.grants.templates = Some(vec!["T1".to_owned(), "T2".to_owned()]);
    for key in [&first, &second, &first] {
        assert_eq!(
            table.create_api_key(key).await.unwrap(),
            CreatedKey::Created,
            "a repeat of the same write is no other key"
        );
    }
    assert_eq!(table.api_keys().await.unwrap(), [first, second.clone()]);
    assert!(table.delete_api_key("k1").await.unwrap());
    for unknown in ["k1", "", "k2.name", "a b", "#keys"] {
        assert!(!table.delete_api_key(unknown).await.unwrap(), "{unknown}");
    }
    assert_eq!(table.api_keys().await.unwrap(), [second]);
}

#[tokio::test]
async fn keys_that_are_made_at_once_are_all_kept() {
    let bench = Bench::start().await;
    let table = bench.table.clone();
    let outcomes = race(move |number| {
        let table = table.clone();
        async move { table.create_api_key(&key(&format!("k{number}"))).await.unwrap() }
    });
    assert_eq!(outcomes.await, [CreatedKey::Created; RACERS]);
    assert_eq!(bench.table.api_keys().await.unwrap().len(), RACERS);
}

#[tokio::test]
async fn no_more_keys_are_made_than_an_item_can_hold() {
    let table = Bench::start().await.table;
    for number in 0..KEYS_LIMIT {
        let created = table.create_api_key(&key(&format!("k{number}"))).await;
        assert_eq!(created.unwrap(), CreatedKey::Created);
    }
    assert_eq!(
        table.create_api_key(&key("another")).await.unwrap(),
        CreatedKey::TooMany
    );
    assert!(table.delete_api_key("k7").await.unwrap());
    assert_eq!(
        table.create_api_key(&key("another")).await.unwrap(),
        CreatedKey::Created
    );
}

#[tokio::test]
async fn the_last_day_of_use_is_kept_while_the_key_lives() {
    let table = Bench::start().await.table;
    table.note_api_key_use("k1", "2026-11-30").await.unwrap();
    table.create_api_key(&key("k1")).await.unwrap();
    for day in ["2026-11-30", "2026-12-01", "2026-11-30"] {
        table.note_api_key_use("k1", day).await.unwrap();
    }
    let keys = table.api_keys().await.unwrap();
    assert_eq!(keys[0].last_used.as_deref(), Some("2026-12-01"));
    table.delete_api_key("k1").await.unwrap();
    table.note_api_key_use("k1", "2026-12-02").await.unwrap();
    assert_eq!(table.api_keys().await.unwrap(), [], "a use does not bring a key back");
}

#[tokio::test]
async fn other_attributes_of_the_item_stay() {
    let bench = Bench::start().await;
    let pk = format!("keys#{}", bench.app_id);
    let secret = || AttributeValue::S("kept".to_owned());
    let put = bench.client.put_item().table_name(&bench.name);
    let put = put.item("pk", AttributeValue::S(pk.clone())).item("secret", secret());
    put.send().await.unwrap();
    bench.table.create_api_key(&key("k1")).await.unwrap();
    bench.table.note_api_key_use("k1", "2026-11-30").await.unwrap();
    bench.table.delete_api_key("k1").await.unwrap();
    assert_eq!(bench.item(pk).await.unwrap()["secret"], secret());
}

/// A limit that cannot be read must not count as no limit.
#[tokio::test]
async fn a_damaged_key_is_an_error() {
    let bench = Bench::start().await;
    let mut damaged = key("k1");
    damaged.grants.templates = Some(vec![]);
    bench.table.create_api_key(&damaged).await.unwrap();
    assert_eq!(bench.table.api_keys().await.unwrap(), [damaged]);
    for expression in ["SET #keys.k1.templates = :damaged", "SET #keys = :damaged"] {
        let update = bench.client.update_item().table_name(&bench.name);
        let update = update
            .key("pk", AttributeValue::S(format!("keys#{}", bench.app_id)))
            .update_expression(expression)
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_values(":damaged", AttributeValue::N("7".to_owned()));
        update.send().await.unwrap();
        let error = bench.table.api_keys().await.unwrap_err();
        assert_eq!(error.kind(), wechat::store::StoreErrorKind::Damaged, "{expression}");
    }
}
