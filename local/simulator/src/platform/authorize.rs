//! The authorize page of web login (网页授权): what its link must hold, and where it sends the user's browser.
//!
//! See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::{
    Platform,
    account_type::Needs,
    hosts::is_loopback,
    oauth::Identity,
    users::{make_openid, unionid},
};

/// Bytes of a `state`.
const LONGEST_STATE: usize = 128;
/// The order of the parameters, which WeChat requires for [`Scope::UserInfo`].
const ORDER: [&str; 5] = ["appid", "redirect_uri", "response_type", "scope", "state"];

/// What the page asks the user for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The openid, without asking the user.
    #[serde(rename = "snsapi_base")]
    Base,
    /// Name and picture too, with the user's consent.
    #[serde(rename = "snsapi_userinfo")]
    UserInfo,
}

/// Why the page shows an error in place of a login. The number is the one on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageError {
    RedirectUri = 10003,
    Scope = 10005,
    NotAFollower = 10006,
    NoScope = 10010,
    NoRedirectUri = 10011,
    AppId = 10012,
    State = 10013,
}

impl PageError {
    pub(crate) fn code(self) -> u16 {
        self as u16
    }

    /// What is wrong, in English and in Chinese.
    pub(crate) fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::RedirectUri => (
                "redirect_uri is not on the registered domain, or has a port (only hosts of this machine may)",
                "redirect_uri 的域名与后台配置不一致，或带有端口（仅本机地址可带端口）",
            ),
            Self::Scope => (
                "the scope is wrong, the account lacks it (verified service accounts and test accounts have it), or the \
                 parameters are not in WeChat's order: appid, redirect_uri, response_type=code, scope, state",
                "scope 参数错误或没有 scope 权限（需已认证的服务号或测试号），或参数顺序不对：appid、redirect_uri、\
                 response_type=code、scope、state",
            ),
            Self::NotAFollower => (
                "the user must follow this test account first",
                "需先关注该测试号才能登录",
            ),
            Self::NoScope => ("scope is missing", "scope 不能为空"),
            Self::NoRedirectUri => ("redirect_uri is missing", "redirect_uri 不能为空"),
            Self::AppId => (
                "appid is missing, or is not this account's",
                "appid 不能为空，或不是本账号的 appid",
            ),
            Self::State => (
                "state is missing, or is not 1 to 128 letters and digits",
                "state 不能为空，且只能由 1 到 128 个字母和数字组成",
            ),
        }
    }
}

/// A link to the page that WeChat accepts.
#[derive(Debug)]
pub(crate) struct Request {
    redirect_uri: Url,
    pub(crate) scope: Scope,
    state: String,
}

/// Where the user's browser goes, and as whom.
#[derive(Debug, Serialize)]
pub(crate) struct Login {
    pub(crate) location: String,
    openid: String,
}

impl Request {
    /// Checks the parameters of the link.
    pub(crate) fn read(platform: &Platform, query: &[(String, String)]) -> Result<Self, PageError> {
        let value = |name: &str| {
            let pair = query.iter().find(|(key, _)| key == name);
            pair.map_or("", |(_, value)| value)
        };
        if value("appid") != platform.account.app_id {
            return Err(PageError::AppId);
        }
        if value("redirect_uri").is_empty() {
            return Err(PageError::NoRedirectUri);
        }
        let scope = match value("scope") {
            "" => return Err(PageError::NoScope),
            "snsapi_base" => Scope::Base,
            "snsapi_userinfo" => Scope::UserInfo,
            _ => return Err(PageError::Scope),
        };
        let state = value("state");
        let is_state =
            (1..=LONGEST_STATE).contains(&state.len()) && state.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_state {
            return Err(PageError::State);
        }
        let redirect_uri = Url::parse(value("redirect_uri")).map_err(|_| PageError::RedirectUri)?;
        let host = redirect_uri.host_str().unwrap_or_default();
        let is_web = matches!(redirect_uri.scheme(), "http" | "https");
        let has_port = redirect_uri.port().is_some() && !is_loopback(host);
        if !is_web || has_port || !platform.oauth_domains.contain(&redirect_uri) {
            return Err(PageError::RedirectUri);
        }
        let names = query.iter().map(|(name, _)| name.as_str());
        let is_ordered = names.filter(|name| ORDER.contains(name)).eq(ORDER);
        let has_right = platform.account_type.meets(Needs::VerifiedService);
        if value("response_type") != "code" || scope == Scope::UserInfo && !is_ordered || !has_right {
            return Err(PageError::Scope);
        }
        Ok(Self {
            redirect_uri,
            scope,
            state: state.to_owned(),
        })
    }

    /// Logs a user in; without one, a new user who does not follow. In a snapshot the page gets virtual ids in place of
    /// the user's. [`Scope::Base`] has no snapshots.
    pub(crate) fn log_in(
        self,
        platform: &mut Platform,
        user: Option<String>,
        is_snapshot: bool,
    ) -> Result<Login, PageError> {
        let Platform { users, random, .. } = platform;
        let follows = user
            .as_ref()
            .and_then(|openid| users.get(openid))
            .is_some_and(|user| user.follows);
        if platform.account_type.is_test() && !follows {
            return Err(PageError::NotAFollower);
        }
        let is_snapshot = is_snapshot && self.scope == Scope::UserInfo;
        let openid = match user {
            _ if is_snapshot => make_openid(random),
            Some(openid) => openid,
            None => users.add_stranger(random),
        };
        let has_unionid = self.scope == Scope::UserInfo && platform.has_unionids;
        let identity = Identity {
            unionid: has_unionid.then(|| unionid(&openid)),
            openid: openid.clone(),
            scope: self.scope,
            is_snapshot,
        };
        let now = platform.clock.now();
        let code = platform.oauth.issue_code(identity, now, random);
        let mut location = self.redirect_uri;
        location
            .query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &self.state);
        Ok(Login {
            location: location.into(),
            openid,
        })
    }

    /// The host that the page sends the user back to.
    pub(crate) fn host(&self) -> &str {
        self.redirect_uri.host_str().unwrap_or_default()
    }
}
