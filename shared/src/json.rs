//! JSON as this bundle writes it, and as WeChat writes it: with raw control characters in strings, which JSON forbids.

use std::{borrow::Cow, fmt::Write as _};

use serde::Serialize;

/// Writes `value` as JSON.
///
/// # Panics
/// When `value` has a map whose keys are not texts. No type of this crate has one.
pub fn write(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("every map here has text keys")
}

/// Escapes raw control characters in the strings of `json`, so that a parser accepts them.
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
