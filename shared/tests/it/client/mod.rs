//! Tests of the API client and the token source against the simulated WeChat, the embedded table and a Lambda on loopback.

mod lambda;
mod operations;
mod source;

use std::{ops::Deref, sync::Arc};

use testing::account::{APP_ID, APP_SECRET};
use wechat::{
    api::{Client, TokenApi, TokenEndpoint, TokenIssuer},
    clock::{Deadline, SystemClock},
    secret::Secret,
};

/// The simulated WeChat and a client that calls it.
struct WeChat {
    wechat: testing::WeChat,
    client: Client,
}

impl WeChat {
    async fn start() -> Self {
        let wechat = testing::WeChat::start(None).await;
        let client = Client::new(&wechat.endpoint(), None, Arc::new(SystemClock)).unwrap();
        Self { wechat, client }
    }

    /// Gets a token from the simulator, as the refresher does.
    async fn issue(&self, force: bool) -> Secret {
        let secret = Secret::new(APP_SECRET);
        let endpoint = TokenEndpoint::new(self.client.clone(), TokenApi::Stable, APP_ID, secret);
        endpoint.issue(force, Deadline::NONE).await.unwrap().value
    }
}

impl Deref for WeChat {
    type Target = testing::WeChat;

    fn deref(&self) -> &testing::WeChat {
        &self.wechat
    }
}
