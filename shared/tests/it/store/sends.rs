//! Claims of sends, `send#<appid>#<idempotency key>`: a send with one key happens once.

use std::collections::BTreeMap;

use serde_json::json;
use wechat::store::{RecipientOutcome, RecordedAnswer, SendClaim, SendOutcome, SendRequest, SendState};

use super::{Bench, NOW, number, race};

const BODY: &str = r#"{"errcode":0,"errmsg":"ok","msgid":"3000000000000000001"}"#;
/// Epoch seconds. The claim lasts longer than the function may run.
const CLAIM_ENDS: i64 = NOW + 35;

/// The claim of a send that no earlier run has begun.
fn first() -> SendClaim {
    SendClaim::Won(SendState::default())
}

fn settled() -> RecipientOutcome {
    RecipientOutcome::Settled {
        result: json!({"touser": "oOne", "errcode": 0, "errmsg": "ok", "msgid": "3000000000000000001"}),
    }
}

fn request(owner: &str) -> SendRequest<'_> {
    SendRequest {
        caller: "shop",
        key: "order-1",
        fingerprint: "body 1",
        owner,
        openids: None,
    }
}

const fn unknown_since(since: i64) -> RecipientOutcome {
    RecipientOutcome::Unknown { since, openid: None }
}

fn answer() -> RecordedAnswer {
    RecordedAnswer {
        status: 200,
        body: BODY.to_owned(),
    }
}

impl Bench {
    async fn claim(&self, owner: &str, now: i64) -> SendClaim {
        let request = request(owner);
        self.table.claim_send(&request, now).await.unwrap()
    }

    async fn finish(&self, owner: &str, outcome: SendOutcome<'_>, now: i64) {
        let request = request(owner);
        self.table.finish_send(&request, outcome, now).await.unwrap();
    }

    /// Claims the send, which must succeed, and returns the state that earlier runs left.
    async fn won(&self, owner: &str, now: i64) -> SendState {
        match self.claim(owner, now).await {
            SendClaim::Won(state) => state,
            claim => panic!("{claim:?}"),
        }
    }

    /// Lets many runs claim the send at `now` and returns the states of those that won.
    async fn winners(&self, now: i64) -> Vec<SendState> {
        let claims = race(|run| {
            let table = self.table.clone();
            async move {
                let owner = format!("racer {run}");
                table.claim_send(&request(&owner), now).await.unwrap()
            }
        })
        .await;
        let mut winners = Vec::new();
        for claim in &claims {
            match claim {
                SendClaim::Won(state) => winners.push(state.clone()),
                loser => assert!(matches!(loser, SendClaim::InProgress { .. }), "{loser:?}"),
            }
        }
        assert!(winners.len() < claims.len());
        winners
    }
}

#[tokio::test]
async fn of_many_runs_under_one_key_one_sends() {
    let bench = Bench::start().await;
    assert_eq!(bench.winners(NOW).await, [SendState::default()]);
}

#[tokio::test]
async fn of_many_runs_one_takes_over_from_a_crash() {
    let bench = Bench::start().await;
    assert_eq!(bench.claim("crashed", NOW).await, first());
    let winners = bench.winners(CLAIM_ENDS).await;
    assert_eq!(winners.len(), 1);
    assert_eq!(winners[0].of("oAnybody"), Some(unknown_since(NOW)));
}

#[tokio::test]
async fn a_recorded_answer_is_given_again_for_a_day() {
    let bench = Bench::start().await;
    assert_eq!(bench.claim("first", NOW).await, first());
    assert_eq!(bench.claim("first", NOW).await, first(), "a lost answer");
    assert!(matches!(
        bench.claim("second", NOW).await,
        SendClaim::InProgress { retry_after: 1..=5 }
    ));
    bench.finish("first", SendOutcome::Done(200, BODY), NOW).await;
    assert_eq!(bench.claim("second", NOW).await, SendClaim::Done(answer()));
    assert_eq!(bench.claim("first", NOW).await, SendClaim::Done(answer()));
    let other = SendRequest {
        fingerprint: "body 2",
        ..request("second")
    };
    assert_eq!(bench.table.claim_send(&other, NOW).await.unwrap(), SendClaim::OtherBody);

    let item = bench.item(format!("send#{}#shop#order-1", bench.app_id)).await.unwrap();
    let end = number(&item, "ttl");
    assert_eq!(end, NOW + 24 * 3600);
    assert_eq!(bench.claim("second", end - 1).await, SendClaim::Done(answer()));
    assert_eq!(bench.claim("second", end).await, first());
}

#[tokio::test]
async fn a_send_that_wechat_refused_may_be_retried_with_the_same_body() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    bench.finish("first", SendOutcome::Refused, NOW).await;
    let other = SendRequest {
        fingerprint: "body 2",
        ..request("second")
    };
    assert_eq!(bench.table.claim_send(&other, NOW).await.unwrap(), SendClaim::OtherBody);
    assert_eq!(bench.winners(NOW).await, [SendState::default()]);
}

#[tokio::test]
async fn a_claim_that_is_given_back_leaves_nothing() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    bench.finish("second", SendOutcome::NotAttempted, NOW).await;
    assert!(
        matches!(bench.claim("third", NOW).await, SendClaim::InProgress { .. }),
        "the claim is another's"
    );
    bench.finish("first", SendOutcome::NotAttempted, NOW).await;
    assert_eq!(bench.item(format!("send#{}#shop#order-1", bench.app_id)).await, None);
    bench.finish("first", SendOutcome::NotAttempted, NOW).await;
}

