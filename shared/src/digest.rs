//! SHA-256, the fingerprint of a secret or a text where it must not appear itself.

use sha2::{Digest, Sha256};

use crate::hex;

/// Lower-case hex of the SHA-256 of `bytes`.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(&sha256(bytes))
}

/// The SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Characters of an openid's digest in log lines.
const LOGGED_OPENID: usize = 16;

/// Names the person `openid` in log lines without the openid itself: 16 characters of its SHA-256, in lower-case hex.
#[must_use]
pub fn logged_openid(openid: &str) -> String {
    let mut digest = sha256_hex(openid.as_bytes());
    digest.truncate(LOGGED_OPENID);
    digest
}
