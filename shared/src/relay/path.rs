//! The paths that are relayed. HTTP libraries resolve `..`, `%2e` and `\` in different ways, so only paths without any of them
//! are relayed, and nothing is normalised: what is checked is what is sent.

use thiserror::Error;

/// The first segments of relayed paths.
pub const PREFIXES: [&str; 5] = ["cgi-bin", "customservice", "datacube", "wxa", "wxaapi"];

/// Paths below any of [`PREFIXES`] that are never relayed, and neither is anything below them. The first two issue tokens,
/// the next two spend the account's few resets of its quotas, and the last two act for other accounts and for people.
const NEVER: [&str; 6] = [
    "token",
    "stable_token",
    "clear_quota",
    "openapi/quota/clear",
    "component",
    "sns",
];

/// Why a path is not relayed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// The path has another form, or none of the [`PREFIXES`].
    #[error(
        "only paths of /cgi-bin, /customservice, /datacube, /wxa and /wxaapi are relayed, with segments of letters, digits, \
         _, - and . / 仅转发 /cgi-bin、/customservice、/datacube、/wxa、/wxaapi 下的路径，且每段只能含字母、数字、_、- 与 ."
    )]
    Form,
    /// The path is one that is never relayed.
    #[error("this path is never relayed / 该接口不予转发")]
    Never,
}

/// Checks that `path` is relayed.
///
/// # Errors
/// [`PathError`] when it is not.
pub fn check(path: &str) -> Result<(), PathError> {
    let rest = path.strip_prefix('/').ok_or(PathError::Form)?;
    if !rest.split('/').all(is_segment) {
        return Err(PathError::Form);
    }
    let (prefix, rest) = rest.split_once('/').ok_or(PathError::Form)?;
    if !PREFIXES.contains(&prefix) {
        return Err(PathError::Form);
    }
    let rest = rest.to_ascii_lowercase();
    if NEVER.iter().any(|never| is_or_is_below(&rest, never)) {
        return Err(PathError::Never);
    }
    Ok(())
}

/// Whether `path`, or something below it, is relayed.
#[must_use]
pub fn leads_to_any(path: &str) -> bool {
    let inner = |path: &str| path.strip_suffix('/').unwrap_or(path).to_owned();
    match path.strip_prefix('/').map(inner) {
        Some(prefix) if !prefix.contains('/') => path == "/" || PREFIXES.contains(&&*prefix),
        Some(path) => check(&format!("/{path}")).is_ok(),
        None => false,
    }
}

fn is_or_is_below(path: &str, above: &str) -> bool {
    let below = path.strip_prefix(above);
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// Whether a relayed path can have this segment: letters, digits, `_`, `-` and `.`, but neither `.` nor `..`.
fn is_segment(segment: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_relayed() {
        for path in [
            "/cgi-bin/menu/get",
            "/cgi-bin/media/upload",
            "/cgi-bin/openapi/quota/get",
            "/customservice/kfaccount/add",
            "/datacube/getusersummary",
            "/wxa/getwxacode",
            "/wxaapi/newtmpl/addtemplate",
            "/cgi-bin/a.b-c_d/...",
            "/cgi-bin/tokens",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn a_path_above_the_api_leads_to_it() {
        for path in [
            "/",
            "/cgi-bin",
            "/cgi-bin/",
            "/cgi-bin/menu",
            "/cgi-bin/menu/",
            "/wxa/getwxacode",
        ] {
            assert!(leads_to_any(path), "{path}");
        }
        for path in [
            "",
            "//",
            "cgi-bin",
            "/sns",
            "/sns/x",
            "/cgi-bin/token",
            "/cgi-bin/token/",
            "/cgi-bin//menu",
            "/cgi-bin/..",
            "/a/b",
        ] {
            assert!(!leads_to_any(path), "{path}");
        }
    }

    #[test]
    fn what_is_never_relayed_is_refused_in_every_spelling() {
        for path in [
            "/cgi-bin/clear_quota",
            "/cgi-bin/clear_quota/v2",
            "/cgi-bin/Clear_Quota",
            "/wxa/clear_quota",
            "/cgi-bin/openapi/quota/clear",
            "/cgi-bin/openapi/QUOTA/clear",
            "/cgi-bin/component/api_component_token",
            "/cgi-bin/sns/oauth2/access_token",
            "/cgi-bin/Token",
            "/cgi-bin/stable_token",
            "/cgi-bin/token/x",
        ] {
            assert_eq!(check(path), Err(PathError::Never), "{path}");
        }
    }

    #[test]
    fn a_path_that_could_be_resolved_to_another_is_refused() {
        for path in [
            "/cgi-bin/menu/../clear_quota",
            "/cgi-bin/./clear_quota",
            "/cgi-bin/%2e%2e/clear_quota",
            "/cgi-bin/menu\\..\\clear_quota",
            "/cgi-bin//clear_quota",
            "/cgi-bin/clear_quota/",
            "/cgi-bin/clear_quota;x",
            "/cgi-bin/clear_quota?x",
            "/cgi-bin/clear_quota#x",
            "/cgi-bin/clear_quota\0",
            "/cgi-bin/clear%5fquota",
            "/cgi-bin/clear quota",
            "/cgi-bin/ｃlear_quota",
            "/sns/oauth2/access_token",
            "/cgi-bin",
            "/CGI-BIN/menu/get",
            "/api/menu",
            "//cgi-bin/menu/get",
            "cgi-bin/menu/get",
            "/",
            "",
        ] {
            assert_eq!(check(path), Err(PathError::Form), "{path}");
        }
    }
}
