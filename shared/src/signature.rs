//! WeChat's callback signature: SHA-1 over the sorted parts, as lower-case hex.
//!
//! `signature` is made of token, timestamp and nonce; `msg_signature` also of the `Encrypt` text. The parts are hashed
//! exactly as they were received (after URL decoding): a timestamp that is parsed and printed again changes the hash.

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::hex;

/// Signs `parts`: sorted as bytes, concatenated without a separator, SHA-1, lower-case hex.
#[must_use]
pub fn sign(parts: &[&str]) -> String {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for part in sorted {
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize())
}

/// Whether `signature` is the signature of `parts`, compared in constant time.
#[must_use]
pub fn holds(signature: &str, parts: &[&str]) -> bool {
    sign(parts).as_bytes().ct_eq(signature.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The official vectors: token, timestamp, nonce, signature.
    const OFFICIAL: [(&str, &str, &str, &str); 3] = [
        (
            "AAAAA",
            "1714036504",
            "1514711492",
            "f464b24fc39322e44b38aa78f5edd27bd1441696",
        ),
        (
            "AAAAA",
            "1714037059",
            "486452656",
            "899cf89e464efb63f54ddac96b0a0a235f53aa78",
        ),
        (
            "AAAAA",
            "1714112445",
            "415670741",
            "6c5c811b55cc85e0e1b54100749188c20beb3f5d",
        ),
    ];

    #[test]
    fn official_vectors() {
        for (token, timestamp, nonce, signature) in OFFICIAL {
            assert_eq!(sign(&[token, timestamp, nonce]), signature);
            assert!(
                holds(signature, &[nonce, token, timestamp]),
                "the order given does not matter"
            );
        }
    }

    /// T5: by bytes, so upper case before lower case and before anything that is not ASCII; and timestamps are text.
    #[test]
    fn parts_are_sorted_as_bytes_and_hashed_as_spelt() {
        let sorted = sign(&["017", "9", "Z", "a", "é"]);
        assert_eq!(sorted, sign(&["a", "é", "9", "Z", "017"]));
        assert_eq!(sorted, hex::encode(&Sha1::digest("0179Zaé")));
        assert_ne!(sorted, sign(&["17", "9", "Z", "a", "é"]));
    }

    #[test]
    fn anything_but_the_signature_is_refused() {
        let (token, timestamp, nonce, signature) = OFFICIAL[0];
        let parts = [token, timestamp, nonce];
        for wrong in [
            "",
            &signature[..39],
            &signature.to_uppercase(),
            &signature.replace('f', "e"),
        ] {
            assert!(!holds(wrong, &parts), "{wrong:?}");
        }
        assert!(
            !holds(signature, &[token, "01714036504", nonce]),
            "a timestamp is text, not a number"
        );
    }
}
