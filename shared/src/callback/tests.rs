//! Which requests each mode accepts and which it refuses.

use super::*;

const NOW: i64 = 1_767_225_600;
const APP_ID: &str = "wx0123456789abcdef";
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const CLEAR: &str = "<xml><MsgType>text</MsgType><Content>clear</Content></xml>";
const HIDDEN: &str = "<xml><MsgType>text</MsgType><Content>hidden</Content></xml>";

fn verifier(mode: MessageMode) -> CallbackVerifier {
    CallbackVerifier {
        app_id: APP_ID.to_owned(),
        tokens: vec![Secret::new("protoSheetTok01"), Secret::new("previous")],
        keys: vec![
            EncodingAesKey::parse(KEY).unwrap(),
            EncodingAesKey::parse(&"A".repeat(43)).unwrap(),
        ],
        mode,
        max_clock_skew: 600,
    }
}

fn query(pairs: &[(&str, &str)]) -> CallbackQuery {
    CallbackQuery::from_pairs(pairs.iter().copied()).unwrap()
}

fn signed(token: &str, timestamp: i64) -> CallbackQuery {
    let timestamp = timestamp.to_string();
    let signature = signature::sign(&[token, &timestamp, "n1"]);
    query(&[
        ("signature", &signature),
        ("timestamp", &timestamp),
        ("nonce", "n1"),
        ("echostr", "4375120948345356249"),
    ])
}

fn encrypted(token: &str, key: &str, app_id: &str) -> (CallbackQuery, String) {
    let encrypt = EncodingAesKey::parse(key).unwrap().encrypt([3; 16], HIDDEN, app_id);
    let timestamp = NOW.to_string();
    let msg_signature = signature::sign(&[token, &timestamp, "n1", &encrypt]);
    let signature = signature::sign(&[token, &timestamp, "n1"]);
    let query = query(&[
        ("signature", &signature),
        ("timestamp", &timestamp),
        ("nonce", "n1"),
        ("encrypt_type", "aes"),
        ("msg_signature", &msg_signature),
        ("openid", "o1"),
    ]);
    (query, encrypt)
}

fn safe_body(encrypt: &str) -> String {
    format!("<xml><ToUserName>gh_1</ToUserName><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>")
}

fn compat_body(encrypt: &str) -> String {
    format!("<xml><MsgType>text</MsgType><Content>clear</Content><Encrypt>{encrypt}</Encrypt></xml>")
}

fn content(opened: &OpenedCallback) -> &str {
    opened.document.text("Content").unwrap()
}

#[test]
fn the_protocol_sheets_own_vector_opens() {
    let encrypt = "Q3stYC6hdFzMh9T8HCvyDEyyIo7SrfCU7qIY00FhmKzxLhwDU4yRHtC29SoooV3tx7okhC5npvHDSKQvQM1w/V95xgY8LIJrOvztMGRxcT0MbRYknA26pTDuM5F2x5yHjX2JqkyLwcaQ9yEDvgqum2xVKBnBlSypyzSO25byXlc5AnVIAQG5cuDICk9WoIjiq5bgQ1/SAb0AHLl+Wu2Y8gzQzIJ65MZtutDml9vKJMUZf2OsGMl5AIbyFMMYaNxcI25CGEKFKFpRdndMKV9+Ksb3veQmDc+6Ry5//vbzkONUCcoE4H/ZkGgQJ+MJ/ImMO+NiI1h6hG7PNEA8BYjdqpL4T/OHeFBmZ9iSiuIUmB7yp4hgE6GcfqaQiDl7qrXvMdzTGNjzGnVzmVR/EVJc1OyS2yRmDhZGqt4aEAU68DU=";
    let query = query(&[
        ("timestamp", "1767225600"),
        ("nonce", "998877"),
        ("msg_signature", "c4a4f4806a7e81a3832242df8f3c3c527e44a836"),
    ]);
    let opened = verifier(MessageMode::Safe)
        .open(&query, safe_body(encrypt).as_bytes(), NOW)
        .unwrap();
    assert_eq!(content(&opened), "你好");
}

/// A follower's text in the clear part can imitate any element, also the ciphertext.
#[test]
fn compat_mode_finds_the_ciphertext_beside_any_clear_text() {
    let verifier = verifier(MessageMode::Compat);
    let (query, encrypt) = encrypted("protoSheetTok01", KEY, APP_ID);
    for text in [
        "a[b[0]]>1",
        "]]></Content></xml>",
        "<Encrypt>forged</Encrypt>",
        "]]></Content><Encrypt><![CDATA[forged]]></Encrypt>",
        "<!DOCTYPE x>]]>&e;",
    ] {
        let clear = format!("<Content><![CDATA[{text}]]></Content>");
        let sealed = format!("<Encrypt><![CDATA[{encrypt}]]></Encrypt>");
        for body in [
            format!("<xml>{clear}{sealed}</xml>"),
            format!("<xml>{sealed}{clear}</xml>"),
        ] {
            let opened = verifier.open(&query, body.as_bytes(), NOW);
            assert_eq!(content(&opened.unwrap()), "hidden", "{body}");
        }
    }
}

