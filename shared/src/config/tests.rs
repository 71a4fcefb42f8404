//! The configuration of each function, and the problems that it reports.

use super::*;

const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

fn webhook(pairs: &[(&str, &str)]) -> Result<WebhookConfig, ConfigError> {
    let full = [
        ("WECHAT_APP_ID", "wx0123456789abcdef"),
        ("WECHAT_TOKEN", "tok"),
        ("TABLE_NAME", "t"),
    ];
    WebhookConfig::read(&Environment::from_pairs(full.iter().chain(pairs).copied()))
}

#[test]
fn an_aes_key_turns_safe_mode_on() {
    assert_eq!(webhook(&[]).unwrap().verifier.mode, MessageMode::Plain);
    assert_eq!(
        webhook(&[(ENCODING_AES_KEY, KEY)]).unwrap().verifier.mode,
        MessageMode::Safe
    );
    let compat = webhook(&[(ENCODING_AES_KEY, KEY), (MESSAGE_MODE, "compat")]).unwrap();
    assert_eq!(compat.verifier.mode, MessageMode::Compat);
    assert_eq!(compat.verifier.max_clock_skew, 600);
}

#[test]
fn all_problems_are_reported_at_once_and_no_value_is_shown() {
    let environment = Environment::from_pairs([
        (APP_ID, "gh_0a1b2c3d4e5f"),
        (ENCODING_AES_KEY, "sup3rsecret"),
        (MESSAGE_MODE, "secure"),
        (MAX_CLOCK_SKEW, "ten"),
        (TOKEN, " "),
    ]);
    let error = WebhookConfig::read(&environment).unwrap_err();
    let text = format!("{error} {error:?} {environment:?}");
    for name in [
        APP_ID,
        TOKEN,
        ENCODING_AES_KEY,
        MESSAGE_MODE,
        MAX_CLOCK_SKEW,
        "TABLE_NAME",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(!text.contains("sup3rsecret"));
}

fn unreadable() -> SecretError {
    SecretError::Unreadable {
        cause: "AccessDeniedException".to_owned(),
        message: "role arn:aws:iam::123456789012:role/r".to_owned(),
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_reported_with_the_other_problems() {
    let environment = Environment::from_pairs([(MESSAGE_MODE, "secure")]).completed(Err(unreadable()));
    let error = WebhookConfig::read(&environment).unwrap_err();
    assert!(!error.awaits_secret());
    let error = error.to_string();
    for part in ["AccessDeniedException", "role/r", MESSAGE_MODE] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(!error.contains("TABLE_NAME"), "it may be in the secret: {error}");
    let complete = Environment::from_pairs([(APP_ID, "wx0123456789abcdef"), (TOKEN, "t"), ("TABLE_NAME", "t")]);
    assert!(WebhookConfig::read(&complete).is_ok());
    assert!(
        WebhookConfig::read(&complete.completed(Err(unreadable()))).is_err(),
        "the secret may hold values that correct the others"
    );
}

#[test]
fn strangers_learn_only_the_code_of_a_secret_error() {
    let environment = Environment::from_pairs([(MESSAGE_MODE, "safe")]).completed(Err(unreadable()));
    let error = WebhookConfig::read(&environment).unwrap_err();
    assert!(error.awaits_secret(), "the key may be in the secret: {error}");
    let public = error.public();
    assert!(public.contains("AccessDeniedException"), "{public}");
    assert!(!public.contains("123456789012"), "{public}");
}

#[test]
fn a_secret_that_is_not_a_json_object_is_reported_with_the_other_problems() {
    let environment = Environment::from_pairs([(MESSAGE_MODE, "secure")]).completed(Ok("just-the-secret"));
    let error = WebhookConfig::read(&environment).unwrap_err();
    assert!(!error.awaits_secret());
    let error = error.to_string();
    for part in ["JSON object", MESSAGE_MODE] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(!error.contains("TABLE_NAME"), "it may be in the secret: {error}");
    assert!(!error.contains("just-the-secret"));
}

#[cfg(feature = "client")]
#[test]
fn the_doctor_does_without_the_secret_where_keys_are_set_directly() {
    let direct = [
        (APP_ID, "wx0123456789abcdef"),
        ("TABLE_NAME", "t"),
        ("TOKEN_REFRESHER_FUNCTION", "f"),
    ];
    let environment = Environment::from_pairs(direct).completed(Err(unreadable()));
    assert!(AdminConfig::read(&environment).unwrap_err().awaits_secret());
    let with_keys = environment.with([("API_KEYS", "key".to_owned())]);
    assert_eq!(AdminConfig::read(&with_keys).unwrap().secret, Some(unreadable()));
    assert!(CallerConfig::read(&with_keys).unwrap_err().awaits_secret());
}

#[cfg(feature = "client")]
#[test]
fn the_app_secret_goes_to_wechat_by_https_only() {
    let caller = |base: &str| {
        CallerConfig::read(&Environment::from_pairs([
            (APP_ID, "wx0123456789abcdef"),
            ("TABLE_NAME", "t"),
            ("TOKEN_REFRESHER_FUNCTION", "f"),
            ("API_KEYS", "key"),
            ("WECHAT_API_BASE", base),
        ]))
    };
    for base in [
        "http://api.weixin.qq.com",
        "HTTP://API.WEIXIN.QQ.COM:8080/",
        "http://weixin.qq.com.",
        "http://sh.api.weixin.qq.com",
    ] {
        let error = caller(base).unwrap_err().to_string();
        assert!(error.contains("https") && error.contains("明文"), "{base}: {error}");
    }
    for (base, is_clear) in [
        ("https://api.weixin.qq.com", false),
        ("http://127.0.0.1:9000", false),
        ("http://localhost", false),
        ("https://relay.example.com", false),
        ("http://relay.example.com", true),
        ("http://notweixin.qq.com", true),
        ("http://weixin.qq.com.example.com", true),
        ("http://10.0.0.7:8080", true),
    ] {
        let config = caller(base).unwrap();
        assert_eq!(config.api.clear_text_warning().is_some(), is_clear, "{base}");
    }
}

/// The doctor needs the address of own code, but not its secret.
#[cfg(feature = "client")]
#[test]
fn admin_knows_the_address_of_own_code_only() {
    let environment = Environment::from_pairs([
        (APP_ID, "wx0123456789abcdef"),
        (TOKEN, "tok"),
        ("TABLE_NAME", "t"),
        ("TOKEN_REFRESHER_FUNCTION", "f"),
        ("FORWARD_URL", "https://example.com/wechat?password=hidden"),
    ]);
    let config = AdminConfig::read(&environment).unwrap();
    assert_eq!(config.forward_url.unwrap().to_string(), "https://example.com/wechat");
    assert_eq!(config.webhook_mode, Some(Ok(MessageMode::Plain)));
    let wrong = environment.with([("FORWARD_URL", "nowhere".to_owned()), ("TABLE_NAME", String::new())]);
    let error = AdminConfig::read(&wrong).unwrap_err().to_string();
    assert!(error.contains("FORWARD_URL") && error.contains("TABLE_NAME"), "{error}");
}

#[test]
fn safe_mode_without_a_key_is_a_problem() {
    let error = webhook(&[(MESSAGE_MODE, "safe")]).unwrap_err().to_string();
    assert!(error.contains(ENCODING_AES_KEY));
}

#[test]
fn previous_token_and_key_are_accepted_beside_the_current() {
    let config = webhook(&[
        ("WECHAT_TOKEN_PREVIOUS", "old"),
        (ENCODING_AES_KEY, KEY),
        ("WECHAT_ENCODING_AES_KEY_PREVIOUS", KEY),
    ])
    .unwrap();
    assert_eq!((config.verifier.tokens.len(), config.verifier.keys.len()), (2, 2));
}

#[test]
fn a_variable_wins_over_the_secret_unless_it_is_empty() {
    let environment = Environment::from_pairs([("A", "direct"), ("B", "")]);
    let environment = environment
        .with_secret(r#"{"A":"secret","B":"secret","C":"secret","D":300,"E":null}"#)
        .unwrap();
    assert_eq!(environment.get("A"), Some("direct"));
    assert_eq!(environment.get("B"), Some("secret"));
    assert_eq!(environment.get("C"), Some("secret"));
    assert_eq!(environment.get("D"), Some("300"));
    assert_eq!(environment.get("E"), None);
    assert!(Environment::default().with_secret("[]").is_err());
}
