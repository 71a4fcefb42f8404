//! What a callback changes: it happens once, however often WeChat delivers, and before the answer.

use std::time::Duration;

use wechat::{
    hex,
    message::{Callback, Content, DeliveryStatus, Event},
    store::{Claim, MessageStatus, Receipt, StoreError},
};

use crate::App;

/// All effects of one callback. WeChat hangs up after 5 s, and a late answer is as good as none.
const BUDGET: Duration = Duration::from_millis(3500);

/// Why the effects did not happen. WeChat delivers again, so nothing is lost.
#[derive(Debug)]
pub(crate) enum EffectError {
    Store(StoreError),
    InProgress,
    TooLate,
    Randomness(getrandom::Error),
}

impl std::fmt::Display for EffectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::InProgress => f.write_str("an earlier delivery is still at work"),
            Self::TooLate => write!(f, "not done within {BUDGET:?}"),
            Self::Randomness(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for EffectError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Runs the effects of `callback`, if it has any.
pub(crate) async fn run(app: &App, callback: &Callback) -> Result<(), EffectError> {
    let Some(receipt) = receipt(callback, app.clock.now()) else {
        return Ok(());
    };
    tokio::time::timeout(BUDGET, run_once(app, callback, receipt))
        .await
        .unwrap_or(Err(EffectError::TooLate))
}

async fn run_once(app: &App, callback: &Callback, receipt: Receipt<'_>) -> Result<(), EffectError> {
    let app_id = &app.verifier.app_id;
    let key = callback.dedup_key();
    let owner = hex::random(8).map_err(EffectError::Randomness)?;
    match app.table.claim_callback(app_id, &key, &owner, app.clock.now()).await? {
        Claim::Won => {}
        Claim::Done => return Ok(()),
        Claim::InProgress => return Err(EffectError::InProgress),
    }
    if let Err(error) = app.table.record_receipt(receipt).await {
        if let Err(error) = app.table.give_up_callback(app_id, &key, &owner).await {
            tracing::warn!(%error, "the claim could not be given up; it ends by itself");
        }
        return Err(error.into());
    }
    // The receipt is recorded: a claim that stays open costs a redelivery one repeat of the same write.
    if let Err(error) = app.table.finish_callback(app_id, &key, &owner, app.clock.now()).await {
        tracing::warn!(%error, "the callback could not be marked as done");
    }
    Ok(())
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
    let status = match status {
        DeliveryStatus::Delivered => MessageStatus::Delivered,
        DeliveryStatus::Blocked => MessageStatus::Blocked,
        _ => MessageStatus::Failed,
    };
    Some(Receipt {
        msgid: msg_id,
        status,
        words: status_text,
        at: now,
    })
}
