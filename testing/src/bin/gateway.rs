//! `gateway BINARY`: one built function behind API Gateway, for tests that need a browser. Prints `ready http://127.0.0.1:PORT`.
//!
//! With `JWT_ISSUER` and the variables that go with it, which the function gets too, it has a JWT authorizer before `/api`, as a
//! stack has before `admin`: issuer, audience, end and scopes are checked, the signature is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the program that starts it reads its output"
)]

use std::{env, process::ExitCode, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Response, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use testing::{Function, Setup, Stage, event, loopback, now};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};

const JWT_VARIABLES: [&str; 6] = [
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "JWT_SEND_SCOPE",
    "JWT_ADMIN_SCOPE",
    "JWT_CLIENT_ID",
    "JWT_TOKEN_ORIGIN",
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(binary) = env::args().nth(1) else {
        eprintln!("usage: gateway BINARY");
        return ExitCode::FAILURE;
    };
    let stage = Stage::set_up(Setup {
        callback_url: Some("http://127.0.0.1:9/webhook".to_owned()),
        ..Setup::default()
    });
    let stage = stage.await.token().await;
    let variables = JWT_VARIABLES.map(variable);
    let changes: Vec<_> = JWT_VARIABLES
        .into_iter()
        .zip(&variables)
        .map(|(name, value)| (name, value.as_str()))
        .collect();
    let function = stage.function_with(&binary, &changes).await;
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::new(Mutex::new(function)));
    let server = loopback::serve(router).await;
    println!("ready {}", server.endpoint());
    // The function ends with this process, however it is stopped.
    signal(SignalKind::terminate()).unwrap().recv().await;
    ExitCode::SUCCESS
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

async fn answer(State(function): State<Arc<Mutex<Function>>>, parts: Parts, body: Bytes) -> Response<Body> {
    let path_and_query = parts.uri.path_and_query().unwrap().as_str();
    let mut request = event::api(parts.method.as_str(), path_and_query).keyless();
    for (name, value) in &parts.headers {
        request = request.header(name.as_str(), value.to_str().unwrap());
    }
    if !body.is_empty() {
        request = request.text(std::str::from_utf8(&body).unwrap());
    }
    if !variable("JWT_ISSUER").is_empty() && parts.uri.path().starts_with("/api/") {
        match authorize(&parts) {
            Ok(claims) => {
                let jwt = json!({"jwt": {"claims": claims, "scopes": null}});
                request = request.with("/requestContext/authorizer", jwt);
            }
            Err((status, message)) => {
                let body = json!({"message": message}).to_string();
                return Response::builder().status(status).body(Body::from(body)).unwrap();
            }
        }
    }
    // In a task of its own: a browser that hangs up must not leave its answer to the next request.
    let exchange = async move { function.lock_owned().await.succeed(&request).await };
    let answer = tokio::spawn(exchange).await.unwrap();
    let status = u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap();
    let mut response = Response::builder().status(status);
    for (name, value) in answer["headers"].as_object().unwrap() {
        response = response.header(name, value.as_str().unwrap());
    }
    let body = answer["body"].as_str().unwrap_or_default().to_owned();
    response.body(Body::from(body)).unwrap()
}

/// Checks issuer, expiry, audience and scopes of a JWT as API Gateway's authorizer does, but not the signature.
/// See [AWS Docs/JWT authorizers](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html).
fn authorize(parts: &Parts) -> Result<Value, (u16, &'static str)> {
    const UNAUTHORIZED: (u16, &str) = (401, "Unauthorized");
    let token = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let claims = token.and_then(claims_of).ok_or(UNAUTHORIZED)?;
    let is_for = |audience: &str| variable("JWT_AUDIENCE").split(',').any(|known| known == audience);
    if claims["iss"] != variable("JWT_ISSUER")
        || claims["exp"].as_i64() <= Some(now())
        || !claims["aud"].as_str().is_some_and(is_for)
    {
        return Err(UNAUTHORIZED);
    }
    let needed: &[&str] = match parts.uri.path() {
        "/api/account" => &["JWT_SEND_SCOPE", "JWT_ADMIN_SCOPE"],
        _ => &["JWT_ADMIN_SCOPE"],
    };
    let mut scopes = claims["scope"].as_str().unwrap_or_default().split(' ');
    let has_scope = scopes.any(|scope| needed.iter().any(|name| scope == variable(name)));
    if has_scope { Ok(claims) } else { Err((403, "Forbidden")) }
}

fn claims_of(authorization: &str) -> Option<Value> {
    let token = authorization.strip_prefix("Bearer ")?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}
