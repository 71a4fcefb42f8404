//! Keeps secrets out of what the console shows: by the names under which they travel.

use serde_json::{Map, Value};

/// Members of JSON and parameters of queries whose values nobody needs to see.
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
/// Larger bodies are not read: nothing that is shown whole comes near.
const READ: usize = 512 * 1024;

/// `name=value&…`, readable, without secrets.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let shown = pairs.into_iter().map(|(name, value)| {
        let value = if is_secret(name) { MASK } else { value };
        format!("{name}={value}")
    });
    shown.collect::<Vec<_>>().join("&")
}

/// A body without secrets: as it came, unless it holds one. What is no JSON but names one is left out.
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
