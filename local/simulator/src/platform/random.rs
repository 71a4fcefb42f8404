//! Random values for the made-up account: identifiers, tokens, nonces.
//!
//! The operating system is asked once, when the simulator starts; every later value is derived from that seed. The
//! values guard nothing but a simulator on loopback.

use sha1::{Digest, Sha1};

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const URL_SAFE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &[u8] = b"0123456789abcdef";
const DIGITS: &[u8] = b"0123456789";

/// A generator seeded once.
pub(crate) struct Random {
    seed: [u8; 32],
    drawn: u64,
}

impl Random {
    /// Seeds a generator from the operating system.
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness: no program can go on without it.
    pub(crate) fn from_os() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system provides randomness");
        Self { seed, drawn: 0 }
    }

    #[cfg(test)]
    pub(crate) fn from_seed(seed: u8) -> Self {
        Self {
            seed: [seed; 32],
            drawn: 0,
        }
    }

    /// A number below `limit`, which must not be zero.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let block = Sha1::new()
            .chain_update(self.seed)
            .chain_update(self.drawn.to_be_bytes())
            .finalize();
        self.drawn += 1;
        block
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
            % limit
    }

    pub(crate) fn alphanumeric(&mut self, length: usize) -> String {
        self.text(ALPHANUMERIC, length)
    }

    pub(crate) fn url_safe(&mut self, length: usize) -> String {
        self.text(URL_SAFE, length)
    }

    pub(crate) fn hex(&mut self, length: usize) -> String {
        self.text(HEX, length)
    }

    pub(crate) fn digits(&mut self, length: usize) -> String {
        self.text(DIGITS, length)
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| char::from(alphabet[self.below(alphabet.len() as u64) as usize]))
            .collect()
    }
}
