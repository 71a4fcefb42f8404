//! The made-up account: the identifiers and secrets that a real one shows in its console.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::random::Random;

/// A made-up Official Account.
///
/// It serializes to the answer of `GET /sim/account`; `Debug` leaves its secrets out.
#[derive(Clone, Deserialize, Serialize)]
pub struct Account {
    /// AppID: `wx` and 16 hex digits.
    pub app_id: String,
    /// AppSecret: 32 hex digits.
    pub app_secret: String,
    /// The callback token: 32 letters and digits.
    pub token: String,
    /// EncodingAESKey: 43 letters and digits. As on real accounts, the last one usually carries stray bits that a strict
    /// base64 decoder refuses.
    pub encoding_aes_key: String,
    /// 原始ID: `gh_` and 12 hex digits; the account's name in messages.
    pub original_id: String,
}

impl Account {
    /// Makes an account, as a run without one does.
    #[must_use]
    pub fn random() -> Self {
        Self::make(&mut Random::from_os())
    }

    pub(crate) fn make(random: &mut Random) -> Self {
        Self {
            app_id: format!("wx{}", random.hex(16)),
            app_secret: random.hex(32),
            token: random.alphanumeric(32),
            encoding_aes_key: random.alphanumeric(43),
            original_id: format!("gh_{}", random.hex(12)),
        }
    }
}

/// Whether the text is `wx` and 16 hex digits, as AppIDs are.
pub(crate) fn is_app_id(text: &str) -> bool {
    text.strip_prefix("wx")
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Account")
            .field("app_id", &self.app_id)
            .field("original_id", &self.original_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let account = Account::make(&mut Random::from_seed(1));
        let shown = format!("{account:?}");
        assert!(shown.contains(&account.app_id));
        for secret in [&account.app_secret, &account.token, &account.encoding_aes_key] {
            assert!(!shown.contains(secret.as_str()), "{shown}");
        }
    }
}
