//! What a call of WeChat's API is.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// A call of WeChat's API with its parameters.
pub trait Call: Sync {
    /// What WeChat answers.
    type Answer;

    /// The path, which names the call in errors, logs and metrics.
    const PATH: &'static str;

    /// Whether the call may be made again after a transient failure. False where a repeat could do harm if the first call
    /// has taken effect.
    const REPEATABLE: bool = true;

    /// Whether the call issues access_tokens: there errcode 40001 is about the AppSecret.
    const ISSUES_TOKENS: bool = false;

    /// JSON to post. A call without it is a GET.
    fn body(&self) -> Option<Value> {
        None
    }

    /// Reads a success.
    ///
    /// # Errors
    /// [`Unexpected`] when the answer lacks what WeChat always sends: something else has answered.
    fn read(answer: Value) -> Result<Self::Answer, Unexpected>;
}

/// What is wrong with an answer that is not WeChat's. Never holds the answer, which may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpected(pub String);

/// Decodes an answer.
pub(super) fn decoded<T: DeserializeOwned>(answer: Value) -> Result<T, Unexpected> {
    // The decoder's own message may quote the answer.
    serde_json::from_value(answer).map_err(|_| Unexpected("JSON without the expected members".to_owned()))
}

/// Reads the answer to an order. One that is answered without an errcode was answered by something else.
pub(super) fn confirmed(answer: &Value) -> Result<(), Unexpected> {
    match answer.get("errcode") {
        Some(_) => Ok(()),
        None => Err(Unexpected("it has no errcode".to_owned())),
    }
}

/// WeChat's own JSON, which has something at `pointer`: what lacks it is another server's, and must not be kept for a menu.
pub(super) fn holding(pointer: &str, answer: Value) -> Result<Value, Unexpected> {
    match answer.pointer(pointer) {
        Some(_) => Ok(answer),
        None => Err(Unexpected(format!("it has no {pointer}"))),
    }
}

/// An id that WeChat writes as a number or as text, depending on the page of its documents.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    /// As a number.
    Number(u64),
    /// As text.
    Text(String),
}

impl Id {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_told_without_the_answer() {
        let error = decoded::<u64>(serde_json::json!("secret")).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
