//! Paths and queries of calls to the relay: anyone with a key chooses them.

use url::{Url, form_urlencoded};
use wechat::relay::{path, query::Query};

const REAL: &str = "97_real-token";
/// What is never relayed, below the first segment.
const NEVER: [&str; 6] = [
    "token",
    "stable_token",
    "clear_quota",
    "openapi/quota/clear",
    "component",
    "sns",
];

/// Reads a path on the first line and a query on the second.
///
/// A path that passes is the one that HTTP libraries send, and never one of those that are not relayed. A query that passes
/// has one access_token for every reader, and everything around it stays.
pub fn relayed_call(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let (path, query) = text.split_once('\n').unwrap_or((text, ""));
    if path::check(path).is_ok() {
        let url = Url::parse(&format!("https://api.weixin.qq.com{path}"));
        let url = url.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!((url.path(), url.query(), url.fragment()), (path, None, None));
        let (_, below) = path[1..].split_once('/').unwrap_or_default();
        let below = format!("{}/", below.to_ascii_lowercase());
        for never in NEVER {
            assert!(!below.starts_with(&format!("{never}/")), "{path:?}");
        }
    }
    let Ok(found) = Query::parse(query) else { return };
    let (before, after) = (found.before, found.after);
    assert!(query.starts_with(before) && query.ends_with(after) && before.len() + after.len() <= query.len());
    assert!(after.is_empty() || after.starts_with('&'), "{query:?}");
    let sent = format!("{before}{REAL}{after}");
    let tokens: Vec<_> = form_urlencoded::parse(sent.as_bytes())
        .filter(|(name, _)| name.eq_ignore_ascii_case("access_token"))
        .map(|(_, value)| value.into_owned())
        .collect();
    assert_eq!(tokens, [REAL], "{query:?}");
}
