//! Opaque tokens: what programs get in place of the access_token. Each names the key for which it was made and its end, and is
//! signed, so that any instance can check it without a record of it.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{hex, secret::Secret};

/// Seconds. The lifetime of a token, as long as that of WeChat's own.
/// See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).
pub const LIFETIME: i64 = 7_200;
/// Bytes. The longest token.
pub const LONGEST: usize = 512;

/// The beginning of a [`Holder::Key`] in a token.
const KEY: &str = "k-";
/// The beginning of a [`Holder::Root`] in a token.
const ROOT: &str = "r-";
/// Bytes of a [`RootMark`].
const MARK_LENGTH: usize = 16;

/// The holder of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The key of `/api/keys` with this id.
    Key(String),
    /// One of `API_KEYS`.
    Root(RootMark),
}

/// The mark of one of `API_KEYS`: a part of an HMAC, from which nobody can guess the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootMark(String);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "{KEY}{id}"),
            Self::Root(RootMark(mark)) => write!(f, "{ROOT}{mark}"),
        }
    }
}

/// Makes and reads the tokens of one account.
#[derive(Clone)]
pub struct OpaqueTokens {
    hmac: Hmac<Sha256>,
    app_id: String,
}

impl OpaqueTokens {
    /// Signs with `secret`, for the account `app_id`.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn new(secret: &Secret, app_id: &str) -> Self {
        Self {
            hmac: Hmac::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length"),
            app_id: app_id.to_owned(),
        }
    }

    /// Returns the mark of one of `API_KEYS`.
    #[must_use]
    pub fn mark(&self, api_key: &str) -> RootMark {
        let digest = self.digest("root", api_key).finalize().into_bytes();
        RootMark(hex::encode(&digest[..MARK_LENGTH]))
    }

    /// Makes a token that ends [`LIFETIME`] after `now`, in epoch seconds: letters, digits, `_`, `-` and `.`, at most
    /// [`LONGEST`] bytes.
    #[must_use]
    pub fn issue(&self, holder: &Holder, now: i64) -> String {
        let signed = format!("{holder}.{}", now + LIFETIME);
        let signature = self.digest("token", &signed).finalize().into_bytes();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the holder of `token`. `None` when it was not made here for this account, or has ended at `now`, in epoch
    /// seconds.
    #[must_use]
    pub fn read(&self, token: &str, now: i64) -> Option<Holder> {
        if token.len() > LONGEST {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.digest("token", signed).verify_slice(&signature).ok()?;
        let (holder, end) = signed.rsplit_once('.')?;
        if now >= end.parse().ok()? {
            return None;
        }
        let key = holder.strip_prefix(KEY).map(|id| Holder::Key(id.to_owned()));
        key.or_else(|| Some(Holder::Root(RootMark(holder.strip_prefix(ROOT)?.to_owned()))))
    }

    /// `purpose` keeps a signature of one kind from being taken for another.
    fn digest(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        let mut hmac = self.hmac.clone();
        for part in [purpose, "\n", &self.app_id, "\n", text] {
            hmac.update(part.as_bytes());
        }
        hmac
    }
}

impl fmt::Debug for OpaqueTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaqueTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600;

    fn tokens(secret: &str, app_id: &str) -> OpaqueTokens {
        OpaqueTokens::new(&Secret::new(secret), app_id)
    }

    fn key(id: &str) -> Holder {
        Holder::Key(id.to_owned())
    }

    #[test]
    fn a_token_names_its_holder_until_its_end() {
        let tokens = tokens("secret", "wx1");
        let root = Holder::Root(tokens.mark("root key"));
        for holder in [key("abc123"), key(&"x".repeat(64)), root] {
            let token = tokens.issue(&holder, NOW);
            assert!(token.len() <= LONGEST && !token.contains("root key"));
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            assert!(token.bytes().all(is_plain), "{token}");
            assert_eq!(tokens.read(&token, NOW + LIFETIME - 1), Some(holder));
            assert_eq!(tokens.read(&token, NOW + LIFETIME), None);
        }
    }

    #[test]
    fn a_token_of_another_secret_or_account_is_nobodys() {
        let token = tokens("secret", "wx1").issue(&key("a"), NOW);
        assert_eq!(tokens("other", "wx1").read(&token, NOW), None);
        assert_eq!(tokens("secret", "wx2").read(&token, NOW), None);
    }

    #[test]
    fn a_changed_token_is_nobodys() {
        let tokens = tokens("secret", "wx1");
        let token = tokens.issue(&key("a"), NOW);
        let parts: Vec<&str> = token.split('.').collect();
        for forged in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            format!("k-b.{}.{}", parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], NOW + 2 * LIFETIME, parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{token}="),
            format!("{token}A"),
            format!(" {token}"),
            token[..token.len() - 1].to_owned(),
            token.to_uppercase(),
            "x".repeat(LONGEST + 1),
        ] {
            assert_eq!(tokens.read(&forged, NOW), None, "{forged}");
        }
    }

    #[test]
    fn the_marks_of_two_keys_differ() {
        let tokens = tokens("secret", "wx1");
        assert_ne!(tokens.mark("one"), tokens.mark("two"));
    }
}
