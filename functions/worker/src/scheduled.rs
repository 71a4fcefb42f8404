//! Sends the scheduled messages that are due, each once.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use wechat::{
    account::Account,
    api::calls::template::SendTemplateMessage,
    clock::{Deadline, millis},
    digest::logged_openid,
    errcode::NOT_A_FOLLOWER,
    random,
    sending::{self, Obstacle, Outcome, REPEAT_IS_SAFE_FOR, refusal},
    store::{ScheduledEnd, ScheduledMessage, StoreError, StoreErrorKind},
    token::CallError,
};

use crate::time_limit::TimeLimit;

/// Messages that a run sends at the same time.
const AT_ONCE: usize = 20;
/// The longest run. The run of the next minute continues.
const LONGEST_RUN: Duration = Duration::from_secs(60);
/// Time of the function that a run reserves for WeChat's last answers and their records.
const MARGIN: Duration = Duration::from_secs(10);
/// Seconds. A claim lasts longer than a token refresh, a call to WeChat and the note of its outcome together.
const CLAIMED_FOR: i64 = 45;
/// Seconds after `send_at` for which a message is retried while WeChat does not accept it.
const TRIED_FOR: i64 = 6 * 3600;
/// Seconds to the next attempt: when an outcome is unknown, when WeChat or the set-up has to recover, and when a quota is used up.
const AFTER_UNKNOWN: i64 = 20;
const AFTER_TROUBLE: i64 = 60;
const AFTER_QUOTA: i64 = 300;

/// Sends what is due, until its time is over. Returns how many messages had a turn.
///
/// # Errors
/// [`StoreError`] when the table fails. What is due then waits for the next run. A message that cannot be read does not
/// delay the others.
pub(crate) async fn run_due(account: &Account, limit: TimeLimit<'_>) -> Result<usize, StoreError> {
    let clock = &account.clock;
    let began = clock.now_millis();
    let deadline = limit.deadline;
    let limit = limit.until(began + millis(deadline.budget(began, LONGEST_RUN, MARGIN)));
    let is_over = || limit.is_over(clock.now_millis());
    let mut turns = 0;
    let mut after = None;
    loop {
        let page = account.table.due_scheduled(clock.now(), after.as_ref()).await?;
        let sends = page.entries.into_iter().map(|id| async move {
            if is_over() {
                return Ok(false);
            }
            let sent = send(account, &id, deadline).await;
            sent.inspect_err(|error| tracing::error!(scheduled = id, %error, "a scheduled message could not be sent, the next run tries again / 定时消息暂时无法发送，下次运行重试"))
        });
        let sends: Vec<_> = sends.collect();
        let sent: Vec<Result<bool, StoreError>> = stream::iter(sends).buffer_unordered(AT_ONCE).collect().await;
        for had_turn in sent {
            match had_turn {
                Ok(had_turn) => turns += usize::from(had_turn),
                Err(error) if error.kind() == StoreErrorKind::Damaged => {}
                Err(error) => return Err(error),
            }
        }
        after = page.next;
        if after.is_none() || is_over() {
            return Ok(turns);
        }
    }
}

