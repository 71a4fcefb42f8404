//! The token service without a network: every interleaving of two runs, and what events mean.

mod interleavings;
mod script;

use serde_json::json;

use super::*;

#[test]
fn any_other_event_is_an_ordinary_run() {
    let replace = Action::from_event(&json!({"action": "replace", "stale_token_sha256": "ab"}));
    assert_eq!(
        replace,
        Action::Replace {
            stale_token_sha256: "ab".to_owned()
        }
    );
    for event in [
        json!({"action": "refresh"}),
        json!({"source": "aws.events"}),
        json!(null),
        json!({"action": "replace"}),
    ] {
        assert_eq!(Action::from_event(&event), Action::Refresh, "{event}");
    }
}
