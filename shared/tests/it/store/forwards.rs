//! Callbacks for own code, `forward#<appid>#<callback key>`: none is lost, one run at a time asks own code, and repeats of a
//! callback get the first one's answer.

use wechat::{
    forward::OwnReply,
    reply::Reply,
    store::{
        Begun, FORWARD_ATTEMPTS, ForwardAttempt, ForwardCounts, ForwardList, ForwardRecord, ForwardState, List,
        NewForward, Page, Table,
    },
};

use super::{Bench, NOW, number, race, text};

/// Epoch milliseconds.
const NOW_MILLIS: i64 = NOW * 1000 + 250;
/// When the claim of an attempt that begins at [`NOW_MILLIS`] ends.
const CLAIM_ENDS: i64 = NOW_MILLIS + 4500;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

const FORWARD: NewForward<'_> = NewForward {
    id: "c1",
    body: "{\"text\":\"你好\"}",
    kind: "event.CLICK",
    from: "o1",
};

fn first_attempt(owner: &str) -> ForwardAttempt {
    ForwardAttempt {
        id: "c1".to_owned(),
        owner: owner.to_owned(),
        number: 1,
        began: NOW_MILLIS,
    }
}

fn reply() -> OwnReply {
    OwnReply::Reply(Reply::text("hello").into())
}

async fn begin(table: &Table, owner: &str, now: i64) -> Begun {
    table
        .begin_forward(FORWARD, now, Some((owner, now + 4500)))
        .await
        .unwrap()
}

async fn list(table: &Table, list: ForwardList, now: i64) -> Vec<ForwardRecord> {
    let Page { entries, next } = table.page_of_forwards(list, None, now).await.unwrap();
    assert_eq!(next, None);
    entries
}

async fn due(table: &Table, now: i64) -> Vec<String> {
    table.due_forwards(now, None).await.unwrap().entries
}

