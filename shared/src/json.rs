//! JSON: what WeChat writes, with raw control characters inside strings, which JSON forbids; and what this bundle writes.

use std::{borrow::Cow, fmt::Write as _};

use serde::Serialize;

/// Writes `value` as JSON.
///
/// # Panics
/// When `value` has a map whose keys are not texts. No type here has one.
pub fn write(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("every map here has text keys")
}

/// Escapes the control characters that stand raw in the strings of `json`, so that a parser takes them for what they are.
pub(crate) fn escape_control_characters(json: &str) -> Cow<'_, str> {
    if !json.contains(|c: char| c < ' ') {
        return Cow::Borrowed(json);
    }
    let mut clean = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if c < ' ' && in_string && !escaped {
            // Writing to a String cannot fail.
            let _ = write!(clean, "\\u{:04x}", u32::from(c));
            continue;
        }
        clean.push(c);
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && in_string && !escaped;
    }
    Cow::Owned(clean)
}
