//! The configuration of `users`.

use super::{CallerConfig, ConfigError, Environment, Reader};
use crate::page::{Hosts, PageUrl, is_https_or_local};

/// WeChat's host of the authorize page.
const DEFAULT_OPEN_BASE: &str = "https://open.weixin.qq.com";
/// Characters in the name of WeChat's file for the check of a domain.
const DOMAIN_CHECK_LENGTH: usize = 16;

/// The configuration of `users`. Besides the caller's, every variable is optional.
#[derive(Clone, Debug)]
pub struct UsersConfig {
    /// Account, API, table and keys.
    pub caller: CallerConfig,
    /// `https://host` under which people on WeChat reach the bundle, without a slash at its end.
    pub public_url: Option<String>,
    /// The base of the authorize page, without a slash at its end.
    pub open_base: String,
    /// The hosts that a login may return to.
    pub login_hosts: Hosts,
    /// The hosts whose pages get signatures.
    pub jssdk_hosts: Hosts,
    /// The 16 characters in the name of `MP_verify_….txt`.
    /// See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).
    pub domain_check: Option<String>,
}

impl UsersConfig {
    /// Reads the variables of [`CallerConfig`], `PUBLIC_URL`, `WECHAT_OPEN_BASE`, `LOGIN_HOSTS`, `JSSDK_HOSTS` and
    /// `WECHAT_DOMAIN_CHECK`.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment);
        let config = Self {
            caller: CallerConfig::from_reader(&mut reader),
            public_url: reader.public_url(),
            open_base: reader
                .base("WECHAT_OPEN_BASE")
                .unwrap_or_else(|| DEFAULT_OPEN_BASE.to_owned()),
            login_hosts: reader.hosts("LOGIN_HOSTS"),
            jssdk_hosts: reader.hosts("JSSDK_HOSTS"),
            domain_check: reader.domain_check(),
        };
        reader.finish(config)
    }
}

impl Reader<'_> {
    /// Reads an https address without path or query; http for this machine only.
    fn public_url(&mut self) -> Option<String> {
        const NAME: &str = "PUBLIC_URL";
        let base = self.optional(NAME)?.trim_end_matches('/');
        let (_, host) = base.split_once("://").unwrap_or_default();
        let name = if host.starts_with('[') {
            host
        } else {
            host.split(':').next().unwrap_or_default()
        };
        let name = name.find(']').map_or(name, |end| &name[..=end]);
        let hosts = Hosts::parse(name).unwrap_or_default();
        if host.contains(['/', '?', '#']) || PageUrl::parse(base, &hosts).is_err() {
            self.problem(
                NAME,
                "must be https:// and a host, without port, path or query (http and a port for 127.0.0.1 only)",
                "应为 https:// 加主机名，不含端口、路径与查询参数（仅 127.0.0.1 可用 http 与端口）",
            );
            return None;
        }
        Some(base.to_owned())
    }

    fn base(&mut self, name: &str) -> Option<String> {
        let base = self.optional(name)?.trim_end_matches('/');
        let is_base =
            url::Url::parse(base).is_ok_and(|url| is_https_or_local(&url) && url.query().or(url.fragment()).is_none());
        if !is_base {
            self.problem(
                name,
                "must be an https address (http for 127.0.0.1 only)",
                "应为 https 地址（仅 127.0.0.1 可用 http）",
            );
            return None;
        }
        Some(base.to_owned())
    }

    fn hosts(&mut self, name: &str) -> Hosts {
        let list = self.optional(name).unwrap_or_default();
        Hosts::parse(list).unwrap_or_else(|_| {
            self.problem(
                name,
                "must be hosts such as shop.example.com, comma-separated, without https://, port or path",
                "应为以逗号分隔的主机名，例如 shop.example.com，不含 https://、端口与路径",
            );
            Hosts::default()
        })
    }

    fn domain_check(&mut self) -> Option<String> {
        const NAME: &str = "WECHAT_DOMAIN_CHECK";
        let check = self.optional(NAME)?;
        if check.len() != DOMAIN_CHECK_LENGTH || !check.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            self.problem(
                NAME,
                "must be the 16 letters and digits between MP_verify_ and .txt in the name of WeChat's file",
                "应为微信校验文件名中 MP_verify_ 与 .txt 之间的 16 位字母与数字",
            );
            return None;
        }
        Some(check.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<UsersConfig, ConfigError> {
        let full = [
            ("WECHAT_APP_ID", "wx0123456789abcdef"),
            ("TABLE_NAME", "t"),
            ("TOKEN_REFRESHER_FUNCTION", "f"),
        ];
        UsersConfig::read(&Environment::from_pairs(full.iter().chain(pairs).copied()))
    }

    #[test]
    fn every_variable_is_optional() {
        let config = read(&[]).unwrap();
        assert!(config.public_url.is_none() && config.login_hosts.is_empty() && config.jssdk_hosts.is_empty());
        assert_eq!(config.open_base, "https://open.weixin.qq.com");
        let config = read(&[
            ("PUBLIC_URL", "https://wechat.example.com/"),
            ("WECHAT_OPEN_BASE", "http://127.0.0.1:8001"),
            ("LOGIN_HOSTS", "shop.example.com"),
            ("WECHAT_DOMAIN_CHECK", "AbCdEf0123456789"),
        ])
        .unwrap();
        assert_eq!(config.public_url.as_deref(), Some("https://wechat.example.com"));
        for local in ["http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost"] {
            assert_eq!(
                read(&[("PUBLIC_URL", local)]).unwrap().public_url.as_deref(),
                Some(local)
            );
        }
    }

    #[test]
    fn wrong_values_are_all_named_at_once() {
        let error = read(&[
            ("TABLE_NAME", ""),
            ("PUBLIC_URL", "https://wechat.example.com/path"),
            ("WECHAT_OPEN_BASE", "ftp://x"),
            ("LOGIN_HOSTS", "https://shop.example.com"),
            ("JSSDK_HOSTS", "shop.example.com:443"),
            ("WECHAT_DOMAIN_CHECK", "MP_verify_AbCdEf0123456789.txt"),
        ])
        .unwrap_err()
        .to_string();
        for name in [
            "TABLE_NAME",
            "PUBLIC_URL",
            "WECHAT_OPEN_BASE",
            "LOGIN_HOSTS",
            "JSSDK_HOSTS",
            "WECHAT_DOMAIN_CHECK",
        ] {
            assert!(error.contains(name), "{name} in {error}");
        }
        for wrong in [
            "wechat.example.com",
            "http://wechat.example.com",
            "https://wechat.example.com:8443",
            "https://a@b.example",
        ] {
            assert!(read(&[("PUBLIC_URL", wrong)]).is_err(), "{wrong}");
        }
    }
}
