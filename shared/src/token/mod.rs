//! The token service: one run at a time obtains the access_token, every caller reads it from the table.

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
    refresher::{RefreshError, Refresher, TokenStore},
    source::{CallError, CallFailure, RefreshPort, RefreshRequestError, TokenError, TokenSource},
};
use crate::secret::Secret;

/// What `token-refresher` is asked to do. Any other event is an ordinary run too.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Make sure that there is a token with life left.
    Refresh,
    /// Replace the token that WeChat refused, if it is still the stored one.
    Replace {
        /// Lower-case hex of the SHA-256 of the refused token.
        stale_token_sha256: String,
    },
}

impl Action {
    /// The action of an event: an event of another shape, such as a schedule's, is an ordinary run.
    #[must_use]
    pub fn from_event(event: &serde_json::Value) -> Self {
        Self::deserialize(event).unwrap_or(Self::Refresh)
    }

    /// Whether `token` is the one that is to be replaced.
    fn condemns(&self, token: &Secret) -> bool {
        match self {
            Self::Refresh => false,
            Self::Replace { stale_token_sha256 } => token.sha256_hex().eq_ignore_ascii_case(stale_token_sha256),
        }
    }
}

/// What a run did. Never holds the token.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Refreshed {
    /// Whether this run obtained the token.
    pub refreshed: bool,
    /// The number of the token that is stored now.
    pub generation: u64,
    /// When it ends, in epoch seconds.
    pub expires_at: i64,
}

/// Why a run failed, as the `errorType` of its function error names it: alarms, callers and the next run, which finds it in
/// the table, tell by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// WeChat refused, with this errcode.
    Refused(i64),
    /// Something answered that is not WeChat.
    WeChatUnreadable,
    /// WeChat did not answer.
    WeChatUnreachable,
    /// The table did not answer.
    StoreUnreachable,
    /// The table refused, or holds what cannot be read.
    StoreSetUp,
    /// The run that this one waited for failed for a reason that is not known.
    OtherRun,
    /// Another run held the lease for too long.
    Busy,
    /// No token may be replaced now.
    ForcedTooOften,
}

/// How a refusal is called, before the errcode.
const REFUSED: &str = "WeChat";

impl ErrorType {
    /// Those with a name of their own.
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

/// The name is not one of a failed run: Lambda's own, or another function's.
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
