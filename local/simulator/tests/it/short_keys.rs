//! Short keys that stand for long texts.

use serde_json::json;
use simulator::Mode;

use crate::stage::Stage;

const MAKE: &str = "/cgi-bin/shorten/gen";
const FETCH: &str = "/cgi-bin/shorten/fetch";

#[tokio::test]
async fn a_short_key_returns_its_text_until_it_ends() {
    let stage = Stage::new(Mode::Safe).await;
    let body = json!({"long_data": "长信息", "expire_seconds": 86_400});
    let key = stage.post_api(MAKE, body).await["short_key"].clone();
    assert_eq!(key.as_str().unwrap().len(), 15);
    stage.advance(400).await;
    let fetched = stage.post_api(FETCH, json!({"short_key": key})).await;
    assert_eq!(fetched["long_data"], "长信息");
    assert!(fetched["create_time"].is_i64());
    assert!((85_900..=86_000).contains(&fetched["expire_seconds"].as_i64().unwrap()));
    stage.advance(86_000).await;
    assert_eq!(stage.errcode(FETCH, json!({"short_key": key})).await, 9_410_012);
}

#[tokio::test]
async fn texts_and_times_have_limits() {
    let stage = Stage::new(Mode::Safe).await;
    for (body, expected) in [
        (json!({}), 47003),
        (json!({"long_data": "a".repeat(4_096)}), 0),
        (json!({"long_data": "a".repeat(4_097)}), 9_410_010),
        (json!({"long_data": "a", "expire_seconds": 2_592_001}), 9_410_011),
        (json!({"long_data": "a", "expire_seconds": 0}), 9_410_011),
    ] {
        assert_eq!(stage.errcode(MAKE, body).await, expected);
    }
    assert_eq!(stage.errcode(FETCH, json!({"short_key": "never"})).await, 9_410_012);
}
