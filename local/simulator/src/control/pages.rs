//! The pages and files that browsers load: the authorize page of web login, the pictures of QR codes, and the JS-SDK.

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{Path, Query, State},
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE},
    },
    response::{Html, IntoResponse, Response},
    routing::get,
};
use qrcode::{QrCode, render::svg};
use serde::Deserialize;

use super::{ControlError, Shared, parse_url, user};
use crate::{
    platform::{
        Platform,
        authorize::{PageError, Request, Scope},
    },
    simulation::Simulation,
};

/// The cookie that says whose phone the browser is. Cookies know no ports, so its path must be the simulator's alone.
const PHONE_COOKIE: &str = "simulator_phone";
/// Users that the page offers. With more, `POST /sim/authorize` takes any.
const OFFERED: usize = 50;
/// Pixels of a side of a QR code's picture, at least.
const PICTURE: u32 = 430;

/// The pages of the platform's own hosts, `open.weixin.qq.com` and `mp.weixin.qq.com`.
pub(crate) fn pages() -> Router<Arc<Simulation>> {
    Router::new()
        .route("/connect/oauth2/authorize", get(authorize).post(choose))
        .route("/cgi-bin/showqrcode", get(show_qr_code))
}

type Parameters = Query<Vec<(String, String)>>;

/// The page that a web login begins with. In a phone, `snsapi_base` sends the user back without showing it.
async fn authorize(State(simulation): Shared, Query(query): Parameters, headers: HeaderMap) -> Response {
    let platform = &mut *simulation.platform();
    let request = match Request::read(platform, &query) {
        Ok(request) => request,
        Err(error) => return error_page(error),
    };
    match phone(platform, &headers) {
        Some(openid) if request.scope == Scope::Base => log_in(platform, request, Some(openid), false),
        openid => question(platform, &request, openid.as_ref()),
    }
}

/// What the user chose on the page.
#[derive(Deserialize)]
struct Choice {
    /// Empty for a new user.
    openid: Option<String>,
    snapshot: Option<String>,
}

async fn choose(
    State(simulation): Shared,
    Query(query): Parameters,
    headers: HeaderMap,
    form: Form<Choice>,
) -> Response {
    let platform = &mut *simulation.platform();
    let Form(Choice { openid, snapshot }) = form;
    let user = match openid {
        Some(openid) if openid.is_empty() => None,
        Some(openid) => Some(openid),
        None => phone(platform, &headers),
    };
    if let Some(openid) = user.as_ref().filter(|openid| platform.users.get(openid).is_none()) {
        return ControlError::unknown_user(openid).into_response();
    }
    match Request::read(platform, &query) {
        Ok(request) => log_in(platform, request, user, snapshot.is_some()),
        Err(error) => error_page(error),
    }
}

/// Whose phone the browser is. `None` for a browser that is nobody's.
fn phone(platform: &Platform, headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|cookies| cookies.split("; "))
        .filter_map(|pair| pair.split_once('='));
    let (_, openid) = pairs.find(|(name, _)| *name == PHONE_COOKIE)?;
    platform.users.get(openid).map(|_| openid.to_owned())
}

fn log_in(platform: &mut Platform, request: Request, user: Option<String>, is_snapshot: bool) -> Response {
    match request.log_in(platform, user, is_snapshot) {
        Ok(login) => redirect(login.location),
        Err(error) => error_page(error),
    }
}

fn redirect(location: String) -> Response {
    let headers = [(LOCATION, location), (CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::FOUND, headers).into_response()
}

/// Asks who logs in.
fn question(platform: &Platform, request: &Request, phone: Option<&String>) -> Response {
    let host = escape(request.host());
    let scope = match request.scope {
        Scope::Base => "snsapi_base",
        Scope::UserInfo => "snsapi_userinfo",
    };
    let users: Vec<&String> = match phone {
        Some(openid) => vec![openid],
        None => platform.users.all().map(|(openid, _)| openid).take(OFFERED).collect(),
    };
    let mut buttons = String::new();
    for openid in users {
        let follows = platform.users.get(openid).is_some_and(|user| user.follows);
        let note = if follows {
            "a follower / 已关注"
        } else {
            "not a follower / 未关注"
        };
        let openid = escape(openid);
        buttons += &format!("<button name=\"openid\" value=\"{openid}\"><code>{openid}</code> {note}</button>\n");
    }
    if phone.is_none() {
        buttons += "<button name=\"openid\" value=\"\">a stranger / 陌生人</button>\n";
    }
    if request.scope == Scope::UserInfo {
        buttons += "<button name=\"snapshot\" value=\"1\">as a snapshot, with virtual ids / 以快照页模式打开（虚拟身份）</button>\n";
    }
    let body = format!(
        "<p><strong>{host}</strong> asks who you are (<code>{scope}</code>). Log in as:<br>\
         <strong>{host}</strong> 请求获取你的身份，请选择登录的用户：</p>\n<form method=\"post\">\n{buttons}</form>\n\
         <p class=\"note\">This page is the simulator's. In WeChat the user of the phone logs in. / \
         此页由模拟器提供，在微信中登录者即手机的主人。</p>"
    );
    page(StatusCode::OK, "Log in with WeChat / 微信登录", &body)
}

fn error_page(error: PageError) -> Response {
    let code = error.code();
    let (english, chinese) = error.texts();
    let body = format!("<p>{chinese}，错误码：{code}</p>\n<p>{english}, error code: {code}</p>");
    page(StatusCode::BAD_REQUEST, "Oops! / 出错了", &body)
}

/// A page that loads nothing and runs no script.
fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"zh-CN\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:30em;margin:2em auto;padding:0 1em;color:#222}}\
         button{{display:block;width:100%;margin:.5em 0;padding:.6em;font:inherit;border:1px solid #07c160;\
         border-radius:.4em;background:#fff;overflow-wrap:anywhere}}\
         .note{{color:#666;font-size:.85em}}</style></head><body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    );
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    (status, headers, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    url: String,
}

/// Opens a link in the phone: makes the browser this user's, and sends it there.
pub(super) async fn open(
    State(simulation): Shared,
    Path(openid): Path<String>,
    Query(Link { url }): Query<Link>,
) -> Result<Response, ControlError> {
    let url = parse_url(&url)?;
    user(&mut simulation.platform(), &openid)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ControlError::bad_request(
            "a phone opens http:// and https:// links only",
        ));
    }
    let cookie = format!("{PHONE_COOKIE}={openid}; Path=/connect; HttpOnly; SameSite=Lax");
    let mut response = redirect(url.into());
    response
        .headers_mut()
        .extend(cookie.parse().map(|cookie| (SET_COOKIE, cookie)));
    Ok(response)
}

#[derive(Deserialize)]
struct ShowQrCode {
    #[serde(default)]
    ticket: String,
}

/// The picture of a QR code, as SVG: browsers take it wherever they take WeChat's JPEG. Needs no login; 404 for an
/// unknown ticket, and for a code that has ended.
async fn show_qr_code(State(simulation): Shared, Query(ShowQrCode { ticket }): Query<ShowQrCode>) -> Response {
    let url = {
        let platform = simulation.platform();
        let now = platform.clock.now();
        let code = platform.qr_codes.get(&ticket).filter(|code| !code.has_ended(now));
        code.map(|code| code.url.clone())
    };
    match url.and_then(|url| QrCode::new(url).ok()) {
        Some(code) => {
            let picture = code.render::<svg::Color<'_>>().min_dimensions(PICTURE, PICTURE).build();
            ([(CONTENT_TYPE, "image/svg+xml")], picture).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
