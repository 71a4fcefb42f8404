//! Lower-case hex, as WeChat writes its signatures.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes each byte as two lower-case digits.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}
