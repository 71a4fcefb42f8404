//! The access_token in the query of a call. The rest of the query is relayed as it came.

use std::{borrow::Cow, fmt};

use thiserror::Error;
use url::form_urlencoded;

const NAME: &str = "access_token";

/// A query around the value of its access_token. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Query<'a> {
    /// What stands before the value, as it came.
    pub before: &'a str,
    /// The value, decoded. It is never empty.
    pub access_token: Cow<'a, str>,
    /// What stands after the value, as it came.
    pub after: &'a str,
}

/// Why a query has no access_token to replace.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum QueryError {
    /// The query has none.
    #[error("access_token missing: it belongs in the query / 缺少 access_token，应放在查询参数中")]
    Missing,
    /// The query has several: this server and WeChat could read different ones.
    #[error("several access_tokens / 查询参数中有多个 access_token")]
    Several,
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").finish_non_exhaustive()
    }
}

impl<'a> Query<'a> {
    /// Finds the access_token in a query as it came.
    ///
    /// # Errors
    /// [`QueryError`] when there is not exactly one.
    pub fn parse(query: &'a str) -> Result<Self, QueryError> {
        // Some servers end a pair at `;` too, and some compare names without regard to case.
        let named = query.split(['&', ';']).filter(|pair| is_token(pair));
        if named.count() > 1 {
            return Err(QueryError::Several);
        }
        let mut start = 0;
        for pair in query.split('&') {
            let end = start + pair.len();
            let decoded = form_urlencoded::parse(pair.as_bytes()).next();
            if let Some((name, access_token)) = decoded
                && name == NAME
                && !access_token.is_empty()
                && let Some(equals) = pair.find('=')
            {
                return Ok(Self {
                    before: &query[..=start + equals],
                    access_token,
                    after: &query[end..],
                });
            }
            start = end + 1;
        }
        Err(QueryError::Missing)
    }
}

fn is_token(pair: &str) -> bool {
    let decoded = form_urlencoded::parse(pair.as_bytes()).next();
    decoded.is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<(&str, String, &str), QueryError> {
        Query::parse(query).map(|found| (found.before, found.access_token.into_owned(), found.after))
    }

    #[test]
    fn everything_around_the_token_stays_as_it_came() {
        for (query, before, after) in [
            ("access_token=t", "access_token=", ""),
            (
                "a=%e4%BD%a0+x&b&access_token=t&a=2&=",
                "a=%e4%BD%a0+x&b&access_token=",
                "&a=2&=",
            ),
            ("&&access_token=t&", "&&access_token=", "&"),
            ("access%5Ftoken=t&x=;", "access%5Ftoken=", "&x=;"),
            ("x=1&access_token=%74", "x=1&access_token=", ""),
        ] {
            assert_eq!(parsed(query), Ok((before, "t".to_owned(), after)), "{query}");
        }
    }

    #[test]
    fn one_token_is_needed() {
        for query in [
            "",
            "a=1",
            "access_token=",
            "access_token",
            "xaccess_token=t",
            "ACCESS_TOKEN=t",
        ] {
            assert_eq!(parsed(query), Err(QueryError::Missing), "{query}");
        }
        for query in [
            "access_token=t&access_token=t",
            "access_token=t&access_token=",
            "access_token=t&ACCESS_TOKEN=u",
            "access_token=t&access%5ftoken=u",
            "access_token=t&a=1;access_token=u",
            "access_token=t&+access_token=u",
        ] {
            assert_eq!(parsed(query), Err(QueryError::Several), "{query}");
        }
        assert_eq!(parsed("a=1;access_token=t"), Err(QueryError::Missing));
    }
}
