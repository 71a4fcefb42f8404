//! Scheduled messages: sent in time, once, and what cannot be known is said.

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{Fault, Function, SEND, Service, Stage, account::APP_ID, now, scheduled_message};
use wechat::{
    clock::beijing_day,
    store::{ProblemRecord, ScheduledMessage, ScheduledState, StoreErrorKind, Table},
};

use crate::{start, start_with};

const ID: &str = "s1";

struct Bench {
    stage: Stage,
    table: Table,
}

impl Bench {
    async fn new() -> Self {
        let stage = Stage::with_token().await.behind_proxies().await;
        let table = Table::new(stage.table.client(), "wechat", APP_ID);
        Self { stage, table }
    }

    /// Schedules a message to [`FOLLOWER`], or to `user`, for `seconds` from now.
    async fn schedule(&self, seconds: i64, user: Option<&str>) {
        self.schedule_as(ID, seconds, user).await;
    }

    async fn schedule_as(&self, id: &str, seconds: i64, user: Option<&str>) {
        let scheduled = scheduled_message(now() + seconds, user);
        assert_eq!(self.table.schedule_message(id, &scheduled).await.unwrap(), None);
    }

    async fn message(&self) -> ScheduledMessage {
        self.table.scheduled_message(ID, now()).await.unwrap().unwrap()
    }

    async fn phone(&self) -> usize {
        self.stage.wechat.phone(FOLLOWER).await.len()
    }

    /// Makes the message due now, as time does, with its first attempt `ago` seconds ago, if there was one.
    async fn make_due(&self, ago: i64) {
        let name = format!("scheduled#{ID}");
        let item = self.stage.table.item(&name).await;
        let mut changes = json!({"isk": now()});
        if item.get("claim_expires_at").is_some() {
            changes["claim_expires_at"] = now().into();
        }
        if item.get("asked_at").is_some() {
            changes["asked_at"] = (now() - ago).into();
        }
        self.stage.table.set(&name, &changes).await;
    }
}

async fn run(worker: &mut Function) -> Value {
    worker.succeed(&json!({"action": "run"})).await
}

#[tokio::test]
async fn it_is_sent_when_it_is_due_and_once() {
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(60, None).await;
    assert_eq!(run(&mut worker).await, json!({}));
    bench.make_due(0).await;
    assert_eq!(run(&mut worker).await, json!({"scheduled": 1}));
    assert_eq!(run(&mut worker).await, json!({}));
    let sent = bench.message().await;
    assert_eq!((sent.state, bench.phone().await), (ScheduledState::Sent, 1));
    let record = bench.table.message(&sent.msgid.unwrap(), now()).await.unwrap().unwrap();
    assert_eq!(record.touser.as_deref(), Some(FOLLOWER));
    let logs = worker.logs();
    assert!(logs.contains("scheduled message") && !logs.contains(FOLLOWER), "{logs}");
}

#[tokio::test]
async fn a_user_is_resolved_when_the_message_is_sent() {
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(0, Some("u-1")).await;
    bench.stage.table.bind("u-1", FOLLOWER).await;
    run(&mut worker).await;
    let sent = bench.message().await;
    assert_eq!(
        (sent.state, sent.message.touser.as_str()),
        (ScheduledState::Sent, FOLLOWER)
    );
}

#[tokio::test]
async fn a_repeat_goes_to_the_person_who_may_have_got_the_message() {
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(0, Some("u-1")).await;
    bench.stage.table.bind("u-1", FOLLOWER).await;
    bench.stage.proxy(Service::WeChat).fail(1.., Fault::LoseAnswer);
    run(&mut worker).await;
    assert_eq!(bench.message().await.message.touser, FOLLOWER);
    bench.stage.mend().await;
    bench.stage.table.bind("u-1", "oSomebodyElse").await;
    bench.make_due(60).await;
    run(&mut worker).await;
    let sent = bench.message().await;
    assert_eq!(
        (sent.state, sent.message.touser.as_str(), bench.phone().await),
        (ScheduledState::Sent, FOLLOWER, 1)
    );
}

#[tokio::test]
async fn a_user_who_could_not_be_read_was_not_asked_for() {
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(0, Some("u-1")).await;
    // The claim of a run that ended before it knew the openid.
    let claimed = bench.table.claim_scheduled(ID, "dead", now(), now() + 30).await;
    assert_eq!(claimed.unwrap().unwrap().asked_at, None);
    bench.stage.table.bind("u-1", FOLLOWER).await;
    bench.make_due(3600).await;
    run(&mut worker).await;
    assert_eq!(
        (bench.message().await.state, bench.phone().await),
        (ScheduledState::Sent, 1)
    );
}

#[tokio::test]
async fn one_that_this_version_cannot_read_is_kept_and_delays_no_other() {
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(0, None).await;
    bench.schedule_as("s0", 0, None).await;
    let newer = json!({"message": "of a later version"});
    bench.stage.table.set("scheduled#s0", &newer).await;
    assert_eq!(run(&mut worker).await, json!({"scheduled": 1}));
    assert_eq!(bench.message().await.state, ScheduledState::Sent);
    let unread = bench.table.scheduled_message("s0", now()).await.unwrap_err();
    assert_eq!(unread.kind(), StoreErrorKind::Damaged);
    assert!(worker.logs().contains("s0"));
}

