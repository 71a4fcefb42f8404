//! The sample events of `events/`, as they are.

use testing::{Stage, event::sample};

use crate::BINARY;

#[tokio::test]
async fn each_sample_event_is_served() {
    let stage = Stage::with_token().await;
    let mut function = stage.function_with(BINARY, &[("API_KEYS", "events-key")]).await;
    for (name, status) in [
        ("campaigns-list", 200),
        ("list-templates", 200),
        ("message-history", 200),
        ("message-status", 404),
        // Nobody of that openid has written to the account.
        ("send-custom", 400),
        // The simulated account does not have their template.
        ("campaign-create", 400),
        ("send-template", 400),
        ("send-template-array", 400),
    ] {
        let answer = function.send(&sample(name)).await;
        assert_eq!(answer.status, status, "{name}");
    }
}
