//! Who may call `/api/*`: holders of one of `API_KEYS`, and callers that API Gateway's JWT authorizer has let through.
//! Nothing in a query string counts.

use http::{HeaderMap, header};
use wechat::{digest::sha256_hex, secret::Secret};

use crate::Request;

/// The name of every key of `API_KEYS` in logs.
const ROOT: &str = "root";
/// Characters of a digest that tell two callers apart.
const NAMESPACE_LENGTH: usize = 16;
/// Bytes of a token's subject that are logged.
const LOGGED_SUBJECT: usize = 64;

/// The key of `keys` that `headers` carry as `Authorization: Bearer KEY`. Every key is compared, in constant time.
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

/// A caller that may call.
#[derive(Clone, Debug)]
pub struct Caller {
    name: String,
    namespace: String,
}

impl Caller {
    /// The caller that sent `request`, or `None` for one that may not call.
    #[must_use]
    pub fn of(request: &Request, api_keys: &[Secret]) -> Option<Self> {
        if let Some(key) = api_key(request.headers(), api_keys) {
            return Some(Self::new(ROOT, key.expose()));
        }
        let claims = request.jwt_claims()?;
        let claim = |name: &str| claims.get(name).map(String::as_str).unwrap_or_default();
        let subject = claim("sub");
        // Two issuers may give the same subject to two people.
        Some(Self::new(subject, &format!("{}\n{subject}", claim("iss"))))
    }

    /// The caller of an open route, who may be anyone.
    pub(crate) fn anyone() -> Self {
        Self::new("", "")
    }

    fn new(name: &str, identity: &str) -> Self {
        Self {
            name: name[..name.floor_char_boundary(LOGGED_SUBJECT)].replace(char::is_control, " "),
            namespace: sha256_hex(identity.as_bytes())[..NAMESPACE_LENGTH].to_owned(),
        }
    }

    /// The caller's name in logs: `root` for one of `API_KEYS`, the `sub` of a JWT. Never a key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Separates this caller's `Idempotency-Key`s from those of others: 16 characters of a digest.
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