/// Sends one message, unless another run is faster.
async fn send(account: &Account, id: &str, deadline: Deadline) -> Result<bool, StoreError> {
    let Account { table, clock, .. } = account;
    let (owner, now) = (random::hex::<8>(), clock.now());
    let claimed = table.claim_scheduled(id, &owner, now, now + CLAIMED_FOR).await?;
    let Some(scheduled) = claimed else {
        return Ok(false);
    };
    let asked_at = scheduled.asked_at.unwrap_or(now);
    let is_repeat = asked_at < now;
    if is_repeat && now - asked_at >= REPEAT_IS_SAFE_FOR {
        report(&scheduled, &scheduled.message.touser, Outcome::Unknown, None, None);
        let end = ScheduledEnd::Unknown(scheduled.errcode);
        table.finish_scheduled(id, &owner, end, now).await?;
        return Ok(true);
    }
    let mut message = scheduled.message.clone();
    // A repeat goes to the person who may have got the first attempt: another openid would get a second message.
    if let Some(user) = scheduled.user.as_ref().filter(|_| scheduled.asked_at.is_none()) {
        match table.user(user).await? {
            Some(user) if user.followed != Some(false) => message.touser = user.openid,
            found => {
                let errcode = found.as_ref().map(|_| NOT_A_FOLLOWER);
                let touser = found.map(|user| user.openid).unwrap_or_default();
                let outcome = Outcome::NotAttempted;
                outcome.count(1, clock.now_millis());
                report(&scheduled, &touser, outcome, errcode, None);
                let end = ScheduledEnd::Failed(errcode);
                table.finish_scheduled(id, &owner, end, now).await?;
                return Ok(true);
            }
        }
        if !table.address_scheduled(id, &owner, &message.touser, now).await? {
            return Ok(false);
        }
    }
    let sent = account.attempt(&SendTemplateMessage(&message), deadline).await;
    let now = clock.now();
    let outcome = Outcome::of(&sent);
    outcome.count(1, clock.now_millis());
    let errcode = sent.as_ref().err().and_then(refusal).map(|rejection| rejection.errcode);
    report(&scheduled, &message.touser, outcome, errcode, sent.as_deref().ok());
    if let Err(error) = sending::record(table, &message, None, &sent, asked_at, clock.now_millis()).await {
        tracing::error!(%error, scheduled = id, "a sent message could not be recorded / 已发送的消息未能记录");
    }
    let end = match &sent {
        Ok(msgid) => ScheduledEnd::Sent {
            touser: &message.touser,
            msgid,
        },
        Err(error) => end_of(error, &scheduled, asked_at, is_repeat, now),
    };
    table.finish_scheduled(id, &owner, end, now).await?;
    Ok(true)
}

/// Judges a failed attempt, made at `now`. WeChat was first asked at `asked_at`.
fn end_of(
    error: &CallError,
    scheduled: &ScheduledMessage,
    asked_at: i64,
    is_repeat: bool,
    now: i64,
) -> ScheduledEnd<'static> {
    let rejection = refusal(error);
    let errcode = rejection.map(|rejection| rejection.errcode);
    let may_have_landed = error.may_have_landed || is_repeat;
    let pause = rejection.map_or(Some(AFTER_TROUBLE), |rejection| {
        match Obstacle::of(rejection.errcode)? {
            Obstacle::Quota => Some(AFTER_QUOTA),
            Obstacle::Rate | Obstacle::Whitelist | Obstacle::Token | Obstacle::Platform => Some(AFTER_TROUBLE),
        }
    });
    if may_have_landed {
        let at = now + AFTER_UNKNOWN;
        return match pause {
            Some(_) if at - asked_at < REPEAT_IS_SAFE_FOR => ScheduledEnd::Again {
                at,
                may_have_landed,
                errcode,
            },
            _ => ScheduledEnd::Unknown(errcode),
        };
    }
    match pause {
        Some(pause) if now + pause <= scheduled.send_at + TRIED_FOR => ScheduledEnd::Again {
            at: now + pause,
            may_have_landed,
            errcode,
        },
        _ => ScheduledEnd::Failed(errcode),
    }
}

/// Logs how an attempt ended. `touser` is empty when the user's openid is not known.
fn report(scheduled: &ScheduledMessage, touser: &str, outcome: Outcome, errcode: Option<i64>, msgid: Option<&str>) {
    tracing::info!(
        msgid,
        outcome = outcome.as_str(),
        errcode,
        client_msg_id = scheduled.message.client_msg_id,
        openid_sha256 = (!touser.is_empty()).then(|| logged_openid(touser)),
        key = scheduled.key,
        "scheduled message"
    );
}
