//! The door of the webhook: verifies that a request comes from WeChat, opens what is encrypted, seals replies.
//!
//! The server's configuration decides the mode, never the request. `signature` covers token, timestamp and nonce but
//! not the body, so a leaked URL can be replayed with any body. The timestamp window narrows that, though not against
//! whoever has collected many: the parts are hashed without a separator, so timestamp and nonce can trade places. Only
//! safe mode closes it, where `msg_signature` covers the ciphertext; compat is no safer than plain.

pub mod aes;
pub mod signature;
#[cfg(test)]
mod tests;

use std::fmt;

use self::aes::{DecryptError, EncodingAesKey};
use crate::{
    secret::Secret,
    xml::{Document, DocumentError, XmlWriter, ciphertexts},
};

/// Characters of an `echostr`. WeChat's has about 19.
const LONGEST_ECHOSTR: usize = 128;

/// 消息加解密方式: how callbacks travel, as set in the account's server configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageMode {
    /// 明文: clear bodies, authenticated by nothing but the URL's signature.
    Plain,
    /// 兼容: clear fields beside `Encrypt`. Only what was decrypted is used; clear bodies are accepted too.
    Compat,
    /// 安全: encrypted only. A clear body is refused.
    Safe,
}

impl MessageMode {
    /// The mode that `WECHAT_MESSAGE_MODE` spells so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::Compat, Self::Safe]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }

    /// As `WECHAT_MESSAGE_MODE` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Compat => "compat",
            Self::Safe => "safe",
        }
    }
}

/// The parameters of a callback's query that WeChat signs or that say how to read the body.
///
/// `openid` is not among them: it is not signed, so nothing may depend on it.
#[derive(Clone, Debug, Default)]
pub struct CallbackQuery {
    signature: Option<String>,
    msg_signature: Option<String>,
    timestamp: Option<String>,
    nonce: Option<String>,
    echostr: Option<String>,
    encrypt_type: Option<String>,
}

impl CallbackQuery {
    /// Picks the parameters out of URL-decoded pairs; others are ignored.
    ///
    /// # Errors
    /// [`VerifyError::Duplicate`] when one of them occurs twice, since then two readers may see two different requests.
    pub fn from_pairs<N: AsRef<str>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, VerifyError> {
        let mut query = Self::default();
        for (name, value) in pairs {
            let (name, slot) = match name.as_ref() {
                "signature" => ("signature", &mut query.signature),
                "msg_signature" => ("msg_signature", &mut query.msg_signature),
                "timestamp" => ("timestamp", &mut query.timestamp),
                "nonce" => ("nonce", &mut query.nonce),
                "echostr" => ("echostr", &mut query.echostr),
                "encrypt_type" => ("encrypt_type", &mut query.encrypt_type),
                _ => continue,
            };
            if slot.replace(value.into()).is_some() {
                return Err(VerifyError::Duplicate(name));
            }
        }
        Ok(query)
    }

    fn says_encrypted(&self) -> bool {
        self.encrypt_type.as_deref() == Some("aes")
    }
}

/// Why a request was not accepted as WeChat's: answered with 403.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// A parameter is absent or empty.
    #[error("the query has no {0}: not a request of WeChat's, or a proxy that drops the query / 请求缺少参数 {0}")]
    Missing(&'static str),
    /// A parameter occurs more than once.
    #[error("the query has {0} more than once / 参数 {0} 重复")]
    Duplicate(&'static str),
    /// No token that is configured gives this signature.
    #[error(
        "{0} does not match: the Token here and in the console's server configuration differ \
         / {0} 校验失败：请核对公众号后台「服务器配置」的 Token 与 WECHAT_TOKEN 是否一致"
    )]
    Signature(&'static str),
    /// There is no `msg_signature`, but WeChat's `signature` of plain mode: the console runs in another mode than this.
    #[error(
        "no msg_signature, though the signature holds: the console sends in plain mode, and WECHAT_MESSAGE_MODE is safe \
         / 收到明文消息（签名正确，但缺少 msg_signature）：公众号后台为「明文模式」，而此处 WECHAT_MESSAGE_MODE=safe，请改为一致"
    )]
    PlainMode,
    /// `echostr` is not what WeChat's console sends. It is not signed, so it could be anything.
    #[error("echostr is not one of WeChat's: 1 to {LONGEST_ECHOSTR} letters and digits / echostr 不是微信发送的格式")]
    Echostr,
    /// The timestamp is not a number of seconds.
    #[error("the timestamp is not a number of seconds / timestamp 不是秒数")]
    Timestamp,
    /// The timestamp is too far from this machine's clock.
    #[error(
        "the timestamp is {0} s away from this machine's clock: a replay, or a wrong clock \
         / timestamp 与本机时钟相差 {0} 秒：可能是重放，或本机时钟不准"
    )]
    Skew(i64),
}

