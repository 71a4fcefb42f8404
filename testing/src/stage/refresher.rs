//! The token-refresher of a stage: the built one, or a stand-in where the package under test cannot name it.

use std::sync::Arc;

use embedded_table::TABLE_NAME;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use super::{Table, WeChat};
use crate::{
    Function, Invoked, LambdaApi, Outcome,
    account::{APP_ID, APP_SECRET},
    now,
};

/// AWS Lambda with the built token-refresher at `path`, which reaches its services without proxies. It starts with the
/// first invocation.
pub(super) async fn built(path: &'static str, wechat: &WeChat, table: &Table) -> LambdaApi {
    let endpoints = Arc::new((wechat.endpoint(), table.endpoint()));
    let running: Arc<OnceCell<Mutex<Function>>> = Arc::default();
    let run = move |event: Value| {
        let (endpoints, running) = (Arc::clone(&endpoints), Arc::clone(&running));
        async move {
            let start = async || {
                let variables = [
                    ("WECHAT_APP_ID", APP_ID),
                    ("WECHAT_APP_SECRET", APP_SECRET),
                    ("WECHAT_API_BASE", endpoints.0.as_str()),
                    ("TABLE_NAME", TABLE_NAME),
                    ("AWS_ENDPOINT_URL_DYNAMODB", endpoints.1.as_str()),
                ];
                Mutex::new(Function::start(path, &variables).await)
            };
            let function = running.get_or_init(start).await;
            match function.lock().await.invoke(&event).await {
                Outcome::Answered(answer) => Ok(answer),
                Outcome::Failed(error) | Outcome::InitFailed(error) => Err(error),
            }
        }
    };
    LambdaApi::start(run).await
}

/// A stand-in: asks WeChat at every run, and stores the token without a lease.
#[derive(Clone)]
pub(super) struct Refresher {
    http: reqwest::Client,
    url: String,
    table: Table,
}

impl Refresher {
    pub(super) fn new(wechat: &WeChat, table: &Table) -> Self {
        Self {
            http: wechat.http().clone(),
            url: format!("{}/cgi-bin/stable_token", wechat.endpoint()),
            table: table.clone(),
        }
    }

    /// AWS Lambda with this as its function.
    pub(super) async fn serve(self) -> LambdaApi {
        let run = move |event: Value| {
            let refresher = self.clone();
            async move { refresher.refresh(event["action"] == "replace").await }
        };
        LambdaApi::start(run).await
    }

    /// One run: the answer of token-refresher, or its function error.
    pub(super) async fn refresh(&self, force: bool) -> Invoked {
        let body = json!({
            "grant_type": "client_credential", "appid": APP_ID, "secret": APP_SECRET, "force_refresh": force,
        });
        let answer = self.http.post(&self.url).json(&body).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        if let Some(errcode) = answer["errcode"].as_i64().filter(|errcode| *errcode != 0) {
            return Err(json!({"errorType": format!("WeChat{errcode}"), "errorMessage": answer["errmsg"]}));
        }
        let generation = self.table.item("token").await["generation"].as_i64().unwrap_or(0) + 1;
        let expires_at = now() + answer["expires_in"].as_i64().unwrap();
        let token = json!({
            "access_token": answer["access_token"], "expires_at": expires_at, "generation": generation,
        });
        self.table.set("token", &token).await;
        Ok(json!({"refreshed": true, "generation": generation, "expires_at": expires_at}))
    }
}
