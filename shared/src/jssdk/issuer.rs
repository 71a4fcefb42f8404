//! Asks WeChat for the jsapi_ticket, with the access_token that this process can replace.

use std::sync::Arc;

use crate::{
    api::{ApiError, Client, IssuedToken, TokenEndpoint, TokenIssuer, calls::token::GetTicket},
    clock::{Clock, Deadline},
    errcode::BETWEEN_REPLACEMENTS,
    random,
    secret::Secret,
    store::{Credential, TokenStore as _},
    token::{RefreshError, Refresher},
};

/// Attempts at one call. A retry after errcode -1 or a broken connection is harmless.
const ATTEMPTS: u8 = 3;

/// WeChat as the issuer of one account's tickets.
#[derive(Debug)]
pub struct TicketIssuer {
    client: Client,
    token: Credential,
    tokens: Arc<Refresher<Credential, TokenEndpoint>>,
    clock: Arc<dyn Clock>,
}

impl TicketIssuer {
    /// Creates an issuer that calls with the access_token in `token`, which `tokens` refreshes.
    #[must_use]
    pub const fn new(
        client: Client,
        token: Credential,
        tokens: Arc<Refresher<Credential, TokenEndpoint>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client,
            token,
            tokens,
            clock,
        }
    }

    async fn ask(&self, token: &Secret, deadline: Deadline) -> Result<IssuedToken, ApiError> {
        self.client.call(&GetTicket, token, ATTEMPTS, deadline).await
    }

    /// Returns a living token other than `refused`.
    async fn token_after(&self, refused: Option<&Secret>, deadline: Deadline) -> Result<Secret, RefreshError> {
        if let Some(token) = self.stored(refused).await? {
            return Ok(token);
        }
        let stale = refused.map(Secret::sha256_hex);
        self.tokens.run(stale.as_deref(), &random::hex::<8>(), deadline).await?;
        // Another run may have taken the token away again.
        let until = self.clock.now();
        self.stored(refused).await?.ok_or(RefreshError::Busy { until })
    }

    async fn stored(&self, refused: Option<&Secret>) -> Result<Option<Secret>, RefreshError> {
        let now = self.clock.now();
        let token = self.token.load().await?.token.filter(|token| token.life(now) > 0);
        let token = token.map(|token| token.value);
        Ok(token.filter(|token| refused.is_none_or(|refused| !refused.matches(token.expose()))))
    }
}

impl TokenIssuer for TicketIssuer {
    type Error = RefreshError;

    /// Asks for the current ticket. WeChat cannot be forced to replace one.
    async fn issue(&self, _force: bool, deadline: Deadline) -> Result<IssuedToken, RefreshError> {
        let token = self.token_after(None, deadline).await?;
        match self.ask(&token, deadline).await {
            Err(error) if error.is_dead_token() => {
                tracing::warn!("WeChat refuses the token, replacing it / 微信拒绝了 access_token，正在更换")
            }
            outcome => return Ok(outcome?),
        }
        let token = self.token_after(Some(&token), deadline).await?;
        match self.ask(&token, deadline).await {
            // Not the errcode itself: from a run, 40001 means a wrong AppSecret.
            Err(error) if error.is_dead_token() => Err(RefreshError::ForcedTooOften {
                retry_after: BETWEEN_REPLACEMENTS.cast_signed(),
            }),
            outcome => Ok(outcome?),
        }
    }

    fn always_replaces(&self) -> bool {
        false
    }
}
