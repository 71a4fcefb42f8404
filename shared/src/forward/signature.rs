//! Signatures of [Standard Webhooks 1.0](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md),
//! for which there are libraries in PHP, Java, Go, Python and JavaScript.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::SigningSecret;

/// Writes the header `webhook-signature` for `body`: one signature for each secret, separated by spaces. `timestamp` is in epoch
/// seconds.
pub(super) fn sign(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &str) -> String {
    let signatures = secrets.iter().map(|secret| {
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
        hmac.update(format!("{id}.{timestamp}.").as_bytes());
        hmac.update(body.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(hmac.finalize().into_bytes()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SigningSecret {
        SigningSecret::parse(text).unwrap()
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn the_signature_is_the_published_one() {
        let secrets = [secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        assert_eq!(
            sign(
                &secrets,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                "{\"test\": 2432232314}"
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn while_a_secret_is_replaced_both_sign() {
        let secrets = [
            secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            secret("whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"),
        ];
        let both = sign(&secrets, "id", 1, "{}");
        let each: Vec<String> = secrets
            .iter()
            .map(|secret| sign(std::slice::from_ref(secret), "id", 1, "{}"))
            .collect();
        assert_eq!(both, each.join(" "));
        assert_ne!(each[0], each[1]);
    }
}
