//! Tests of the token service without a network: all interleavings of two runs, and the meaning of events.

mod interleavings;
mod script;

use serde_json::json;

use super::*;
use crate::{
    store::RefreshFailure,
    validate::{Fault, assert_each_half_says_all},
};

/// Callers learn of a timeout also when it happened in the run that theirs waited for.
#[test]
fn a_run_that_has_waited_fails_as_the_one_it_waited_for() {
    let waited_for = |errcode, error_type: &str| {
        let failure = RefreshFailure {
            at: 0,
            owner: "other".to_owned(),
            errcode,
            error_type: error_type.to_owned(),
            message: "words".to_owned(),
        };
        let error = RefreshError::OtherRun(failure);
        let error_type = error.error_type().to_string();
        let error = RefreshRequestError::from_function_error(&error_type, &error.to_string());
        (error_type, error)
    };
    let (error_type, error) = waited_for(None, "WeChatUnreachable");
    assert_eq!(error_type, "WeChatUnreachable");
    assert!(matches!(error, RefreshRequestError::NoAnswer(_)), "{error:?}");
    let (error_type, error) = waited_for(Some(40164), "WeChat40164");
    assert_eq!(error_type, "WeChat40164");
    assert!(
        matches!(
            error,
            RefreshRequestError::Failed {
                errcode: Some(40164),
                ..
            }
        ),
        "{error:?}"
    );
    let message = Fault::new("", error.to_string());
    assert_each_half_says_all(&message, &["words"]);
    assert_eq!(waited_for(None, "").0, "OtherRun", "recorded by an older version");
}

#[test]
fn only_an_event_without_an_action_is_an_ordinary_run() {
    for event in [
        json!({"source": "aws.events"}),
        json!({}),
        json!(null),
        json!("refresh"),
    ] {
        assert_eq!(Action::from_event(&event), Ok(None), "{event}");
    }
    let replace = Action::Replace {
        stale_token_sha256: "ab".to_owned(),
    };
    let exchange = Action::ExchangeCode { code: Code::new("c1") };
    for (event, action) in [
        (json!({"action": "refresh"}), Action::Refresh),
        (json!({"action": "replace", "stale_token_sha256": "ab"}), replace),
        (json!({"action": "ticket", "newer": 1}), Action::Ticket),
        (json!({"action": "exchange_code", "code": "c1"}), exchange),
    ] {
        assert_eq!(Action::from_event(&event), Ok(Some(action)), "{event}");
    }
    for event in [
        json!({"action": "renew"}),
        json!({"action": null}),
        json!({"action": ["refresh"]}),
        json!({"action": "replace"}),
        json!({"action": "exchange_code"}),
        json!({"action": "exchange_code", "code": 1}),
    ] {
        assert_eq!(Action::from_event(&event), Err(UnknownAction), "{event}");
    }
}
