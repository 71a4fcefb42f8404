//! `send#<appid>#<idempotency key>`: a send under one key happens once.

use wechat::store::{RecordedAnswer, SendClaim, SendOutcome, SendRequest, Turn};

use super::{Bench, NOW, number, race};

const BODY: &str = r#"{"errcode":0,"errmsg":"ok","msgid":"3000000000000000001"}"#;
/// Longer than the function may run.
const CLAIM_ENDS: i64 = NOW + 35;
/// WeChat then no longer recognises a `client_msg_id`.
const NO_LONGER_HARMLESS: i64 = NOW + 9 * 60;

fn request<'a>(app_id: &'a str, owner: &'a str) -> SendRequest<'a> {
    SendRequest {
        app_id,
        key: "order-1",
        fingerprint: "body 1",
        owner,
    }
}

fn answer() -> RecordedAnswer {
    RecordedAnswer {
        status: 200,
        body: BODY.to_owned(),
    }
}

impl Bench {
    async fn claim(&self, owner: &str, now: i64) -> SendClaim {
        let request = request(&self.app_id, owner);
        self.table.claim_send(&request, now).await.unwrap()
    }

    async fn finish(&self, owner: &str, outcome: SendOutcome<'_>, now: i64) {
        let request = request(&self.app_id, owner);
        self.table.finish_send(&request, outcome, now).await.unwrap();
    }

    /// How many of many runs at `now` may send, and whether as `turn`.
    async fn winners(&self, now: i64, turn: Turn) -> usize {
        let claims = race(|run| {
            let (table, app_id) = (self.table.clone(), self.app_id.clone());
            async move {
                let owner = format!("racer {run}");
                table.claim_send(&request(&app_id, &owner), now).await.unwrap()
            }
        })
        .await;
        let is_loser = |claim: &SendClaim| matches!(claim, SendClaim::InProgress { .. });
        let (losers, winners): (Vec<_>, Vec<_>) = claims.into_iter().partition(is_loser);
        for winner in &winners {
            assert_eq!(*winner, SendClaim::Won(turn));
        }
        assert!(!losers.is_empty());
        winners.len()
    }
}

#[tokio::test]
async fn of_many_runs_under_one_key_one_sends() {
    let bench = Bench::start().await;
    assert_eq!(bench.winners(NOW, Turn::First).await, 1);
}

#[tokio::test]
async fn of_many_runs_one_takes_over_from_a_crash() {
    let bench = Bench::start().await;
    assert_eq!(bench.claim("crashed", NOW).await, SendClaim::Won(Turn::First));
    assert_eq!(bench.winners(CLAIM_ENDS, Turn::Repeat).await, 1);
}

#[tokio::test]
async fn a_recorded_answer_is_given_again_for_a_day() {
    let bench = Bench::start().await;
    assert_eq!(bench.claim("first", NOW).await, SendClaim::Won(Turn::First));
    assert_eq!(
        bench.claim("first", NOW).await,
        SendClaim::Won(Turn::First),
        "a lost answer"
    );
    assert!(matches!(
        bench.claim("second", NOW).await,
        SendClaim::InProgress { retry_after: 1..=5 }
    ));
    bench.finish("first", SendOutcome::Done(200, BODY), NOW).await;
    assert_eq!(bench.claim("second", NOW).await, SendClaim::Done(answer()));
    assert_eq!(bench.claim("first", NOW).await, SendClaim::Done(answer()));
    let other = SendRequest {
        fingerprint: "body 2",
        ..request(&bench.app_id, "second")
    };
    assert_eq!(bench.table.claim_send(&other, NOW).await.unwrap(), SendClaim::OtherBody);

    let item = bench.item(format!("send#{}#order-1", bench.app_id)).await.unwrap();
    let end = number(&item, "ttl");
    assert_eq!(end, NOW + 24 * 3600);
    assert_eq!(bench.claim("second", end - 1).await, SendClaim::Done(answer()));
    assert_eq!(bench.claim("second", end).await, SendClaim::Won(Turn::First));
}

#[tokio::test]
async fn what_wechat_refused_may_be_tried_again_with_the_same_body() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    bench.finish("first", SendOutcome::Refused, NOW).await;
    let other = SendRequest {
        fingerprint: "body 2",
        ..request(&bench.app_id, "second")
    };
    assert_eq!(bench.table.claim_send(&other, NOW).await.unwrap(), SendClaim::OtherBody);
    assert_eq!(bench.winners(NOW, Turn::First).await, 1);
}

#[tokio::test]
async fn a_claim_that_is_given_back_leaves_nothing() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    bench.finish("second", SendOutcome::NotAsked, NOW).await;
    assert!(
        matches!(bench.claim("third", NOW).await, SendClaim::InProgress { .. }),
        "the claim is another's"
    );
    bench.finish("first", SendOutcome::NotAsked, NOW).await;
    assert_eq!(bench.item(format!("send#{}#order-1", bench.app_id)).await, None);
    bench.finish("first", SendOutcome::NotAsked, NOW).await;
}

#[tokio::test]
async fn nobody_records_an_answer_for_another_run() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    bench.finish("second", SendOutcome::Done(200, BODY), NOW).await;
    assert!(matches!(bench.claim("third", NOW).await, SendClaim::InProgress { .. }));
}

#[tokio::test]
async fn an_outcome_that_is_not_known_is_repeated_while_that_is_harmless() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    bench.finish("first", SendOutcome::Ambiguous(None), NOW + 8).await;
    assert_eq!(bench.claim("second", NOW + 8).await, SendClaim::Won(Turn::Repeat));
    bench
        .finish("second", SendOutcome::Ambiguous(Some((207, BODY))), NOW + 16)
        .await;
    let some = RecordedAnswer {
        status: 207,
        body: BODY.to_owned(),
    };
    assert_eq!(
        bench.claim("third", NO_LONGER_HARMLESS).await,
        SendClaim::Unknown(Some(some))
    );
}

#[tokio::test]
async fn a_crash_long_ago_leaves_an_unknown_outcome() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    assert_eq!(
        bench.claim("second", NO_LONGER_HARMLESS).await,
        SendClaim::Unknown(None)
    );
}

/// The SDK repeats a write whose answer it missed, and the first one may land late.
#[tokio::test]
async fn a_claim_that_lands_late_takes_no_answer_away() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    for outcome in [SendOutcome::Ambiguous(Some((207, BODY))), SendOutcome::Done(200, BODY)] {
        bench.finish("first", outcome, NOW + 1).await;
        let item = bench.item(format!("send#{}#order-1", bench.app_id)).await;
        assert!(!matches!(bench.claim("first", NOW).await, SendClaim::Won(_)));
        assert_eq!(bench.item(format!("send#{}#order-1", bench.app_id)).await, item);
        bench.claim("first", NOW + 1).await;
    }
}
