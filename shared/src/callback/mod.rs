//! The webhook's security: verifies that a request comes from WeChat, decrypts its body, encrypts and signs replies.
//!
//! The configuration decides the mode, never the request. In plain and compat mode a leaked URL can be replayed with a
//! forged body, because `signature` covers only token, timestamp and nonce. The timestamp window limits such a replay but
//! does not end it: WeChat hashes the parts without a separator, so an attacker with many URLs can swap timestamp and
//! nonce. Only safe mode prevents it: there `msg_signature` covers the ciphertext.
//!
//! See [WeChat Docs/接入指南](https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Access_Overview.html) and
//! [WeChat Docs/消息加解密说明](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Message_encryption_and_decryption_instructions.html).

pub mod aes;
pub mod signature;
#[cfg(test)]
mod tests;

use std::fmt;

use self::aes::{DecryptError, EncodingAesKey};
use crate::{
    bilingual::caused,
    names::names,
    secret::Secret,
    xml::{ParseError, Tree, XmlWriter, ciphertexts},
};

/// Bytes that an `echostr` may have. WeChat sends about 19.
const LONGEST_ECHOSTR: usize = 2048;

/// 消息加解密方式: whether callbacks are encrypted, as set at 微信开发者平台, under 域名与消息推送配置.
/// See [WeChat Docs/消息加解密说明](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Message_encryption_and_decryption_instructions.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageMode {
    /// 明文: clear bodies, authenticated only by the signature in the URL.
    Plain,
    /// 兼容: clear fields and `Encrypt` in one body. Uses only the decrypted part; accepts clear bodies too.
    Compat,
    /// 安全: encrypted bodies only; a clear body is refused.
    Safe,
}

names!(MessageMode {
    Plain = "plain",
    Compat = "compat",
    Safe = "safe",
});

/// The query parameters of a callback that WeChat signs or that tell how to read the body.
///
/// Leaves out `openid`: WeChat does not sign it, so nothing may depend on it.
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
    /// Takes the parameters from URL-decoded pairs and ignores all other pairs.
    ///
    /// # Errors
    /// [`VerifyError::Duplicate`] when a parameter occurs twice: two readers could then see two different requests.
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

/// Why a request was not accepted as WeChat's. The webhook answers 403.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifyError {
    /// A parameter is absent or empty.
    #[error(
        "the query has no {0}: the request is not WeChat's, or a proxy drops the query \
         / 请求缺少参数 {0}：并非来自微信，或代理丢弃了查询参数"
    )]
    Missing(&'static str),
    /// A parameter occurs more than once.
    #[error("the query has {0} more than once / 参数 {0} 重复")]
    Duplicate(&'static str),
    /// No configured token gives this signature.
    #[error(
        "{0} does not match: WECHAT_TOKEN and the Token at 微信开发者平台 → 域名与消息推送配置 differ \
         / {0} 校验失败：请核对 WECHAT_TOKEN 与微信开发者平台 → 域名与消息推送配置 中的 Token 是否一致"
    )]
    Signature(&'static str),
    /// The `signature` of plain mode is right, but `msg_signature` is absent: the console is set to plain mode.
    #[error(
        "the signature is right but msg_signature is absent: the console sends in plain mode while WECHAT_MESSAGE_MODE is \
         safe; set both to the same mode \
         / 收到明文消息（签名正确，但缺少 msg_signature）：微信开发者平台上为「明文模式」，而此处 WECHAT_MESSAGE_MODE=safe，请改为一致"
    )]
    PlainMode,
    /// `echostr` is far longer than WeChat's.
    #[error(
        "echostr must have at most {LONGEST_ECHOSTR} bytes; WeChat sends about 19 \
         / echostr 过长（不得超过 {LONGEST_ECHOSTR} 字节，微信发送的约为 19 字节）"
    )]
    Echostr,
    /// The timestamp is not a number of seconds.
    #[error("the timestamp is not a number of seconds / timestamp 不是秒数")]
    Timestamp,
    /// The timestamp differs from this machine's clock by this many seconds, more than the allowed clock skew.
    #[error(
        "the timestamp differs from this machine's clock by {0} s: a replay, or a wrong clock \
         / timestamp 与本机时钟相差 {0} 秒：可能是重放，或本机时钟不准"
    )]
    Skew(i64),
}

/// Why the body of a callback was refused.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The request is not WeChat's. The webhook answers 403.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The request is WeChat's, but its content cannot be read. The webhook answers `success`: WeChat would only retry.
    #[error("{}", caused("the callback is verified, but its content cannot be read", "回调已通过校验，但内容无法解析", .0))]
    Document(#[from] ParseError),
    /// The body has no `Encrypt` and cannot be read at all. The webhook answers 400.
    #[error("{}", caused("the body cannot be read", "请求体无法解析", .0))]
    Envelope(#[source] ParseError),
    /// The body is clear where an encrypted one is expected. The webhook answers 400.
    #[error(
        "the body is not encrypted, but this server expects encryption: compare the console's 消息加解密方式 with \
         WECHAT_MESSAGE_MODE \
         / 收到明文消息，而此处配置为加密模式：请核对微信开发者平台上的消息加解密方式与 WECHAT_MESSAGE_MODE"
    )]
    NotEncrypted,
    /// The body is encrypted, but this server runs in plain mode. The webhook answers 400.
    #[error(
        "the body is encrypted, but this server runs in plain mode: set WECHAT_ENCODING_AES_KEY, and \
         WECHAT_MESSAGE_MODE (in AWS the parameter MessageMode) to the mode of the account \
         / 收到加密消息，而此处为明文模式：请设置 WECHAT_ENCODING_AES_KEY，并将 WECHAT_MESSAGE_MODE（AWS 上为参数 MessageMode）\
         改为与公众号一致的模式"
    )]
    Encrypted,
    /// No configured key decrypts `Encrypt`. The webhook answers 400.
    #[error("{}", caused("the message cannot be decrypted", "消息无法解密", .0))]
    Decrypt(#[from] DecryptError),
}

