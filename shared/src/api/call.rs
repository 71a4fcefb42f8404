//! The trait of all calls of WeChat's API, and helpers that read their answers.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error},
};
use serde_json::Value;

/// A call of WeChat's API with its parameters.
pub trait Call: Sync {
    /// The answer of a successful call.
    type Answer;

    /// The path. It also names the call in errors, logs and metrics.
    const PATH: &'static str;

    /// Whether the client may retry the call after a transient failure. `false` where a second effect would do harm.
    const REPEATABLE: bool = true;

    /// Whether the call issues access_tokens, where errcode 40001 means a wrong AppSecret instead of a dead token.
    const ISSUES_TOKENS: bool = false;

    /// The parameters that the query has besides the access_token.
    fn query(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }

    /// The JSON body of a POST. A call without a body is a GET.
    fn body(&self) -> Option<Value> {
        None
    }

    /// Reads the answer of a successful call.
    ///
    /// # Errors
    /// [`Unexpected`] when the answer lacks a member that WeChat always sends: another server has answered.
    fn read(answer: Value) -> Result<Self::Answer, Unexpected>;
}

/// Why an answer is not WeChat's. Never holds the answer, which may contain a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpected(pub String);

/// Decodes an answer.
pub(super) fn decoded<T: DeserializeOwned>(answer: Value) -> Result<T, Unexpected> {
    // The decoder's error is dropped: it may quote the answer.
    serde_json::from_value(answer).map_err(|_| Unexpected("JSON without the expected members".to_owned()))
}

/// Checks the answer of a call that returns nothing: WeChat always sends an errcode with it.
pub(super) fn confirmed(answer: &Value) -> Result<(), Unexpected> {
    match answer.get("errcode") {
        Some(_) => Ok(()),
        None => Err(Unexpected("it has no errcode".to_owned())),
    }
}

/// Returns `answer` if it has a value at `pointer`. Another server's JSON must not be saved as a menu.
pub(super) fn holding(pointer: &str, answer: Value) -> Result<Value, Unexpected> {
    match answer.pointer(pointer) {
        Some(_) => Ok(answer),
        None => Err(Unexpected(format!("it has no {pointer}"))),
    }
}

/// Reads a count that WeChat sends as a number or as text. A negative count is 0.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Number(i64),
        Text(String),
    }
    let count = match Count::deserialize(deserializer)? {
        Count::Number(number) => number,
        Count::Text(text) => text.trim().parse().map_err(D::Error::custom)?,
    };
    Ok(u64::try_from(count).unwrap_or(0))
}

/// An id that WeChat sends as a number or as text: its pages differ.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    Number(u64),
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
    use serde_json::json;

    use super::*;

    #[test]
    fn a_count_may_be_text() {
        #[derive(Deserialize)]
        struct Left(#[serde(deserialize_with = "count")] u64);
        let read = |left: Value| serde_json::from_value(left).map(|Left(left)| left).ok();
        for (written, left) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!(-1), Some(0)),
            (json!("x"), None),
        ] {
            assert_eq!(read(written.clone()), left, "{written}");
        }
    }

    #[test]
    fn an_unexpected_answer_is_not_quoted() {
        let error = decoded::<u64>(serde_json::json!("secret")).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
