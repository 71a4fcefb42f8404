//! `send-template`: pushes template messages and tells the truth about each.

mod answer;
mod idempotency;
mod lookup;
#[cfg(test)]
mod openapi;
mod request;
mod send;
mod templates;

use std::{future::Future, sync::Arc, time::Duration};

use http::{Method, Response};
use lambda_http::{Request, RequestExt, request::RequestContext};
use wechat::{
    api::{Client, ClientError},
    auth::has_api_key,
    clock::{Clock, Deadline},
    config::CallerConfig,
    problem::Problem,
    secret::Secret,
    store::{StoreError, Table},
    token::{RefreshPort, TokenSource},
};

use crate::templates::TemplatesCache;

/// Bytes that a request's body may have.
const BODY_LIMIT: usize = 256 * 1024;
/// What a write may take after which the caller gets its answer in any case.
const WRITE_BUDGET: Duration = Duration::from_secs(1);
/// What such a write leaves of the invocation, for the answer.
const WRITE_MARGIN: Duration = Duration::from_millis(200);

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    app_id: String,
    api_keys: Vec<Secret>,
    client: Client,
    tokens: TokenSource,
    templates: TemplatesCache,
    table: Table,
    clock: Arc<dyn Clock>,
}

impl App {
    /// The function as `config` describes it, over the table behind `dynamodb`, with `refresher` to ask for a token.
    ///
    /// # Errors
    /// [`ClientError`] when the API's address or the proxy's is no URL.
    pub fn new(
        config: CallerConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let client = Client::new(
            &config.api.api_base,
            config.api.https_proxy.as_ref(),
            Arc::clone(&clock),
        )?;
        let table = Table::new(dynamodb, config.api.table);
        let tokens = TokenSource::new(table.clone(), &config.api.app_id, refresher, Arc::clone(&clock));
        Ok(Self {
            app_id: config.api.app_id,
            api_keys: config.api_keys,
            client,
            tokens,
            templates: TemplatesCache::default(),
            table,
            clock,
        })
    }

    /// Reads the token and the templates, which also makes the connection that the first request would have to wait for.
    pub async fn warm(&self) {
        self.tokens.warm().await;
        templates::warm(self).await;
    }

    /// Waits for a write whose failure must cost the caller neither the answer nor the time to give it.
    async fn write(&self, what: &'static str, deadline: Deadline, write: impl Future<Output = Result<(), StoreError>>) {
        let budget = deadline.budget(self.clock.now_millis(), WRITE_BUDGET, WRITE_MARGIN);
        match tokio::time::timeout(budget, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, what, "could not be recorded"),
            Err(_) => tracing::error!(what, "could not be recorded in time"),
        }
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
    let path: Vec<&str> = request.raw_http_path().trim_matches('/').split('/').collect();
    match (request.method(), path.as_slice()) {
        (&Method::POST, ["api", "sendTemplateMessage"]) => {
            let body = request.body().as_ref();
            if body.len() > BODY_LIMIT {
                return Err(Problem::too_large(BODY_LIMIT));
            }
            idempotency::send(app, request.headers(), body, deadline).await
        }
        (&Method::GET, ["api", "messages", msgid]) => lookup::message(app, msgid).await,
        (&Method::GET, ["api", "templates"]) => lookup::templates(app, deadline).await,
        _ => Err(Problem::not_found(
            "there is no such path and method / 路径或方法不存在",
        )),
    }
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
