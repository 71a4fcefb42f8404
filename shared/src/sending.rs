//! What the functions that send messages have in common: the outcome of a send, and its record.

use std::time::Duration;

use crate::{
    account::Account,
    api::{
        ApiError, Rejection, TemplateMessage,
        calls::management::{GetQuota, Quota},
    },
    clock::Deadline,
    errcode::{self, Class, Retry},
    names::names,
    store::{SentMessage, StoreError, Table},
    telemetry::{self, Metric},
    token::{CallError, CallFailure},
};

/// Seconds. WeChat recognises a `client_msg_id` for 10 minutes; one minute is left for the repeat itself.
/// See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).
pub const REPEAT_IS_SAFE_FOR: i64 = 9 * 60;

/// The outcome of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// WeChat accepted the message.
    Accepted,
    /// WeChat refused the message.
    Refused,
    /// WeChat may have accepted the message.
    Unknown,
    /// WeChat was not asked.
    NotAttempted,
}

// The values of the metrics dimension `Outcome`, which dashboards show.
names!(Outcome {
    Accepted = "Taken",
    Refused = "Refused",
    Unknown = "Unknown",
    NotAttempted = "NotAsked",
});

impl Outcome {
    /// Judges the result of a call that sends a message. `may_have_landed` has the last word: a later refusal does not rule
    /// out that an earlier attempt was accepted.
    #[must_use]
    pub const fn of<T>(sent: &Result<T, CallError>) -> Self {
        match sent {
            Ok(_) => Self::Accepted,
            Err(CallError {
                may_have_landed: true, ..
            }) => Self::Unknown,
            Err(CallError {
                cause: CallFailure::Api(ApiError::Rejected { .. }),
                ..
            }) => Self::Refused,
            Err(_) => Self::NotAttempted,
        }
    }

    /// Counts `sends` messages with this outcome in the metric `Sends`.
    pub fn count(self, sends: usize, now_millis: i64) {
        if sends > 0 {
            telemetry::emit(
                &[Metric::counted("Sends", sends)],
                Some(("Outcome", self.as_str())),
                now_millis,
            );
        }
    }
}

/// Returns WeChat's refusal, if the call failed with one.
#[must_use]
pub const fn refusal(error: &CallError) -> Option<&Rejection> {
    match &error.cause {
        CallFailure::Api(ApiError::Rejected { rejection, .. }) => Some(rejection),
        _ => None,
    }
}

/// Why WeChat takes no message at all now. An obstacle ends by itself, or by a change of the set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The day's quota is used up.
    Quota,
    /// Messages follow each other too fast.
    Rate,
    /// The caller's address is not in the IP whitelist.
    Whitelist,
    /// The token is dead.
    Token,
    /// WeChat has a fault.
    Platform,
}

impl Obstacle {
    /// Returns the obstacle that an errcode reports. `None` for a refusal of the message, the recipient or the account.
    #[must_use]
    pub fn of(errcode: i64) -> Option<Self> {
        let entry = errcode::lookup(errcode);
        match (entry.class, entry.retry) {
            _ if errcode::is_about_the_whitelist(errcode) => Some(Self::Whitelist),
            (Class::Token, _) => Some(Self::Token),
            (Class::Quota, Retry::NextDay) => Some(Self::Quota),
            (Class::Quota, Retry::After(_) | Retry::BackOff) => Some(Self::Rate),
            (Class::Platform, _) => Some(Self::Platform),
            _ => None,
        }
    }
}

/// The last errcode that may be about one recipient or about the whole account. It is about the account once a second recipient is
/// refused with it: one frozen user must not keep a message from all others.
#[derive(Debug, Default)]
pub struct Doubt(Option<i64>);

impl Doubt {
    /// Whether WeChat would refuse every other recipient for the same reason.
    pub fn is_about_everybody(&mut self, rejection: &Rejection) -> bool {
        let (entry, errcode) = (rejection.entry(), rejection.errcode);
        entry.refuses_everybody() && (!entry.may_be_about_one_recipient() || self.0.replace(errcode) == Some(errcode))
    }
}

/// Whether WeChat said that the recipient does not follow the account.
#[must_use]
pub fn is_unfollowed(error: &CallError) -> bool {
    refusal(error).is_some_and(|rejection| errcode::is_about_following(rejection.errcode))
}

/// What is known of an API's quota of today.
#[derive(Debug)]
pub enum QuotaToday {
    /// WeChat's answer.
    Known(Quota),
    /// WeChat does not tell this account its quota.
    NotTold,
    /// There is no answer now, for this reason. `None` when WeChat took too long.
    NoAnswer(Option<CallError>),
}

impl QuotaToday {
    /// Asks WeChat about the API at `cgi_path`, for `budget` at most.
    pub async fn ask(account: &Account, cgi_path: &str, budget: Duration, deadline: Deadline) -> Self {
        match tokio::time::timeout(budget, account.attempt(&GetQuota { cgi_path }, deadline)).await {
            Ok(Ok(quota)) => quota.map_or(Self::NotTold, Self::Known),
            Ok(Err(error)) if is_for_good(&error) => Self::NotTold,
            Ok(Err(error)) => Self::NoAnswer(Some(error)),
            Err(_) => Self::NoAnswer(None),
        }
    }

    /// Returns WeChat's answer, if there is one.
    #[must_use]
    pub fn known(self) -> Option<Quota> {
        match self {
            Self::Known(quota) => Some(quota),
            Self::NotTold | Self::NoAnswer(_) => None,
        }
    }
}

/// The HTTP statuses for a path that does not exist, or that a proxy blocks.
const REFUSED_PATH: [u16; 4] = [400, 403, 404, 405];

/// Whether the same question would fail again: WeChat refuses it, or there is no such path.
fn is_for_good(error: &CallError) -> bool {
    match &error.cause {
        CallFailure::Api(ApiError::Rejected { rejection, .. }) => Obstacle::of(rejection.errcode).is_none(),
        CallFailure::Api(ApiError::Status { status, .. }) => REFUSED_PATH.contains(status),
        CallFailure::Api(_) | CallFailure::Token(_) => false,
    }
}

/// Records what WeChat answered to a template message that it was asked for at `asked_at` (epoch seconds): the message, if it
/// was accepted, or that the recipient does not follow. `now_millis` is in epoch milliseconds. `campaign` is the id of the
/// campaign that the message belongs to.
///
/// # Errors
/// [`StoreError`] when the table cannot be written.
pub async fn record(
    table: &Table,
    message: &TemplateMessage,
    campaign: Option<&str>,
    sent: &Result<String, CallError>,
    asked_at: i64,
    now_millis: i64,
) -> Result<(), StoreError> {
    match sent {
        Ok(msgid) => {
            let sent = SentMessage {
                msgid,
                touser: &message.touser,
                template_id: &message.template_id,
                campaign,
            };
            table.record_sent(sent, now_millis).await
        }
        Err(error) if is_unfollowed(error) => table.set_followed(&message.touser, false, asked_at).await,
        Err(_) => Ok(()),
    }
}
