//! Addresses of a team's own pages: those to which a login may return, and those that get signatures for the JS-SDK.
//!
//! An address is compared and kept as text and never normalised: a browser must see the address that was checked.

use std::fmt::Write as _;

use url::{Url, form_urlencoded};

/// Bytes. The longest address.
const LONGEST: usize = 2048;

/// The hosts of a team's pages, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// The first entry that is not a bare host: it has a scheme, a port, a path, a trailing dot or a letter that hosts do not
    /// have.
    pub fn parse(list: &str) -> Result<Self, &str> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let hosts = entries.map(|entry| {
            if is_host(entry) {
                Ok(entry.to_ascii_lowercase())
            } else {
                Err(entry)
            }
        });
        hosts.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the list is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, host: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

/// Why an address is not one of the team's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The text is not an address that every browser reads in the same way.
    #[error(
        "must be an https address without user name, backslash, control character or trailing dot in its host, at most \
         {LONGEST} bytes (http for 127.0.0.1 and localhost) \
         / 应为 https 地址，不含用户名、反斜杠与控制字符，主机名不以点结尾，最长 {LONGEST} 字节（仅 127.0.0.1 与 localhost 可用 http）"
    )]
    Malformed,
    /// The host is not in the list.
    #[error("has a host that is not in the list of allowed hosts / 的主机不在允许列表中")]
    OtherHost,
    /// The address names a port.
    #[error("must not name a port / 不能带端口")]
    Port,
}

impl PageError {
    /// Returns the error with the name of the variable that lists the hosts.
    #[must_use]
    pub fn with_variable(self, name: &str) -> String {
        match self {
            Self::OtherHost => format!("has a host that {name} does not list / 的主机不在 {name} 中"),
            Self::Malformed | Self::Port => self.to_string(),
        }
    }
}

/// The address of one of the team's pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageUrl(String);

impl PageUrl {
    /// Checks `address`: https, its host one of `hosts`, the default port. For hosts of this machine http and any port are
    /// allowed too.
    ///
    /// # Errors
    /// [`PageError`] when `address` is malformed or not one of the team's pages.
    pub fn parse(address: &str, hosts: &Hosts) -> Result<Self, PageError> {
        if address.len() > LONGEST || address.contains(|c: char| c.is_control() || c == '\\') {
            return Err(PageError::Malformed);
        }
        let Authority { scheme, host, port } = Authority::of(address).ok_or(PageError::Malformed)?;
        if !is_host(host) {
            return Err(PageError::Malformed);
        }
        let is_local = is_loopback(host);
        match (scheme, port) {
            ("http", _) if !is_local => return Err(PageError::Malformed),
            (_, Some(port)) if is_local => {
                port.parse::<u16>().map_err(|_| PageError::Malformed)?;
            }
            (_, None | Some("443")) => {}
            _ => return Err(PageError::Port),
        }
        if !hosts.contains(host) {
            return Err(PageError::OtherHost);
        }
        Ok(Self(address.to_owned()))
    }

    /// Wraps an address that [`Self::parse`] has accepted before.
    #[must_use]
    pub fn checked_before(address: &str) -> Self {
        Self(address.to_owned())
    }

    /// Returns the address as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address with the query parameter `name`, which replaces all parameters of this name. The rest stays
    /// unchanged, except that characters that a header cannot hold are percent-encoded, as a browser does.
    #[must_use]
    pub fn with_parameter(&self, name: &str, value: &str) -> String {
        let (page, fragment) = self
            .0
            .split_once('#')
            .map_or((&*self.0, None), |(page, rest)| (page, Some(rest)));
        let (path, query) = page.split_once('?').unwrap_or((page, ""));
        let is_other = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).all(|(found, _)| found != name);
        let mut address = path.to_owned();
        let mut separator = '?';
        let parameter = format!("{name}={value}");
        let others = query.split('&').filter(|pair| !query.is_empty() && is_other(pair));
        for pair in others.chain([parameter.as_str()]) {
            address.push(separator);
            address.push_str(pair);
            separator = '&';
        }
        if let Some(fragment) = fragment {
            address.push('#');
            address.push_str(fragment);
        }
        in_header(&address)
    }

    /// Returns the address as a header can hold it.
    #[must_use]
    pub fn in_header(&self) -> String {
        in_header(&self.0)
    }
}

fn in_header(address: &str) -> String {
    let mut text = String::with_capacity(address.len());
    for byte in address.bytes() {
        if byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The beginning of an address.
struct Authority<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Authority<'a> {
    fn of(address: &'a str) -> Option<Self> {
        let (scheme, rest) = address.split_once("://")?;
        let scheme = ["https", "http"]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known))?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let after_host = match authority.strip_prefix('[') {
            Some(bracketed) => bracketed.find(']')? + 2,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(after_host);
        let port = match port {
            "" => None,
            port => Some(
                port.strip_prefix(':')
                    .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?,
            ),
        };
        Some(Self { scheme, host, port })
    }
}

