//! One HTTP request of a server to the platform.

use std::net::IpAddr;

use axum::http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    errcode::ApiError,
    form::{Form, Upload},
};

/// One HTTP request.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) body: &'a [u8],
    /// The fields of a body of `multipart/form-data`.
    pub(crate) form: Option<&'a Form>,
    pub(crate) peer: IpAddr,
}

impl Call<'_> {
    /// The query parameter of that name; empty when it is missing.
    pub(crate) fn query(&self, name: &str) -> &str {
        let pair = self.query.iter().find(|(key, _)| key == name);
        pair.map_or("", |(_, value)| value)
    }

    /// The query parameter of that name, or the form's field. EasyWeChat sends `type` as a field, and wechatpy sends
    /// `description` in the query.
    pub(crate) fn query_or_field(&self, name: &str) -> &str {
        match (self.query(name), self.form) {
            ("", Some(form)) => form.text(name),
            (value, _) => value,
        }
    }

    /// The uploaded file, the form's field `media`: 41005 when it is missing, 44001 when it is empty.
    pub(crate) fn media(&self) -> Result<Upload<'_>, ApiError> {
        self.form.ok_or_else(|| ApiError::of(41005))?.media()
    }

    /// Parses the body: 44002 for an empty one, 47001 when it is not the JSON that the API takes.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        if self.body.is_empty() {
            return Err(ApiError::of(44002));
        }
        serde_json::from_slice(self.body).map_err(|_| ApiError::of(47001))
    }

    /// A text member of the body, which is parsed as [`Self::json`] does; empty when it is missing.
    pub(crate) fn text(&self, name: &str) -> Result<String, ApiError> {
        match self.json::<Map<String, Value>>()?.remove(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(ApiError::of(47001)),
        }
    }

    /// The same, where the platform takes a number too.
    pub(crate) fn text_or_number(&self, name: &str) -> Result<String, ApiError> {
        match self.json::<Map<String, Value>>()?.get(name) {
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => self.text(name),
        }
    }

    /// Whether the body writes a non-ASCII character as `\uXXXX`, which the platform refuses or shows undecoded.
    pub(crate) fn escapes_text(&self) -> bool {
        let mut rest = self.body;
        while let Some(backslash) = rest.iter().position(|byte| *byte == b'\\') {
            rest = &rest[backslash + 1..];
            if let [b'u', digits @ ..] = rest
                && let Some(digits) = digits.get(..4).and_then(|digits| std::str::from_utf8(digits).ok())
                && u32::from_str_radix(digits, 16).is_ok_and(|code| code > 0x7f)
            {
                return true;
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        false
    }

    /// Refuses another method with 43001 or 43002.
    pub(crate) fn must_be(&self, method: &Method) -> Result<(), ApiError> {
        if self.method == method {
            return Ok(());
        }
        Err(ApiError::of(if method == Method::GET { 43001 } else { 43002 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_escapes_of_non_ascii_text_count() {
        let escapes = |body: &str| {
            Call {
                method: &Method::POST,
                path: "",
                query: &[],
                body: body.as_bytes(),
                form: None,
                peer: [127, 0, 0, 1].into(),
            }
            .escapes_text()
        };
        assert!(escapes(r#"{"a":"\u4f60"}"#));
        assert!(escapes(r#"{"a":"\\\u4f60"}"#));
        assert!(escapes(r#"{"a":"\u0026\u00e9"}"#));
        assert!(!escapes(r#"{"a":"\u0026 \n \" 你"}"#));
        assert!(!escapes(r#"{"a":"\\u4f60"}"#));
        assert!(!escapes(r#"{"a":"\u4"#));
        assert!(!escapes("\\"));
    }
}
