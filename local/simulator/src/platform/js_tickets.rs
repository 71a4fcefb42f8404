//! Tickets of the JS-SDK, and the check of a page's signature.
//!
//! See [WeChat Docs/JS-SDK说明文档](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html), 附录1 for the
//! signature and 附录5 for the errors.

use reqwest::Url;
use serde::Deserialize;
use sha1::{Digest, Sha1};

use super::{Platform, random::Random};

/// Seconds. The lifetime of a ticket.
pub(crate) const LIFETIME: i64 = 7_200;

/// The living tickets, each with its end.
#[derive(Default)]
pub(crate) struct JsTickets(Vec<(String, i64)>);

impl JsTickets {
    /// A new ticket. The former ones stay valid until their own end.
    ///
    /// WeChat does not say whether a repeated call returns the same ticket. A server that copes with a new one copes with
    /// the same one too.
    pub(crate) fn issue(&mut self, now: i64, random: &mut Random) -> String {
        self.0.retain(|(_, ends_at)| now < *ends_at);
        let ticket = make(random);
        self.0.push((ticket.clone(), now + LIFETIME));
        ticket
    }

    /// The living tickets.
    pub(crate) fn living(&self, now: i64) -> impl Iterator<Item = &str> {
        let living = self.0.iter().filter(move |(_, ends_at)| now < *ends_at);
        living.map(|(ticket, _)| ticket.as_str())
    }
}

/// A ticket of any type.
pub(crate) fn make(random: &mut Random) -> String {
    random.url_safe(86)
}

/// What a page passes to `wx.config`, and the page's URL.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    app_id: String,
    timestamp: Timestamp,
    nonce_str: String,
    signature: String,
    url: String,
}

/// Seconds, which pages pass as a number or as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Timestamp {
    Number(u64),
    Text(String),
}

/// Why `wx.config` is refused, as the page hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigError {
    AppId,
    UrlDomain,
    Signature,
}

impl ConfigError {
    pub(crate) fn errmsg(self) -> &'static str {
        match self {
            Self::AppId => "config:invalid appid",
            Self::UrlDomain => "config:invalid url domain",
            Self::Signature => "config:invalid signature",
        }
    }
}

/// Checks a page's signature as the phone does: with every living ticket, over the page's URL without its fragment.
pub(crate) fn check(platform: &Platform, config: &Config) -> Result<(), ConfigError> {
    if config.app_id != platform.account.app_id {
        return Err(ConfigError::AppId);
    }
    if !Url::parse(&config.url).is_ok_and(|url| platform.js_domains.contain(&url)) {
        return Err(ConfigError::UrlDomain);
    }
    let url = config.url.split('#').next().unwrap_or_default();
    let timestamp = match &config.timestamp {
        Timestamp::Number(seconds) => seconds.to_string(),
        Timestamp::Text(text) => text.clone(),
    };
    let mut tickets = platform.js_tickets.living(platform.clock.now());
    if tickets.any(|ticket| sign(ticket, &config.nonce_str, &timestamp, url) == config.signature) {
        Ok(())
    } else {
        Err(ConfigError::Signature)
    }
}

fn sign(ticket: &str, nonce: &str, timestamp: &str, url: &str) -> String {
    let text = format!("jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url}");
    let digest = Sha1::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_documentation_does() {
        assert_eq!(
            sign(
                "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg",
                "Wm3WZYTPz0wzccnW",
                "1414587457",
                "http://mp.weixin.qq.com?params=value",
            ),
            "0f9de62fce790f9a083d5c99e95740ceb90c27ed"
        );
    }
}
