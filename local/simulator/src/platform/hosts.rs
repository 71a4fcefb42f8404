//! Hosts: this machine's, and those that the account has registered.

use std::net::{Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Whether `host[:port]`, as in a `Host` or an `Origin`, names this machine.
#[must_use]
pub fn is_loopback(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let address = rest
            .split_once(']')
            .and_then(|(address, _)| address.parse::<Ipv6Addr>().ok());
        return address.is_some_and(|address| address.is_loopback());
    }
    let host = authority
        .split_once(':')
        .map_or(authority, |(host, _)| host)
        .to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Domains that the account has registered on WeChat's console: 网页授权域名 or JS接口安全域名.
///
/// `None` stands for a list that nobody has set in the simulator: every host passes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Domains(Option<Vec<String>>);

impl Domains {
    /// Whether each entry is a bare host or `host/path`, as WeChat's console takes them.
    pub(crate) fn are_valid(&self) -> bool {
        let is_valid = |domain: &String| {
            let host = domain.split('/').next().unwrap_or_default();
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            !host.is_empty() && host.bytes().all(is_part)
        };
        self.0.iter().flatten().all(is_valid)
    }

    /// Whether the URL is on a registered host, and below its path. Parent and sibling hosts do not count.
    pub(crate) fn contain(&self, url: &Url) -> bool {
        let Some(domains) = &self.0 else {
            return true;
        };
        let path = url.path().trim_start_matches('/');
        domains.iter().any(|domain| {
            let (host, folder) = domain.split_once('/').unwrap_or((domain, ""));
            let is_below = |rest: &str| folder.is_empty() || rest.is_empty() || rest.starts_with('/');
            let is_host = url.host_str().is_some_and(|named| named.eq_ignore_ascii_case(host));
            is_host && path.strip_prefix(folder).is_some_and(is_below)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_addresses_of_this_machine_are_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:8001",
            "127.0.0.1:8001",
            "127.1.2.3",
            "[::1]:8001",
            "sim.localhost:1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "192.168.1.2:8001",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn only_the_registered_host_itself_counts() {
        let domains = Domains(Some(vec!["example.com".to_owned(), "shop.example.com/app".to_owned()]));
        assert!(domains.are_valid());
        let contains = |url: &str| domains.contain(&Url::parse(url).unwrap());
        for url in [
            "https://example.com",
            "https://EXAMPLE.com/a?b",
            "https://shop.example.com/app",
            "https://shop.example.com/app/page",
        ] {
            assert!(contains(url), "{url}");
        }
        for url in [
            "https://www.example.com/",
            "https://com/",
            "https://shop.example.com/",
            "https://shop.example.com/apple",
        ] {
            assert!(!contains(url), "{url}");
        }
        for wrong in ["", "https://example.com", "example.com:8443"] {
            assert!(!Domains(Some(vec![wrong.to_owned()])).are_valid(), "{wrong}");
        }
    }
}
