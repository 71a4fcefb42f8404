//! The built binary against the simulated platform and an embedded table.

mod bindings;
mod jssdk;
mod login;
mod users;

use std::ops::{Deref, DerefMut};

use serde_json::json;
use testing::{Function, PUBLIC_URL, Stage, event::sample};

const BINARY: &str = env!("CARGO_BIN_EXE_users");
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

#[tokio::test]
async fn the_sample_events_are_served() {
    let mut users = Users::start_with(&[("API_KEYS", "events-key")]).await;
    for (name, status) in [
        ("binding-create", 201),
        ("users-import", 200),
        ("login-begin", 302),
        ("jssdk-config", 200),
    ] {
        assert_eq!(users.send(&sample(name)).await.status, status, "{name}");
    }
}
