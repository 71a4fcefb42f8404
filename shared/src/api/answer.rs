//! Reads WeChat's answers: `errcode` before anything else, whatever the content type.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ApiError;
use crate::errcode;

/// WeChat's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The code; its meaning and remedy are in [`errcode`].
    pub errcode: i64,
    /// WeChat's own words, with the `rid` in it.
    pub errmsg: String,
    /// Whether it came from a token endpoint, where 40001 means a wrong AppSecret.
    pub at_token_endpoint: bool,
}

impl Rejection {
    /// The table's entry for the code.
    #[must_use]
    pub fn entry(&self) -> errcode::Errcode {
        if self.at_token_endpoint {
            errcode::lookup_at_token_endpoint(self.errcode)
        } else {
            errcode::lookup(self.errcode)
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.entry();
        write!(
            f,
            "errcode {} ({}): {} / {} {} / {}",
            self.errcode, self.errmsg, entry.english, entry.chinese, entry.remedy_english, entry.remedy_chinese
        )
    }
}

/// Parses an answer and turns an errcode into an error.
pub(super) fn read(operation: &'static str, body: &mut [u8]) -> Result<Value, ApiError> {
    blank_control_characters(body);
    let answer: Value = serde_json::from_slice(body).map_err(|error| ApiError::Unreadable {
        operation,
        detail: format!(
            "{} bytes that are no JSON, at line {} column {}",
            body.len(),
            error.line(),
            error.column()
        ),
    })?;
    let errcode = answer.get("errcode").and_then(Value::as_i64).unwrap_or(0);
    if errcode == 0 {
        return Ok(answer);
    }
    let errmsg = answer
        .get("errmsg")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let at_token_endpoint = matches!(operation, "/cgi-bin/token" | "/cgi-bin/stable_token");
    Err(ApiError::Rejected {
        operation,
        rejection: Rejection {
            errcode,
            errmsg,
            at_token_endpoint,
        },
    })
}

/// Decodes a success.
pub(super) fn decode<T: DeserializeOwned>(operation: &'static str, answer: Value) -> Result<T, ApiError> {
    // The decoder's message may quote the answer, and the answer may hold a token.
    serde_json::from_value(answer).map_err(|_| ApiError::Unreadable {
        operation,
        detail: "JSON without the expected members".to_owned(),
    })
}

/// WeChat sends raw control characters inside JSON strings, which JSON forbids. Outside of strings they are spaces.
fn blank_control_characters(body: &mut [u8]) {
    for byte in body.iter_mut().filter(|byte| **byte < 0x20) {
        *byte = b' ';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_str(body: &str) -> Result<Value, ApiError> {
        read("/cgi-bin/x", &mut body.as_bytes().to_vec())
    }

    #[test]
    fn an_errcode_is_an_error_whatever_else_the_answer_holds() {
        let error = read_str(r#"{"errcode":47003,"errmsg":"argument invalid!","msgid":1}"#).unwrap_err();
        assert_eq!(error.errcode(), Some(47003));
        assert!(read_str(r#"{"errcode":0,"errmsg":"ok"}"#).is_ok());
        assert!(
            read_str(r#"{"template_list":[]}"#).is_ok(),
            "a success may have no errcode"
        );
    }

    #[test]
    fn control_characters_inside_strings_are_survived() {
        let answer = read_str("{\"errmsg\":\"a\u{1}b\n\",\n\"errcode\":0}").unwrap();
        assert_eq!(answer["errmsg"], "a b ");
    }

    #[test]
    fn what_is_no_json_is_an_error_that_does_not_quote_it() {
        for body in ["<html>secret</html>", "{\"access_token\":\"secret", ""] {
            let error = read_str(body).unwrap_err();
            assert!(matches!(error, ApiError::Unreadable { .. }));
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
        let error = decode::<u64>("/x", serde_json::json!("secret")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
