//! Who may call `/api/*`: holders of one of `API_KEYS`. Nothing in a query string counts.

use http::{HeaderMap, header};

use crate::secret::Secret;

/// The one of `keys` that `headers` carry as `Authorization: Bearer KEY`. Every key is compared, in constant time.
#[must_use]
pub fn api_key<'a>(headers: &HeaderMap, keys: &'a [Secret]) -> Option<&'a Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let compare = |known, candidate: &'a Secret| {
        if candidate.matches(key.trim()) {
            Some(candidate)
        } else {
            known
        }
    };
    let known = keys.iter().fold(None, compare);
    known.filter(|_| scheme.eq_ignore_ascii_case("bearer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        api_key(&headers, &[Secret::new("first"), Secret::new("second")]).is_some()
    }

    #[test]
    fn any_of_the_keys_is_accepted() {
        assert!(allowed("Bearer first"));
        assert!(allowed("bearer second"));
    }

    #[test]
    fn everything_else_is_refused() {
        for value in [
            "first",
            "Bearer",
            "Bearer ",
            "Bearer third",
            "Basic first",
            "Bearer first,second",
        ] {
            assert!(!allowed(value), "{value}");
        }
        assert!(api_key(&HeaderMap::new(), &[Secret::new("first")]).is_none());
        assert!(api_key(&HeaderMap::new(), &[]).is_none());
    }
}