/// Whether `text` is a host's name or address as browsers write it.
fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.split('.').all(is_label)
}

/// Whether data on its way to `url` is protected: the scheme is https, or http to this machine.
pub(crate) fn is_https_or_local(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    }
}

/// Whether `host` is this machine.
fn is_loopback(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address
            .parse::<std::net::Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback());
    }
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts::parse("shop.example.com, WWW.example.com,127.0.0.1,localhost,[::1]").unwrap()
    }

    fn error(address: &str) -> Option<PageError> {
        PageUrl::parse(address, &hosts()).err()
    }

    #[test]
    fn only_pages_of_the_listed_hosts_are_accepted() {
        for address in [
            "https://shop.example.com",
            "https://shop.example.com/",
            "HTTPS://Shop.Example.com/a?b=c#d",
            "https://shop.example.com:443/",
            "https://www.example.com?x",
            "https://shop.example.com/中文?q=a b",
            "http://127.0.0.1:8000/cb",
            "http://localhost/",
            "https://localhost:5173/",
            "http://[::1]:8000/",
        ] {
            assert_eq!(error(address), None, "{address}");
        }
    }

    #[test]
    fn an_address_that_could_lead_elsewhere_is_refused() {
        let long = format!("https://shop.example.com/{}", "x".repeat(2048));
        for address in [
            "",
            "shop.example.com",
            "//shop.example.com/",
            "javascript://shop.example.com/%0aalert(1)",
            "http://shop.example.com/",
            "https://shop.example.com.evil.example/",
            "https://evil.example/https://shop.example.com/",
            "https://evil.example#shop.example.com",
            "https://evil.example?shop.example.com",
            "https://shop.example.com@evil.example/",
            "https://evil.example@shop.example.com/",
            "https://shop.example.com:443@evil.example/",
            "https://shop.example.com\\@evil.example/",
            "https://shop.example.com\\.evil.example/",
            "https:\\\\shop.example.com/",
            "https://shop.example.com./",
            "https://.shop.example.com/",
            "https://shop.example.com:8443/",
            "https://shop.example.com:/",
            "https://shop.example.com:443:443/",
            "https://sub.shop.example.com/",
            "https://example.com/",
            "https://shop%2eexample.com/",
            "https://shop.example.com\u{3002}evil.example/",
            "https://shop。example.com/",
            "https://ѕhop.example.com/",
            " https://shop.example.com/",
            "https:// shop.example.com/",
            "https://shop.example.com/\r\nSet-Cookie: a=b",
            "https://shop.example.com/\t",
            "https:///shop.example.com/",
            "https:shop.example.com/",
            "https://[::1/",
            "https://[::2]/",
            "http://127.0.0.1.evil.example/",
            "http://2130706433/",
            "http://localhost:99999/",
            &long,
        ] {
            assert!(error(address).is_some(), "{address}");
        }
    }

    #[test]
    fn a_host_list_holds_bare_hosts() {
        assert!(Hosts::parse("").unwrap().is_empty());
        for (list, wrong) in [
            ("https://shop.example.com", "https://shop.example.com"),
            ("a.example,shop.example.com:443", "shop.example.com:443"),
            ("*.example.com", "*.example.com"),
            ("shop.example.com/", "shop.example.com/"),
            ("shop.example.com.", "shop.example.com."),
        ] {
            assert_eq!(Hosts::parse(list), Err(wrong));
        }
    }

    #[test]
    fn the_parameter_comes_before_the_fragment_and_the_rest_stays() {
        for (address, expected) in [
            ("https://shop.example.com", "https://shop.example.com?login=c"),
            ("https://shop.example.com/a", "https://shop.example.com/a?login=c"),
            ("https://shop.example.com/a?", "https://shop.example.com/a?login=c"),
            (
                "https://shop.example.com/?b=%2F&&c",
                "https://shop.example.com/?b=%2F&&c&login=c",
            ),
            (
                "https://shop.example.com/?login=old&b=1&lo%67in=x",
                "https://shop.example.com/?b=1&login=c",
            ),
            ("https://shop.example.com/?login", "https://shop.example.com/?login=c"),
            (
                "https://shop.example.com/#/route?login=x",
                "https://shop.example.com/?login=c#/route?login=x",
            ),
            (
                "https://shop.example.com/a b?c=中#d",
                "https://shop.example.com/a%20b?c=%E4%B8%AD&login=c#d",
            ),
        ] {
            let page = PageUrl::parse(address, &hosts()).unwrap();
            assert_eq!(page.with_parameter("login", "c"), expected);
        }
    }
}
