//! The two calls that issue access_tokens. [`TokenEndpoint`](crate::api::TokenEndpoint) makes them.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{Call, IssuedToken, Unexpected, call::decoded},
    secret::Secret,
};

/// Seconds that WeChat lets a token live at most. A relay that says more would keep a dead one from being refreshed.
const LONGEST_LIFE: i64 = 7200;

/// The current token with its remaining life: 500,000 a day. With `force` another one takes its place: 20 a day, 30 s
/// apart.
#[derive(Clone, Copy, Debug)]
pub struct GetStableToken<'a> {
    /// The account.
    pub app_id: &'a str,
    /// Its AppSecret.
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

/// A new token each time; the old one works 5 minutes more. 2,000 a day. The account and its AppSecret travel in the query.
#[derive(Clone, Copy, Debug)]
pub struct GetClassicToken;

impl Call for GetClassicToken {
    type Answer = IssuedToken;
    const PATH: &'static str = "/cgi-bin/token";
    const ISSUES_TOKENS: bool = true;

    fn read(answer: Value) -> Result<IssuedToken, Unexpected> {
        issued(answer)
    }
}

fn issued(answer: Value) -> Result<IssuedToken, Unexpected> {
    #[derive(Deserialize)]
    struct Issued {
        access_token: String,
        expires_in: i64,
    }
    let Issued {
        access_token,
        expires_in,
    } = decoded(answer)?;
    if access_token.is_empty() || expires_in <= 0 {
        return Err(Unexpected("an access_token that is empty or has ended".to_owned()));
    }
    Ok(IssuedToken {
        access_token: Secret::new(access_token),
        expires_in: expires_in.min(LONGEST_LIFE),
    })
}
