//! The callers of `/api/*`: holders of one of `API_KEYS` or of a key that was made at run time, and callers whose JWT API
//! Gateway's authorizer has accepted. Credentials in a query string are ignored.

use std::sync::Arc;

use http::{HeaderMap, header};
use wechat::{
    api_key::{ApiKey, Grants, Scope},
    digest::sha256_hex,
    secret::Secret,
};

use crate::Jwt;

/// The name in logs of callers with one of `API_KEYS`.
pub const ROOT: &str = "root";
/// Characters. The length of a namespace: enough of a digest to tell callers apart.
const NAMESPACE_LENGTH: usize = 16;
/// Bytes. The longest subject of a JWT in logs.
const LOGGED_SUBJECT: usize = 64;

/// Returns the key of `keys` in the header `Authorization: Bearer KEY`.
#[must_use]
pub fn api_key<'a>(headers: &HeaderMap, keys: &'a [Secret]) -> Option<&'a Secret> {
    matching(bearer(headers)?, keys)
}

/// Returns the key of `keys` that equals `key`. Compares with all of them, each in constant time.
pub(crate) fn matching<'a>(key: &str, keys: &'a [Secret]) -> Option<&'a Secret> {
    let compare = |known, candidate: &'a Secret| if candidate.matches(key) { Some(candidate) } else { known };
    keys.iter().fold(None, compare)
}

/// Returns the key in the header `Authorization: Bearer KEY`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// A caller of `/api`.
#[derive(Clone, Debug)]
pub struct Caller {
    name: String,
    namespace: String,
    grants: Grants,
    key: Option<Arc<ApiKey>>,
}

impl Caller {
    /// Returns the holder of one of `API_KEYS`, who may do everything.
    pub(crate) fn root(api_key: &Secret) -> Self {
        Self::new(ROOT, api_key.expose(), Grants::unlimited(|_| true))
    }

    /// Returns the holder of a key that was made at run time. The namespace is the id's, so that it is never another key's.
    pub(crate) fn holder(key: Arc<ApiKey>) -> Self {
        let identity = format!("key {}", key.id);
        let caller = Self::new(&key.name, &identity, key.grants.clone());
        Self {
            key: Some(key),
            ..caller
        }
    }

    /// Returns the caller whose JWT the gateway has accepted. The gateway checks the JWT's own scopes. The relay takes no JWT.
    pub(crate) fn of_jwt(jwt: &Jwt) -> Self {
        let name = &jwt.subject[..jwt.subject.floor_char_boundary(LOGGED_SUBJECT)];
        // Subjects are unique to one issuer only.
        let identity = format!("{}\n{}", jwt.issuer, jwt.subject);
        Self::new(name, &identity, Grants::unlimited(|scope| scope != Scope::Relay))
    }

    /// Returns the anonymous caller of an open route.
    pub(crate) fn anyone() -> Self {
        Self::new("", "", Grants::unlimited(|_| false))
    }

    fn new(name: &str, identity: &str, grants: Grants) -> Self {
        Self {
            name: name.replace(char::is_control, " "),
            namespace: sha256_hex(identity.as_bytes())[..NAMESPACE_LENGTH].to_owned(),
            grants,
            key: None,
        }
    }

    /// Returns the caller's name in logs: `root` for one of `API_KEYS`, the key's name, or the JWT's `sub`. Never a key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the namespace of the caller's `Idempotency-Key`s: 16 characters of a digest.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns what the caller may do.
    #[must_use]
    pub const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Returns the caller's key, if it was made at run time.
    pub(crate) fn key(&self) -> Option<&ApiKey> {
        self.key.as_deref()
    }

    /// Returns the id of the caller's key, if it was made at run time.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        Some(&self.key()?.id)
    }
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

    #[test]
    fn callers_have_names_for_logs_and_namespaces_of_their_own() {
        let root = |key: &str| Caller::root(&Secret::new(key));
        let jwt = |issuer: &str, subject: &str| {
            Caller::of_jwt(&Jwt {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                scopes: Vec::new(),
            })
        };
        let holder = |id: &str| {
            Caller::holder(Arc::new(ApiKey {
                id: id.to_owned(),
                digest: "d".to_owned(),
                name: "shop".to_owned(),
                grants: Grants::unlimited(|_| true),
                created_at: 0,
                last_used: None,
            }))
        };
        let callers = [
            root("key of the shop"),
            root("key of the app"),
            jwt("https://one.example", "u-1"),
            jwt("https://two.example", "u-1"),
            jwt("https://two.example", "u-2"),
            holder("k1"),
            holder("k2"),
        ];
        let names: Vec<_> = callers.iter().map(Caller::name).collect();
        assert_eq!(names, ["root", "root", "u-1", "u-1", "u-2", "shop", "shop"]);
        for (index, one) in callers.iter().enumerate() {
            assert!(!one.namespace().contains("key"));
            for other in &callers[index + 1..] {
                assert_ne!(one.namespace(), other.namespace());
            }
        }
        assert!(callers.iter().all(|caller| caller.grants().has(Scope::Keys)));
        assert!(root("x").grants().has(Scope::Relay) && !callers[2].grants().has(Scope::Relay));
    }
}
