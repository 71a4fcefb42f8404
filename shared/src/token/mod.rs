//! The token service: one run at a time obtains the access_token, every caller reads it from the table.

mod refresher;
#[cfg(feature = "invoke")]
mod remote;
mod source;
#[cfg(test)]
mod tests;

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
