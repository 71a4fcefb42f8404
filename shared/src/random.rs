//! Randomness of the operating system's: names of runs, nonces, the bytes before a ciphertext.

use crate::hex;

/// Random bytes.
///
/// # Panics
/// When the operating system has no randomness, which it has from its start on: nothing could go on safely without.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// `N` random bytes in hexadecimal: with 8 of them, a name that no other run has.
#[must_use]
pub fn hex<const N: usize>() -> String {
    hex::encode(&bytes::<N>())
}
