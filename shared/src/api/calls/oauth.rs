//! The exchange of an OAuth code, made by [`TokenEndpoint`](crate::api::TokenEndpoint), and the identity that it brings.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    api::{Call, Unexpected},
    digest::logged_openid,
    secret::Secret,
};

/// An OAuth code. With the AppSecret it reveals who the person is. Good for one exchange, within a few minutes. `Debug` does
/// not show it.
#[derive(Clone, Deserialize, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Code(String);

impl Code {
    /// Wraps `code`.
    #[must_use]
    pub fn new(code: impl Into<String>) -> Self {
        Self(code.into())
    }

    /// The code itself, for the call that exchanges it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code(len: {})", self.0.len())
    }
}

/// The identity that WeChat returns for a code. It never holds the person's own token. `Debug` shows digests.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The person's openid, not empty.
    pub openid: String,
    /// The person's unionid, if the account is bound to an open platform account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unionid: Option<String>,
    /// The scope that the person granted. Empty when WeChat does not name it.
    pub scope: String,
    /// Whether the openid is a made-up one, for a person who looks at a snapshot of the page (快照页).
    #[serde(rename = "is_snapshotuser")]
    pub is_snapshot: bool,
}

impl Identity {
    /// Reads the identity in the answer of WeChat or of `token-refresher`. `None` without an openid.
    #[must_use]
    pub fn from_answer(answer: &Value) -> Option<Self> {
        let text = |name| answer.get(name)?.as_str().filter(|text| !text.is_empty());
        Some(Self {
            openid: text("openid")?.to_owned(),
            unionid: text("unionid").map(str::to_owned),
            scope: text("scope").unwrap_or_default().to_owned(),
            is_snapshot: answer.get("is_snapshotuser").is_some_and(is_set),
        })
    }
}

/// Whether a flag is set. WeChat writes 1, and leaves the member out otherwise. An unreadable flag counts as set, because a
/// made-up openid must not identify anybody.
fn is_set(flag: &Value) -> bool {
    match flag {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "0" | "false"),
        Value::Array(_) | Value::Object(_) => true,
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("openid", &logged_openid(&self.openid))
            .field("unionid", &self.unionid.as_deref().map(logged_openid))
            .field("scope", &self.scope)
            .field("is_snapshot", &self.is_snapshot)
            .finish()
    }
}

/// Exchanges a code for the identity of a person. AppID, AppSecret and code travel in the query.
/// See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).
#[derive(Clone, Copy, Debug)]
pub struct ExchangeCode<'a> {
    /// The account's AppID.
    pub app_id: &'a str,
    /// The account's AppSecret.
    pub app_secret: &'a Secret,
    /// The code.
    pub code: &'a Code,
}

impl Call for ExchangeCode<'_> {
    type Answer = Identity;
    const PATH: &'static str = "/sns/oauth2/access_token";
    const REPEATABLE: bool = false;
    const ISSUES_TOKENS: bool = true;

    fn query(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("appid", self.app_id),
            ("secret", self.app_secret.expose()),
            ("code", self.code.expose()),
            ("grant_type", "authorization_code"),
        ]
    }

    fn read(answer: Value) -> Result<Identity, Unexpected> {
        Identity::from_answer(&answer).ok_or_else(|| Unexpected("it has no openid".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_answer_with_an_openid_is_an_identity() {
        for answer in [json!({}), json!({"openid": ""}), json!({"openid": 1}), json!(null)] {
            assert_eq!(Identity::from_answer(&answer), None, "{answer}");
        }
        let identity = Identity::from_answer(&json!({
            "access_token": "secret", "openid": "o1", "scope": "snsapi_base", "unionid": "", "newer": [1],
        }));
        let expected = json!({"openid": "o1", "scope": "snsapi_base", "is_snapshotuser": false});
        assert_eq!(json!(identity), expected);
    }

    #[test]
    fn a_snapshot_is_recognised_however_the_flag_is_written() {
        let is_snapshot = |flag: Value| {
            let identity = Identity::from_answer(&json!({"openid": "o1", "is_snapshotuser": flag}));
            identity.unwrap().is_snapshot
        };
        for set in [json!(1), json!(true), json!("1"), json!("true"), json!({})] {
            assert!(is_snapshot(set.clone()), "{set}");
        }
        for unset in [json!(0), json!(false), json!("0"), json!("false"), json!(null)] {
            assert!(!is_snapshot(unset.clone()), "{unset}");
        }
    }

    #[test]
    fn debug_shows_neither_the_person_nor_the_code() {
        let identity = Identity::from_answer(&json!({"openid": "oOpenid", "unionid": "uUnionid"})).unwrap();
        let shown = format!("{identity:?} {:?}", Code::new("oneTimeCode"));
        for hidden in ["oOpenid", "uUnionid", "oneTimeCode"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(shown.contains(&logged_openid("oOpenid")), "{shown}");
    }
}
