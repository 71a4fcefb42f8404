//! API keys that are made at run time, each for a purpose: the scopes and limits of a caller of `/api`.

use crate::names::names;

/// The beginning of every such key. It tells them apart from `API_KEYS` and JWTs.
pub const KEY_PREFIX: &str = "wk_";

/// A right that a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Send messages, and read their outcomes.
    Send,
    /// Run campaigns.
    Campaigns,
    /// Bind users, and log them in.
    Users,
    /// Manage the menu.
    Menu,
    /// Manage the reply rules.
    Replies,
    /// Operate the bundle: the doctor, undelivered callbacks.
    Operate,
    /// Call WeChat's own API through the relay.
    Relay,
    /// Make and revoke keys.
    Keys,
}

names!(Scope {
    Send = "send",
    Campaigns = "campaigns",
    Users = "users",
    Menu = "menu",
    Replies = "replies",
    Operate = "operate",
    Relay = "relay",
    Keys = "keys",
});

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// The scopes.
    pub scopes: Vec<Scope>,
    /// The only templates that `send` and `campaigns` may use. `None`: all.
    pub templates: Option<Vec<String>>,
    /// The only paths that `relay` may call. `None`: all.
    pub paths: Option<Vec<String>>,
}

impl Grants {
    /// Returns the scopes for which `is_granted`, without limits.
    #[must_use]
    pub fn unlimited(is_granted: fn(Scope) -> bool) -> Self {
        Self {
            scopes: Scope::ALL.into_iter().filter(|scope| is_granted(*scope)).collect(),
            templates: None,
            paths: None,
        }
    }

    /// Whether the caller has the scope.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether the caller may use the template.
    #[must_use]
    pub fn allows_template(&self, template_id: &str) -> bool {
        let templates = self.templates.as_ref();
        templates.is_none_or(|templates| templates.iter().any(|allowed| allowed == template_id))
    }

    /// Whether the caller may call `path` through the relay, or give that path to another key. A path allows itself and
    /// everything below it. A path that ends in `/` allows only what is below it.
    #[must_use]
    pub fn allows_path(&self, path: &str) -> bool {
        let covers = |allowed: &String| {
            let below = path.strip_prefix(allowed.as_str());
            below.is_some_and(|below| below.is_empty() || allowed.ends_with('/') || below.starts_with('/'))
        };
        self.paths.as_ref().is_none_or(|paths| paths.iter().any(covers))
    }
}

/// A key that was made at run time. The key itself is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The id: up to 64 ASCII letters and digits.
    pub id: String,
    /// The SHA-256 of the key, in lower-case hex.
    pub digest: String,
    /// The name in logs.
    pub name: String,
    /// What the key allows.
    pub grants: Grants,
    /// When it was made, in epoch seconds.
    pub created_at: i64,
    /// The day in Beijing on which it was last used, as `YYYY-MM-DD`.
    pub last_used: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_allows_itself_and_what_is_below_it() {
        let allows = |allowed: &str, path: &str| {
            let grants = Grants {
                paths: Some(vec!["/wxa".to_owned(), allowed.to_owned()]),
                ..Grants::unlimited(|scope| scope == Scope::Relay)
            };
            grants.allows_path(path)
        };
        for (allowed, path) in [
            ("/cgi-bin/menu", "/cgi-bin/menu"),
            ("/cgi-bin/menu", "/cgi-bin/menu/get"),
            ("/cgi-bin/menu/", "/cgi-bin/menu/get"),
            ("/cgi-bin/menu", "/cgi-bin/menu/"),
            ("/", "/cgi-bin/menu"),
        ] {
            assert!(allows(allowed, path), "{allowed}: {path}");
        }
        for (allowed, path) in [
            ("/cgi-bin/menu", "/cgi-bin/menus"),
            ("/cgi-bin/menu", "/cgi-bin"),
            ("/cgi-bin/menu/", "/cgi-bin/menu"),
            ("/cgi-bin/menu/get", "/cgi-bin/menu"),
            ("/cgi-bin/menu", "/CGI-BIN/menu"),
        ] {
            assert!(!allows(allowed, path), "{allowed}: {path}");
        }
    }

    #[test]
    fn every_scope_is_read_by_its_name() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::parse("root"), None);
    }
}
