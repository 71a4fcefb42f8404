//! `ETag` and `If-Match`: a change replaces only the version that the caller has read.

use std::fmt::Display;

use http::{HeaderMap, Response, header};
use http_api::{
    Problem,
    openapi::{Location, Parameter},
};

/// `If-Match` in `openapi.json`.
pub(crate) const IF_MATCH: Parameter = Parameter {
    name: "If-Match",
    location: Location::Header,
    description: "The ETag of the version to replace.",
    schema: r#"{"type": "string", "pattern": "^([*]|\"[0-9a-z]{1,19}\")$"}"#,
};

/// Reads the tag of `If-Match: "tag"`. `None` for `*` and without the header: any version may be replaced.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let value = value.to_str().unwrap_or_default().trim();
    if value == "*" {
        return Ok(None);
    }
    let tag = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    tag.map(Some).ok_or_else(bad_if_match)
}

/// Refuses an `If-Match` that is not an `ETag` of this API.
pub(crate) fn bad_if_match() -> Problem {
    Problem::bad_request(
        "If-Match must be the ETag of an earlier answer, such as \"3\" / If-Match 应为之前应答的 ETag，如 \"3\"",
    )
    .with_field("If-Match")
}

/// Refuses `If-Match` where there are no versions: its sender relies on it, so it must not be ignored.
///
/// # Errors
/// [`Problem`] when `headers` contain `If-Match`.
pub(crate) fn refuse_if_match(headers: &HeaderMap) -> Result<(), Problem> {
    match if_match(headers)? {
        None => Ok(()),
        Some(_) => Err(Problem::bad_request(
            "conditional menus have no ETag, so If-Match cannot be checked: leave it out \
             / 个性化菜单没有 ETag，无法按 If-Match 处理，请去掉该请求头",
        )
        .with_field("If-Match")),
    }
}

/// Adds `tag` to `response` as its `ETag`.
pub(crate) fn with_etag(mut response: Response<String>, tag: impl Display) -> Response<String> {
    if let Ok(etag) = format!("\"{tag}\"").parse() {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}
