//! Codes of web login, and the tokens that they are exchanged for. They are a user's, and unrelated to the account's
//! access token.
//!
//! See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{authorize::Scope, errcode::ApiError, random::Random};

/// Seconds. A code is exchanged once within this time.
const CODE_LIFETIME: i64 = 300;
/// Seconds.
const ACCESS_LIFETIME: i64 = 7_200;
/// Seconds. 30 days.
const REFRESH_LIFETIME: i64 = 30 * 86_400;

/// Who has logged in, as the account's server learns it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) openid: String,
    pub(crate) unionid: Option<String>,
    pub(crate) scope: Scope,
    /// The ids are virtual: the page was opened as a snapshot.
    pub(crate) is_snapshot: bool,
}

/// A code or a token, and whose it is.
struct Issued {
    identity: Identity,
    ends_at: i64,
    used: bool,
}

impl Issued {
    fn new(identity: Identity, ends_at: i64) -> Self {
        Self {
            identity,
            ends_at,
            used: false,
        }
    }
}

/// All codes and tokens so far, also those that have ended: each is refused for its own reason.
#[derive(Default)]
pub(crate) struct OAuth {
    codes: HashMap<String, Issued>,
    access_tokens: HashMap<String, Issued>,
    refresh_tokens: HashMap<String, Issued>,
}

impl OAuth {
    pub(crate) fn issue_code(&mut self, identity: Identity, now: i64, random: &mut Random) -> String {
        let code = random.alphanumeric(32);
        let issued = Issued::new(identity, now + CODE_LIFETIME);
        self.codes.insert(code.clone(), issued);
        code
    }

    /// The answer to a code: 40029 for an unknown one, 40163 for a used one, 42003 for an expired one.
    pub(crate) fn exchange(&mut self, code: &str, now: i64, random: &mut Random) -> Result<Value, ApiError> {
        let issued = self.codes.get_mut(code).ok_or_else(|| ApiError::of(40029))?;
        let identity = take(issued, now, 40163, 42003)?;
        Ok(self.grant(identity, now, random))
    }

    /// New tokens in place of a refresh token, which ends: 40030 for an unknown or used one, 42002 for an expired one.
    pub(crate) fn refresh(&mut self, token: &str, now: i64, random: &mut Random) -> Result<Value, ApiError> {
        let issued = self.refresh_tokens.get_mut(token).ok_or_else(|| ApiError::of(40030))?;
        let identity = take(issued, now, 40030, 42002)?;
        Ok(self.grant(identity, now, random))
    }

    /// Whose the access token is: 40001 for an unknown one, 42001 for an expired one, 40003 for another user's.
    pub(crate) fn identity(&self, access_token: &str, openid: &str, now: i64) -> Result<&Identity, ApiError> {
        let issued = self.access_tokens.get(access_token);
        match issued {
            None => Err(ApiError::of(40001)),
            Some(issued) if now >= issued.ends_at => Err(ApiError::of(42001)),
            Some(issued) if issued.identity.openid != openid => Err(ApiError::of(40003)),
            Some(issued) => Ok(&issued.identity),
        }
    }

    fn grant(&mut self, identity: Identity, now: i64, random: &mut Random) -> Value {
        let access_token = format!("84_{}", random.url_safe(86));
        let refresh_token = format!("84_{}", random.url_safe(86));
        let mut granted = json!({
            "access_token": access_token,
            "expires_in": ACCESS_LIFETIME,
            "refresh_token": refresh_token,
            "openid": identity.openid,
            "scope": identity.scope,
        });
        if identity.is_snapshot {
            granted["is_snapshotuser"] = 1.into();
        }
        if let Some(unionid) = &identity.unionid {
            granted["unionid"] = unionid.as_str().into();
        }
        let issued = Issued::new(identity.clone(), now + ACCESS_LIFETIME);
        self.access_tokens.insert(access_token, issued);
        let issued = Issued::new(identity, now + REFRESH_LIFETIME);
        self.refresh_tokens.insert(refresh_token, issued);
        granted
    }
}

/// Uses up a code or a token.
fn take(issued: &mut Issued, now: i64, used: i64, expired: i64) -> Result<Identity, ApiError> {
    if issued.used {
        return Err(ApiError::of(used));
    }
    if now >= issued.ends_at {
        return Err(ApiError::of(expired));
    }
    issued.used = true;
    Ok(issued.identity.clone())
}