async fn fail(table: &Table, attempt: &ForwardAttempt, now: i64) {
    assert!(
        table
            .fail_forward(attempt, "own code answered 500", false, now)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn of_many_deliveries_at_once_one_asks_own_code() {
    let Bench { table, .. } = Bench::start().await;
    let begun = race(|delivery| {
        let table = table.clone();
        async move { begin(&table, &format!("racer {delivery}"), NOW_MILLIS).await }
    })
    .await;
    assert_eq!(begun.iter().filter(|begun| **begun == Begun::New).count(), 1);
    let in_progress = Begun::Repeat(ForwardState::InProgress(CLAIM_ENDS));
    assert_eq!(
        begun.iter().filter(|begun| **begun == in_progress).count(),
        begun.len() - 1
    );

    let taken_over = race(|delivery| {
        let table = table.clone();
        async move {
            let owner = format!("second {delivery}");
            let until = CLAIM_ENDS + 4500;
            table.take_over_forward("c1", &owner, CLAIM_ENDS, until).await.unwrap()
        }
    })
    .await;
    let taken_over: Vec<ForwardAttempt> = taken_over.into_iter().flatten().collect();
    assert_eq!(taken_over.len(), 1, "the first has crashed");
    assert_eq!((taken_over[0].number, taken_over[0].began), (2, CLAIM_ENDS));
}

#[tokio::test]
async fn a_taken_callback_leaves_its_answer_for_an_hour_and_no_text() {
    let bench = Bench::start().await;
    let table = &bench.table;
    assert_eq!(begin(table, "first", NOW_MILLIS).await, Begun::New);
    assert_eq!(begin(table, "first", NOW_MILLIS).await, Begun::New, "a lost answer");
    assert!(table.finish_forward("c1", &reply(), NOW_MILLIS + 80).await.unwrap());
    assert!(
        !table
            .finish_forward("c1", &OwnReply::Silence, NOW_MILLIS + 90)
            .await
            .unwrap(),
        "the first answer stays"
    );
    let taken = ForwardState::Taken(reply());
    assert_eq!(
        begin(table, "first", NOW_MILLIS).await,
        Begun::Repeat(taken.clone()),
        "its own write, which landed late"
    );
    assert_eq!(
        begin(table, "second", NOW_MILLIS + 5000).await,
        Begun::Repeat(taken.clone())
    );
    assert_eq!(table.forward_state("c1", NOW_MILLIS + 5000).await.unwrap(), Some(taken));
    assert!(
        !table
            .fail_forward(&first_attempt("first"), "late", false, NOW_MILLIS)
            .await
            .unwrap()
    );

    let item = bench.item(format!("forward#{}#c1", bench.app_id)).await.unwrap();
    assert_eq!(number(&item, "ttl"), NOW + 3600);
    for left in ["body", "from", "type", "ipk", "isk", "owner"] {
        assert!(!item.contains_key(left), "{left}");
    }
    assert_eq!(
        begin(table, "third", NOW_MILLIS + HOUR - 1000).await,
        Begun::Repeat(ForwardState::Taken(reply()))
    );
    assert_eq!(begin(table, "third", NOW_MILLIS + HOUR).await, Begun::New);
}

#[tokio::test]
async fn a_callback_that_is_not_taken_is_due_again_and_a_repeat_does_not_ask() {
    let Bench { table, .. } = &Bench::start().await;
    begin(table, "first", NOW_MILLIS).await;
    fail(table, &first_attempt("first"), NOW_MILLIS + 3000).await;
    assert_eq!(
        begin(table, "second", NOW_MILLIS + 5000).await,
        Begun::Repeat(ForwardState::NotTaken)
    );
    assert_eq!(
        table
            .take_over_forward("c1", "second", CLAIM_ENDS, CLAIM_ENDS + 1)
            .await
            .unwrap(),
        None
    );
    assert_eq!(due(table, NOW_MILLIS + 53_999).await, [""; 0]);
    assert_eq!(due(table, NOW_MILLIS + 66_001).await, ["c1"]);

    let waiting = list(table, ForwardList::Waiting, NOW_MILLIS).await;
    let next_at = waiting[0].next_at.unwrap();
    assert!((NOW + 54..=NOW + 66).contains(&next_at), "{next_at}");
    assert_eq!(
        waiting,
        [ForwardRecord {
            id: "c1".to_owned(),
            kind: "event.CLICK".to_owned(),
            from: "o1".to_owned(),
            at: NOW,
            attempts: 1,
            next_at: Some(next_at),
            last_error: Some("own code answered 500".to_owned()),
        }]
    );
}

#[tokio::test]
async fn a_callback_is_kept_without_an_attempt_for_the_worker() {
    let Bench { table, .. } = &Bench::start().await;
    assert_eq!(
        table.begin_forward(FORWARD, NOW_MILLIS, None).await.unwrap(),
        Begun::New
    );
    assert_eq!(
        table.begin_forward(FORWARD, NOW_MILLIS, None).await.unwrap(),
        Begun::Repeat(ForwardState::NotTaken)
    );
    let waiting = list(table, ForwardList::Waiting, NOW_MILLIS).await;
    assert_eq!(waiting[0].attempts, 0);
    let later = NOW_MILLIS + 66_001;
    let first = table
        .claim_due_forward("c1", "w", later, later + 30_000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (first.attempt.number, first.body.as_str(), first.at),
        (1, FORWARD.body, NOW)
    );
}

#[tokio::test]
async fn of_many_workers_one_claims_what_is_due() {
    let Bench { table, .. } = Bench::start().await;
    begin(&table, "first", NOW_MILLIS).await;
    assert_eq!(
        table
            .claim_due_forward("c1", "early", CLAIM_ENDS, CLAIM_ENDS + 1)
            .await
            .unwrap(),
        None
    );
    let later = NOW_MILLIS + 66_001;
    let claimed = race(|worker| {
        let table = table.clone();
        async move {
            let owner = format!("worker {worker}");
            table
                .claim_due_forward("c1", &owner, later, later + 30_000)
                .await
                .unwrap()
        }
    })
    .await;
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].attempt.number, 2, "the webhook's own has crashed");
    assert_eq!(due(&table, later + 29_999).await, [""; 0]);
    assert_eq!(due(&table, later + 30_000).await, ["c1"], "this worker has crashed");
    let again = table
        .claim_due_forward("c1", "next", later + 30_000, later + 60_000)
        .await
        .unwrap();
    assert!(
        !table
            .fail_forward(&claimed[0].attempt, "late", false, later)
            .await
            .unwrap()
    );
    assert_eq!(again.unwrap().attempt.number, 3);
    assert!(table.finish_forward("c1", &OwnReply::LeftToRules, later).await.unwrap());
    assert_eq!(list(&table, ForwardList::Waiting, later).await, []);
}

#[tokio::test]
async fn after_seventeen_attempts_within_three_days_a_callback_is_dead_for_thirty() {
    let bench = Bench::start().await;
    let table = &bench.table;
    begin(table, "first", NOW_MILLIS).await;
    fail(table, &first_attempt("first"), NOW_MILLIS).await;
    let mut now = NOW_MILLIS;
    for number in 2..=FORWARD_ATTEMPTS {
        let waiting = list(table, ForwardList::Waiting, now).await;
        now = (waiting[0].next_at.unwrap() + 1) * 1000;
        let due = table
            .claim_due_forward("c1", "w", now, now + 30_000)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(due.attempt.number, number);
        fail(table, &due.attempt, now + 20_000).await;
    }
    let took = now - NOW_MILLIS;
    assert!((DAY * 27 / 10..DAY * 34 / 10).contains(&took), "{took}");
    assert_eq!(list(table, ForwardList::Waiting, now).await, []);
    let dead = list(table, ForwardList::Dead, now).await;
    assert_eq!((dead[0].attempts, dead[0].next_at), (17, None));
    assert_eq!(
        table.count_forwards().await.unwrap(),
        ForwardCounts { waiting: 0, dead: 1 }
    );

    let item = bench.item(format!("forward#{}#c1", bench.app_id)).await.unwrap();
    assert_eq!(text(&item, "state"), "dead");
    let end = number(&item, "ttl") * 1000;
    assert_eq!(end.div_euclid(1000), (now + 20_000).div_euclid(1000) + 30 * 24 * 3600);
    assert_eq!(list(table, ForwardList::Dead, end).await, []);
    assert!(!table.retry_forward("c1", end).await.unwrap());
}

