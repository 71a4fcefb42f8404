//! The token-refresher of a stage: the built one, or a stand-in where the package under test cannot name it.

use std::sync::Arc;

use embedded_table::TABLE_NAME;
use reqwest::{Client, RequestBuilder, Url};
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

/// A stand-in: asks WeChat at every run, and stores the token or the ticket without a lease.
#[derive(Clone)]
pub(super) struct Refresher {
    http: Client,
    base: String,
    table: Table,
}

impl Refresher {
    pub(super) fn new(wechat: &WeChat, table: &Table) -> Self {
        Self {
            http: wechat.http().clone(),
            base: wechat.endpoint(),
            table: table.clone(),
        }
    }

    /// AWS Lambda with this as its function.
    pub(super) async fn serve(self) -> LambdaApi {
        let run = move |event: Value| {
            let refresher = self.clone();
            async move {
                match event["action"].as_str() {
                    Some("exchange_code") => refresher.exchange(event["code"].as_str().unwrap()).await,
                    Some("ticket") => refresher.ticket().await,
                    action => refresher.refresh(action == Some("replace")).await,
                }
            }
        };
        LambdaApi::start(run).await
    }

    /// One run: the answer of token-refresher, or its function error.
    pub(super) async fn refresh(&self, force: bool) -> Invoked {
        let body = json!({
            "grant_type": "client_credential", "appid": APP_ID, "secret": APP_SECRET, "force_refresh": force,
        });
        let call = self.http.post(format!("{}/cgi-bin/stable_token", self.base));
        let answer = answer(call.json(&body)).await?;
        let generation = self.table.item("token").await["generation"].as_i64().unwrap_or(0) + 1;
        let expires_at = now() + answer["expires_in"].as_i64().unwrap();
        let token = json!({
            "access_token": answer["access_token"], "expires_at": expires_at, "generation": generation,
        });
        self.table.set("token", &token).await;
        Ok(json!({"refreshed": true, "generation": generation, "expires_at": expires_at}))
    }

    async fn ticket(&self) -> Invoked {
        self.refresh(false).await?;
        let token = self.table.item("token").await["access_token"].clone();
        let query = [("access_token", token.as_str().unwrap()), ("type", "jsapi")];
        let answer = answer(self.get("/cgi-bin/ticket/getticket", &query)).await?;
        let expires_at = now() + answer["expires_in"].as_i64().unwrap();
        let ticket = json!({"ticket": answer["ticket"], "expires_at": expires_at});
        self.table.set("ticket", &ticket).await;
        Ok(json!({"expires_at": expires_at}))
    }

    async fn exchange(&self, code: &str) -> Invoked {
        let query = [
            ("appid", APP_ID),
            ("secret", APP_SECRET),
            ("code", code),
            ("grant_type", "authorization_code"),
        ];
        let answer = answer(self.get("/sns/oauth2/access_token", &query)).await?;
        let mut identity = json!({
            "openid": answer["openid"], "scope": answer["scope"], "is_snapshotuser": answer["is_snapshotuser"] == 1,
        });
        if answer["unionid"].is_string() {
            identity["unionid"] = answer["unionid"].clone();
        }
        Ok(identity)
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let url = Url::parse_with_params(&format!("{}{path}", self.base), query);
        self.http.get(url.unwrap())
    }
}

/// WeChat's answer to `call`, or the function error for its refusal.
async fn answer(call: RequestBuilder) -> Invoked {
    let answer = call.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    match answer["errcode"].as_i64().unwrap_or(0) {
        0 => Ok(answer),
        errcode => Err(json!({"errorType": format!("WeChat{errcode}"), "errorMessage": answer["errmsg"]})),
    }
}
