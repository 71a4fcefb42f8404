//! Masks secrets in what the console shows. It finds them by their names.

use serde_json::{Map, Value};

/// JSON members and query parameters whose values are masked.
const SECRET: [&str; 8] = [
    "access_token",
    "refresh_token",
    "secret",
    "appsecret",
    "app_secret",
    "signature",
    "msg_signature",
    "encoding_aes_key",
];
const MASK: &str = "…";
/// Bytes. Of a larger body only the size is shown, so that it need not be parsed.
const READ: usize = 512 * 1024;

/// A query as `name=value&…`, percent-decoded, with secrets masked.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let shown = pairs.into_iter().map(|(name, value)| {
        let value = if is_secret(name) { MASK } else { value };
        format!("{name}={value}")
    });
    shown.collect::<Vec<_>>().join("&")
}

/// A body with secrets masked. A body without secrets stays as it was; one that is not JSON and names a secret is masked
/// whole.
pub(super) fn body(text: &str) -> String {
    if text.len() > READ {
        return format!("({} bytes)", text.len());
    }
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        let names_a_secret = SECRET.iter().any(|name| text.contains(name));
        return if names_a_secret { MASK } else { text }.to_owned();
    };
    let masked = masked(json.clone());
    if masked == json {
        text.to_owned()
    } else {
        masked.to_string()
    }
}

fn masked(json: Value) -> Value {
    match json {
        Value::Object(members) => Value::Object(members.into_iter().map(masked_member).collect::<Map<_, _>>()),
        Value::Array(values) => Value::Array(values.into_iter().map(masked).collect()),
        other => other,
    }
}

fn masked_member((name, value): (String, Value)) -> (String, Value) {
    let value = if is_secret(&name) { MASK.into() } else { masked(value) };
    (name, value)
}

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_are_named() {
        assert_eq!(
            query([("access_token", "97_abc"), ("type", "1")]),
            "access_token=…&type=1"
        );
        assert_eq!(body(r#"{"a":[{"secret":"s3cr3t"}]}"#), r#"{"a":[{"secret":"…"}]}"#);
        assert_eq!(body(r#"{"secret":"s3cr3t""#), "…", "broken JSON");
    }

    #[test]
    fn what_holds_none_stays_as_it_came() {
        for text in [r#"{ "b": 3400000000770115533, "a": 1.50 }"#, "<html>502</html>", ""] {
            assert_eq!(body(text), text);
        }
    }
}
