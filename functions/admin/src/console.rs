//! `/console`: the console's pages, served without an API key. Their data comes from the API, with the key of the person who
//! opens them.

use ::console::{CONTENT_SECURITY_POLICY, INDEX, OPENER_POLICY};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
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
/// The path of the files that the page loads.
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
            (200, "The file", Schema::File),
            (304, "The file is the one whose ETag is in If-None-Match", Schema::Empty),
        ],
        failures: &[404],
        ..Operation::NEW
    }),
];

/// The parts of the answers that depend on how staff sign in.
#[derive(Debug)]
pub(crate) struct Console {
    /// The Content-Security-Policy of the page. The page may call its own origin and, to sign in, the issuer.
    policy: HeaderValue,
    /// The content of [`SIGN_IN`].
    sign_in: String,
}

/// How staff sign in: at the issuer, where the gateway accepts its JWTs; with an API key, where all members are null.
#[derive(Default, Serialize)]
struct SignIn<'a> {
    issuer: Option<&'a str>,
    client_id: Option<&'a str>,
    audience: Option<&'a str>,
    scope: Option<String>,
}

impl Console {
    pub(crate) fn new(login: Option<&StaffLogin>) -> Self {
        let mut policy = format!("{CONTENT_SECURITY_POLICY}; connect-src 'self'");
        for origin in login.iter().flat_map(|login| &login.origins) {
            policy.push(' ');
            policy.push_str(origin);
        }
        Self {
            // The fallback is never used: origins are ASCII.
            policy: HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
            sign_in: json::write(&login.map(sign_in).unwrap_or_default()),
        }
    }
}

fn sign_in(login: &StaffLogin) -> SignIn<'_> {
    let StaffLogin {
        send_scope,
        admin_scope,
        ..
    } = login;
    let scope = if send_scope == admin_scope {
        format!("openid {send_scope}")
    } else {
        format!("openid {send_scope} {admin_scope}")
    };
    SignIn {
        issuer: Some(&login.issuer),
        client_id: login.client_id.as_deref(),
        audience: login.audience.as_deref(),
        scope: Some(scope),
    }
}

/// Serves `GET /console`.
async fn index(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    answer(&app.console, request, INDEX)
}

/// Serves `GET /console/pages/{file}`.
async fn file(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    answer(&app.console, request, request.parameter("file"))
}

fn answer(console: &Console, request: &ApiRequest<'_>, name: &str) -> Result<Response<String>, Problem> {
    let (content_type, content) = if name == SIGN_IN {
        ("application/json", console.sign_in.as_str())
    } else {
        let file = ::console::file(name)
            .ok_or_else(|| Problem::not_found("the console has no such file / 控制台没有此文件"))?;
        (file.content_type, file.content)
    };
    let mut response = respond(request, content_type, content);
    for (name, value) in [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, console.policy.clone()),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // A page that opens the console gets no hold of its window.
        (
            HeaderName::from_static(OPENER_POLICY),
            HeaderValue::from_static("same-origin"),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ] {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Answers with the content, or with 304 when the browser has it. `no-cache` makes the browser ask each time, so all its
/// files are of one version.
fn respond(request: &ApiRequest<'_>, content_type: &'static str, content: &str) -> Response<String> {
    let tag = sha256_hex(content.as_bytes());
    let mut cached = request.headers().get_all(header::IF_NONE_MATCH).iter();
    let is_cached = cached.any(|known| known.to_str().is_ok_and(|known| known.contains(&tag)));
    let response = if is_cached {
        response::empty(StatusCode::NOT_MODIFIED)
    } else {
        response::respond(200, content_type, content.to_owned())
    };
    etag::with_etag(response, tag)
}
