//! Addresses to which a login may return: anyone chooses them.

use url::Url;
use wechat::page::{Hosts, PageUrl};

const HOSTS: [&str; 3] = ["shop.example.com", "127.0.0.1", "localhost"];

/// Checks an address and adds the one-time code to it.
///
/// A browser, which reads addresses as the crate `url` does, goes to a listed host over https, and the code arrives once.
pub fn page_url(input: &[u8]) {
    let Ok(address) = str::from_utf8(input) else { return };
    let Ok(hosts) = Hosts::parse(&HOSTS.join(",")) else {
        unreachable!("they are bare hosts")
    };
    let Ok(page) = PageUrl::parse(address, &hosts) else {
        return;
    };
    for header in [page.in_header(), page.with_parameter("login", "code")] {
        assert!(
            header.bytes().all(|byte| byte.is_ascii_graphic()),
            "{header:?} is a header's value"
        );
        let url = Url::parse(&header).unwrap_or_else(|error| panic!("{header:?}: {error}"));
        let host = url.host_str().unwrap_or_default();
        assert!(HOSTS.contains(&host), "{header:?} leads to {host}");
        assert!(url.scheme() == "https" || host != HOSTS[0], "{header:?}");
        assert!(url.port().is_none() || host != HOSTS[0], "{header:?}");
        assert!(url.username().is_empty() && url.password().is_none(), "{header:?}");
    }
    let url = Url::parse(&page.with_parameter("login", "code"));
    let url = url.unwrap_or_else(|error| panic!("{address:?}: {error}"));
    let logins: Vec<_> = url
        .query_pairs()
        .filter(|(name, _)| name == "login")
        .map(|(_, value)| value)
        .collect();
    assert_eq!(logins, ["code"], "{address:?}");
    let fragment = address.split_once('#').map(|(_, fragment)| fragment.is_empty());
    assert_eq!(url.fragment().map(str::is_empty), fragment, "{address:?}");
}
