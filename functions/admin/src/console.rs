//! `/console`: the console's pages, for anybody. What they show comes from the API, with the key of whoever opens them.

use ::console::{CONTENT_SECURITY_POLICY, File, INDEX};
use http::{HeaderValue, Response, StatusCode, header};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Location, Parameter, Schema},
    response, route,
};
use wechat::digest::sha256_hex;

use crate::{App, etag};

/// The path of the page.
pub(crate) const PATH: &str = "/console";
/// The path of what the page loads.
pub(crate) const FILES: &str = "/console/pages/{file}";

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(open, GET PATH => index, Operation {
        id: "getConsole",
        summary: "The console / 控制台",
        description: "For a browser. It asks for an API key, and keeps it in the tab.",
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

/// Serves `GET /console`.
async fn index(_: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    answer(request, INDEX)
}

/// Serves `GET /console/pages/{file}`.
async fn file(_: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    answer(request, request.parameter("file"))
}

fn answer(request: &ApiRequest<'_>, name: &str) -> Result<Response<String>, Problem> {
    let file =
        ::console::file(name).ok_or_else(|| Problem::not_found("the console has no such file / 控制台没有此文件"))?;
    Ok(respond(request, file))
}

/// Answers with the file, unless the browser has it. It asks each time, so that all its files are of one version.
fn respond(request: &ApiRequest<'_>, file: &File) -> Response<String> {
    let tag = sha256_hex(file.content.as_bytes());
    let mut cached = request.headers().get_all(header::IF_NONE_MATCH).iter();
    let is_cached = cached.any(|known| known.to_str().is_ok_and(|known| known.contains(&tag)));
    let response = if is_cached {
        response::empty(StatusCode::NOT_MODIFIED)
    } else {
        response::respond(200, file.content_type, file.content.to_owned())
    };
    let mut response = etag::with_etag(response, tag);
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
