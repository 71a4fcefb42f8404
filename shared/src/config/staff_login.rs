//! The variables about the staff's OIDC login, whose tokens the gateway's JWT authorizer accepts in place of API keys.

use url::Url;

use super::Reader;
use crate::{api_key::Scope, page::is_https_or_local};

const ISSUER: &str = "JWT_ISSUER";
const AUDIENCE: &str = "JWT_AUDIENCE";
const SEND_SCOPE: &str = "JWT_SEND_SCOPE";
const ADMIN_SCOPE: &str = "JWT_ADMIN_SCOPE";
const CLIENT_ID: &str = "JWT_CLIENT_ID";
const TOKEN_ORIGIN: &str = "JWT_TOKEN_ORIGIN";

/// The staff's OIDC login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffLogin {
    /// The issuer, as it stands in its tokens.
    /// See [OpenID Connect Discovery 1.0](https://openid.net/specs/openid-connect-discovery-1_0.html).
    pub issuer: String,
    /// Origins that the console calls to sign in: the issuer's, and that of its token endpoint if it is another.
    pub origins: Vec<String>,
    /// The first audience that a token may be for.
    pub audience: Option<String>,
    /// The scope that sending and campaigns need.
    pub send_scope: String,
    /// The scope that everything else needs.
    pub admin_scope: String,
    /// The console's client at the issuer: a public one, without a secret. Without it staff paste a token.
    pub client_id: Option<String>,
}

impl StaffLogin {
    /// Whether the gateway lets a token with these OAuth scopes call what needs `scope`. No JWT opens the relay.
    #[must_use]
    pub fn grants(&self, scope: Scope, token_scopes: &[String]) -> bool {
        let needed = match scope {
            Scope::Relay => return false,
            Scope::Send | Scope::Campaigns => &self.send_scope,
            Scope::Users | Scope::Menu | Scope::Replies | Scope::Operate | Scope::Keys => &self.admin_scope,
        };
        token_scopes.contains(needed)
    }
}

impl Reader<'_> {
    /// Reads `JWT_ISSUER`, `JWT_AUDIENCE`, `JWT_SEND_SCOPE`, `JWT_ADMIN_SCOPE`, `JWT_CLIENT_ID` and `JWT_TOKEN_ORIGIN`.
    pub(super) fn staff_login(&mut self) -> Option<StaffLogin> {
        let issuer = self.optional(ISSUER)?;
        let origins = [ISSUER, TOKEN_ORIGIN]
            .into_iter()
            .filter_map(|name| self.origin(name))
            .collect();
        let audience = self
            .optional(AUDIENCE)
            .and_then(|all| all.split(',').next())
            .map(str::to_owned);
        Some(StaffLogin {
            issuer: issuer.to_owned(),
            origins,
            audience,
            send_scope: self.required(SEND_SCOPE),
            admin_scope: self.required(ADMIN_SCOPE),
            client_id: self.optional(CLIENT_ID).map(str::to_owned),
        })
    }

    fn origin(&mut self, name: &str) -> Option<String> {
        let url = Url::parse(self.optional(name)?).ok().filter(is_https_or_local);
        if url.is_none() {
            self.problem(
                name,
                "must be an https address (http for 127.0.0.1 and localhost only)",
                "应为 https 地址（仅 127.0.0.1 与 localhost 可用 http）",
            );
        }
        Some(url?.origin().ascii_serialization())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Environment, *};

    fn read(pairs: &[(&str, &str)]) -> (Option<StaffLogin>, Vec<String>) {
        let environment = Environment::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&environment);
        (reader.staff_login(), reader.problems)
    }

    #[test]
    fn a_login_needs_its_scopes_and_an_https_issuer() {
        assert_eq!(read(&[(CLIENT_ID, "console")]), (None, Vec::new()));
        let (_, problems) = read(&[(ISSUER, "http://login.example.com")]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        for (problem, name) in problems.iter().zip([ISSUER, SEND_SCOPE, ADMIN_SCOPE]) {
            assert!(problem.starts_with(name), "{problem}");
        }
        let both = [
            (ISSUER, "https://login.example.com/a/"),
            (SEND_SCOPE, "send"),
            (ADMIN_SCOPE, "admin"),
        ];
        let more = [
            (AUDIENCE, "shop,wechat"),
            (TOKEN_ORIGIN, "https://token.example.com:8443/oauth2/token"),
        ];
        let (login, problems) = read(&[&both[..], &more].concat());
        let login = login.unwrap();
        assert_eq!((problems.len(), login.audience.as_deref()), (0, Some("shop")));
        assert_eq!(
            login.origins,
            ["https://login.example.com", "https://token.example.com:8443"]
        );
    }

    #[test]
    fn a_token_grants_what_the_gateway_lets_it_call() {
        let (login, _) = read(&[
            (ISSUER, "https://a.example"),
            (SEND_SCOPE, "send"),
            (ADMIN_SCOPE, "admin"),
        ]);
        let login = login.unwrap();
        let granted = |scopes: &[&str]| {
            let scopes: Vec<_> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            Scope::ALL
                .into_iter()
                .filter(|&scope| login.grants(scope, &scopes))
                .count()
        };
        assert_eq!(granted(&["openid", "send"]), 2);
        assert_eq!(granted(&["admin"]), 5);
        assert_eq!(granted(&["admin", "send"]), 7);
        assert_eq!(granted(&["openid", "sender"]), 0);
    }
}
