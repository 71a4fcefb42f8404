//! Claims of callbacks, `callback#<appid>#<key>`: the effects of a callback happen once.

use wechat::store::Claim;

use super::{Bench, NOW, number, race};

/// Seconds until a claim expires that was neither finished nor given up.
const CLAIMED_FOR: i64 = 4;
const CLAIM_ENDS: i64 = NOW + CLAIMED_FOR;

impl Bench {
    async fn claims(&self, owner: &str, now: i64) -> Claim {
        let claim = self.table.claim_callback("msgid 1", owner, now, CLAIMED_FOR);
        claim.await.unwrap()
    }

    async fn winning_deliveries(&self, now: i64) -> usize {
        let claims = race(|delivery| {
            let table = self.table.clone();
            async move {
                let owner = format!("racer {delivery}");
                let claim = table.claim_callback("msgid 1", &owner, now, CLAIMED_FOR);
                claim.await.unwrap()
            }
        })
        .await;
        assert!(!claims.contains(&Claim::Done));
        claims.into_iter().filter(|claim| *claim == Claim::Won).count()
    }
}

#[tokio::test]
async fn of_many_deliveries_one_has_effects() {
    let bench = Bench::start().await;
    assert_eq!(bench.winning_deliveries(NOW).await, 1);
    assert_eq!(bench.winning_deliveries(CLAIM_ENDS).await, 1, "the first has crashed");
}

#[tokio::test]
async fn a_finished_callback_is_remembered_for_a_day() {
    let bench = Bench::start().await;
    assert_eq!(bench.claims("first", NOW).await, Claim::Won);
    assert_eq!(bench.claims("first", NOW).await, Claim::Won, "a lost answer");
    assert_eq!(bench.claims("second", CLAIM_ENDS - 1).await, Claim::InProgress);
    let finish = bench.table.finish_callback("msgid 1", "first", NOW);
    finish.await.unwrap();
    assert_eq!(bench.claims("second", CLAIM_ENDS).await, Claim::Done);
    assert_eq!(
        bench.claims("first", NOW).await,
        Claim::Done,
        "its own claim, which landed late"
    );

    let item = bench.item(format!("callback#{}#msgid 1", bench.app_id)).await.unwrap();
    let end = number(&item, "ttl");
    assert_eq!(end, NOW + 24 * 3600);
    assert_eq!(bench.claims("second", end - 1).await, Claim::Done);
    assert_eq!(bench.claims("second", end).await, Claim::Won);
}

#[tokio::test]
async fn a_claim_is_given_up_by_its_owner_and_before_it_is_done() {
    let bench = Bench::start().await;
    let give_up = |owner: &'static str| bench.table.give_up_callback("msgid 1", owner);
    assert_eq!(bench.claims("first", NOW).await, Claim::Won);
    give_up("second").await.unwrap();
    assert_eq!(bench.claims("second", NOW).await, Claim::InProgress);
    give_up("first").await.unwrap();
    assert_eq!(bench.claims("second", NOW).await, Claim::Won);
    let finish = bench.table.finish_callback("msgid 1", "second", NOW);
    finish.await.unwrap();
    give_up("second").await.unwrap();
    assert_eq!(bench.claims("third", NOW).await, Claim::Done);
}
