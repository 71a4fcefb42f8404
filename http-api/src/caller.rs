//! Who calls `/api/*`.

use lambda_http::{Request, RequestExt, request::RequestContext};
use wechat::{
    auth::api_key,
    secret::{Secret, sha256_hex},
};

/// The name of every key of `API_KEYS` in logs.
const ROOT: &str = "root";
/// Characters of a digest that tell two callers apart.
const NAMESPACE_LENGTH: usize = 16;
/// Bytes of a token's subject that are logged.
const LOGGED_SUBJECT: usize = 64;

/// A caller that may call: the holder of an API key, or one that API Gateway's JWT authorizer has let through.
#[derive(Clone, Debug)]
pub struct Caller {
    name: String,
    namespace: String,
}

impl Caller {
    /// Who sent `request`, or `None` when that is nobody who may call. Only the gateway can write the request's context.
    /// Nothing in a query string counts.
    #[must_use]
    pub fn of(request: &Request, api_keys: &[Secret]) -> Option<Self> {
        if let Some(key) = api_key(request.headers(), api_keys) {
            return Some(Self::new(ROOT, key.expose()));
        }
        let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
            return None;
        };
        let claims = &context.authorizer.as_ref()?.jwt.as_ref()?.claims;
        let claim = |name: &str| claims.get(name).map(String::as_str).unwrap_or_default();
        let subject = claim("sub");
        // Two issuers may give the same subject to two people.
        Some(Self::new(subject, &format!("{}\n{subject}", claim("iss"))))
    }

    fn new(name: &str, identity: &str) -> Self {
        Self {
            name: name[..name.floor_char_boundary(LOGGED_SUBJECT)].replace(char::is_control, " "),
            namespace: sha256_hex(identity.as_bytes())[..NAMESPACE_LENGTH].to_owned(),
        }
    }

    /// Its name in logs: `root` for one of `API_KEYS`, the `sub` of a JWT. Never a key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells its `Idempotency-Key`s from those of others: 16 characters of a digest.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn caller(authorization: &str, authorizer: &Value) -> Option<Caller> {
        let event = json!({
            "version": "2.0", "rawPath": "/api/menu", "headers": {"authorization": authorization},
            "requestContext": {"http": {"method": "GET", "path": "/api/menu"}, "authorizer": authorizer},
            "isBase64Encoded": false,
        });
        let request = crate::request(serde_json::from_value(event).unwrap());
        Caller::of(
            &request,
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