/// Why the body of a callback was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Not from WeChat: 403.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The callback was opened, but is not a document that WeChat sends. What WeChat signed is never refused: `success`.
    #[error("the callback was opened, but cannot be read: {0} / 回调已通过校验，但内容无法解析")]
    Document(#[from] DocumentError),
    /// The body should hold `Encrypt`, and is no document at all: 400.
    #[error("the body cannot be read: {0} / 请求体无法解析")]
    Envelope(#[source] DocumentError),
    /// The body should hold `Encrypt`, and does not: 400.
    #[error(
        "the body is not encrypted, but this server expects encryption \
         / 收到明文消息，而此处配置为加密模式：请核对公众号后台的消息加解密方式与 WECHAT_MESSAGE_MODE"
    )]
    NotEncrypted,
    /// The body is encrypted only, and no mode that decrypts is configured: 400.
    #[error(
        "the body is encrypted, but this server runs in plain mode: set WECHAT_ENCODING_AES_KEY \
         / 收到加密消息，而此处为明文模式：请设置 WECHAT_ENCODING_AES_KEY"
    )]
    Encrypted,
    /// `Encrypt` could not be opened with any key that is configured: 400.
    #[error("the message cannot be decrypted: {0}")]
    Decrypt(#[from] DecryptError),
}

/// A callback that was verified and, where it was encrypted, opened.
#[derive(Debug)]
pub struct OpenedCallback {
    /// The clear document.
    pub document: Document,
    /// With what a reply must be encrypted; `None` for a clear one.
    pub seal: Option<Seal>,
}

/// The token and the key that a callback was opened with: its reply must be sealed with the same.
#[derive(Clone, Debug)]
pub struct Seal {
    app_id: String,
    token: Secret,
    key: EncodingAesKey,
}

impl Seal {
    /// Encrypts and signs the reply `xml`. `random` must be fresh for each reply; `nonce` is sent as it is.
    #[must_use]
    pub fn seal(&self, xml: &str, now: i64, random: [u8; 16], nonce: &str) -> String {
        let encrypt = self.key.encrypt(random, xml, &self.app_id);
        let timestamp = now.to_string();
        let signature = signature::sign(&[self.token.expose(), &timestamp, nonce, &encrypt]);
        XmlWriter::document(|xml| {
            xml.text("Encrypt", &encrypt);
            xml.text("MsgSignature", &signature);
            xml.number("TimeStamp", now);
            xml.text("Nonce", nonce);
        })
    }
}

/// What a callback is checked against.
#[derive(Clone)]
pub struct CallbackVerifier {
    /// The account's AppID, which every encrypted message names.
    pub app_id: String,
    /// The tokens that are accepted: the current one and, while rotating, the previous one.
    pub tokens: Vec<Secret>,
    /// The keys that are accepted, likewise. Empty only in plain mode.
    pub keys: Vec<EncodingAesKey>,
    /// How callbacks must travel.
    pub mode: MessageMode,
    /// Seconds that a timestamp may be away from now; 0 accepts any.
    pub max_clock_skew: u64,
}

