//! The token in the table, `token#<appid>`: lease, generation, ledger of forced refreshes.

use wechat::{
    secret::Secret,
    store::{Lease, RefreshFailure, StoredToken, TokenStore as _},
};

use super::{Bench, NOW, number, race, text};

/// Seconds for which the refresher takes a lease.
const LEASE_FOR: i64 = 45;

fn token(generation: u64) -> StoredToken {
    StoredToken {
        value: Secret::new(format!("token {generation}")),
        expires_at: NOW + 7200,
        refreshed_at: NOW,
        generation,
        previous: None,
    }
}

impl Bench {
    async fn wins(&self, owner: &str, now: i64) -> bool {
        let token = self.table.access_token();
        let lease = token.take_lease(owner, now, now + LEASE_FOR);
        matches!(lease.await.unwrap(), Lease::Won(_))
    }

    async fn saves(&self, owner: &str, read_generation: u64, token: &StoredToken) -> bool {
        let item = self.table.access_token();
        item.save(owner, read_generation, token).await.unwrap()
    }
}

#[tokio::test]
async fn of_many_runs_one_gets_the_lease() {
    let bench = Bench::start().await;
    let leases = race(|run| {
        let token = bench.table.access_token();
        async move {
            let owner = format!("run {run}");
            let lease = token.take_lease(&owner, NOW, NOW + LEASE_FOR).await;
            matches!(lease.unwrap(), Lease::Won(_))
        }
    })
    .await;
    assert_eq!(leases.into_iter().filter(|won| *won).count(), 1);
}

#[tokio::test]
async fn a_lease_holds_until_its_end_and_a_repeat_wins_again() {
    let bench = Bench::start().await;
    assert!(bench.wins("first", NOW).await);
    assert!(
        bench.wins("first", NOW).await,
        "the repeat of a request whose answer was lost"
    );
    assert!(!bench.wins("second", NOW + LEASE_FOR - 1).await);
    assert!(bench.wins("second", NOW + LEASE_FOR).await);
    assert!(!bench.wins("first", NOW + LEASE_FOR).await);
}

#[tokio::test]
async fn the_lease_comes_with_the_item_as_it_is() {
    let bench = Bench::start().await;
    assert!(bench.wins("first", NOW).await);
    assert!(bench.saves("first", 0, &token(1)).await);
    let token = bench.table.access_token();
    let lease = token.take_lease("second", NOW, NOW + 1);
    let Lease::Won(item) = lease.await.unwrap() else {
        panic!("the lease was given back with the token");
    };
    assert_eq!(item.generation, 1);
    assert_eq!(item.token.unwrap().value.expose(), "token 1");
    assert_eq!(item.refreshed_by.as_deref(), Some("first"));
}

#[tokio::test]
async fn a_token_is_saved_by_the_holder_of_the_lease_over_the_generation_that_it_read() {
    let bench = Bench::start().await;
    assert!(!bench.saves("nobody", 0, &token(1)).await, "there is no lease");
    assert!(bench.wins("first", NOW).await);
    assert!(!bench.saves("second", 0, &token(1)).await, "the lease is another's");
    assert!(bench.saves("first", 0, &token(1)).await);
    assert!(
        bench.saves("first", 0, &token(1)).await,
        "the repeat of a write that landed"
    );
    assert!(!bench.saves("second", 0, &token(1)).await);

    assert!(bench.wins("third", NOW).await);
    assert!(!bench.saves("third", 0, &token(1)).await, "the generation is 1 by now");
    assert!(bench.saves("third", 1, &token(2)).await);
    let item = bench.table.token().await.unwrap();
    assert_eq!((item.generation, item.lease_expires_at), (2, None));
}

