//! The simulated platform and its controls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use simulator::{FOLLOWER, Observation, Observer, Settings, Simulator, TEMPLATE_ID};
use wechat::lock::lock;

use crate::{account::account, http_client, loopback};

/// A simulated WeChat with the account of [`crate::account`].
#[derive(Debug)]
pub struct WeChat {
    simulator: Simulator,
    http: Client,
    /// How many calls of each path are over.
    over: Arc<Mutex<HashMap<String, usize>>>,
}

impl WeChat {
    /// Starts in safe mode; callbacks go to `callback_url`, or nowhere.
    pub async fn start(callback_url: Option<String>) -> Self {
        let over: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let counts = Arc::clone(&over);
        let count = move |observation| {
            if let Observation::Call(call) = observation {
                let mut counts = lock(&counts);
                *counts.entry(call.path).or_default() += 1;
            }
        };
        let settings = Settings {
            account: Some(account()),
            callback_url,
            observer: Some(Observer::new(count)),
            ..Settings::default()
        };
        Self {
            over,
            simulator: Simulator::start(loopback::listener().await, settings).unwrap(),
            http: http_client(),
        }
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.simulator.base_url()
    }

    /// The client with which it is controlled.
    #[must_use]
    pub const fn http(&self) -> &Client {
        &self.http
    }

    async fn sim(&self, request: RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// `POST /sim/{control}`.
    pub async fn control(&self, control: &str, body: &Value) -> Value {
        let url = format!("{}/sim/{control}", self.endpoint());
        self.sim(self.http.post(url).json(body)).await
    }

    /// `GET /sim/{control}`.
    pub async fn look(&self, control: &str) -> Value {
        let url = format!("{}/sim/{control}", self.endpoint());
        self.sim(self.http.get(url)).await
    }

    /// Makes the calls to `path` fail as `fault` says.
    pub async fn fault(&self, path: &str, fault: &Value) {
        let mut fault = fault.clone();
        fault["path"] = path.into();
        self.control("faults", &fault).await;
    }

    /// Ends all faults.
    pub async fn clear_faults(&self) {
        let url = format!("{}/sim/faults", self.endpoint());
        let cleared = self.http.delete(url).send().await.unwrap();
        assert!(cleared.status().is_success());
    }

    /// Allows calls of the token endpoints from `ips` alone; null allows all.
    pub async fn whitelist(&self, ips: Value) {
        self.control("whitelist", &json!({ "ips": ips })).await;
    }

    /// Logs `openid` in on the authorize page at `address`, and returns where WeChat sends the browser.
    pub async fn authorize(&self, address: &str, openid: &str) -> String {
        let done = self
            .control("authorize", &json!({"url": address, "openid": openid}))
            .await;
        done["location"].as_str().unwrap().to_owned()
    }

    /// The openid of a new follower.
    pub async fn follower(&self) -> String {
        let done = self.control("follow", &json!({})).await;
        done["openid"].as_str().unwrap().to_owned()
    }

    /// The openids of `count` new followers.
    pub async fn followers(&self, count: usize) -> Vec<String> {
        let added = self.control("followers", &json!({ "count": count })).await;
        let openids = added["openids"].as_array().unwrap().iter();
        openids.map(|openid| openid.as_str().unwrap().to_owned()).collect()
    }

    /// The calls that the platform has received.
    pub async fn all_calls(&self) -> Vec<Value> {
        self.list("calls").await
    }

    /// How often `path` was called.
    pub async fn calls(&self, path: &str) -> usize {
        let calls = self.all_calls().await;
        calls.iter().filter(|call| call["path"] == path).count()
    }

    /// How many calls of `path` were answered or broken off. Asking costs nothing, so a test may ask all the time.
    #[must_use]
    pub fn calls_over(&self, path: &str) -> usize {
        let over = lock(&self.over);
        over.get(path).copied().unwrap_or_default()
    }

    /// The messages on the phone of `openid`.
    pub async fn phone(&self, openid: &str) -> Vec<Value> {
        self.list(&format!("phones/{openid}")).await
    }

    async fn list(&self, control: &str) -> Vec<Value> {
        self.look(control).await.as_array().unwrap().clone()
    }
}

/// A template message as its senders write it, to the follower that the platform has from the start.
#[must_use]
pub fn message() -> Value {
    message_to(FOLLOWER)
}

/// A template message to one or several recipients.
#[must_use]
pub fn message_to(touser: impl Into<Value>) -> Value {
    message_for("touser", touser)
}

/// A template message whose recipients are in `member`: `touser`, `user` or `users`.
#[must_use]
pub fn message_for(member: &str, recipients: impl Into<Value>) -> Value {
    json!({
        member: recipients.into(),
        "template_id": TEMPLATE_ID,
        "url": "https://example.com/details/1",
        "data": {
            "thing1": {"value": "项目审核"},
            "time2": {"value": "2024年7月19日 10:00"},
            "const3": "通过",
        },
    })
}
