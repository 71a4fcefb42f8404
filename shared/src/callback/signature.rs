//! WeChat's callback signature: SHA-1 over the sorted parts, as lower-case hex.
//!
//! The parts of `signature` are token, timestamp and nonce; `msg_signature` adds the `Encrypt` text. The parts must be
//! hashed exactly as received (after URL decoding): parsing and printing a timestamp again can change the hash.
//!
//! See [WeChat Docs/接入指南](https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Access_Overview.html).

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::hex;

/// Signs `parts`: sorts them as bytes, joins them without a separator, hashes them with SHA-1 and writes lower-case hex.
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

/// Whether `signature` is the signature of `parts`. Compares in constant time.
#[must_use]
pub fn holds(signature: &str, parts: &[&str]) -> bool {
    sign(parts).as_bytes().ct_eq(signature.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// Vectors from WeChat's pages: token, timestamp, nonce, signature.
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

    /// Bytes put upper case before lower case, and both before text that is not ASCII.
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

    proptest! {
        #[test]
        fn what_is_signed_holds_in_any_order_and_nothing_else_does(
            parts in vec("[a-zA-Z0-9]{1,12}", 1..5),
            changed in any::<Index>(),
            swapped in any::<Index>(),
        ) {
            let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let signature = sign(&parts);
            let first = swapped.index(parts.len());
            parts.swap(0, first);
            prop_assert!(holds(&signature, &parts));

            let mut forged = signature.clone().into_bytes();
            let at = changed.index(forged.len());
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            prop_assert!(!holds(std::str::from_utf8(&forged).unwrap(), &parts));
            let longer = format!("{}x", parts[0]);
            parts[0] = &longer;
            prop_assert!(!holds(&signature, &parts));
        }
    }

    /// A weakness of the protocol: without a separator, other parts that join to the same text have the same signature.
    #[test]
    fn timestamp_and_nonce_may_trade_places() {
        let signature = sign(&["AAAAA", "1714036504", "1514711492"]);
        assert!(holds(&signature, &["AAAAA", "1514711492", "1714036504"]));
    }
}
