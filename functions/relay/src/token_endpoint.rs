//! The two endpoints that issue tokens: opaque ones, for a key of the bundle in place of the AppSecret, without a call to WeChat.
//!
//! See [WeChat Docs/获取接口调用凭据](https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html) and
//! [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).

use std::borrow::Cow;

use http::Method;
use http_api::{Request, Scope};
use serde::Deserialize;
use serde_json::json;
use wechat::{
    api::{
        Call as _,
        calls::token::{GetClassicToken, GetStableToken},
    },
    errcode::{UNAUTHORIZED, WRONG_SECRET},
    relay::token::{Holder, LIFETIME},
};

use crate::{
    App,
    answer::{Answer, Failure},
    calls::noted,
    log::CallLog,
};

/// `GET`, with a query.
pub(crate) const ORDINARY: &str = GetClassicToken::PATH;
/// `POST`, with JSON.
pub(crate) const STABLE: &str = GetStableToken::PATH;

/// Who asks for a token. Not `Debug`: it holds a key.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Credentials<'a> {
    grant_type: Option<Cow<'a, str>>,
    appid: Option<Cow<'a, str>>,
    secret: Option<Cow<'a, str>>,
}

/// Serves `GET /cgi-bin/token`.
pub(crate) async fn ordinary(app: &App, request: &Request, log: &mut CallLog) -> Result<Answer, Failure> {
    log.called(ORDINARY);
    if *request.method() != Method::GET {
        return Err(Failure::refused(43001, "require GET method / 需要 GET 请求"));
    }
    let value = |name| request.query_value(name);
    let credentials = Credentials {
        grant_type: value("grant_type"),
        appid: value("appid"),
        secret: value("secret"),
    };
    issue(app, &credentials, log).await
}

/// Serves `POST /cgi-bin/stable_token`. `force_refresh` changes nothing: a new token does not end earlier ones.
pub(crate) async fn stable(app: &App, request: &Request, log: &mut CallLog) -> Result<Answer, Failure> {
    log.called(STABLE);
    if *request.method() != Method::POST {
        return Err(Failure::refused(43002, "require POST method / 需要 POST 请求"));
    }
    if request.body().is_empty() {
        return Err(Failure::refused(44002, "empty post data / 请求体为空"));
    }
    let text = str::from_utf8(request.body()).unwrap_or_default();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    // The parser's error is dropped: it may quote the key.
    let credentials = text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
    let credentials =
        credentials.ok_or_else(|| Failure::refused(47001, "data format error / 请求体不是合法的 JSON 对象"))?;
    issue(app, &credentials, log).await
}

async fn issue(app: &App, asked: &Credentials<'_>, log: &mut CallLog) -> Result<Answer, Failure> {
    let refused = |errcode, errmsg: &str| Err(Failure::refused(errcode, errmsg));
    let [grant_type, appid, secret] =
        [&asked.grant_type, &asked.appid, &asked.secret].map(|value| value.as_deref().unwrap_or_default());
    if !matches!(grant_type, "" | "client_credential") {
        return refused(40002, "invalid grant_type / grant_type 应为 client_credential");
    }
    if appid.is_empty() {
        return refused(41002, "appid missing / 缺少 appid");
    }
    if appid != app.account.table.app_id() {
        return refused(
            40013,
            "invalid appid: this relay serves another account / appid 有误：此中继服务于另一账号",
        );
    }
    if secret.is_empty() {
        return refused(41004, "appsecret missing / 缺少 secret");
    }
    let caller = app.keys.holder(secret).await?.ok_or_else(|| {
        let errmsg = "invalid appsecret: the secret must be a key of this bundle with the scope relay \
                      / secret 有误：应为本服务签发的、具有 relay 权限的密钥";
        Failure::refused(WRONG_SECRET, errmsg)
    })?;
    log.by(&caller);
    if !caller.grants().has(Scope::Relay) {
        return refused(
            UNAUTHORIZED,
            "api unauthorized: the key lacks the scope relay / 该密钥没有 relay 权限",
        );
    }
    let opaque = app.opaque().await?;
    let holder = match caller.key_id() {
        Some(id) => Holder::Key(id.to_owned()),
        None => Holder::Root(opaque.mark(secret)),
    };
    let token = opaque.issue(&holder, app.account.clock.now());
    noted(app.keys.note_use(&caller)).await;
    Ok(Answer::Own(json!({"access_token": token, "expires_in": LIFETIME})))
}
