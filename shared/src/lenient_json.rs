//! Repairs the JSON that WeChat sends: its strings can contain raw control characters, which JSON forbids.

use std::{borrow::Cow, fmt::Write as _};

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
