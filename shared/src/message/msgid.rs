//! The ids that WeChat gives to messages.

/// Digits of a msgid: that of a 64-bit number.
const LONGEST_MSGID: usize = 20;

/// Whether `text` can be a msgid: a decimal number of at most 64 bits.
#[must_use]
pub fn is_msgid(text: &str) -> bool {
    (1..=LONGEST_MSGID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
