//! Tokens that callers of the relay show.

use wechat::{
    relay::token::{Holder, LIFETIME, LONGEST, OpaqueTokens},
    secret::Secret,
};

const NOW: i64 = 1_767_225_600;

/// Reads the input as a token, and as the id of a key.
///
/// Only an issued token is read as a token, and it names its holder until it expires.
pub fn opaque_token(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let tokens = OpaqueTokens::new(&Secret::new("a secret of the fuzz target"), "wx0123456789abcdef");
    assert_eq!(tokens.read(text, NOW), None, "{text:?}");
    let holder = Holder::Key(text.to_owned());
    let token = tokens.issue(&holder, NOW);
    if token.len() <= LONGEST {
        assert_eq!(tokens.read(&token, NOW + LIFETIME - 1), Some(holder));
    }
    assert_eq!(tokens.read(&token, NOW + LIFETIME), None);
    let elsewhere = OpaqueTokens::new(&Secret::new("another secret"), "wx0123456789abcdef");
    assert_eq!(elsewhere.read(&token, NOW), None);
}
