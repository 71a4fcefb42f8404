//! `/console`: the console's pages, for anybody. What they show comes from the API, with the key of whoever opens them.

use std::borrow::Cow;

use ::console::{CONTENT_SECURITY_POLICY, INDEX};
use http::{HeaderValue, Response, StatusCode, header};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Location, Parameter, Schema},
    response, route,
};
use serde::Serialize;
use wechat::{config::StaffLogin, digest::sha256_hex, json};

use crate::{App, etag};

/// The path of the page.
pub(crate) const PATH: &str = "/console";
/// The path of what the page loads.
pub(crate) const FILES: &str = "/console/pages/{file}";

/// The file that says how to sign in.
const SIGN_IN: &str = "sign-in.json";

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(open, GET PATH => index, Operation {
        id: "getConsole",
        summary: "The console / 控制台",
        description: "For a browser. It asks for an API key, or signs in at the issuer of the gateway's JWTs, and keeps that in the tab.",
        answers: &[(200, "A page", Schema::Html)],
        ..Operation::NEW
    }),
    route!(open, GET FILES => file, Operation {
        id: "getConsoleFile",
        summary: "A script, style or picture of the console / 控制台的脚本、样式或图片",
        parameters: &[Parameter {
            name: "file",
            location: Location::Path,
            description: "",
            schema: r#"{"type": "string"}"#,
        }],
        answers: &[
            (200, "The file", Schema::Text),
            (304, "The file is the one whose ETag is in If-None-Match", Schema::Empty),
        ],
        failures: &[404],
        ..Operation::NEW
    }),
];

/// How staff sign in: by an API key, or where the gateway takes JWTs only, by one of the issuer's.
#[derive(Serialize)]
struct SignIn<'a> {
    issuer: Option<&'a str>,
    client_id: Option<&'a str>,
    audience: Option<&'a str>,
    scope: Option<String>,
}

/// Serves `GET /console`.
async fn index(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    answer(app, request, INDEX)
}

/// Serves `GET /console/pages/{file}`.
async fn file(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    answer(app, request, request.parameter("file"))
}

fn answer(app: &App, request: &ApiRequest<'_>, name: &str) -> Result<Response<String>, Problem> {
    let login = app.staff_login.as_ref();
    if name == SIGN_IN {
        let content = Cow::Owned(json::write(&sign_in(login)));
        return Ok(respond(request, login, "application/json", content));
    }
    let file =
        ::console::file(name).ok_or_else(|| Problem::not_found("the console has no such file / 控制台没有此文件"))?;
    Ok(respond(request, login, file.content_type, Cow::Borrowed(file.content)))
}

fn sign_in(login: Option<&StaffLogin>) -> SignIn<'_> {
    SignIn {
        issuer: login.map(|login| login.issuer.as_str()),
        client_id: login.and_then(|login| login.client_id.as_deref()),
        audience: login.and_then(|login| login.audience.as_deref()),
        scope: login.map(
            |StaffLogin {
                 send_scope: send,
                 admin_scope: admin,
                 ..
             }| {
                let both = if send == admin {
                    send.clone()
                } else {
                    format!("{send} {admin}")
                };
                format!("openid {both}")
            },
        ),
    }
}

/// The policy of the page, which signs in at the issuer.
fn policy(login: Option<&StaffLogin>) -> HeaderValue {
    let origins = login.map_or(&[][..], |login| &login.origins).join(" ");
    let policy = format!("{CONTENT_SECURITY_POLICY}; connect-src 'self' {origins}");
    HeaderValue::from_str(policy.trim_end()).unwrap_or(HeaderValue::from_static(CONTENT_SECURITY_POLICY))
}

/// Answers with the file, unless the browser has it. It asks each time, so that all its files are of one version.
fn respond(
    request: &ApiRequest<'_>,
    login: Option<&StaffLogin>,
    content_type: &'static str,
    content: Cow<'_, str>,
) -> Response<String> {
    let tag = sha256_hex(content.as_bytes());
    let mut cached = request.headers().get_all(header::IF_NONE_MATCH).iter();
    let is_cached = cached.any(|known| known.to_str().is_ok_and(|known| known.contains(&tag)));
    let response = if is_cached {
        response::empty(StatusCode::NOT_MODIFIED)
    } else {
        response::respond(200, content_type, content.into_owned())
    };
    let mut response = etag::with_etag(response, tag);
    for (name, value) in [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, policy(login)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ] {
        response.headers_mut().insert(name, value);
    }
    response
}
