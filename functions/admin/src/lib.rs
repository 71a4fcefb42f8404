//! `admin`: the menu, the reply rules and the doctor.

mod conditional_menu;
mod doctor;
mod menu;
mod replies;

use std::sync::Arc;

use http::{Method, Response};
use lambda_http::{Request, RequestExt, request::RequestContext};
use serde_json::Value;
use wechat::{
    api::{Client, ClientError},
    auth::has_api_key,
    callback::MessageMode,
    clock::{Clock, Deadline},
    config::{AdminConfig, ConfigError},
    problem::Problem,
    secret::Secret,
    store::Table,
    token::{RefreshPort, TokenSource},
};

/// The paths of single conditional menus begin with this.
const CONDITIONAL_MENUS: &str = "/api/menu/conditional/";
/// Bytes that a request's body may have.
const BODY_LIMIT: usize = 256 * 1024;

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    app_id: String,
    api_keys: Vec<Secret>,
    client: Client,
    tokens: TokenSource,
    table: Table,
    clock: Arc<dyn Clock>,
    refresher: Arc<dyn RefreshPort>,
    callback: Option<Result<MessageMode, ConfigError>>,
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
        let AdminConfig { caller, callback } = config;
        let client = Client::new(
            &caller.api.api_base,
            caller.api.https_proxy.as_ref(),
            Arc::clone(&clock),
        )?;
        let table = Table::new(dynamodb, caller.api.table);
        let app_id = caller.api.app_id;
        let tokens = TokenSource::new(table.clone(), &app_id, Arc::clone(&refresher), Arc::clone(&clock));
        Ok(Self {
            app_id,
            api_keys: caller.api_keys,
            client,
            tokens,
            table,
            clock,
            refresher,
            callback,
        })
    }

    /// Reads the token, which also makes the connection that the first request would have to wait for.
    pub async fn warm(&self) {
        self.tokens.warm().await;
    }
}

/// Answers one request.
pub async fn handle(app: &App, request: Request) -> Response<String> {
    let started = app.clock.now_millis();
    let response = route(app, &request, started)
        .await
        .unwrap_or_else(Problem::into_response);
    let millis = app.clock.now_millis() - started;
    tracing::info!(
        method = %request.method(), path = request.raw_http_path(), status = response.status().as_u16(), millis,
        "request answered"
    );
    response
}

async fn route(app: &App, request: &Request, now_millis: i64) -> Result<Response<String>, Problem> {
    if !has_api_key(request.headers(), &app.api_keys) && !passed_jwt_authorizer(request) {
        return Err(Problem::unauthorized());
    }
    let deadline = request.lambda_context_ref().map_or(Deadline::NONE, |context| {
        Deadline::from_lambda(context.deadline, now_millis)
    });
    let headers = request.headers();
    match (request.method(), request.raw_http_path().trim_end_matches('/')) {
        (&Method::GET, "/api/menu") => menu::get(app, request, deadline).await,
        (&Method::POST, "/api/menu") => menu::create(app, request, deadline).await,
        (&Method::DELETE, "/api/menu") => menu::delete(app, deadline).await,
        (&Method::POST, "/api/menu/rollback") => menu::roll_back(app, deadline).await,
        (&Method::POST, "/api/menu/conditional") => conditional_menu::add(app, &json_body(request)?, deadline).await,
        (&Method::POST, "/api/menu/trymatch") => conditional_menu::try_match(app, &json_body(request)?, deadline).await,
        (&Method::GET, "/api/replies") => replies::get(app).await,
        (&Method::PUT, "/api/replies") => replies::put(app, headers, &json_body(request)?).await,
        (&Method::POST, "/api/replies/rollback") => {
            replies::roll_back(app, headers, &optional_json_body(request)?).await
        }
        (&Method::POST, "/api/replies/try") => replies::try_out(app, &json_body(request)?).await,
        (&Method::GET, "/api/doctor") => Ok(doctor::examine(app, deadline).await),
        (&Method::DELETE, path) if path.starts_with(CONDITIONAL_MENUS) => {
            conditional_menu::delete(app, &path[CONDITIONAL_MENUS.len()..], deadline).await
        }
        _ => Err(Problem::not_found(
            "there is no such path and method / 路径或方法不存在",
        )),
    }
}

/// A body that may be left out.
fn optional_json_body(request: &Request) -> Result<Value, Problem> {
    if request.body().as_ref().is_empty() {
        Ok(Value::Null)
    } else {
        json_body(request)
    }
}

fn json_body(request: &Request) -> Result<Value, Problem> {
    let body = request.body().as_ref();
    if body.len() > BODY_LIMIT {
        return Err(Problem::too_large(BODY_LIMIT));
    }
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))
}

/// Whether API Gateway's JWT authorizer has let the caller through. Only the gateway can write the request's context.
fn passed_jwt_authorizer(request: &Request) -> bool {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
        return false;
    };
    context
        .authorizer
        .as_ref()
        .is_some_and(|authorizer| authorizer.jwt.is_some())
}
