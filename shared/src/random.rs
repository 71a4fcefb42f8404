//! Random bytes from the operating system: names of runs, nonces, padding of ciphertexts.

use crate::hex;

/// Returns `N` random bytes.
///
/// # Panics
/// When the operating system has no randomness, which does not happen after boot. Signatures and names are unsafe without it.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// Whether [`hex()`] could have returned `text`.
#[must_use]
pub fn is_hex<const N: usize>(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 2 * N && text.bytes().all(is_digit)
}

/// Returns `N` random bytes in lower-case hex. 8 bytes make a unique name of a run.
#[must_use]
pub fn hex<const N: usize>() -> String {
    hex::encode(&bytes::<N>())
}
