//! Reads WeChat's answers: the `errcode` first, whatever the status and the content type.
//! See [WeChat Docs/全局返回码](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html).

use std::fmt;

use reqwest::StatusCode;
use serde_json::Value;

use super::ApiError;
use crate::{errcode, json::escape_control_characters};

/// A refusal by WeChat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The code. [`errcode`] has its meaning and its remedy.
    pub errcode: i64,
    /// WeChat's message, which contains the `rid`.
    pub errmsg: String,
    /// Whether a token endpoint refused: there 40001 means a wrong AppSecret.
    pub at_token_endpoint: bool,
}

impl Rejection {
    /// Creates a refusal to issue a token.
    #[must_use]
    pub fn at_token_endpoint(errcode: i64, errmsg: impl Into<String>) -> Self {
        Self {
            errcode,
            errmsg: errmsg.into(),
            at_token_endpoint: true,
        }
    }

    /// Returns the code's entry in [`errcode`].
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
        let Self { errcode, errmsg, .. } = self;
        write!(
            f,
            "errcode {errcode} ({errmsg}): {}. {} / errcode {errcode}（{errmsg}）：{}。{}",
            entry.english, entry.remedy_english, entry.chinese, entry.remedy_chinese
        )
    }
}

/// Parses an answer. The errcode takes precedence over the HTTP status, which a relay may set. For `issues_tokens` see
/// [`super::Call::ISSUES_TOKENS`].
///
/// # Errors
/// [`ApiError`] when WeChat refused or the answer is not WeChat's. It quotes nothing of the answer but the errmsg.
pub fn read(operation: &'static str, issues_tokens: bool, status: StatusCode, body: &[u8]) -> Result<Value, ApiError> {
    let answer = parse(operation, body);
    if let Ok(answer) = &answer {
        let errcode = errcode_of(operation, answer)?;
        if errcode != 0 {
            return Err(rejected(operation, issues_tokens, errcode, answer));
        }
    }
    if !status.is_success() {
        let status = status.as_u16();
        return Err(ApiError::Status { operation, status });
    }
    answer
}

fn parse(operation: &'static str, body: &[u8]) -> Result<Value, ApiError> {
    // The parser's error is dropped: it may quote the answer, which may contain a token.
    let unreadable = |why: String| ApiError::Unreadable {
        operation,
        detail: format!("{} bytes {why}", body.len()),
    };
    let text = std::str::from_utf8(body).map_err(|_| unreadable("that are not UTF-8".to_owned()))?;
    let text = escape_control_characters(text.trim_start_matches('\u{feff}'));
    let answer: Value = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unreadable(format!("that are not JSON, at line {line} column {column}"))
    })?;
    if answer.is_object() {
        Ok(answer)
    } else {
        Err(unreadable("of JSON that is not an object".to_owned()))
    }
}

/// Returns the errcode, or 0 when the answer has none: many successes have none.
fn errcode_of(operation: &'static str, answer: &Value) -> Result<i64, ApiError> {
    let errcode = match answer.get("errcode") {
        None | Some(Value::Null) => Some(0),
        Some(errcode) => read_errcode(errcode),
    };
    errcode.ok_or_else(|| ApiError::Unreadable {
        operation,
        detail: "an errcode that is not a number".to_owned(),
    })
}

/// Reads an errcode: a number, or one in a text or with a fraction of zero, as some gateways write it.
#[must_use]
pub fn read_errcode(errcode: &Value) -> Option<i64> {
    let whole = |number: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
        (number.fract() == 0.0).then_some(number as i64)
    };
    match errcode {
        Value::String(text) => text.parse().ok(),
        number => number.as_i64().or_else(|| whole(number.as_f64()?)),
    }
}

fn rejected(operation: &'static str, issues_tokens: bool, errcode: i64, answer: &Value) -> ApiError {
    let errmsg = answer.get("errmsg").and_then(Value::as_str).unwrap_or_default();
    ApiError::Rejected {
        operation,
        rejection: Rejection {
            errcode,
            errmsg: errmsg.to_owned(),
            at_token_endpoint: issues_tokens,
        },
        calls: 1,
        after_ambiguous: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_str(body: &str) -> Result<Value, ApiError> {
        read("/cgi-bin/x", false, StatusCode::OK, body.as_bytes())
    }

    #[test]
    fn an_errcode_is_an_error_whatever_else_the_answer_holds() {
        let error = read_str(r#"{"errcode":47003,"errmsg":"argument invalid!","msgid":1}"#).unwrap_err();
        assert_eq!(error.errcode(), Some(47003));
        assert_eq!(read_str(r#"{"errcode":"40001"}"#).unwrap_err().errcode(), Some(40001));
        assert!(read_str(r#"{"errcode":0,"errmsg":"ok"}"#).is_ok());
        assert!(
            read_str(r#"{"template_list":[]}"#).is_ok(),
            "a success may have no errcode"
        );
    }

    #[test]
    fn an_errcode_takes_precedence_over_the_http_status() {
        let read = |status, body: &str| read("/cgi-bin/x", false, status, body.as_bytes()).unwrap_err();
        let refused = read(
            StatusCode::BAD_GATEWAY,
            r#"{"errcode":40001,"errmsg":"invalid credential"}"#,
        );
        assert_eq!(refused.errcode(), Some(40001));
        for body in ["<html>", r#"{"errcode":0}"#, "{}"] {
            let error = read(StatusCode::BAD_GATEWAY, body);
            assert!(matches!(error, ApiError::Status { status: 502, .. }), "{body}: {error}");
        }
    }

    #[test]
    fn control_characters_inside_strings_are_kept() {
        let answer = read_str("{\"content\":\"a\u{1}b\n\",\n\"errcode\":0}").unwrap();
        assert_eq!(answer["content"], "a\u{1}b\n");
        assert!(read_str("\u{feff}{}").is_ok());
    }

    #[test]
    fn what_wechat_does_not_send_is_an_error_that_does_not_quote_it() {
        for body in [
            "<html>secret</html>",
            "{\"access_token\":\"secret",
            "",
            "null",
            "\"secret\"",
            "[\"secret\"]",
            "{\"errcode\":\"secret\"}",
            "{\"errcode\":{}}",
            "{\"errcode\":0.5}",
        ] {
            let error = read_str(body).unwrap_err();
            assert!(matches!(error, ApiError::Unreadable { .. }), "{body}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
        assert!(read("/x", false, StatusCode::OK, b"{\"a\":\"\xff\"}").is_err());
    }
}
