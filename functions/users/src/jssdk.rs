//! `GET /jssdk/config`: the signature with which a page in WeChat may use the JS-SDK. Only pages of `JSSDK_HOSTS` get one.
//! See [WeChat Docs/JS-SDK](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html).

use std::sync::Mutex;

use http::{HeaderMap, HeaderValue, Response, header};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Location, Parameter, Schema},
    response, route,
};
use serde::Serialize;
use wechat::{jssdk, lock::lock, page::PageUrl, random, validate::Fault};

use crate::App;

pub(crate) const ROUTES: &[Route<App>] = &[route!(open, GET "/jssdk/config" => config, Operation {
    id: "getJsSdkConfig",
    summary: "Sign a page for wx.config / 获取 JS-SDK 签名",
    parameters: &[Parameter {
        name: "url",
        location: Location::Query,
        description: "The page's address as the browser shows it: https, with a host that JSSDK_HOSTS lists. What follows # does not count",
        schema: r#"{"type": "string", "format": "uri"}"#,
    }],
    answers: &[(200, "Members for wx.config", Schema::Named("JsSdkConfig"))],
    failures: &[403],
    ..Operation::NEW
})];

/// Seconds for which WeChat's refusal of a ticket is cached. Anybody may ask, and each attempt invokes token-refresher,
/// which asks WeChat. Other failures are not cached: they may be over at once.
const REFUSAL_LASTS: i64 = 10;
/// Random bytes of a nonce.
const NONCE_BYTES: usize = 8;

/// The members of `wx.config` that depend on the page.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    app_id: &'a str,
    timestamp: i64,
    nonce_str: String,
    signature: String,
}

/// WeChat's last refusal of a ticket, and when it came, in epoch seconds.
#[derive(Debug, Default)]
pub(crate) struct TicketRefusal(Mutex<Option<(i64, Problem)>>);

impl TicketRefusal {
    /// Returns the refusal if it is still cached at `now`.
    fn recent(&self, now: i64) -> Option<Problem> {
        let (at, problem) = lock(&self.0).clone()?;
        (0..REFUSAL_LASTS).contains(&(now - at)).then_some(problem)
    }

    /// Returns what anybody may see of `problem`, and caches it if it is a refusal.
    fn remember(&self, problem: Problem, now: i64) -> Problem {
        let mut problem = problem.public();
        if problem.errcode().is_some() {
            problem = problem.with_retry_after(REFUSAL_LASTS.unsigned_abs());
            *lock(&self.0) = Some((now, problem.clone()));
        }
        problem
    }
}

/// Serves `GET /jssdk/config`.
async fn config(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let response = sign(app, request).await.unwrap_or_else(Problem::into_response);
    Ok(readable_by_pages(app, request.headers(), response))
}

async fn sign(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let url = request.query("url").unwrap_or_default();
    if let Err(error) = PageUrl::parse(&url, &app.jssdk_hosts) {
        let fault = Fault::new("/url", error.with_variable("JSSDK_HOSTS"));
        return Err(Problem::forbidden(fault.sentence()).with_field("url"));
    }
    if let Some(problem) = app.ticket_refusal.recent(app.now()) {
        return Err(problem);
    }
    let ticket = app.tickets.ticket(request.deadline()).await;
    let ticket = ticket.map_err(|error| {
        let now = app.now();
        app.ticket_refusal.remember(Problem::from_ticket(&error, now), now)
    })?;
    let (nonce_str, timestamp) = (random::hex::<NONCE_BYTES>(), app.now());
    let config = Config {
        app_id: app.account.table.app_id(),
        timestamp,
        signature: jssdk::sign(&ticket.value, &nonce_str, timestamp, &url),
        nonce_str,
    };
    Ok(response::json(200, &config))
}

/// Lets pages of `JSSDK_HOSTS` read the answer from a browser. In AWS the gateway's own CORS settings replace these headers.
fn readable_by_pages(app: &App, headers: &HeaderMap, mut response: Response<String>) -> Response<String> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let answer = response.headers_mut();
    answer.insert(header::VARY, HeaderValue::from_static("origin"));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(origin) = origin.filter(|origin| PageUrl::parse(origin, &app.jssdk_hosts).is_ok())
        && let Ok(origin) = HeaderValue::from_str(origin)
    {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}
