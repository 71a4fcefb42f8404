//! Asks the team's own code again for the callbacks that it has not taken.
//!
//! A run claims each callback in the table before it asks, so several runs at once ask each callback once, and a callback whose
//! run dies is due again when the claim ends. Own code's replies are dropped: WeChat shows none any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};
use wechat::{
    clock::{Clock, Deadline, millis},
    forward::{Asked, GONE, OwnCode, OwnReply, Showable},
    random,
    store::{DueForward, ForwardAttempt, StoreError, Table},
    telemetry::{self, Metric, Unit},
};

use crate::time_limit::TimeLimit;

/// How long a run waits for own code's answer to one callback.
const WAIT: Duration = Duration::from_secs(20);
/// Callbacks for which a run asks own code at once. With the pace of the runs it bounds what own code gets when it comes back.
const AT_ONCE: usize = 10;
/// Failures in a row after which a run leaves the rest to the next one.
const GIVE_UP_AFTER: usize = 5;
/// The longest run. Where no deadline ends a run, this does, and the run of the next minute continues.
const LONGEST_RUN: Duration = Duration::from_secs(55);
/// Time of the function that a run reserves for noting own code's last answer. A call to the table takes 2 s at most.
const MARGIN: Duration = Duration::from_millis(2500);
/// How long a claim outlasts the wait for the answer: the time to note it, and clock skew.
const CLAIMED_LONGER: Duration = Duration::from_secs(5);

/// The callbacks that own code has not taken.
#[derive(Debug)]
pub(crate) struct Forwards {
    table: Table,
    own_code: Option<OwnCode>,
    clock: Arc<dyn Clock>,
    /// Held by a run: events that a queue kept during an outage would otherwise run all at once.
    running: Mutex<()>,
    has_warned: AtomicBool,
}

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    taken: usize,
    /// Own code is asked again for these, by the schedule.
    failed: usize,
    dead: usize,
}

/// The outcome of asking about one callback.
enum Outcome {
    Taken,
    Failed,
    /// Own code failed at the last attempt.
    Dead,
    /// Own code refused for good.
    Gone,
    /// Another run was faster, or the callback was deleted.
    NotDue,
    /// The table failed, so own code was not asked.
    NotClaimed(StoreError),
    /// The process ends before own code has answered.
    Interrupted,
}

/// When a run has to end.
#[derive(Clone, Copy)]
struct Schedule {
    /// How long own code may take for each answer.
    wait: Duration,
    /// The last time at which own code can still be given the whole wait.
    last_start: Instant,
    /// The end of the last wait.
    end: Instant,
}

impl Schedule {
    fn new(deadline: Deadline, now_millis: i64) -> Self {
        let time = deadline.budget(now_millis, LONGEST_RUN, MARGIN);
        // In a short run own code gets less, so that there is time to ask more than once.
        let wait = WAIT.min(time * 4 / 5);
        let started = Instant::now();
        Self {
            wait,
            last_start: started + (time - wait),
            end: started + time,
        }
    }
}

/// A run in progress: what it has done, and how many callbacks it may ask for at once.
#[derive(Default)]
struct Progress {
    tally: Tally,
    failed_in_a_row: usize,
    error: Option<StoreError>,
}

impl Progress {
    /// The most callbacks to ask for at once. While own code fails, only as many as can still fail in a row.
    fn room(&self) -> usize {
        match (&self.error, self.failed_in_a_row) {
            (Some(_), _) => 0,
            (None, 0) => AT_ONCE,
            (None, failed) => GIVE_UP_AFTER.saturating_sub(failed),
        }
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Taken => self.tally.taken += 1,
            Outcome::Failed => self.tally.failed += 1,
            Outcome::Dead | Outcome::Gone => self.tally.dead += 1,
            Outcome::NotDue | Outcome::NotClaimed(_) | Outcome::Interrupted => {}
        }
        match outcome {
            Outcome::Taken | Outcome::Gone => self.failed_in_a_row = 0,
            Outcome::Failed | Outcome::Dead => self.failed_in_a_row += 1,
            Outcome::NotDue | Outcome::Interrupted => {}
            Outcome::NotClaimed(error) => self.error = Some(error),
        }
    }
}

