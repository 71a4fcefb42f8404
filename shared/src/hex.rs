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

/// Returns `bytes` random bytes of the operating system as hex, for the name of a run or message, or for a nonce.
///
/// # Errors
/// [`getrandom::Error`] when the operating system has no randomness.
pub fn random(bytes: usize) -> Result<String, getrandom::Error> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)?;
    Ok(encode(&random))
}
