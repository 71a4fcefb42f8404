//! Authorizes callers of `/api/*`: one of `API_KEYS`, or a JWT that API Gateway's authorizer has accepted. Credentials in a
//! query string are ignored.

use http::{HeaderMap, header};
use wechat::{digest::sha256_hex, secret::Secret};

use crate::Request;

/// The name in logs of callers with one of `API_KEYS`.
const ROOT: &str = "root";
/// Characters. The length of a namespace: enough of a digest to tell callers apart.
const NAMESPACE_LENGTH: usize = 16;
/// Bytes. The longest subject of a JWT in logs.
const LOGGED_SUBJECT: usize = 64;

/// Returns the key of `keys` in the header `Authorization: Bearer KEY`. Compares with all keys, each in constant time.
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

/// An authorized caller.
#[derive(Clone, Debug)]
pub struct Caller {
    name: String,
    namespace: String,
}

impl Caller {
    /// Authorizes the caller of `request`. `None` when it may not call.
    #[must_use]
    pub fn of(request: &Request, api_keys: &[Secret]) -> Option<Self> {
        if let Some(key) = api_key(request.headers(), api_keys) {
            return Some(Self::new(ROOT, key.expose()));
        }
        let jwt = request.jwt()?;
        // Subjects are unique to one issuer only.
        Some(Self::new(&jwt.subject, &format!("{}\n{}", jwt.issuer, jwt.subject)))
    }

    /// Returns the anonymous caller of an open route.
    pub(crate) fn anyone() -> Self {
        Self::new("", "")
    }

    fn new(name: &str, identity: &str) -> Self {
        Self {
            name: name[..name.floor_char_boundary(LOGGED_SUBJECT)].replace(char::is_control, " "),
            namespace: sha256_hex(identity.as_bytes())[..NAMESPACE_LENGTH].to_owned(),
        }
    }

    /// Returns the caller's name in logs: `root` for one of `API_KEYS`, else the JWT's `sub`. Never a key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the namespace of the caller's `Idempotency-Key`s: 16 characters of a digest.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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

    fn caller(authorization: &str, authorizer: &Value) -> Option<Caller> {
        let event = json!({
            "version": "2.0", "rawPath": "/api/menu", "headers": {"authorization": authorization},
            "requestContext": {"http": {"method": "GET", "path": "/api/menu"}, "authorizer": authorizer},
            "isBase64Encoded": false,
        });
        Caller::of(
            &serde_json::from_str(&event.to_string()).unwrap(),
            &[Secret::new("key of the shop"), Secret::new("key of the app")],
        )
    }

    #[test]
    fn callers_have_names_for_logs_and_namespaces_of_their_own() {
        let jwt = |claims: Value| json!({"jwt": {"claims": claims, "scopes": null}});
        let callers = [
            caller("Bearer key of the shop", &Value::Null).unwrap(),
            caller("Bearer key of the app", &Value::Null).unwrap(),
            caller("", &jwt(json!({"iss": "https://one.example", "sub": "u-1"}))).unwrap(),
            caller("", &jwt(json!({"iss": "https://two.example", "sub": "u-1"}))).unwrap(),
            caller("", &jwt(json!({"iss": "https://two.example", "sub": "u-2"}))).unwrap(),
        ];
        let names: Vec<_> = callers.iter().map(Caller::name).collect();
        assert_eq!(names, ["root", "root", "u-1", "u-1", "u-2"]);
        for (index, one) in callers.iter().enumerate() {
            assert!(!one.namespace().contains("key"));
            for other in &callers[index + 1..] {
                assert_ne!(one.namespace(), other.namespace());
            }
        }
        assert!(caller("Bearer another", &Value::Null).is_none());
    }
}