impl Forwards {
    pub(crate) fn new(table: Table, own_code: Option<OwnCode>, clock: Arc<dyn Clock>) -> Self {
        Self {
            table,
            own_code,
            clock,
            running: Mutex::new(()),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Asks own code again for the callbacks that are due, until none is left, own code fails or the time is over. Does
    /// nothing while another run of this process is in progress.
    ///
    /// # Errors
    /// [`StoreError`] when the table fails. What is due then waits for the next run.
    pub(crate) async fn run(&self, limit: TimeLimit<'_>) -> Result<Value, StoreError> {
        let Ok(_running) = self.running.try_lock() else {
            return Ok(json!({}));
        };
        let Some(own_code) = &self.own_code else {
            self.leave().await?;
            return Ok(json!({}));
        };
        let schedule = Schedule::new(limit.deadline, self.clock.now_millis());
        let waiting = self.table.count_forwards().await?.waiting;
        let mut progress = Progress::default();
        self.ask_for_all(own_code, schedule, &mut progress, limit).await;
        let Progress { tally, error, .. } = progress;
        self.report(tally, waiting);
        match error {
            Some(error) => Err(error),
            None if tally == Tally::default() => Ok(json!({})),
            None => Ok(json!({"forwards": {"taken": tally.taken, "failed": tally.failed, "dead": tally.dead}})),
        }
    }

    async fn ask_for_all(&self, own_code: &OwnCode, schedule: Schedule, progress: &mut Progress, limit: TimeLimit<'_>) {
        let mut asking = FuturesUnordered::new();
        let mut after = None;
        'run: loop {
            let page = self.table.due_forwards(self.clock.now_millis(), after.as_ref()).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    progress.error = Some(error);
                    break;
                }
            };
            for id in page.entries {
                while asking.len() >= progress.room() {
                    match asking.next().await {
                        Some(outcome) => progress.note(outcome),
                        // The run has given up.
                        None => break 'run,
                    }
                }
                if Instant::now() >= schedule.last_start || limit.is_over(self.clock.now_millis()) {
                    break 'run;
                }
                asking.push(self.ask_for(own_code, id, schedule, limit));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        while let Some(outcome) = asking.next().await {
            progress.note(outcome);
        }
    }

    async fn ask_for(&self, own_code: &OwnCode, id: String, schedule: Schedule, limit: TimeLimit<'_>) -> Outcome {
        let now = self.clock.now_millis();
        let until = now + millis(schedule.wait + CLAIMED_LONGER);
        let owner = random::hex::<8>();
        let claim = self.table.claim_due_forward(&id, &owner, now, until);
        let DueForward { attempt, body, .. } = match claim.await {
            Ok(Some(due)) => due,
            Ok(None) => return Outcome::NotDue,
            Err(error) => return Outcome::NotClaimed(error),
        };
        let budget = schedule
            .wait
            .min(schedule.end.saturating_duration_since(Instant::now()));
        let asked = tokio::select! {
            asked = own_code.ask(&id, &body, Showable::TooLate, self.clock.now(), budget) => asked,
            // The claim ends soon, and the next process asks again.
            () = limit.stopped() => return Outcome::Interrupted,
        };
        let (outcome, error) = match asked {
            Asked::Taken(_) => (Outcome::Taken, None),
            Asked::Gone => (Outcome::Gone, Some(GONE.to_owned())),
            Asked::NotTaken(error) if attempt.is_last() => (Outcome::Dead, Some(error.to_string())),
            Asked::NotTaken(error) => (Outcome::Failed, Some(error.to_string())),
        };
        self.note(&attempt, &outcome, error.as_deref()).await;
        outcome
    }

    /// Notes what own code answered, best effort: a callback that stays claimed is due again when the claim ends.
    async fn note(&self, attempt: &ForwardAttempt, outcome: &Outcome, error: Option<&str>) {
        let now = self.clock.now_millis();
        let noted = match error {
            // WeChat's repeats, which may still come, get the reply of the rules.
            None => {
                self.table
                    .finish_forward(&attempt.id, &OwnReply::LeftToRules, now)
                    .await
            }
            Some(error) => {
                let is_for_good = matches!(outcome, Outcome::Gone);
                self.table.fail_forward(attempt, error, is_for_good, now).await
            }
        };
        if let Err(error) = noted {
            tracing::error!(
                %error,
                "own code's answer was not noted: it is asked again / 自有服务的应答未能记录，将再次请求"
            );
        }
    }

    /// Leaves the callbacks that are due in the table: there is no own code to ask.
    async fn leave(&self) -> Result<(), StoreError> {
        let due = self.table.due_forwards(self.clock.now_millis(), None).await?;
        if due.entries.is_empty() {
            return Ok(());
        }
        telemetry::emit(&[Metric::count("ForwardsWithoutUrl")], None, self.clock.now_millis());
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "callbacks wait for own code, and FORWARD_URL is not set: set it, or delete them by DELETE /api/forwards/{{id}} \
                 / 有回调等待转发，但未设置 FORWARD_URL：请设置，或通过 DELETE /api/forwards/{{id}} 删除"
            );
        }
        Ok(())
    }

    /// Writes the metrics and the log line of a run. `waiting` is how many callbacks waited when the run began.
    fn report(&self, tally: Tally, waiting: i32) {
        let Tally { taken, failed, dead } = tally;
        let mut metrics = vec![Metric::level("WaitingForwards", Unit::Count, waiting.into())];
        if dead > 0 {
            metrics.push(Metric::counted("DeadForwards", dead));
        }
        telemetry::emit(&metrics, None, self.clock.now_millis());
        if tally != Tally::default() {
            tracing::info!(taken, failed, dead, waiting, "own code was asked again for callbacks");
        }
    }
}
