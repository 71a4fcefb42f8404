//! Randomness of the operating system, for names of runs, nonces and the random bytes of a ciphertext.

use crate::hex;

/// Returns `N` random bytes.
///
/// # Panics
/// When the operating system has no randomness, which does not happen after boot. Without it nothing here is safe.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// Returns `N` random bytes in lower-case hex. 8 bytes make a name that no other run has.
#[must_use]
pub fn hex<const N: usize>() -> String {
    hex::encode(&bytes::<N>())
}