impl CallbackVerifier {
    /// Answers the console's URL check: the `echostr` to send back as it is. It is not encrypted in any mode.
    ///
    /// # Errors
    /// [`VerifyError`] when the request is not signed by WeChat, or its `echostr`, which no signature covers, is not letters
    /// and digits alone.
    pub fn verify_url<'a>(&self, query: &'a CallbackQuery, now: i64) -> Result<&'a str, VerifyError> {
        self.verify_signature(query, now)?;
        let echostr = present(query.echostr.as_deref(), "echostr")?;
        if echostr.len() > LONGEST_ECHOSTR || !echostr.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(VerifyError::Echostr);
        }
        Ok(echostr)
    }

    /// Verifies what of a callback can be verified before its body is read: `signature`, which WeChat sends in every mode.
    /// Without it, a query that has all that goes with an encrypted body passes, since its `msg_signature` covers the body.
    ///
    /// # Errors
    /// [`VerifyError`] when no body could make this a request of WeChat's.
    pub fn verify_query(&self, query: &CallbackQuery, now: i64) -> Result<(), VerifyError> {
        if self.mode == MessageMode::Plain || query.signature.is_some() {
            return self.verify_signature(query, now);
        }
        self.signed_parts(query, now).map(|_| ())
    }

    /// Verifies and opens the `body` of a callback.
    ///
    /// # Errors
    /// [`OpenError`]: not from WeChat (403), not what WeChat sends in this mode (400), or [`OpenError::Document`].
    pub fn open(&self, query: &CallbackQuery, body: &[u8], now: i64) -> Result<OpenedCallback, OpenError> {
        match self.mode {
            MessageMode::Plain => self.open_plain(query, body, now),
            MessageMode::Compat => self.open_compat(query, body, now),
            MessageMode::Safe => self.open_encrypted(query, body, now),
        }
    }

    fn open_plain(&self, query: &CallbackQuery, body: &[u8], now: i64) -> Result<OpenedCallback, OpenError> {
        self.verify_signature(query, now)?;
        if query.says_encrypted() && ciphertexts(body).is_empty() {
            return Err(OpenError::NotEncrypted);
        }
        let document = Document::parse_callback(body)?;
        if document.text("Encrypt").is_some() && document.text("MsgType").is_none() {
            return Err(OpenError::Encrypted);
        }
        Ok(OpenedCallback { document, seal: None })
    }

    fn open_compat(&self, query: &CallbackQuery, body: &[u8], now: i64) -> Result<OpenedCallback, OpenError> {
        if query.says_encrypted() {
            return self.open_encrypted(query, body, now);
        }
        self.verify_signature(query, now)?;
        let document = Document::parse_callback(body)?;
        if document.child("Encrypt").is_some() {
            return self.open_encrypted(query, body, now);
        }
        Ok(OpenedCallback { document, seal: None })
    }

    /// What the query says of an encrypted body. Asked for before the body is read.
    fn signed_parts<'a>(&self, query: &'a CallbackQuery, now: i64) -> Result<SignedParts<'a>, VerifyError> {
        let msg_signature = present(query.msg_signature.as_deref(), "msg_signature").map_err(|missing| {
            match self.verify_signature(query, now) {
                Ok(()) => VerifyError::PlainMode,
                Err(_) => missing,
            }
        })?;
        let (timestamp, nonce) = self.fresh_timestamp_and_nonce(query, now)?;
        Ok(SignedParts {
            msg_signature,
            timestamp,
            nonce,
        })
    }

    fn open_encrypted(&self, query: &CallbackQuery, body: &[u8], now: i64) -> Result<OpenedCallback, OpenError> {
        let signed = self.signed_parts(query, now)?;
        let ciphertexts = ciphertexts(body);
        if ciphertexts.is_empty() {
            // There is nothing that `msg_signature` could cover: only `signature` can tell whether WeChat sent this.
            self.verify_signature(query, now)?;
            Document::parse_callback(body).map_err(OpenError::Envelope)?;
            return Err(OpenError::NotEncrypted);
        }
        let (token, encrypt) = self
            .tokens
            .iter()
            .find_map(|token| {
                let encrypt = ciphertexts.iter().find(|encrypt| signed.holds(token, encrypt))?;
                Some((token, encrypt))
            })
            .ok_or(VerifyError::Signature("msg_signature"))?;
        let (message, key) = self.decrypt(encrypt)?;
        Ok(OpenedCallback {
            document: Document::parse_callback(message.as_bytes())?,
            seal: Some(Seal {
                app_id: self.app_id.clone(),
                token: token.clone(),
                key: key.clone(),
            }),
        })
    }

    /// Tries the keys in turn; the failure that is reported is that of the current key.
    fn decrypt(&self, encrypt: &str) -> Result<(String, &EncodingAesKey), OpenError> {
        let mut failure = None;
        for key in &self.keys {
            match key.decrypt(encrypt, &self.app_id) {
                Ok(message) => return Ok((message, key)),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.map_or(OpenError::Encrypted, OpenError::Decrypt))
    }

    fn verify_signature(&self, query: &CallbackQuery, now: i64) -> Result<(), VerifyError> {
        let signature = present(query.signature.as_deref(), "signature")?;
        let (timestamp, nonce) = self.fresh_timestamp_and_nonce(query, now)?;
        let signed = self
            .tokens
            .iter()
            .any(|token| signature::holds(signature, &[token.expose(), timestamp, nonce]));
        if signed {
            Ok(())
        } else {
            Err(VerifyError::Signature("signature"))
        }
    }

    fn fresh_timestamp_and_nonce<'a>(
        &self,
        query: &'a CallbackQuery,
        now: i64,
    ) -> Result<(&'a str, &'a str), VerifyError> {
        let timestamp = present(query.timestamp.as_deref(), "timestamp")?;
        let nonce = present(query.nonce.as_deref(), "nonce")?;
        if self.max_clock_skew > 0 {
            let sent: i64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
            let skew = now.saturating_sub(sent);
            if skew.unsigned_abs() > self.max_clock_skew {
                return Err(VerifyError::Skew(skew));
            }
        }
        Ok((timestamp, nonce))
    }
}

/// A `msg_signature`, and what it covers beside the ciphertext.
#[derive(Clone, Copy)]
struct SignedParts<'a> {
    msg_signature: &'a str,
    timestamp: &'a str,
    nonce: &'a str,
}

impl SignedParts<'_> {
    fn holds(&self, token: &Secret, encrypt: &str) -> bool {
        let parts = [token.expose(), self.timestamp, self.nonce, encrypt];
        signature::holds(self.msg_signature, &parts)
    }
}

impl fmt::Debug for CallbackVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackVerifier")
            .field("app_id", &self.app_id)
            .field("mode", &self.mode)
            .field("max_clock_skew", &self.max_clock_skew)
            .finish_non_exhaustive()
    }
}

fn present<'a>(value: Option<&'a str>, name: &'static str) -> Result<&'a str, VerifyError> {
    value
        .filter(|value| !value.is_empty())
        .ok_or(VerifyError::Missing(name))
}
