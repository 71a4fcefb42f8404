//! A made account, and its callbacks as API Gateway hands them over.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;
use wechat::callback::{MessageMode, aes::EncodingAesKey, signature};

/// What a callback is signed and encrypted with.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// AppID.
    pub app_id: &'a str,
    /// The token of the server configuration.
    pub token: &'a str,
    /// EncodingAESKey.
    pub aes_key: &'a str,
}

const NONCE: &str = "998877";

/// Seconds since the epoch.
#[must_use]
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A text message of a user's, in clear XML.
#[must_use]
pub fn text_message(content: &str, msg_id: u64) -> String {
    format!(
        "<xml><ToUserName><![CDATA[gh_0a1b2c3d4e5f]]></ToUserName>\
         <FromUserName><![CDATA[oBenchmarks00000000000000001]]></FromUserName><CreateTime>1767225600</CreateTime>\
         <MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{content}]]></Content><MsgId>{msg_id}</MsgId></xml>"
    )
}

/// What WeChat sends of `xml`: the pairs of the query, and the body, in clear in plain mode only.
///
/// # Panics
/// When the EncodingAESKey is none.
#[must_use]
pub fn signed(keys: Keys<'_>, xml: &str, mode: MessageMode) -> (Vec<(&'static str, String)>, String) {
    let (token, timestamp) = (keys.token, now().to_string());
    let mut query = vec![
        ("signature", signature::sign(&[token, &timestamp, NONCE])),
        ("timestamp", timestamp.clone()),
        ("nonce", NONCE.to_owned()),
        ("openid", "oBenchmarks00000000000000001".to_owned()),
    ];
    if mode == MessageMode::Plain {
        return (query, xml.to_owned());
    }
    let key = EncodingAesKey::parse(keys.aes_key).unwrap_or_else(|error| panic!("{error}"));
    let encrypt = key.encrypt(*b"0123456789abcdef", xml, keys.app_id);
    query.push(("encrypt_type", "aes".to_owned()));
    query.push(("msg_signature", signature::sign(&[token, &timestamp, NONCE, &encrypt])));
    let body = format!(
        "<xml><ToUserName><![CDATA[gh_0a1b2c3d4e5f]]></ToUserName><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>"
    );
    (query, body)
}

/// The event of a callback that carries `xml`.
#[must_use]
pub fn callback(keys: Keys<'_>, xml: &str, mode: MessageMode) -> Value {
    let (query, body) = signed(keys, xml, mode);
    let mut event = testing::event("webhook-text");
    event["rawQueryString"] = json!(Serializer::new(String::new()).extend_pairs(&query).finish());
    event["queryStringParameters"] = query.into_iter().collect();
    event["body"] = json!(body);
    event
}
