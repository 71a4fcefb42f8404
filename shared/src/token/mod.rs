//! The token service: one run at a time gets the access_token from WeChat, every caller reads it from the table.
//! See [WeChat Docs/获取接口调用凭据](https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html).

mod refresher;
#[cfg(feature = "invoke")]
mod remote;
mod source;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

#[cfg(feature = "invoke")]
pub use self::remote::LambdaRefresher;
pub use self::{
    refresher::{RefreshError, Refresher},
    source::{CallError, CallFailure, RefreshPort, RefreshRequestError, TokenError, TokenSource},
};
use crate::api::{ApiError, calls::oauth::Code};

/// An order to `token-refresher`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Make sure that the table has a token with enough life left.
    Refresh,
    /// Replace the token that WeChat refused, if the table still has it.
    Replace {
        /// SHA-256 of the refused token, in lower-case hex.
        stale_token_sha256: String,
    },
    /// Make sure that the table has a jsapi_ticket with enough life left.
    Ticket,
    /// Exchange an OAuth code for the identity of a person.
    ExchangeCode {
        /// The code.
        code: Code,
    },
}

/// The event has an `action` that this version does not know, or one without its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAction;

impl Action {
    /// Reads the action of an event. `None` for an event without one, such as the schedule's: an ordinary run.
    ///
    /// # Errors
    /// [`UnknownAction`] when the event has an action that cannot be carried out.
    pub fn from_event(event: &serde_json::Value) -> Result<Option<Self>, UnknownAction> {
        if event.get("action").is_none() {
            return Ok(None);
        }
        // The decoder's error is dropped: it may quote a code.
        Self::deserialize(event).map(Some).map_err(|_| UnknownAction)
    }

    /// Whether a second run of the same order does no harm. WeChat refuses a second exchange of a code.
    #[must_use]
    pub const fn is_repeatable(&self) -> bool {
        !matches!(self, Self::ExchangeCode { .. })
    }
}

/// The result of a run that keeps the token or the ticket alive. Never holds either.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Refreshed {
    /// Whether this run got the token or the ticket from WeChat.
    pub refreshed: bool,
    /// Its number in the table.
    pub generation: u64,
    /// When it expires, in epoch seconds.
    pub expires_at: i64,
}

/// Why a run failed: the `errorType` of its function error. Alarms, callers and later runs, which find it in the table, act
/// on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// WeChat refused with this errcode.
    Refused(i64),
    /// The answer is not WeChat's.
    WeChatUnreadable,
    /// WeChat did not answer.
    WeChatUnreachable,
    /// The table did not answer.
    StoreUnreachable,
    /// The table refused, or its item cannot be read.
    StoreSetUp,
    /// The run that this one waited for failed, for an unknown reason.
    OtherRun,
    /// Another run held the lease for too long.
    Busy,
    /// The limits of forced refreshes allow none now.
    ForcedTooOften,
}

/// The prefix of [`ErrorType::Refused`], before the errcode.
const REFUSED: &str = "WeChat";

impl ErrorType {
    /// All error types with a fixed name.
    const NAMED: [(Self, &'static str); 7] = [
        (Self::WeChatUnreadable, "WeChatUnreadable"),
        (Self::WeChatUnreachable, "WeChatUnreachable"),
        (Self::StoreUnreachable, "StoreUnreachable"),
        (Self::StoreSetUp, "StoreSetUp"),
        (Self::OtherRun, "OtherRun"),
        (Self::Busy, "Busy"),
        (Self::ForcedTooOften, "ForcedTooOften"),
    ];
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Refused(errcode) = self {
            return write!(f, "{REFUSED}{errcode}");
        }
        let named = Self::NAMED.iter().find(|(error_type, _)| error_type == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}

impl From<&ApiError> for ErrorType {
    fn from(error: &ApiError) -> Self {
        match error {
            ApiError::Rejected { rejection, .. } => Self::Refused(rejection.errcode),
            ApiError::Unreadable { .. } | ApiError::Status { .. } => Self::WeChatUnreadable,
            ApiError::Timeout { .. }
            | ApiError::Connection { .. }
            | ApiError::Interrupted { .. }
            | ApiError::OutOfTime { .. } => Self::WeChatUnreachable,
        }
    }
}

/// The error type is not a run's: Lambda's own, or another function's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownErrorType;

impl FromStr for ErrorType {
    type Err = UnknownErrorType;

    fn from_str(name: &str) -> Result<Self, UnknownErrorType> {
        if let Some((error_type, _)) = Self::NAMED.iter().find(|(_, known)| *known == name) {
            return Ok(*error_type);
        }
        let errcode = name.strip_prefix(REFUSED).and_then(|errcode| errcode.parse().ok());
        errcode.map(Self::Refused).ok_or(UnknownErrorType)
    }
}
