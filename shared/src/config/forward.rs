//! The variables about the team's own code.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use url::Url;

use super::Reader;
use crate::page::is_https_or_local;

const URL: &str = "FORWARD_URL";
const SECRET: &str = "FORWARD_SECRET";
const PREVIOUS_SECRET: &str = "FORWARD_SECRET_PREVIOUS";
const BUDGET: &str = "FORWARD_BUDGET_MS";
/// The beginning of a secret.
/// See [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of the shortest and the longest secret.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;
/// Milliseconds. How long own code may take for a reply, unless the variable says otherwise.
const DEFAULT_BUDGET: u64 = 3500;
/// Milliseconds. WeChat delivers three times, 5 s apart, and hangs up 5 s after the last.
const LONGEST_BUDGET: u64 = 13_000;

/// The team's own code and the secrets that it knows.
#[derive(Clone, Debug)]
pub struct ForwardConfig {
    /// The address.
    pub url: ForwardUrl,
    /// The current secret, and the previous one while it is being replaced.
    pub secrets: Vec<SigningSecret>,
}

/// The address of the team's own code: https, or http on this machine. Its query may hold a password and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ForwardUrl(Url);

/// A secret that signs what own code is sent. `Debug` shows only its length.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

impl ForwardUrl {
    /// Parses an address. `None` when it has another scheme, a user name or a password.
    #[must_use]
    pub fn parse(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok()?;
        (is_https_or_local(&url) && url.username().is_empty() && url.password().is_none()).then_some(Self(url))
    }

    /// The whole address, for the one place that calls it.
    #[must_use]
    pub const fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for ForwardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.origin().ascii_serialization(), self.0.path())
    }
}

impl fmt::Debug for ForwardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForwardUrl({self})")
    }
}

impl SigningSecret {
    /// Parses `whsec_` and the base64 of 24 to 64 bytes.
    #[must_use]
    pub fn parse(secret: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?;
        SECRET_LENGTH.contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes, for the one place that signs with them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret(len: {})", self.0.len())
    }
}

