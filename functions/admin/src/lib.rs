//! `admin`: the menu, the reply rules and the doctor.

mod conditional_menu;
mod doctor;
mod menu;
mod replies;

use std::sync::Arc;

use http::{HeaderMap, Method, Response, header};
use http_api::json_body;
use lambda_http::{Request, RequestExt};
use serde_json::Value;
use wechat::{
    api::{ApiError, Client, ClientError},
    callback::MessageMode,
    clock::{Clock, Deadline},
    config::{AdminConfig, ConfigError, SecretError},
    problem::Problem,
    secret::Secret,
    store::Table,
    token::{RefreshPort, TokenSource},
};

/// The AWS calls that this function makes: its role in `template.yaml` allows these and no other.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// The paths, and the methods that each takes. What they take and answer is in `functions/send-template/src/openapi.rs`, which
/// describes the whole API.
const SERVED: [(&str, &str); 9] = [
    ("/api/menu", "GET, POST, DELETE"),
    ("/api/menu/rollback", "POST"),
    ("/api/menu/conditional", "POST"),
    (CONDITIONAL_MENUS, "DELETE"),
    ("/api/menu/trymatch", "POST"),
    ("/api/replies", "GET, PUT"),
    ("/api/replies/rollback", "POST"),
    ("/api/replies/try", "POST"),
    (DOCTOR, "GET"),
];
const DOCTOR: &str = "/api/doctor";
/// The paths of single conditional menus begin with this.
const CONDITIONAL_MENUS: &str = "/api/menu/conditional/";

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    api_keys: Vec<Secret>,
    client: Client,
    tokens: TokenSource,
    table: Table,
    clock: Arc<dyn Clock>,
    refresher: Arc<dyn RefreshPort>,
    callback: Option<Result<MessageMode, ConfigError>>,
    /// Why the secret could not be read: the doctor alone serves then.
    secret: Option<SecretError>,
    is_simulated: bool,
}

impl App {
    /// The function as `config` describes it, over the table behind `dynamodb`, with `refresher` to ask for a token.
    ///
    /// # Errors
    /// [`ClientError`] when the API's address or the proxy's is no URL.
    pub fn new(
        config: AdminConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let AdminConfig {
            caller,
            callback,
            secret,
            is_simulated,
        } = config;
        let client = caller.api.client(Arc::clone(&clock))?;
        let table = Table::new(dynamodb, caller.api.table, caller.api.app_id);
        let tokens = TokenSource::new(table.clone(), Arc::clone(&refresher), Arc::clone(&clock));
        Ok(Self {
            api_keys: caller.api_keys,
            client,
            tokens,
            table,
            clock,
            refresher,
            callback,
            secret,
            is_simulated,
        })
    }

    /// Who may call.
    #[must_use]
    pub fn api_keys(&self) -> &[Secret] {
        &self.api_keys
    }

    /// Reads the token, which also makes the connection that the first request would have to wait for.
    pub async fn warm(&self) {
        self.tokens.warm().await;
    }

    /// Calls WeChat with a working token; a failure is what the caller of the API is told. `call` gets the token and how
    /// often it may try.
    async fn ask_wechat<T, C, F>(&self, deadline: Deadline, call: C) -> Result<T, Problem>
    where
        C: Fn(Secret, u8) -> F,
        F: Future<Output = Result<T, ApiError>>,
    {
        let answer = self.tokens.call(deadline, call).await;
        answer.map_err(|error| Problem::from_call(&error, self.clock.now()))
    }
}

/// Answers one request.
pub async fn handle(app: &App, request: Request) -> Response<String> {
    http_api::serve(&request, &app.api_keys, &*app.clock, |_, deadline| {
        route(app, &request, deadline)
    })
    .await
}

async fn route(app: &App, request: &Request, deadline: Deadline) -> Result<Response<String>, Problem> {
    let headers = request.headers();
    if http_api::is_served(request, &SERVED) {
        refuse_unknown_parameters(request)?;
    }
    let path = request.raw_http_path().trim_end_matches('/');
    if let Some(error) = &app.secret
        && path != DOCTOR
    {
        return Err(Problem::not_configured(&error.clone().into()));
    }
    match (request.method(), path) {
        (&Method::GET, "/api/menu") => menu::get(app, request, deadline).await,
        (&Method::POST, "/api/menu") => menu::create(app, request, deadline).await,
        (&Method::DELETE, "/api/menu") => menu::delete(app, headers, deadline).await,
        (&Method::POST, "/api/menu/rollback") => menu::roll_back(app, headers, deadline).await,
        (&Method::POST, "/api/menu/conditional") => conditional_menu::add(app, &json_body(request)?, deadline).await,
        (&Method::POST, "/api/menu/trymatch") => conditional_menu::try_match(app, &json_body(request)?, deadline).await,
        (&Method::GET, "/api/replies") => replies::get(app).await,
        (&Method::PUT, "/api/replies") => replies::put(app, headers, &json_body(request)?).await,
        (&Method::POST, "/api/replies/rollback") => {
            replies::roll_back(app, headers, &optional_json_body(request)?).await
        }
        (&Method::POST, "/api/replies/try") => replies::try_out(app, &json_body(request)?).await,
        (&Method::GET, DOCTOR) => Ok(doctor::examine(app, deadline).await),
        (&Method::DELETE, path) if path.starts_with(CONDITIONAL_MENUS) => {
            conditional_menu::delete(app, &path[CONDITIONAL_MENUS.len()..], deadline).await
        }
        _ => Err(http_api::unserved(request, &SERVED)),
    }
}

/// A change that was to be tried out only, by a parameter that this path does not have or that is misspelt, would be made.
fn refuse_unknown_parameters(request: &Request) -> Result<(), Problem> {
    let known: &[&str] = match (request.method(), request.raw_http_path().trim_end_matches('/')) {
        (&Method::GET, "/api/menu") => &["source"],
        (&Method::POST, "/api/menu") => &["dry_run"],
        (&Method::GET, _) => return Ok(()),
        _ => &[],
    };
    let parameters = request.query_string_parameters_ref();
    let unknown = parameters.and_then(|found| found.iter().find(|(name, _)| !known.contains(name)));
    match unknown {
        None => Ok(()),
        Some((name, _)) => Err(Problem::bad_request(
            "the query has a parameter that this request does not take / 该请求不支持此查询参数",
        )
        .with_field(name)),
    }
}

/// The tag of `If-Match: "tag"`; `*` and no header accept any.
fn if_match(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let value = value.to_str().unwrap_or_default().trim();
    if value == "*" {
        return Ok(None);
    }
    let tag = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    tag.map(Some).ok_or_else(bad_if_match)
}

fn bad_if_match() -> Problem {
    Problem::bad_request(
        "If-Match must be the ETag of an earlier answer, such as \"3\" / If-Match 应为之前应答的 ETag，如 \"3\"",
    )
    .with_field("If-Match")
}

fn with_etag(mut response: Response<String>, tag: impl std::fmt::Display) -> Response<String> {
    if let Ok(etag) = format!("\"{tag}\"").parse() {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// A body that may be left out.
fn optional_json_body(request: &Request) -> Result<Value, Problem> {
    if request.body().as_ref().is_empty() {
        Ok(Value::Null)
    } else {
        json_body(request)
    }
}
