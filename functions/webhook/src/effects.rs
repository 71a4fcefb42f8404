//! What a callback changes: it happens once, however often WeChat delivers, and before the answer.
//!
//! Once, that is, unless the process dies between an effect and the note that it has happened: then a redelivery repeats
//! it. A receipt may be written twice, and an event on the bus has the same `id` both times.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use wechat::{
    hex,
    message::{Callback, Content, DeliveryStatus, Event, is_msgid},
    store::{Claim, MessageStatus, Receipt, StoreError},
};

use crate::{App, event_bus::PublishError};

/// The claim and the effects of one callback. WeChat hangs up after 5 s, which a cold start and [`CLOSING`] are part of.
const BUDGET: Duration = Duration::from_secs(2);
/// What marking the claim as done, or giving it up, may take after that.
const CLOSING: Duration = Duration::from_millis(500);

/// Between two looks at the claim of another delivery.
const CLAIM_POLL: Duration = Duration::from_millis(200);

/// Bytes that are kept of WeChat's words for an outcome.
const LONGEST_WORDS: usize = 200;

/// Why the effects did not happen. WeChat delivers again, so nothing is lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EffectError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("an earlier delivery is still at work")]
    InProgress,
    #[error("not done within {BUDGET:?}")]
    TooLate,
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// Whether this delivery ran the effects of its callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effects {
    /// There are none.
    None,
    /// They have happened now.
    Done,
    /// They had happened at an earlier delivery.
    Repeated,
}

/// Runs the effects of `callback`, if it has any.
pub(crate) async fn run(app: &App, callback: &Callback) -> Result<Effects, EffectError> {
    let receipt = receipt(callback, app.clock.now());
    if receipt.is_none() && app.event_bus.is_none() {
        return Ok(Effects::None);
    }
    // On the heap: inside of the future of every reply, which is moved many times, the calls to AWS would cost a reply
    // without effects more than all its own work.
    Box::pin(once(app, callback, receipt)).await
}

/// Runs the effects, unless another delivery of `callback` does or has.
async fn once(app: &App, callback: &Callback, receipt: Option<Receipt<'_>>) -> Result<Effects, EffectError> {
    let deadline = Instant::now() + BUDGET;
    let key = callback.dedup_key();
    let owner = hex::random(8).map_err(EffectError::Randomness)?;
    match claim(app, &key, &owner, deadline).await? {
        Claim::Won => {}
        Claim::Done => return Ok(Effects::Repeated),
        Claim::InProgress => return Err(EffectError::InProgress),
    }
    let outcome = timeout_at(deadline, act(app, callback, receipt))
        .await
        .unwrap_or(Err(EffectError::TooLate));
    close(app, &key, &owner, outcome.is_ok()).await;
    outcome.map(|()| Effects::Done)
}

/// Claims a callback. Another delivery of it, which is at work at the same time, is waited for: its outcome is that of both.
async fn claim(app: &App, key: &str, owner: &str, deadline: Instant) -> Result<Claim, EffectError> {
    loop {
        let claim = app
            .table
            .claim_callback(&app.verifier.app_id, key, owner, app.clock.now());
        let claim = timeout_at(deadline, claim).await.map_err(|_| EffectError::TooLate)??;
        if claim != Claim::InProgress || Instant::now() + CLAIM_POLL >= deadline {
            return Ok(claim);
        }
        sleep(CLAIM_POLL).await;
    }
}

/// Both effects at once. When one fails both are repeated at the next delivery, so neither is cut short.
async fn act(app: &App, callback: &Callback, receipt: Option<Receipt<'_>>) -> Result<(), EffectError> {
    let record = async {
        match receipt {
            Some(receipt) => app.table.record_receipt(&app.verifier.app_id, receipt).await,
            None => Ok(true),
        }
    };
    let publish = async {
        match &app.event_bus {
            Some(bus) => bus.publish(callback).await,
            None => Ok(()),
        }
    };
    let (recorded, published) = tokio::join!(record, publish);
    if !recorded? {
        tracing::warn!(
            "a receipt names another user than its message was sent to, and was not recorded: does another account's \
             console name this URL? / 回执的用户与消息的接收者不符，未予记录：是否有其他公众号的服务器配置指向了此 URL？"
        );
    }
    Ok(published?)
}

/// Ends the claim. When that fails it ends by itself, and the answer stays what it is: an effect that has happened would
/// only be repeated, and one that has not is asked for again anyway.
async fn close(app: &App, key: &str, owner: &str, is_done: bool) {
    let app_id = &app.verifier.app_id;
    let closing = async {
        if is_done {
            app.table.finish_callback(app_id, key, owner, app.clock.now()).await
        } else {
            app.table.give_up_callback(app_id, key, owner).await
        }
    };
    match timeout(CLOSING, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the claim of a callback ends by itself"),
        Err(_) => tracing::warn!("the claim of a callback ends by itself: the store did not answer in time"),
    }
}

/// The delivery receipt that `callback` is, if it is one that names a message.
fn receipt(callback: &Callback, now: i64) -> Option<Receipt<'_>> {
    let Content::Event(Event::TemplateSendJobFinish {
        msg_id: Some(msg_id),
        status,
        status_text,
    }) = &callback.content
    else {
        return None;
    };
    if !is_msgid(msg_id) {
        return None;
    }
    let status = match status {
        DeliveryStatus::Delivered => MessageStatus::Delivered,
        DeliveryStatus::Blocked => MessageStatus::Blocked,
        DeliveryStatus::Failed => MessageStatus::Failed,
    };
    Some(Receipt {
        msgid: msg_id,
        openid: &callback.from,
        status,
        words: &status_text[..status_text.floor_char_boundary(LONGEST_WORDS)],
        at: now,
    })
}