/// A verified and, where needed, decrypted callback.
#[derive(Debug)]
pub struct OpenedCallback {
    /// The clear document.
    pub document: Tree,
    /// Encrypts the reply; `None` when the reply must be clear.
    pub seal: Option<Seal>,
}

/// The token and the key that opened a callback. Its reply must be sealed with the same pair.
#[derive(Clone, Debug)]
pub struct Seal {
    app_id: String,
    token: Secret,
    key: EncodingAesKey,
}

impl Seal {
    /// Encrypts and signs the reply `xml` at `now` (epoch seconds). `random` must be new for each reply.
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

/// The settings that a callback is checked against.
#[derive(Clone)]
pub struct CallbackVerifier {
    /// The account's AppID, which every encrypted message names.
    pub app_id: String,
    /// The accepted tokens: the current one and, during a rotation, the previous one.
    pub tokens: Vec<Secret>,
    /// The accepted keys: the current one and, during a rotation, the previous one. Empty only in plain mode.
    pub keys: Vec<EncodingAesKey>,
    /// Whether callbacks must be encrypted.
    pub mode: MessageMode,
    /// Seconds of tolerated clock skew between a timestamp and now; 0 accepts any timestamp.
    pub max_clock_skew: u64,
}

impl CallbackVerifier {
    /// Answers the console's URL check with the `echostr` to send back unchanged. `now` is in epoch seconds. WeChat does not
    /// encrypt it in any mode.
    ///
    /// # Errors
    /// [`VerifyError`] when WeChat did not sign the request, or `echostr` is absent or too long.
    pub fn verify_url<'a>(&self, query: &'a CallbackQuery, now: i64) -> Result<&'a str, VerifyError> {
        self.verify_query(query, now)?;
        let echostr = present(query.echostr.as_deref(), "echostr")?;
        if echostr.len() > LONGEST_ECHOSTR {
            return Err(VerifyError::Echostr);
        }
        Ok(echostr)
    }

    /// Verifies a callback before its body is read, by `signature`, which WeChat sends in every mode: `msg_signature` proves nothing
    /// without the body, and a stranger may never send one.
    ///
    /// # Errors
    /// [`VerifyError`] when WeChat did not sign the query.
    pub fn verify_query(&self, query: &CallbackQuery, now: i64) -> Result<(), VerifyError> {
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

    /// Verifies and decrypts the `body` of a callback. `now` is in epoch seconds.
    ///
    /// # Errors
    /// [`OpenError`] when the request is not WeChat's, its body does not fit the mode, or its content cannot be read.
    pub fn open(&self, query: &CallbackQuery, body: &[u8], now: i64) -> Result<OpenedCallback, OpenError> {
        match self.mode {
            MessageMode::Plain => self.open_plain(query, body, now),
            MessageMode::Compat => self.open_compat(query, body, now),
            MessageMode::Safe => self.open_encrypted(query, body, now),
        }
    }

    fn open_plain(&self, query: &CallbackQuery, body: &[u8], now: i64) -> Result<OpenedCallback, OpenError> {
        self.verify_query(query, now)?;
        if query.says_encrypted() && ciphertexts(body).is_empty() {
            return Err(OpenError::NotEncrypted);
        }
        let document = Tree::parse_callback(body)?;
        if document.text("Encrypt").is_some() && document.text("MsgType").is_none() {
            return Err(OpenError::Encrypted);
        }
        Ok(OpenedCallback { document, seal: None })
    }

    fn open_compat(&self, query: &CallbackQuery, body: &[u8], now: i64) -> Result<OpenedCallback, OpenError> {
        if query.says_encrypted() {
            return self.open_encrypted(query, body, now);
        }
        self.verify_query(query, now)?;
        let document = Tree::parse_callback(body)?;
        if document.child("Encrypt").is_some() {
            return self.open_encrypted(query, body, now);
        }
        Ok(OpenedCallback { document, seal: None })
    }

    /// Reads the parameters that go with an encrypted body.
    fn signed_parts<'a>(&self, query: &'a CallbackQuery, now: i64) -> Result<SignedParts<'a>, VerifyError> {
        let msg_signature = present(query.msg_signature.as_deref(), "msg_signature").map_err(|missing| {
            match self.verify_query(query, now) {
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
            // Without a ciphertext only `signature` can tell whether WeChat sent this.
            self.verify_query(query, now)?;
            Tree::parse_callback(body).map_err(OpenError::Envelope)?;
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
            document: Tree::parse_callback(message.as_bytes())?,
            seal: Some(Seal {
                app_id: self.app_id.clone(),
                token: token.clone(),
                key: key.clone(),
            }),
        })
    }

    /// Tries each key and reports the failure of the first, which is the current one.
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

/// A `msg_signature` and the parameters that it covers together with the ciphertext.
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
