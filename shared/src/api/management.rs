//! Managing the API itself: addresses, the check of the callback URL, quotas, and what WeChat knows of one call.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::{ApiError, Client, Done};
use crate::{clock::Deadline, secret::Secret};

/// What [`Client::check_callback`] is to examine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckAction {
    /// The resolution of the host's name.
    Dns,
    /// The way to it.
    Ping,
    /// Both.
    #[default]
    All,
}

/// The network from which [`Client::check_callback`] looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckOperator {
    /// China Telecom (电信).
    Chinanet,
    /// China Unicom (联通).
    Unicom,
    /// Tencent's own network (腾讯自建出口).
    Cap,
    /// Whichever WeChat chooses by the address.
    #[default]
    Default,
}

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

/// Whether `address` is one of `addresses`, as [`Client::callback_addresses`] answers them: each an address, or a block
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

/// What may be called of one API.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Quota {
    /// Today's use.
    #[serde(rename = "quota")]
    pub today: QuotaUse,
    /// The limit on short periods, where there is one.
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
}

/// The use of one API on one day.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct QuotaUse {
    /// Calls that a day allows.
    pub daily_limit: u64,
    /// Calls made.
    pub used: u64,
    /// Calls left.
    pub remain: u64,
}

/// Calls allowed in a short period.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub call_count: u64,
    /// In how many seconds.
    pub refresh_second: u64,
}

/// One call as WeChat saw it. What holds tokens or messages is secret.
#[derive(Clone, Debug, Deserialize)]
pub struct LoggedRequest {
    /// When, in epoch seconds.
    #[serde(default)]
    pub invoke_time: i64,
    /// How long WeChat took, in milliseconds.
    #[serde(default)]
    pub cost_in_ms: i64,
    /// The path with its query.
    #[serde(deserialize_with = "secret")]
    pub request_url: Secret,
    /// The body that came.
    #[serde(deserialize_with = "secret")]
    pub request_body: Secret,
    /// The body that was answered.
    #[serde(deserialize_with = "secret")]
    pub response_body: Secret,
    /// The address from which the call came: what belongs on the whitelist.
    #[serde(default)]
    pub client_ip: String,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

#[derive(Deserialize)]
struct IpList {
    ip_list: Vec<String>,
}

impl Client {
    /// The addresses of WeChat's API: what an outgoing firewall has to let through.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses.
    pub async fn api_addresses(
        &self,
        token: &Secret,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<Vec<String>, ApiError> {
        let list: IpList = self
            .get("/cgi-bin/get_api_domain_ip", token, attempts, deadline)
            .await?;
        Ok(list.ip_list)
    }

    /// The addresses from which WeChat calls back, possibly as ranges (`a.b.c.d/n`): what an incoming firewall has to let
    /// through.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses.
    pub async fn callback_addresses(
        &self,
        token: &Secret,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<Vec<String>, ApiError> {
        let list: IpList = self.get("/cgi-bin/getcallbackip", token, attempts, deadline).await?;
        Ok(list.ip_list)
    }

    /// Has WeChat look for the account's callback URL.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 40201 when the account has no callback URL.
    pub async fn check_callback(
        &self,
        token: &Secret,
        action: CheckAction,
        operator: CheckOperator,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<CallbackCheck, ApiError> {
        let body = json!({"action": action, "check_operator": operator});
        self.post("/cgi-bin/callback/check", token, &body, attempts, deadline)
            .await
    }

    /// What may be called of the API at `cgi_path`, such as `/cgi-bin/message/custom/send`.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 76021 when there is no such path.
    pub async fn quota(
        &self,
        token: &Secret,
        cgi_path: &str,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<Quota, ApiError> {
        let body = json!({"cgi_path": cgi_path});
        self.post("/cgi-bin/openapi/quota/get", token, &body, attempts, deadline)
            .await
    }

    /// Resets the day's counters of all APIs of the account `app_id`. 10 a month, the console's button included; so it is
    /// called once only.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 48006 when the month's ten are used up.
    pub async fn clear_quota(&self, token: &Secret, app_id: &str, deadline: Deadline) -> Result<(), ApiError> {
        let body = json!({"appid": app_id});
        let _: Done = self.post("/cgi-bin/clear_quota", token, &body, 1, deadline).await?;
        Ok(())
    }

    /// The call with this `rid`, which stands in the errmsg of a refusal ([`crate::errcode::rid`]). For 7 days, and only
    /// for the account's own calls.
    ///
    /// # Errors
    /// [`ApiError`]; errcodes 76001 to 76004 when WeChat has no such call to show.
    pub async fn logged_request(
        &self,
        token: &Secret,
        rid: &str,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<LoggedRequest, ApiError> {
        #[derive(Deserialize)]
        struct Logged {
            request: LoggedRequest,
        }
        let body: Value = json!({"rid": rid});
        let logged: Logged = self
            .post("/cgi-bin/openapi/rid/get", token, &body, attempts, deadline)
            .await?;
        Ok(logged.request)
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
