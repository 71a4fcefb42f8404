//! The calls that issue access_tokens, made by [`TokenEndpoint`](crate::api::TokenEndpoint), and jsapi_tickets.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        Call, IssuedToken, Unexpected,
        call::{count, decoded},
    },
    secret::Secret,
};

/// Seconds. WeChat's longest life of a token or a ticket. A longer one, from a relay, would delay the refresh of a dead token.
/// See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).
const LONGEST_LIFE: i64 = 7200;

/// Returns the current token with its remaining life (500,000 a day). `force` replaces the token (20 a day, 30 s apart).
/// See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).
#[derive(Clone, Copy, Debug)]
pub struct GetStableToken<'a> {
    /// The account's AppID.
    pub app_id: &'a str,
    /// The account's AppSecret.
    pub app_secret: &'a Secret,
    /// Whether to replace the current token.
    pub force: bool,
}

impl Call for GetStableToken<'_> {
    type Answer = IssuedToken;
    const PATH: &'static str = "/cgi-bin/stable_token";
    const ISSUES_TOKENS: bool = true;

    fn body(&self) -> Option<Value> {
        Some(json!({
            "grant_type": "client_credential",
            "appid": self.app_id,
            "secret": self.app_secret.expose(),
            "force_refresh": self.force,
        }))
    }

    fn read(answer: Value) -> Result<IssuedToken, Unexpected> {
        issued(answer)
    }
}

/// Issues a new token each time (2,000 a day); the old one works for 5 more minutes. AppID and AppSecret travel in the query.
/// See [WeChat Docs/获取接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken).
#[derive(Clone, Copy, Debug)]
pub struct GetClassicToken<'a> {
    /// The account's AppID.
    pub app_id: &'a str,
    /// The account's AppSecret.
    pub app_secret: &'a Secret,
}

impl Call for GetClassicToken<'_> {
    type Answer = IssuedToken;
    const PATH: &'static str = "/cgi-bin/token";
    const ISSUES_TOKENS: bool = true;

    fn query(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("grant_type", "client_credential"),
            ("appid", self.app_id),
            ("secret", self.app_secret.expose()),
        ]
    }

    fn read(answer: Value) -> Result<IssuedToken, Unexpected> {
        issued(answer)
    }
}

/// Returns the jsapi_ticket, which signs pages for the JS-SDK, with its remaining life.
/// See [WeChat Docs/JS-SDK使用权限签名算法](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html).
#[derive(Clone, Copy, Debug)]
pub struct GetTicket;

impl Call for GetTicket {
    type Answer = IssuedToken;
    const PATH: &'static str = "/cgi-bin/ticket/getticket";

    fn query(&self) -> Vec<(&'static str, &str)> {
        vec![("type", "jsapi")]
    }

    fn read(answer: Value) -> Result<IssuedToken, Unexpected> {
        #[derive(Deserialize)]
        struct Issued {
            ticket: String,
            #[serde(deserialize_with = "count")]
            expires_in: u64,
        }
        let Issued { ticket, expires_in } = decoded(answer)?;
        living(ticket, expires_in)
    }
}

fn issued(answer: Value) -> Result<IssuedToken, Unexpected> {
    #[derive(Deserialize)]
    struct Issued {
        access_token: String,
        #[serde(deserialize_with = "count")]
        expires_in: u64,
    }
    let Issued {
        access_token,
        expires_in,
    } = decoded(answer)?;
    living(access_token, expires_in)
}

fn living(value: String, expires_in: u64) -> Result<IssuedToken, Unexpected> {
    if value.is_empty() || expires_in == 0 {
        return Err(Unexpected(
            "an access_token or a ticket that is empty or has expired".to_owned(),
        ));
    }
    Ok(IssuedToken {
        value: Secret::new(value),
        expires_in: i64::try_from(expires_in).map_or(LONGEST_LIFE, |life| life.min(LONGEST_LIFE)),
    })
}
