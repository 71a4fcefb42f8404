//! Who may call `/api/*`: holders of one of `API_KEYS`. Nothing in a query string counts.

use http::{HeaderMap, header};

use crate::secret::Secret;

/// Whether `headers` carry `Authorization: Bearer KEY` with one of `keys`. Every key is compared, in constant time.
#[must_use]
pub fn has_api_key(headers: &HeaderMap, keys: &[Secret]) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let Some((scheme, key)) = value.split_once(' ') else {
        return false;
    };
    let known = keys
        .iter()
        .fold(false, |known, candidate| known | candidate.matches(key.trim()));
    known && scheme.eq_ignore_ascii_case("bearer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        has_api_key(&headers, &[Secret::new("first"), Secret::new("second")])
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
        assert!(!has_api_key(&HeaderMap::new(), &[Secret::new("first")]));
        assert!(!has_api_key(&HeaderMap::new(), &[]));
    }
}
