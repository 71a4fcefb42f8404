//! Binds a user to the person who scans the user's code. This is the one reply that needs the table, and it comes before the
//! effects: when it fails, nothing is handed over to `worker`, and WeChat delivers again.

use std::time::Duration;

use tokio::time::Instant;
use wechat::{
    bilingual::caused,
    message::{Callback, is_binding_id},
    store::{BindOutcome, Person, StoreError, within},
};

use crate::{App, effects::BEFORE_WORKER};

/// Budget of a binding. The time that it takes is deducted from the budget of the callback's effects.
const BUDGET: Duration = BEFORE_WORKER;

/// A scan of a code that binds.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) outcome: BindOutcome,
    pub(crate) took: Duration,
}

/// Why a scan failed. The user may have been bound all the same; the redelivery finds out. Holds no id.
#[derive(Debug, thiserror::Error)]
#[error("{}", caused("a scan could not bind", "扫码绑定失败", .0))]
pub(crate) struct ScanError(#[from] StoreError);

/// Binds, if `callback` is a scan of a code that binds. Returns `None` for other callbacks.
pub(crate) async fn run(app: &App, callback: &Callback) -> Result<Option<Scan>, ScanError> {
    let Some(id) = callback.scanned_binding() else {
        return Ok(None);
    };
    let started = Instant::now();
    let outcome = match callback.openid() {
        Some(openid) if is_binding_id(id) => {
            let person = Person { openid, unionid: None };
            // Boxed: its large future would be part of every reply's.
            within(BUDGET, Box::pin(app.table.bind(id, person, app.clock.now()))).await?
        }
        _ => BindOutcome::Unknown,
    };
    let took = started.elapsed();
    Ok(Some(Scan { outcome, took }))
}

impl Scan {
    /// Whether the user is bound to the person who scanned.
    pub(crate) const fn is_bound(&self) -> bool {
        matches!(self.outcome, BindOutcome::Bound(_))
    }

    /// The name of the outcome in the log.
    pub(crate) const fn name(&self) -> &'static str {
        match self.outcome {
            BindOutcome::Bound(_) => "bound",
            BindOutcome::Unknown => "unknown",
            BindOutcome::Expired => "expired",
            BindOutcome::UsedByAnother => "used_by_another",
        }
    }
}