#[tokio::test]
async fn a_worker_that_dies_in_the_last_attempt_leaves_a_dead_callback() {
    let Bench { table, .. } = &Bench::start().await;
    begin(table, "first", NOW_MILLIS).await;
    let mut now = NOW_MILLIS + HOUR;
    for number in 2..=FORWARD_ATTEMPTS {
        now += HOUR;
        let due = table
            .claim_due_forward("c1", &number.to_string(), now, now + 30_000)
            .await
            .unwrap();
        assert_eq!(due.unwrap().attempt.number, number);
    }
    now += HOUR;
    assert_eq!(
        table.claim_due_forward("c1", "last", now, now + 30_000).await.unwrap(),
        None
    );
    assert_eq!(list(table, ForwardList::Dead, now).await[0].attempts, 17);
}

#[tokio::test]
async fn a_callback_that_own_code_refuses_for_good_is_dead_at_once_and_can_be_retried_or_deleted() {
    let Bench { table, .. } = &Bench::start().await;
    begin(table, "first", NOW_MILLIS).await;
    let first = first_attempt("first");
    let gone = table.fail_forward(&first, "own code answered 410", true, NOW_MILLIS);
    assert!(gone.await.unwrap());
    assert_eq!(
        begin(table, "second", NOW_MILLIS + 5000).await,
        Begun::Repeat(ForwardState::NotTaken)
    );
    assert_eq!(list(table, ForwardList::Dead, NOW_MILLIS).await[0].attempts, 1);

    assert!(!table.retry_forward("unknown", NOW_MILLIS).await.unwrap());
    assert!(table.retry_forward("c1", NOW_MILLIS + DAY).await.unwrap());
    assert_eq!(due(table, NOW_MILLIS + DAY).await, ["c1"]);
    let waiting = list(table, ForwardList::Waiting, NOW_MILLIS + 40 * DAY).await;
    assert_eq!(
        waiting[0].attempts, 0,
        "the schedule begins anew, and nothing ends after 30 days"
    );
    let now = NOW_MILLIS + DAY;
    let due = table
        .claim_due_forward("c1", "w", now, now + 30_000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(due.attempt.number, 1);

    assert!(table.delete_forward("c1").await.unwrap());
    assert!(!table.delete_forward("c1").await.unwrap());
    assert!(!table.finish_forward("c1", &reply(), now).await.unwrap());
    assert_eq!(table.forward_state("c1", now).await.unwrap(), None);
}

#[tokio::test]
async fn a_retry_during_an_attempt_comes_after_it() {
    let Bench { table, .. } = &Bench::start().await;
    begin(table, "first", NOW_MILLIS).await;
    assert!(table.retry_forward("c1", NOW_MILLIS + 10).await.unwrap());
    let until = NOW_MILLIS + 30_000;
    assert_eq!(
        table
            .claim_due_forward("c1", "w", NOW_MILLIS + 20, until)
            .await
            .unwrap(),
        None
    );
    let first = first_attempt("first");
    let failed = table.fail_forward(&first, "too late to count", false, NOW_MILLIS + 30);
    assert!(!failed.await.unwrap());
    let due = table
        .claim_due_forward("c1", "w", CLAIM_ENDS, CLAIM_ENDS + 30_000)
        .await
        .unwrap();
    assert_eq!(due.unwrap().attempt.number, 1);
}

#[tokio::test]
async fn all_dead_callbacks_are_retried_page_by_page() {
    let Bench { table, .. } = &Bench::start().await;
    for index in 0..130 {
        let (id, owner) = (format!("c{index}"), "w");
        let forward = NewForward { id: &id, ..FORWARD };
        table
            .begin_forward(forward, NOW_MILLIS, Some((owner, CLAIM_ENDS)))
            .await
            .unwrap();
        let attempt = ForwardAttempt {
            id,
            ..first_attempt(owner)
        };
        table
            .fail_forward(&attempt, "own code answered 410", true, NOW_MILLIS + index)
            .await
            .unwrap();
    }
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let after = cursor.map(|cursor: String| table.parse_cursor(List::Forwards, &cursor).unwrap());
        let page = table
            .page_of_forwards(ForwardList::Dead, after.as_ref(), NOW_MILLIS)
            .await
            .unwrap();
        pages.push(page.entries.len());
        match page.next {
            Some(next) => cursor = Some(table.cursor_text(List::Forwards, &next)),
            None => break,
        }
    }
    assert_eq!(pages[..2], [100, 30]);
    assert_eq!(table.retry_dead_forwards(NOW_MILLIS + DAY).await.unwrap(), 130);
    assert_eq!(
        table.count_forwards().await.unwrap(),
        ForwardCounts { waiting: 130, dead: 0 }
    );
    assert_eq!(due(table, NOW_MILLIS + DAY).await.len(), 100);
    assert_eq!(table.retry_dead_forwards(NOW_MILLIS + DAY).await.unwrap(), 0);
}