/// A request without WeChat's `signature` is refused before its body is read, although [`CallbackVerifier::open`] would take it.
#[test]
fn the_query_is_verified_without_the_body() {
    for mode in [MessageMode::Plain, MessageMode::Compat, MessageMode::Safe] {
        let verifier = verifier(mode);
        let check = |query: &CallbackQuery| verifier.verify_query(query, NOW);
        assert_eq!(check(&signed("protoSheetTok01", NOW)), Ok(()));
        assert_eq!(check(&signed("wrong", NOW)), Err(VerifyError::Signature("signature")));
        assert_eq!(
            check(&signed("protoSheetTok01", NOW - 601)),
            Err(VerifyError::Skew(601))
        );
        assert!(check(&query(&[])).is_err());

        let (whole, _) = encrypted("protoSheetTok01", KEY, APP_ID);
        assert_eq!(check(&whole), Ok(()));
        let unsigned = CallbackQuery {
            signature: None,
            ..whole
        };
        assert_eq!(check(&unsigned), Err(VerifyError::Missing("signature")));
    }
}

#[test]
fn any_echostr_goes_back_unless_it_is_endless() {
    let verifier = verifier(MessageMode::Plain);
    let signed = |echostr: &str| CallbackQuery {
        echostr: Some(echostr.to_owned()),
        ..signed("protoSheetTok01", NOW)
    };
    for echostr in ["4375120948345356249", "a-b_c.d+e/f==", "<b> 你", "1\n"] {
        assert_eq!(verifier.verify_url(&signed(echostr), NOW), Ok(echostr));
    }
    let endless = signed(&"1".repeat(2049));
    assert_eq!(verifier.verify_url(&endless, NOW), Err(VerifyError::Echostr));
}

#[test]
fn the_url_check_echoes_only_what_wechat_signed() {
    for mode in [MessageMode::Plain, MessageMode::Compat, MessageMode::Safe] {
        let verifier = verifier(mode);
        assert_eq!(
            verifier.verify_url(&signed("protoSheetTok01", NOW), NOW).unwrap(),
            "4375120948345356249"
        );
        assert!(
            verifier.verify_url(&signed("previous", NOW), NOW).is_ok(),
            "the token before the rotation"
        );
        assert_eq!(
            verifier.verify_url(&signed("wrong", NOW), NOW).unwrap_err(),
            VerifyError::Signature("signature")
        );
    }
}

#[test]
fn missing_and_duplicate_parameters_are_refused() {
    let full = signed("protoSheetTok01", NOW);
    let verifier = verifier(MessageMode::Plain);
    let without = |query: CallbackQuery| verifier.verify_url(&query, NOW).unwrap_err();
    assert_eq!(
        without(CallbackQuery {
            signature: None,
            ..full.clone()
        }),
        VerifyError::Missing("signature")
    );
    assert_eq!(
        without(CallbackQuery {
            timestamp: None,
            ..full.clone()
        }),
        VerifyError::Missing("timestamp")
    );
    assert_eq!(
        without(CallbackQuery {
            nonce: Some(String::new()),
            ..full.clone()
        }),
        VerifyError::Missing("nonce")
    );
    assert_eq!(
        without(CallbackQuery { echostr: None, ..full }),
        VerifyError::Missing("echostr")
    );
    assert_eq!(
        CallbackQuery::from_pairs([("nonce", "1"), ("openid", "a"), ("openid", "b"), ("nonce", "1")]).unwrap_err(),
        VerifyError::Duplicate("nonce")
    );
}

#[test]
fn a_timestamp_outside_the_window_is_refused_on_both_sides() {
    let verifier = verifier(MessageMode::Plain);
    for skew in [-600, 0, 600] {
        assert!(
            verifier.verify_url(&signed("protoSheetTok01", NOW - skew), NOW).is_ok(),
            "{skew}"
        );
    }
    for skew in [-601, 601] {
        let query = signed("protoSheetTok01", NOW - skew);
        assert_eq!(verifier.verify_url(&query, NOW).unwrap_err(), VerifyError::Skew(skew));
    }
    let endless = CallbackVerifier {
        max_clock_skew: 0,
        ..verifier
    };
    assert!(endless.verify_url(&signed("protoSheetTok01", 0), NOW).is_ok());
}

