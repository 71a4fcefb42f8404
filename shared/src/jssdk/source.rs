//! Gets the jsapi_ticket: from memory, else from the table, else from a run of `token-refresher`.

use std::{fmt, sync::Arc};

use crate::{
    bilingual::caused,
    clock::{Clock, Deadline},
    store::{StoredToken, Table},
    token::{Action, RefreshPort, TokenError, TokenSource},
};

/// The ticket cache of one account in one process. A cached ticket with less than a minute to live is stale.
#[derive(Debug)]
pub struct TicketSource(TokenSource);

impl TicketSource {
    /// Creates a cache over the ticket in `table`, which `refresher` refreshes.
    #[must_use]
    pub fn new(table: &Table, refresher: Arc<dyn RefreshPort>, clock: Arc<dyn Clock>) -> Self {
        Self(TokenSource::of(table.jsapi_ticket(), Action::Ticket, refresher, clock))
    }

    /// Returns an unexpired ticket. Callers that ask at once share one search, also its failure.
    ///
    /// # Errors
    /// [`TicketError`] when there is no ticket.
    pub async fn ticket(&self, deadline: Deadline) -> Result<StoredToken, TicketError> {
        self.0.stored_token(deadline).await.map_err(TicketError)
    }
}

/// Why there is no usable ticket.
#[derive(Clone, Debug)]
pub struct TicketError(pub TokenError);

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            TokenError::Refused(rejection) => f.write_str(&caused(
                "WeChat issues no jsapi_ticket",
                "微信未签发 jsapi_ticket",
                rejection,
            )),
            TokenError::Request(error) => f.write_str(&caused("no jsapi_ticket", "jsapi_ticket 获取失败", error)),
            error @ (TokenError::Store(_) | TokenError::Missing) => error.fmt(f),
        }
    }
}

impl std::error::Error for TicketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Rejection,
        token::RefreshRequestError,
        validate::{Fault, assert_each_half_says_all},
    };

    #[test]
    fn each_half_of_a_failure_says_its_cause() {
        let rejection = Rejection::at_token_endpoint(40164, "invalid ip 203.0.113.7");
        for error in [
            TokenError::Refused(rejection),
            TokenError::Request(RefreshRequestError::NoAnswer("code_1 / 代码 code_1".to_owned())),
        ] {
            let sentence = Fault::new("", TicketError(error).to_string());
            assert_each_half_says_all(&sentence, &["jsapi_ticket"]);
        }
    }
}
