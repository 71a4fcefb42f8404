//! Requests to the webhook, with and without the key.

use std::sync::LazyLock;

use wechat::{
    callback::{CallbackQuery, CallbackVerifier, MessageMode, OpenError, aes::EncodingAesKey, signature},
    secret::Secret,
};

const APP_ID: &str = "wx0123456789abcdef";
const TOKEN: &str = "eventsToken01";
const OTHER_TOKEN: &str = "kept from the fuzzer";
const NOW: i64 = 1_767_225_600;

static KEY: LazyLock<EncodingAesKey> = LazyLock::new(|| {
    EncodingAesKey::parse("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG").expect("43 letters and digits")
});

fn verifier(token: &str, mode: MessageMode) -> CallbackVerifier {
    CallbackVerifier {
        app_id: APP_ID.to_owned(),
        tokens: vec![Secret::new(token)],
        keys: vec![KEY.clone()],
        mode,
        max_clock_skew: 600,
    }
}

/// Opens a request: the query on the first line, then the body.
///
/// An unsigned request is refused in every mode; a signed frame of any bytes is opened or refused.
pub fn verify_and_decrypt(input: &[u8]) {
    let (line, body) = match input.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &input[..0]),
    };
    let line = String::from_utf8_lossy(line);
    let pairs = line.split('&').filter_map(|pair| pair.split_once('='));
    for mode in [MessageMode::Plain, MessageMode::Compat, MessageMode::Safe] {
        let Ok(query) = CallbackQuery::from_pairs(pairs.clone()) else {
            continue;
        };
        // Some inputs of the corpus are signed with this token, none with the other.
        let _ = verifier(TOKEN, mode).verify_url(&query, NOW);
        let _ = verifier(TOKEN, mode).open(&query, body, NOW);
        assert!(verifier(OTHER_TOKEN, mode).verify_url(&query, NOW).is_err());
        assert!(verifier(OTHER_TOKEN, mode).open(&query, body, NOW).is_err());
    }
    // Correctly signed, with the body as the ciphertext, then as the clear text.
    let encrypt = String::from_utf8_lossy(body);
    open_signed(&encrypt.replace(['<', '&', ']', '\r', '{'], ""));
    let sealed = KEY.encrypt([7; 16], body, APP_ID);
    assert_eq!(
        KEY.decrypt(&sealed, APP_ID).as_deref(),
        Ok(&*String::from_utf8_lossy(body))
    );
    open_signed(&sealed);
}

fn open_signed(encrypt: &str) {
    let encrypt = encrypt.trim();
    let timestamp = NOW.to_string();
    let msg_signature = signature::sign(&[TOKEN, &timestamp, "1", encrypt]);
    let query = [
        ("timestamp", timestamp.as_str()),
        ("nonce", "1"),
        ("msg_signature", &msg_signature),
    ];
    let query = CallbackQuery::from_pairs(query).expect("no name occurs twice");
    let body = format!("<xml><Encrypt>{encrypt}</Encrypt></xml>");
    let opens = KEY.decrypt(encrypt, APP_ID).is_ok();
    match verifier(TOKEN, MessageMode::Safe).open(&query, body.as_bytes(), NOW) {
        Ok(opened) => {
            let seal = opened.seal.expect("what was encrypted is answered encrypted");
            assert!(seal.seal("<xml/>", NOW, [1; 16], "2").starts_with("<xml><Encrypt>"));
        }
        Err(OpenError::Document(_)) => assert!(opens, "only what was opened is acknowledged"),
        Err(_) => assert!(!opens, "what was opened is never refused"),
    }
}
