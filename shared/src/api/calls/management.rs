//! Managing the API itself: addresses, the check of the callback URL, quotas.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Call, Unexpected, call::decoded};

/// How WeChat finds the account's callback URL.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct CallbackCheck {
    /// The addresses that its name resolves to.
    #[serde(default)]
    pub dns: Vec<Lookup>,
    /// The way to each of them.
    #[serde(default)]
    pub ping: Vec<Ping>,
}

/// One address of the callback URL.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Lookup {
    /// The address.
    pub ip: String,
    /// The operator whose address it is.
    #[serde(default)]
    pub real_operator: String,
}

/// The way to one address.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Ping {
    /// The address.
    pub ip: String,
    /// The operator from whose network it was reached.
    #[serde(default)]
    pub from_operator: String,
    /// Packets lost, such as `0%`.
    #[serde(default)]
    pub package_loss: String,
    /// The time it took, such as `23.079ms`.
    #[serde(default)]
    pub time: String,
}

impl Ping {
    /// Whether a packet was lost. One is sent, so all were.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let loss: Result<f64, _> = self.package_loss.trim_end_matches('%').trim().parse();
        loss.is_ok_and(|loss| loss > 0.0)
    }
}

/// Whether `address` is one of `addresses`, as [`GetCallbackAddresses`] answers them: each an address, or a block
/// `a.b.c.d/n` of IPv4.
#[must_use]
pub fn is_among(address: IpAddr, addresses: &[String]) -> bool {
    addresses.iter().any(|entry| match entry.split_once('/') {
        None => entry.parse() == Ok(address),
        Some((first, bits)) => is_in_block(address, first, bits).unwrap_or(false),
    })
}

/// `None` when this is not a block of IPv4.
fn is_in_block(address: IpAddr, first: &str, bits: &str) -> Option<bool> {
    let IpAddr::V4(address) = address else { return None };
    let first: Ipv4Addr = first.parse().ok()?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= u32::BITS)?;
    let network = |address: Ipv4Addr| address.to_bits().checked_shr(u32::BITS - bits).unwrap_or(0);
    Some(network(address) == network(first))
}

/// What may be called of one API on one day.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Quota {
    /// Calls that a day allows.
    pub daily_limit: u64,
    /// Calls made.
    pub used: u64,
    /// Calls left.
    pub remain: u64,
}

/// The addresses from which WeChat calls back, possibly as blocks (`a.b.c.d/n`): what an incoming firewall has to let
/// through.
#[derive(Clone, Copy, Debug)]
pub struct GetCallbackAddresses;

impl Call for GetCallbackAddresses {
    type Answer = Vec<String>;
    const PATH: &'static str = "/cgi-bin/getcallbackip";

    fn read(answer: Value) -> Result<Vec<String>, Unexpected> {
        #[derive(Deserialize)]
        struct List {
            ip_list: Vec<String>,
        }
        decoded(answer).map(|list: List| list.ip_list)
    }
}

/// Has WeChat resolve the callback URL's name and ping its host, from whichever network it chooses. Errcode 40201 when the
/// account has no callback URL.
#[derive(Clone, Copy, Debug)]
pub struct CheckCallback;

impl Call for CheckCallback {
    type Answer = CallbackCheck;
    const PATH: &'static str = "/cgi-bin/callback/check";

    fn body(&self) -> Option<Value> {
        Some(json!({"action": "all", "check_operator": "DEFAULT"}))
    }

    fn read(answer: Value) -> Result<CallbackCheck, Unexpected> {
        decoded(answer)
    }
}

/// Today's quota of one API. Errcode 76021 when there is no such path.
#[derive(Clone, Copy, Debug)]
pub struct GetQuota<'a> {
    /// The API, such as `/cgi-bin/message/custom/send`.
    pub cgi_path: &'a str,
}

impl Call for GetQuota<'_> {
    type Answer = Quota;
    const PATH: &'static str = "/cgi-bin/openapi/quota/get";

    fn body(&self) -> Option<Value> {
        Some(json!({"cgi_path": self.cgi_path}))
    }

    fn read(answer: Value) -> Result<Quota, Unexpected> {
        #[derive(Deserialize)]
        struct Today {
            quota: Quota,
        }
        decoded(answer).map(|today: Today| today.quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_alone_and_in_its_block() {
        let addresses = [
            "101.226.103.0/25",
            "81.69.54.213",
            "not an address",
            "10.0.0.0/33",
            "1.2.3.4/x",
        ];
        let addresses = addresses.map(str::to_owned);
        for (address, is_wechats) in [
            ("81.69.54.213", true),
            ("81.69.54.214", false),
            ("101.226.103.0", true),
            ("101.226.103.127", true),
            ("101.226.103.128", false),
            ("10.0.0.0", false),
            ("1.2.3.4", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_among(address.parse().unwrap(), &addresses), is_wechats, "{address}");
        }
        let everywhere = ["0.0.0.0/0".to_owned()];
        assert!(is_among([198, 51, 100, 7].into(), &everywhere));
    }

    #[test]
    fn a_lost_ping_is_told_from_an_answered_one() {
        for (package_loss, is_lost) in [("0%", false), ("100%", true), ("100.00 %", true), ("", false)] {
            let ping: Ping = serde_json::from_value(json!({"ip": "1.1.1.1", "package_loss": package_loss})).unwrap();
            assert_eq!(ping.is_lost(), is_lost, "{package_loss}");
        }
    }
}
