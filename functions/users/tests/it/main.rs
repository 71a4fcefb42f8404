//! The built binary against the simulated platform and an embedded table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bindings;
mod jssdk;
mod login;
mod users;

use std::ops::{Deref, DerefMut};

use serde_json::json;
use testing::{
    Function, Response, Stage,
    event::{Request, get},
};

const BINARY: &str = env!("CARGO_BIN_EXE_users");
const PUBLIC_URL: &str = "https://wechat.example.com";
const SETTINGS: [(&str, &str); 4] = [
    ("PUBLIC_URL", PUBLIC_URL),
    ("LOGIN_HOSTS", "shop.example.com,127.0.0.1"),
    ("JSSDK_HOSTS", "shop.example.com"),
    ("WECHAT_DOMAIN_CHECK", "AbCdEf0123456789"),
];

/// The function on its stage.
struct Users {
    function: Function,
    stage: Stage,
}

impl Users {
    /// With a token in the table, and all settings.
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with `changes` to the function's environment.
    async fn start_with(changes: &[(&str, &str)]) -> Self {
        let mut stage = Stage::with_token().await;
        stage.set(SETTINGS);
        let open_base = stage.wechat.endpoint();
        stage.set([("WECHAT_OPEN_BASE", open_base)]);
        Self {
            function: stage.function_with(BINARY, changes).await,
            stage,
        }
    }

    /// Another instance of the function.
    async fn another(&self) -> Function {
        self.stage.function(BINARY).await
    }

    /// Binds a user to an openid.
    async fn put_user(&mut self, user: &str, openid: &str) {
        let (status, body) = self
            .put(&format!("/api/users/{user}"), &json!({"openid": openid}))
            .await
            .parts();
        assert_eq!((status, &body["openid"]), (200, &json!(openid)), "{body}");
    }
}

impl Deref for Users {
    type Target = Function;

    fn deref(&self) -> &Function {
        &self.function
    }
}

impl DerefMut for Users {
    fn deref_mut(&mut self) -> &mut Function {
        &mut self.function
    }
}

/// A browser: what it sends along after an answer.
#[derive(Clone, Default)]
struct Browser {
    cookies: Vec<String>,
}

impl Browser {
    /// Opens an address of the bundle, and keeps the cookies of the answer.
    async fn open(&mut self, function: &mut Function, address: &str) -> Response {
        let path = address.strip_prefix(PUBLIC_URL).unwrap_or(address);
        let response = function.send(&self.request(path).into()).await;
        let set = response
            .cookies
            .iter()
            .map(|cookie| cookie.split(';').next().unwrap().to_owned());
        self.cookies.extend(set);
        response
    }

    fn request(&self, path: &str) -> Request {
        get(path).keyless().with("/cookies", json!(self.cookies))
    }
}

/// Logs `openid` in on WeChat's authorize page: where WeChat sends the browser.
async fn authorize(stage: &Stage, address: &str, openid: &str) -> String {
    let done = stage
        .wechat
        .control("authorize", &json!({"url": address, "openid": openid}))
        .await;
    done["location"].as_str().unwrap().to_owned()
}

/// The value of a parameter of an address.
fn parameter(address: &str, name: &str) -> String {
    let (_, query) = address.split_once('?').unwrap();
    let query = query.split('#').next().unwrap();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| *found == name).unwrap().1.to_owned()
}