#[tokio::test]
async fn nobody_records_an_answer_for_another_run() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    bench.finish("second", SendOutcome::Done(200, BODY), NOW).await;
    assert!(matches!(bench.claim("third", NOW).await, SendClaim::InProgress { .. }));
}

#[tokio::test]
async fn the_state_of_each_recipient_outlives_every_claim() {
    let bench = Bench::start().await;
    let unknown = unknown_since(NOW);
    let known = BTreeMap::from([("oOne".to_owned(), settled()), ("oTwo".to_owned(), unknown.clone())]);
    bench.claim("first", NOW).await;
    bench.finish("first", SendOutcome::Open(&known), NOW + 8).await;
    let state = bench.won("second", NOW + 8).await;
    assert_eq!(
        (state.of("oOne"), state.of("oTwo"), state.of("oThree")),
        (Some(settled()), Some(unknown.clone()), None)
    );

    // The second run dies: its first recipient may have received the message since then.
    let state = bench.won("third", NOW + 8 + 35).await;
    let since_the_second = unknown_since(NOW + 8);
    assert_eq!(
        (state.of("oOne"), state.of("oTwo"), state.of("oThree")),
        (Some(settled()), Some(unknown), Some(since_the_second.clone()))
    );
    // The third run dies too: the time of the first doubt stays.
    let state = bench.won("fourth", NOW + 8 + 70).await;
    assert_eq!(state.of("oThree"), Some(since_the_second));

    bench.finish("fourth", SendOutcome::Done(200, BODY), NOW + 80).await;
    assert_eq!(bench.claim("fifth", NOW + 80).await, SendClaim::Done(answer()));
}

/// Claims a send to users that are bound to `openids` now.
async fn won_for(bench: &Bench, owner: &str, openids: &[(&str, &str)], now: i64) -> SendState {
    let openids = openids.iter().copied().collect();
    let request = SendRequest {
        openids: Some(&openids),
        ..request(owner)
    };
    match bench.table.claim_send(&request, now).await.unwrap() {
        SendClaim::Won(state) => state,
        claim => panic!("{claim:?}"),
    }
}

/// A second message would go to the new openid, while the old one may have the first.
#[tokio::test]
async fn after_a_crash_a_user_stays_with_the_openid_that_may_have_been_asked_for() {
    let bench = Bench::start().await;
    let asked = |since: i64, openid: &str| {
        let openid = Some(openid.to_owned());
        Some(RecipientOutcome::Unknown { since, openid })
    };
    won_for(&bench, "first", &[("u-1", "o1")], NOW).await;
    // Both are bound anew, and u-2 for the first time.
    let state = won_for(&bench, "second", &[("u-1", "o1 new"), ("u-2", "o2")], CLAIM_ENDS).await;
    assert_eq!((state.of("u-1"), state.of("u-2")), (asked(NOW, "o1"), None));
    let state = won_for(
        &bench,
        "third",
        &[("u-1", "o1 new"), ("u-2", "o2 new")],
        CLAIM_ENDS + 35,
    )
    .await;
    assert_eq!(
        (state.of("u-1"), state.of("u-2"), state.of("u-3")),
        (asked(NOW, "o1"), asked(NOW, "o2"), None)
    );

    // A run that ends records what it knows. What it did not send may go to another openid.
    let known = BTreeMap::from([("u-1".to_owned(), state.of("u-1").unwrap())]);
    bench.finish("third", SendOutcome::Open(&known), CLAIM_ENDS + 36).await;
    let state = won_for(
        &bench,
        "fourth",
        &[("u-1", "o1 new"), ("u-2", "o2 new")],
        CLAIM_ENDS + 36,
    )
    .await;
    assert_eq!((state.of("u-1"), state.of("u-2")), (asked(NOW, "o1"), None));
}

/// A caller must neither get the answer of another caller nor block that caller's send.
#[tokio::test]
async fn the_keys_of_two_callers_are_kept_apart() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    bench.finish("first", SendOutcome::Done(200, BODY), NOW).await;
    let other = SendRequest {
        caller: "app",
        fingerprint: "body 2",
        ..request("second")
    };
    assert_eq!(bench.table.claim_send(&other, NOW).await.unwrap(), first());
}

/// The SDK retries a write whose answer was lost, and the first attempt may reach the table late.
#[tokio::test]
async fn a_claim_that_lands_late_takes_no_answer_away() {
    let bench = Bench::start().await;
    bench.claim("first", NOW).await;
    let known = BTreeMap::from([("oOne".to_owned(), settled())]);
    for outcome in [SendOutcome::Open(&known), SendOutcome::Done(200, BODY)] {
        bench.finish("first", outcome, NOW + 1).await;
        let item = bench.item(format!("send#{}#shop#order-1", bench.app_id)).await;
        assert!(!matches!(bench.claim("first", NOW).await, SendClaim::Won(_)));
        assert_eq!(bench.item(format!("send#{}#shop#order-1", bench.app_id)).await, item);
        bench.claim("first", NOW + 1).await;
    }
}
