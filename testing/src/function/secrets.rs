//! The guard of every test: no answer, error or log shows a secret.

use crate::account::{AES_KEY, API_KEY, APP_SECRET, TOKEN};

/// The variables whose values no log, answer or error may show; nor may they show the secrets of the stage.
const SECRET_VARIABLES: [&str; 9] = [
    "WECHAT_APP_SECRET",
    "WECHAT_TOKEN",
    "WECHAT_TOKEN_PREVIOUS",
    "WECHAT_ENCODING_AES_KEY",
    "WECHAT_ENCODING_AES_KEY_PREVIOUS",
    "API_KEYS",
    "FORWARD_SECRET",
    "FORWARD_SECRET_PREVIOUS",
    "AWS_SECRET_ACCESS_KEY",
];
/// Bytes. A shorter secret could be a part of some other word.
const SHORTEST_SECRET: usize = 8;
/// The prefix of the simulator's access_tokens.
const TOKEN_PREFIX: &str = "97_";
/// Bytes. A shorter text with this prefix is not taken for a token.
const SHORTEST_TOKEN: usize = 12;

/// The secrets that a function was given.
#[derive(Debug)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those in the variables of the function, and those of the stage.
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        let secret = variables.iter().filter(|(name, _)| SECRET_VARIABLES.contains(name));
        let values = secret.flat_map(|(_, value)| value.split(','));
        let passwords = variables
            .iter()
            .filter(|(name, _)| name.ends_with("_PROXY"))
            .filter_map(|(_, url)| url.split_once('@')?.0.rsplit_once(':'))
            .map(|(_, password)| password);
        let secrets = values
            .chain(passwords)
            .chain([APP_SECRET, TOKEN, AES_KEY, API_KEY])
            .filter(|value| value.len() >= SHORTEST_SECRET)
            .map(str::to_owned)
            .collect();
        Self(secrets)
    }

    /// Fails the test when `text`, which stands in the `place`, shows a secret or an access_token.
    pub(super) fn assert_absent(&self, place: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret), "a secret is in the {place}: {text}");
        }
        assert!(!shows_token(text), "an access_token is in the {place}: {text}");
    }
}

/// Whether `text` shows an access_token. Random text, such as the ticket of a QR code, may have the prefix in its middle.
fn shows_token(text: &str) -> bool {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    text.match_indices(TOKEN_PREFIX).any(|(start, _)| {
        let (before, token) = text.as_bytes().split_at(start);
        let begins = before.ends_with(b"%3D") || !before.last().is_some_and(is_of_token);
        begins && token.iter().take_while(|byte| is_of_token(byte)).count() >= SHORTEST_TOKEN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_knows_the_secrets_of_a_function() {
        let variables = [
            ("API_KEYS", "first-key,second-key,short"),
            ("WECHAT_APP_ID", "wx0123456789abcdef"),
            ("HTTPS_PROXY", "http://user:proxy-pass@127.0.0.1:1"),
        ];
        assert_eq!(
            Secrets::of(&variables).0[..3],
            ["first-key", "second-key", "proxy-pass"]
        );
        assert!(shows_token(&format!("?access_token=97_{}&x", "a".repeat(40))));
        assert!(shows_token(&format!("access_token%3D97_{}", "a".repeat(40))));
        assert!(!shows_token("97_short and 3400000000893845440"));
        assert!(!shows_token("gQFx97_aaaaaaaaaaaaaaaaaaaa"));
    }
}