#[tokio::test]
async fn what_wechat_does_not_take_for_now_is_tried_again_for_six_hours() {
    for errcode in [45009, 45011, 40164, 42001] {
        let bench = Bench::new().await;
        let mut worker = start(&bench.stage).await;
        bench.schedule(0, None).await;
        bench
            .stage
            .wechat
            .fault(SEND, &json!({"errcode": errcode, "times": 10}))
            .await;
        run(&mut worker).await;
        let waits = bench.message().await;
        assert_eq!(
            (waits.state, waits.asked_at),
            (ScheduledState::Waiting, None),
            "{errcode}"
        );
        bench.stage.wechat.clear_faults().await;
        bench.make_due(0).await;
        run(&mut worker).await;
        assert_eq!(
            (bench.message().await.state, bench.phone().await),
            (ScheduledState::Sent, 1),
            "{errcode}"
        );
    }
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(0, None).await;
    bench
        .stage
        .table
        .set(&format!("scheduled#{ID}"), &json!({"send_at": now() - 6 * 3600}))
        .await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 45009, "times": 10}))
        .await;
    run(&mut worker).await;
    let failed = bench.message().await;
    assert_eq!((failed.state, failed.errcode), (ScheduledState::Failed, Some(45009)));
}

#[tokio::test]
async fn a_refused_one_fails_and_is_among_the_days_problems() {
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(0, None).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 43004, "times": 1}))
        .await;
    run(&mut worker).await;
    let failed = bench.message().await;
    assert_eq!((failed.state, failed.errcode), (ScheduledState::Failed, Some(43004)));
    let problems = bench
        .table
        .page_of_problems(&beijing_day(now()), None, now())
        .await
        .unwrap();
    let [ProblemRecord::Scheduled(id, _)] = &problems.entries[..] else {
        panic!("{problems:?}");
    };
    assert_eq!(id, ID);
}

#[tokio::test]
async fn an_unknown_outcome_is_repeated_while_wechat_recognises_it_and_then_said() {
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(0, None).await;
    bench.stage.proxy(Service::WeChat).fail(1.., Fault::LoseAnswer);
    run(&mut worker).await;
    let waits = bench.message().await;
    assert!(
        waits.state == ScheduledState::Waiting && waits.asked_at.is_some(),
        "{waits:?}"
    );
    assert!(
        !bench.table.cancel_scheduled(ID, now()).await.unwrap(),
        "it may have been sent"
    );
    bench.make_due(600).await;
    run(&mut worker).await;
    assert_eq!(bench.message().await.state, ScheduledState::Unknown);
    assert_eq!(bench.phone().await, 1);

    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(0, None).await;
    bench.stage.proxy(Service::WeChat).fail(1..=1, Fault::LoseAnswer);
    run(&mut worker).await;
    bench.make_due(60).await;
    run(&mut worker).await;
    assert_eq!(
        (bench.message().await.state, bench.phone().await),
        (ScheduledState::Sent, 1)
    );
}

#[tokio::test]
async fn a_cancelled_one_is_not_sent() {
    let bench = Bench::new().await;
    let mut worker = start(&bench.stage).await;
    bench.schedule(60, None).await;
    assert!(bench.table.cancel_scheduled(ID, now()).await.unwrap());
    assert!(bench.table.cancel_scheduled(ID, now()).await.unwrap(), "twice is once");
    run(&mut worker).await;
    assert_eq!(
        (bench.message().await.state, bench.phone().await),
        (ScheduledState::Cancelled, 0)
    );
}

/// The message would wait for ever, and nobody would know.
#[tokio::test]
async fn a_worker_that_can_have_no_token_says_so_when_something_is_due() {
    let bench = Bench::new().await;
    let mut worker = start_with(&bench.stage, &[("TOKEN_REFRESHER_FUNCTION", "")]).await;
    assert_eq!(run(&mut worker).await, json!({}));
    bench.schedule(0, None).await;
    let (kind, message) = worker.fail(&json!({"action": "run"})).await;
    assert_eq!(kind, "NoRefresher");
    assert!(message.contains("TOKEN_REFRESHER_FUNCTION"), "{message}");
}

#[tokio::test]
async fn of_two_runs_at_once_one_sends() {
    let bench = Bench::new().await;
    let (mut one, mut two) = (start(&bench.stage).await, start(&bench.stage).await);
    bench.schedule(0, None).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"delay_ms": 500, "times": 2}))
        .await;
    tokio::join!(run(&mut one), run(&mut two));
    assert_eq!(
        (bench.message().await.state, bench.phone().await),
        (ScheduledState::Sent, 1)
    );
    assert_eq!(bench.stage.wechat.calls(SEND).await, 1);
}