impl Reader<'_> {
    /// Reads `FORWARD_URL`, `FORWARD_SECRET` and `FORWARD_SECRET_PREVIOUS`. Wrong secrets are reported without the URL too.
    pub(super) fn forward(&mut self) -> Option<ForwardConfig> {
        let is_set = self.optional(URL).is_some();
        let url = self.forward_url();
        if is_set {
            self.required(SECRET);
        }
        let secrets = [SECRET, PREVIOUS_SECRET].map(|name| self.signing_secret(name));
        Some(ForwardConfig {
            url: url?,
            secrets: secrets.into_iter().flatten().collect(),
        })
    }

    /// Reads `FORWARD_URL`.
    pub(super) fn forward_url(&mut self) -> Option<ForwardUrl> {
        let url = ForwardUrl::parse(self.optional(URL)?);
        if url.is_none() {
            self.problem(
                URL,
                "must be an https address without user name and password (http for 127.0.0.1 and localhost only)",
                "应为 https 地址，不含用户名与密码（仅 127.0.0.1 与 localhost 可用 http）",
            );
        }
        url
    }

    fn signing_secret(&mut self, name: &str) -> Option<SigningSecret> {
        let secret = SigningSecret::parse(self.optional(name)?);
        if secret.is_none() {
            self.problem(
                name,
                "must be whsec_ and the base64 of 24 to 64 bytes: echo whsec_$(openssl rand -base64 32)",
                "应为 whsec_ 加 24 至 64 字节的 base64，可用 echo whsec_$(openssl rand -base64 32) 生成",
            );
        }
        secret
    }

    /// Reads `FORWARD_BUDGET_MS`.
    pub(super) fn forward_budget(&mut self) -> Duration {
        let millis = self.optional(BUDGET).map_or(Some(DEFAULT_BUDGET), |millis| {
            let millis = millis.parse().ok();
            millis.filter(|millis| (1..=LONGEST_BUDGET).contains(millis))
        });
        if millis.is_none() {
            self.problem(
                BUDGET,
                &format!("must be a number of milliseconds from 1 to {LONGEST_BUDGET}"),
                &format!("应为 1 至 {LONGEST_BUDGET} 的毫秒数"),
            );
        }
        Duration::from_millis(millis.unwrap_or(DEFAULT_BUDGET))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ConfigError, Environment, WebhookConfig},
        *,
    };

    const GOOD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(pairs: &[(&str, &str)]) -> Result<WebhookConfig, ConfigError> {
        let full = [
            ("WECHAT_APP_ID", "wx0123456789abcdef"),
            ("WECHAT_TOKEN", "tok"),
            ("TABLE_NAME", "t"),
        ];
        WebhookConfig::read(&Environment::from_pairs(full.iter().chain(pairs).copied()))
    }

    #[test]
    fn without_the_address_there_is_no_own_code() {
        let config = read(&[(SECRET, GOOD_SECRET)]).unwrap();
        assert!(config.forward.is_none());
        assert_eq!(config.forward_budget, Duration::from_millis(3500));
    }

    #[test]
    fn the_address_is_https_or_on_this_machine() {
        for (address, shown) in [
            ("https://example.com/wechat?key=hidden", "https://example.com/wechat"),
            ("http://127.0.0.1:9000/in", "http://127.0.0.1:9000/in"),
            ("http://[::1]:9000", "http://[::1]:9000/"),
            ("http://localhost/in", "http://localhost/in"),
        ] {
            let config = read(&[(URL, address), (SECRET, GOOD_SECRET)]).unwrap();
            assert_eq!(config.forward.as_ref().unwrap().url.to_string(), shown);
            assert!(!format!("{config:?}").contains("hidden"));
        }
        for wrong in [
            "example.com/wechat",
            "ftp://example.com",
            "http://example.com",
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "https://user@example.com",
            "https://user:password@example.com",
        ] {
            let error = read(&[(URL, wrong), (SECRET, GOOD_SECRET)]).unwrap_err().to_string();
            assert!(error.contains(URL) && !error.contains("password@"), "{wrong}: {error}");
        }
    }

    #[test]
    fn wrong_values_are_all_named_at_once_and_no_secret_is_shown() {
        let error = read(&[
            (URL, "nowhere"),
            (SECRET, "whsec_c2hvcnQ="),
            (PREVIOUS_SECRET, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            (BUDGET, "13001"),
        ]);
        let error = error.unwrap_err().to_string();
        for name in [
            "FORWARD_URL: ",
            "FORWARD_SECRET: ",
            "FORWARD_SECRET_PREVIOUS: ",
            "FORWARD_BUDGET_MS: ",
        ] {
            assert!(error.contains(name), "{name} in {error}");
        }
        assert!(!error.contains("c2hvcnQ") && !error.contains("MfKQ9r8"), "{error}");
        let error = read(&[(URL, "https://example.com")]).unwrap_err().to_string();
        assert!(error.contains("FORWARD_SECRET: is not set"), "{error}");
        for wrong in ["0", "-1", "3.5", "soon"] {
            assert!(read(&[(BUDGET, wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_secrets_are_accepted_while_one_replaces_the_other() {
        let longest = format!("whsec_{}", BASE64_STANDARD.encode([7; 64]));
        let config = read(&[
            (URL, "https://example.com"),
            (SECRET, GOOD_SECRET),
            (PREVIOUS_SECRET, &longest),
            (BUDGET, "13000"),
        ]);
        let config = config.unwrap();
        assert_eq!(config.forward_budget, Duration::from_secs(13));
        let secrets = config.forward.unwrap().secrets;
        let lengths: Vec<usize> = secrets.iter().map(|secret| secret.expose().len()).collect();
        assert_eq!(lengths, [24, 64]);
        assert_eq!(format!("{:?}", secrets[1]), "SigningSecret(len: 64)");
        for wrong in [[7; 23].as_slice(), &[7; 65]] {
            let secret = format!("whsec_{}", BASE64_STANDARD.encode(wrong));
            assert!(SigningSecret::parse(&secret).is_none(), "{}", wrong.len());
        }
    }
}