#[tokio::test]
async fn an_item_is_stored_in_the_types_of_the_contract() {
    let bench = Bench::start().await;
    assert!(bench.wins("first", NOW).await);
    assert!(bench.saves("first", 0, &token(1)).await);
    let item = bench.item(format!("token#{}", bench.app_id)).await.unwrap();
    assert_eq!(text(&item, "access_token"), "token 1");
    for (name, expected) in [("expires_at", NOW + 7200), ("refreshed_at", NOW), ("generation", 1)] {
        assert_eq!(number(&item, name), expected, "{name}");
    }
}

/// Operators write tokens by hand, without a generation.
#[tokio::test]
async fn a_token_written_by_hand_is_replaced_like_any_other() {
    use aws_sdk_dynamodb::types::AttributeValue;

    let bench = Bench::start().await;
    let put = bench.client.put_item().table_name(&bench.name);
    put.item("pk", AttributeValue::S(format!("token#{}", bench.app_id)))
        .item("access_token", AttributeValue::S("by hand".to_owned()))
        .item("expires_at", AttributeValue::N(NOW.to_string()))
        .send()
        .await
        .unwrap();
    let found = bench.table.token().await.unwrap().token.unwrap();
    assert_eq!((found.expires_at, found.generation), (NOW, 0));
    assert!(bench.wins("first", NOW).await);
    assert!(bench.saves("first", 0, &token(1)).await);
}

#[tokio::test]
async fn the_ledger_is_written_by_the_holder_of_the_lease() {
    let bench = Bench::start().await;
    let token = bench.table.access_token();
    let record = |owner: &'static str, at: &'static [i64]| token.record_forced(owner, at);
    assert!(!record("first", &[NOW]).await.unwrap(), "there is no lease");
    assert!(bench.wins("first", NOW).await);
    assert!(!record("second", &[NOW]).await.unwrap());
    assert!(record("first", &[NOW - 60, NOW]).await.unwrap());
    let item = bench.table.token().await.unwrap();
    assert_eq!(item.forced_at, [NOW - 60, NOW]);
    assert!(record("first", &[]).await.unwrap());
    assert!(bench.table.token().await.unwrap().forced_at.is_empty());
}

#[tokio::test]
async fn a_failure_stays_until_the_next_token() {
    let bench = Bench::start().await;
    let stored = bench.table.access_token();
    let failure = |errcode: Option<i64>| RefreshFailure {
        at: NOW,
        owner: "first".to_owned(),
        errcode,
        error_type: "WeChat".to_owned(),
        message: "invalid ip 198.51.100.7, not in whitelist".to_owned(),
    };
    assert!(bench.wins("first", NOW).await);
    stored.release("second", Some(&failure(Some(1)))).await.unwrap();
    assert_eq!(stored.load().await.unwrap().failure, None, "the lease is another's");

    stored.release("first", Some(&failure(Some(40164)))).await.unwrap();
    let item = stored.load().await.unwrap();
    assert_eq!(
        (item.failure, item.lease_expires_at),
        (Some(failure(Some(40164))), None)
    );

    assert!(bench.wins("first", NOW).await, "the lease was given back");
    stored.release("first", Some(&failure(None))).await.unwrap();
    assert_eq!(stored.load().await.unwrap().failure, Some(failure(None)));

    assert!(bench.wins("first", NOW).await);
    assert!(bench.saves("first", 0, &token(1)).await);
    assert_eq!(stored.load().await.unwrap().failure, None);
}

/// Both are kept in the same way, and nothing of the one may end up in the other.
#[tokio::test]
async fn the_ticket_has_an_item_of_its_own() {
    let bench = Bench::start().await;
    let ticket = bench.table.jsapi_ticket();
    assert!(ticket.load().await.unwrap().token.is_none());
    let lease = ticket.take_lease("first", NOW, NOW + LEASE_FOR).await.unwrap();
    assert!(matches!(lease, Lease::Won(_)));
    assert!(bench.wins("second", NOW).await, "the token has a lease of its own");
    assert!(ticket.save("first", 0, &token(1)).await.unwrap());
    assert_eq!(ticket.load().await.unwrap().token.unwrap().value.expose(), "token 1");
    assert!(bench.table.token().await.unwrap().token.is_none());
}
