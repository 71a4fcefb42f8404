//! Callbacks as WeChat makes and signs them, in each mode.

use simulator::{
    Mode,
    crypto::{Cipher, sign},
};
use url::form_urlencoded;

use super::{Request, sample};
use crate::{
    account::{AES_KEY, APP_ID, ORIGINAL_ID, TOKEN},
    now,
};

/// The nonce of every callback.
const NONCE: &str = "998877";
/// The `CreateTime` of a [`message`]: long ago, so that no failure makes WeChat repeat it.
pub const CREATED_AT: i64 = 1_767_225_600;

/// The XML of a message or event from `openid`, made at `created_at`.
#[must_use]
pub fn message_from(openid: &str, created_at: i64, msg_type: &str, fields: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>\
         <CreateTime>{created_at}</CreateTime><MsgType><![CDATA[{msg_type}]]></MsgType>{fields}</xml>"
    )
}

/// The XML of a message or event from `oUser`.
#[must_use]
pub fn message(msg_type: &str, fields: &str) -> String {
    message_from("oUser", CREATED_AT, msg_type, fields)
}

/// The XML of a text message.
#[must_use]
pub fn text(content: &str, msg_id: u64) -> String {
    let fields = format!("<Content><![CDATA[{content}]]></Content><MsgId>{msg_id}</MsgId>");
    message("text", &fields)
}

/// The XML of the receipt of a template message, with the `Status` that WeChat gives it.
#[must_use]
pub fn receipt(msgid: &str, status: &str) -> String {
    let fields = format!("<Event>TEMPLATESENDJOBFINISH</Event><MsgID>{msgid}</MsgID><Status>{status}</Status>");
    message("event", &fields)
}

/// A callback that is about to be signed.
#[derive(Clone, Debug)]
pub struct Callback {
    content: Vec<u8>,
    app_id: String,
    token: String,
    aes_key: String,
    timestamp: String,
    clear: Option<String>,
}

/// The callback with `content`, XML or JSON, of the stage's account, signed as of now.
#[must_use]
pub fn callback(content: impl AsRef<[u8]>) -> Callback {
    Callback {
        content: content.as_ref().to_vec(),
        app_id: APP_ID.to_owned(),
        token: TOKEN.to_owned(),
        aes_key: AES_KEY.to_owned(),
        timestamp: now().to_string(),
        clear: None,
    }
}

/// WeChat's check of the callback URL, signed with `token`.
#[must_use]
pub fn check(token: &str) -> Request {
    let mut query = callback("").token(token).signed(Mode::Plain).0;
    query.push(("echostr", "4375120948345356249".to_owned()));
    request("GET", &query)
}

/// The query that signs a callback of plain mode with `token`, for tests that post callbacks over HTTP.
#[must_use]
pub fn signed_query(token: &str) -> String {
    let (query, _) = callback("").token(token).signed(Mode::Plain);
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish()
}

impl Callback {
    /// For another account.
    #[must_use]
    pub fn app_id(mut self, app_id: &str) -> Self {
        app_id.clone_into(&mut self.app_id);
        self
    }

    /// Signed with another callback token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// Encrypted with another EncodingAESKey.
    #[must_use]
    pub fn aes_key(mut self, aes_key: &str) -> Self {
        aes_key.clone_into(&mut self.aes_key);
        self
    }

    /// Signed with this timestamp, as it is spelt.
    #[must_use]
    pub fn at(mut self, timestamp: &str) -> Self {
        timestamp.clone_into(&mut self.timestamp);
        self
    }

    /// With the clear elements `clear` next to the ciphertext.
    #[must_use]
    pub fn beside(mut self, clear: &str) -> Self {
        self.clear = Some(clear.to_owned());
        self
    }

    /// The query and the body in a message mode.
    #[must_use]
    pub fn signed(self, mode: Mode) -> (Vec<(&'static str, String)>, Vec<u8>) {
        let parts = [self.token.as_str(), &self.timestamp, NONCE];
        let mut query = vec![
            ("signature", sign(&parts)),
            ("timestamp", self.timestamp.clone()),
            ("nonce", NONCE.to_owned()),
            ("openid", "oNotSigned".to_owned()),
        ];
        let clear = match mode {
            Mode::Plain => return (query, self.content),
            Mode::Safe => format!("<ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName>"),
            // Nothing signs the clear part of compat mode, so it says something else here.
            Mode::Compat => {
                "<ToUserName>gh_forged</ToUserName><FromUserName>oForged</FromUserName><CreateTime>1</CreateTime>\
                 <MsgType>text</MsgType><Content>forged</Content><MsgId>1</MsgId>"
                    .to_owned()
            }
        };
        let cipher = Cipher::new(&self.aes_key, &self.app_id).unwrap();
        let encrypt = cipher.encrypt("0123456789abcdef", &self.content);
        let msg_signature = sign(&[&parts[..], &[encrypt.as_str()]].concat());
        query.push(("encrypt_type", "aes".to_owned()));
        query.push(("msg_signature", msg_signature));
        let clear = self.clear.unwrap_or(clear);
        let body = format!("<xml>{clear}<Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>");
        (query, body.into_bytes())
    }

    /// The event of the callback in a message mode.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Request {
        let (query, body) = self.signed(mode);
        let request = request("POST", &query);
        match String::from_utf8(body) {
            Ok(body) => request.text(&body),
            Err(error) => request.base64(error.as_bytes()),
        }
    }

    /// In clear.
    #[must_use]
    pub fn plain(self) -> Request {
        self.in_mode(Mode::Plain)
    }

    /// Encrypted, beside clear elements that say something else.
    #[must_use]
    pub fn compat(self) -> Request {
        self.in_mode(Mode::Compat)
    }

    /// Encrypted.
    #[must_use]
    pub fn safe(self) -> Request {
        self.in_mode(Mode::Safe)
    }
}

fn request(method: &str, query: &[(&'static str, String)]) -> Request {
    Request(sample("webhook-text"))
        .with("/requestContext/http/method", method)
        .with("/body", serde_json::Value::Null)
        .with_query(query)
}
