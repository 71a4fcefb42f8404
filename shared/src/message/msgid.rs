//! The ids that WeChat gives to messages.
//!
//! See [WeChat Docs/接收普通消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html):
//! `MsgId` is a 64-bit integer.

/// Digits of the largest 64-bit number.
const LONGEST_MSGID: usize = 20;

/// Whether `text` can be a msgid: 1 to 20 decimal digits.
#[must_use]
pub fn is_msgid(text: &str) -> bool {
    (1..=LONGEST_MSGID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
