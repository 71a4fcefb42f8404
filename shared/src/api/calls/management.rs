//! Management of the API itself: WeChat's addresses, the check of the callback URL, quotas.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{
    Call, Unexpected,
    call::{count, decoded},
};

/// The result of [`CheckCallback`]: DNS and ping.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct CallbackCheck {
    /// The addresses of the URL's host.
    #[serde(default)]
    pub dns: Vec<Lookup>,
    /// One ping to each address.
    #[serde(default)]
    pub ping: Vec<Ping>,
}

/// One address of the callback URL.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Lookup {
    /// The address.
    pub ip: String,
    /// The network operator that owns the address.
    #[serde(default)]
    pub real_operator: String,
}

/// The ping to one address.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Ping {
    /// The address.
    pub ip: String,
    /// The network operator from which WeChat pinged.
    #[serde(default)]
    pub from_operator: String,
    /// The packet loss, such as `0%`.
    #[serde(default)]
    pub package_loss: String,
    /// The round trip, such as `23.079ms`.
    #[serde(default)]
    pub time: String,
}

impl Ping {
    /// Whether the ping was lost. WeChat sends one packet.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let loss: Result<f64, _> = self.package_loss.trim_end_matches('%').trim().parse();
        loss.is_ok_and(|loss| loss > 0.0)
    }
}

/// Whether `address` is in `addresses`, the answer of [`GetCallbackAddresses`]: addresses, or IPv4 blocks `a.b.c.d/n`.
#[must_use]
pub fn is_among(address: IpAddr, addresses: &[String]) -> bool {
    addresses.iter().any(|entry| match entry.split_once('/') {
        None => entry.parse() == Ok(address),
        Some((first, bits)) => is_in_block(address, first, bits).unwrap_or(false),
    })
}

/// Whether `address` is in the block `first/bits`. `None` unless both are IPv4.
fn is_in_block(address: IpAddr, first: &str, bits: &str) -> Option<bool> {
    let IpAddr::V4(address) = address else { return None };
    let first: Ipv4Addr = first.parse().ok()?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= u32::BITS)?;
    let network = |address: Ipv4Addr| address.to_bits().checked_shr(u32::BITS - bits).unwrap_or(0);
    Some(network(address) == network(first))
}

/// Today's quota of one API.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Quota {
    /// Calls allowed a day.
    #[serde(deserialize_with = "count")]
    pub daily_limit: u64,
    /// Calls made today.
    #[serde(deserialize_with = "count")]
    pub used: u64,
    /// Calls left today.
    #[serde(deserialize_with = "count")]
    pub remain: u64,
}

/// Returns the addresses from which WeChat sends callbacks, possibly as blocks (`a.b.c.d/n`). A firewall must accept them.
/// See [WeChat Docs/获取微信推送服务器IP](https://developers.weixin.qq.com/doc/service/en/api/base/api_getcallbackip.html).
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

/// Makes WeChat resolve the callback URL's host and ping it, from a network of its choice. Errcode 40201 when the account has
/// no callback URL. See [WeChat Docs/网络通信检测](https://developers.weixin.qq.com/doc/service/api/base/api_callbackcheck.html).
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

/// Returns today's quota of one API, `None` when the answer has none. Errcode 76021 when there is no such path.
/// See [WeChat Docs/查询API调用额度](https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_getapiquota.html).
#[derive(Clone, Copy, Debug)]
pub struct GetQuota<'a> {
    /// The API's path, such as `/cgi-bin/message/custom/send`.
    pub cgi_path: &'a str,
}

impl Call for GetQuota<'_> {
    type Answer = Option<Quota>;
    const PATH: &'static str = "/cgi-bin/openapi/quota/get";

    fn body(&self) -> Option<Value> {
        Some(json!({"cgi_path": self.cgi_path}))
    }

    fn read(answer: Value) -> Result<Option<Quota>, Unexpected> {
        #[derive(Deserialize)]
        struct Today {
            quota: Option<Quota>,
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
