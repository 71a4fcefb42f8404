//! Tests of the API client and the token source against the simulated WeChat, the embedded table and a Lambda on loopback.

mod lambda;
mod operations;
mod source;

use std::sync::Arc;

use simulator::{Settings, Simulator};
use tokio::net::TcpListener;
use wechat::{
    api::{Client, TokenApi, TokenEndpoint, TokenIssuer},
    clock::{Deadline, SystemClock},
    secret::Secret,
};

/// The simulated WeChat and a client that calls it.
struct WeChat {
    simulator: Simulator,
    client: Client,
    http: reqwest::Client,
}

impl WeChat {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, Settings::default()).unwrap();
        let client = Client::new(&simulator.base_url(), None, Arc::new(SystemClock)).unwrap();
        Self {
            simulator,
            client,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Gets a token from the simulator, as the refresher does.
    async fn issue(&self, force: bool) -> Secret {
        let account = self.simulator.account();
        let secret = Secret::new(account.app_secret.as_str());
        let endpoint = TokenEndpoint::new(self.client.clone(), TokenApi::Stable, &account.app_id, secret);
        endpoint.issue(force, Deadline::NONE).await.unwrap().access_token
    }

    async fn control(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        let url = format!("{}/sim/{path}", self.simulator.base_url());
        let answer = self.http.post(url).body(body.to_string()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn look(&self, path: &str) -> serde_json::Value {
        let url = format!("{}/sim/{path}", self.simulator.base_url());
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The number of calls of `path`.
    async fn count(&self, path: &str) -> usize {
        let calls = self.look("calls").await;
        let calls = calls.as_array().unwrap();
        calls.iter().filter(|call| call["path"] == path).count()
    }
}
