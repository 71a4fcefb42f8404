//! A value that must never be printed: AppSecret, callback token, access_token, API key.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::digest::{sha256, sha256_hex};

/// A secret text. `Debug` shows only its length; it has no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send or hash it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is this secret. Compares digests of equal length in constant time, so that the time tells neither
    /// the position of a difference nor the length of the secret.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        let (ours, theirs) = (sha256(self.0.as_bytes()), sha256(candidate.as_bytes()));
        ours.ct_eq(&theirs).into()
    }

    /// A fingerprint for places where the secret itself must not appear: its SHA-256 in lower-case hex.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        sha256_hex(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(len: {})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_only() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(len: 7)");
    }

    #[test]
    fn matches_the_same_text_only() {
        let secret = Secret::new("key-1");
        assert!(secret.matches("key-1"));
        for other in ["", "key-", "key-2", "key-1 ", "KEY-1"] {
            assert!(!secret.matches(other), "{other:?}");
        }
    }

    #[test]
    fn digest_is_the_published_one() {
        assert_eq!(
            Secret::new("abc").sha256_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
