//! Masks secrets in what the console shows. It finds them by their names, and API keys by their form.

use serde_json::{Map, Value};
use wechat::api_key::KEY_PREFIX;

/// JSON members and query parameters whose values are masked. With a binding's id, link or QR code (`qr`) anyone becomes the
/// user whom it binds.
const SECRET: [&str; 13] = [
    "access_token",
    "code",
    "refresh_token",
    "secret",
    "appsecret",
    "app_secret",
    "signature",
    "msg_signature",
    "encoding_aes_key",
    "ticket",
    "binding",
    "link",
    "qr",
];
/// Paths that end in a secret: a one-time code, a binding's id.
const SECRET_AFTER: [&str; 2] = ["/api/logins/", "/api/bindings/"];
const MASK: &str = "…";
/// Characters after [`KEY_PREFIX`]. A key has more.
const SHORTEST_KEY: usize = 32;
/// Bytes. Of a larger body only the size is shown, so that it need not be parsed.
const READ: usize = 512 * 1024;

/// A path with its secrets masked, and API keys: somebody may give a key in place of its id.
pub(super) fn path(path: &str) -> String {
    match SECRET_AFTER.iter().find(|before| path.starts_with(**before)) {
        Some(before) => format!("{before}{MASK}"),
        None => keys(path),
    }
}

/// A query as lines of `name=value`, percent-decoded, with secrets masked.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let shown = pairs.into_iter().map(|(name, value)| {
        let value = if is_secret(name) { MASK } else { value };
        format!("{name}={value}")
    });
    keys(&shown.collect::<Vec<_>>().join("\n"))
}

/// A body with secrets masked, and whether that changed it. One that is not JSON and names a secret is masked whole.
pub(super) fn body(text: &str) -> (String, bool) {
    let shown = masked_body(text);
    let is_masked = shown != text;
    (shown, is_masked)
}

fn masked_body(text: &str) -> String {
    if text.len() > READ {
        return format!("({} bytes)", text.len());
    }
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        let names_a_secret = SECRET.iter().any(|name| text.contains(name));
        return if names_a_secret { MASK.to_owned() } else { keys(text) };
    };
    let masked = masked(json.clone());
    if masked == json {
        keys(text)
    } else {
        keys(&masked.to_string())
    }
}

/// `text` with API keys masked that were made at run time.
fn keys(text: &str) -> String {
    let mut parts = text.split(KEY_PREFIX);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let length = part.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (mask, rest) = if length < SHORTEST_KEY {
            ("", part)
        } else {
            (MASK, &part[length..])
        };
        shown.extend([KEY_PREFIX, mask, rest]);
    }
    shown
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

    /// A body that has to be masked, as it is shown.
    fn masked(text: &str) -> String {
        let (shown, is_masked) = body(text);
        assert!(is_masked, "{shown}");
        shown
    }

    #[test]
    fn secrets_are_masked_wherever_they_are_named() {
        assert_eq!(
            query([("access_token", "97_abc"), ("q", "a&b=c")]),
            "access_token=…\nq=a&b=c"
        );
        assert_eq!(masked(r#"{"a":[{"secret":"s3cr3t"}]}"#), r#"{"a":[{"secret":"…"}]}"#);
        assert_eq!(masked(r#"{"secret":"s3cr3t""#), "…", "broken JSON");
    }

    #[test]
    fn a_key_that_was_made_is_masked_wherever_it_stands() {
        let key = format!("{KEY_PREFIX}{}", "0f".repeat(24));
        assert_eq!(
            masked(&format!(r#"{{"name":"shop","key":"{key}"}}"#)),
            r#"{"name":"shop","key":"wk_…"}"#
        );
        assert_eq!(masked(&format!("{key} or {key}")), "wk_… or wk_…");
        assert_eq!(query([("key", key.as_str())]), "key=wk_…");
        assert_eq!(path(&format!("/api/keys/{key}")), "/api/keys/wk_…");
    }

    #[test]
    fn what_makes_somebody_a_user_is_masked() {
        assert_eq!(path("/api/bindings/0f0f"), "/api/bindings/…");
        assert_eq!(path("/api/logins/0f0f"), "/api/logins/…");
        assert_eq!(path("/api/bindings"), "/api/bindings");
        let created =
            r#"{"binding":"0f","user":"u-1","qr":{"url":"http://weixin.qq.com/q/1"},"link":"http://a/bind/0f"}"#;
        assert_eq!(masked(created), r#"{"binding":"…","link":"…","qr":"…","user":"u-1"}"#);
    }

    #[test]
    fn what_holds_none_stays_as_it_came() {
        for text in [
            r#"{ "b": 3400000000770115533, "a": 1.50 }"#,
            "<html>502</html>",
            "wk_1, wk_中",
            "",
        ] {
            assert_eq!(body(text), (text.to_owned(), false));
        }
    }
}