#[test]
fn plain_mode_reads_clear_bodies() {
    let verifier = verifier(MessageMode::Plain);
    let opened = verifier
        .open(&signed("protoSheetTok01", NOW), CLEAR.as_bytes(), NOW)
        .unwrap();
    assert_eq!(content(&opened), "clear");
    assert!(opened.seal.is_none());

    let (query, encrypt) = encrypted("protoSheetTok01", KEY, APP_ID);
    let refused = |body: &str| verifier.open(&query, body.as_bytes(), NOW).unwrap_err();
    let refusal = refused(&safe_body(&encrypt));
    assert!(matches!(refusal, OpenError::Encrypted));
    assert!(
        refusal.to_string().contains("MessageMode"),
        "where the mode is set, as in AWS, the key alone changes nothing"
    );
    assert!(matches!(refused(CLEAR), OpenError::NotEncrypted), "aes without Encrypt");
}

#[test]
fn safe_mode_refuses_clear_bodies_whatever_the_query_says() {
    let verifier = verifier(MessageMode::Safe);
    let (query, _) = encrypted("protoSheetTok01", KEY, APP_ID);
    assert!(matches!(
        verifier.open(&query, CLEAR.as_bytes(), NOW).unwrap_err(),
        OpenError::NotEncrypted
    ));
    let clear = |token| {
        let refused = verifier.open(&signed(token, NOW), CLEAR.as_bytes(), NOW);
        refused.unwrap_err()
    };
    assert!(matches!(
        clear("protoSheetTok01"),
        OpenError::Verify(VerifyError::PlainMode)
    ));
    assert!(matches!(
        clear("another"),
        OpenError::Verify(VerifyError::Missing("msg_signature"))
    ));
}

#[test]
fn compat_mode_uses_only_what_was_decrypted() {
    let verifier = verifier(MessageMode::Compat);
    let (query, encrypt) = encrypted("protoSheetTok01", KEY, APP_ID);
    let opened = verifier.open(&query, compat_body(&encrypt).as_bytes(), NOW).unwrap();
    assert_eq!(content(&opened), "hidden");
    assert!(opened.seal.is_some());
    assert!(matches!(
        verifier.open(&query, CLEAR.as_bytes(), NOW).unwrap_err(),
        OpenError::NotEncrypted
    ));

    let without_type = CallbackQuery {
        encrypt_type: None,
        msg_signature: None,
        ..query
    };
    assert!(
        verifier
            .open(&without_type, compat_body(&encrypt).as_bytes(), NOW)
            .is_err(),
        "dropping encrypt_type does not drop the check"
    );
}

#[test]
fn previous_token_and_key_still_open_and_seal() {
    let verifier = verifier(MessageMode::Safe);
    let previous_key = "A".repeat(43);
    let (query, encrypt) = encrypted("previous", &previous_key, APP_ID);
    let opened = verifier.open(&query, safe_body(&encrypt).as_bytes(), NOW).unwrap();
    let sealed = opened.seal.unwrap().seal("<xml>reply</xml>", NOW, [9; 16], "42");
    let reply = Tree::parse(sealed.as_bytes()).unwrap();
    let encrypt = reply.text("Encrypt").unwrap();
    assert_eq!(
        EncodingAesKey::parse(&previous_key)
            .unwrap()
            .decrypt(encrypt, APP_ID)
            .unwrap(),
        "<xml>reply</xml>"
    );
    assert_eq!(
        reply.text("MsgSignature").unwrap(),
        signature::sign(&["previous", &NOW.to_string(), "42", encrypt])
    );
}

#[test]
fn a_tampered_ciphertext_and_another_account_are_refused() {
    let verifier = verifier(MessageMode::Safe);
    let (query, encrypt) = encrypted("protoSheetTok01", KEY, APP_ID);
    let tampered = encrypt.replacen(|c: char| c != '+', "+", 1);
    let refused = verifier.open(&query, safe_body(&tampered).as_bytes(), NOW).unwrap_err();
    assert!(matches!(
        refused,
        OpenError::Verify(VerifyError::Signature("msg_signature"))
    ));
    let (query, encrypt) = encrypted("protoSheetTok01", KEY, "wxfedcba9876543210");
    let other = verifier.open(&query, safe_body(&encrypt).as_bytes(), NOW).unwrap_err();
    assert!(matches!(other, OpenError::Decrypt(DecryptError::AppId)));
}

#[test]
fn no_error_and_no_debug_shows_a_token() {
    let verifier = verifier(MessageMode::Safe);
    let error = verifier.verify_url(&signed("wrong", NOW), NOW).unwrap_err();
    let shown = format!("{verifier:?} {error} {error:?}");
    assert!(!shown.contains("protoSheetTok01") && !shown.contains(KEY));
}
