//! Signatures for pages that use the JS-SDK in WeChat, and the jsapi_ticket that signs them. `token-refresher` keeps the
//! ticket in the table as it keeps the access_token, once somebody has asked for it.
//! See [WeChat Docs/JS-SDK](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html).

#[cfg(all(feature = "client", feature = "aws"))]
mod issuer;
#[cfg(all(feature = "client", feature = "aws"))]
mod source;

use sha1::{Digest, Sha1};

#[cfg(all(feature = "client", feature = "aws"))]
pub use self::{
    issuer::TicketIssuer,
    source::{TicketError, TicketSource},
};
use crate::{hex, secret::Secret};

/// Signs the page at `url` for `wx.config`, with its `nonceStr` and its `timestamp` in epoch seconds. The URL counts as
/// given, without its fragment. Returns lower-case hex of SHA-1.
/// See [WeChat Docs/JS-SDK使用权限签名算法](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html).
#[must_use]
pub fn sign(ticket: &Secret, nonce: &str, timestamp: i64, url: &str) -> String {
    let page = url.split_once('#').map_or(url, |(page, _)| page);
    let ticket = ticket.expose();
    let signed = format!("jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={page}");
    hex::encode(&Sha1::digest(signed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_official_page_is_signed_with_or_without_a_fragment() {
        let ticket =
            Secret::new("sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg");
        let sign = |url: &str| sign(&ticket, "Wm3WZYTPz0wzccnW", 1_414_587_457, url);
        let official = "0f9de62fce790f9a083d5c99e95740ceb90c27ed";
        for url in ["", "#top", "#a#b"].map(|fragment| format!("http://mp.weixin.qq.com?params=value{fragment}")) {
            assert_eq!(sign(&url), official, "{url}");
        }
        for url in [
            "http://mp.weixin.qq.com/?params=value",
            "http://mp.weixin.qq.com?params=value%23",
        ] {
            assert_ne!(sign(url), official, "{url}");
        }
    }
}
