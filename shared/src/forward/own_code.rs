//! Asks the team's own code.

use std::{sync::OnceLock, time::Duration};

use http::StatusCode;
use tokio::time::timeout;

use super::{
    reply::{InvalidReply, OwnReply},
    signature::sign,
};
use crate::{bilingual::caused, config::ForwardConfig, error_chain::chain, transport};

/// Bytes. A longer answer is not read to its end.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Own code's connections are closed after this idle time: servers close theirs after 5 s and more, and a frozen Lambda
/// environment wakes up to dead ones.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The client of the team's own code. It keeps its connection, follows no redirect and uses no proxy.
#[derive(Debug)]
pub struct OwnCode {
    config: ForwardConfig,
    connect_timeout: Duration,
    /// Made at the first call: a start need not wait for it.
    http: OnceLock<Result<reqwest::Client, String>>,
}

/// Whether WeChat can still show a reply. Own code learns it from a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showable {
    /// WeChat can show a reply.
    Expected,
    /// WeChat cannot: the callback is answered already, or cannot be answered.
    TooLate,
}

/// The error of a callback that is dead because of [`Asked::Gone`].
pub const GONE: &str = "own code answered 410 / 自有服务应答 410";

/// The outcome of asking own code.
#[derive(Debug)]
pub enum Asked {
    /// Own code took the callback, by any answer 2xx.
    Taken(OwnReply),
    /// Own code answered 410: it must not be asked for this callback again.
    Gone,
    /// Own code did not take it.
    NotTaken(AskError),
}

/// Why own code did not take a callback. Holds no URL and nothing of an answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Own code answered another status than 2xx.
    #[error("own code answered {status}{} / 自有服务应答 {status}{}", hint(*.0)[0], hint(*.0)[1], status = .0)]
    Refused(u16),
    /// Own code did not answer in time.
    #[error("own code did not answer within {0:?} / 自有服务未在 {0:?} 内应答")]
    NoAnswer(Duration),
    /// There was no connection, or it broke off before the end of the answer.
    #[error("{}", caused("own code gave no answer", "自有服务没有应答", .0))]
    BrokenOff(String),
}

/// A hint at the cause of an answer with this status, in English and in Chinese.
const fn hint(status: u16) -> [&'static str; 2] {
    match status {
        300..=399 => [
            " (redirects are not followed: set FORWARD_URL to the address itself)",
            "（不跟随重定向：请将 FORWARD_URL 设为最终地址）",
        ],
        401 | 403 => [
            " (is FORWARD_SECRET the secret that it checks?)",
            "（FORWARD_SECRET 是否与其校验所用的一致？）",
        ],
        _ => ["", ""],
    }
}

impl From<reqwest::Error> for AskError {
    fn from(error: reqwest::Error) -> Self {
        Self::BrokenOff(chain(&error.without_url()))
    }
}

impl Showable {
    const fn header(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::TooLate => "too-late",
        }
    }
}

impl OwnCode {
    /// Creates the client, which gives up connecting after `connect_timeout`.
    #[must_use]
    pub const fn new(config: ForwardConfig, connect_timeout: Duration) -> Self {
        Self {
            config,
            connect_timeout,
            http: OnceLock::new(),
        }
    }

    /// Asks own code once for the callback `id`, and waits at most `budget`. `now` is in epoch seconds. Warns of a reply that
    /// cannot be used.
    pub async fn ask(&self, id: &str, body: &str, showable: Showable, now: i64, budget: Duration) -> Asked {
        match timeout(budget, self.exchange(id, body, showable, now)).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => Asked::NotTaken(error),
            Err(_) => Asked::NotTaken(AskError::NoAnswer(budget)),
        }
    }

    async fn exchange(&self, id: &str, body: &str, showable: Showable, now: i64) -> Result<Asked, AskError> {
        let request = self
            .client()?
            .post(self.config.url.expose().clone())
            .header("content-type", "application/json; charset=utf-8")
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", sign(&self.config.secrets, id, now, body))
            .header("wechat-reply", showable.header())
            .body(body.to_owned());
        let mut response = request.send().await?;
        let status = response.status();
        if status == StatusCode::GONE {
            return Ok(Asked::Gone);
        }
        if !status.is_success() {
            return Err(AskError::Refused(status.as_u16()));
        }
        let mut answer = Vec::new();
        let mut reply = Err(InvalidReply::TooLong(LONGEST_ANSWER));
        loop {
            match response.chunk().await? {
                Some(chunk) if answer.len() + chunk.len() > LONGEST_ANSWER => break,
                Some(chunk) => answer.extend_from_slice(&chunk),
                None => {
                    reply = OwnReply::read(&answer);
                    break;
                }
            }
        }
        Ok(Asked::Taken(reply.unwrap_or_else(|error| {
            tracing::warn!(%error, "own code's reply cannot be used: the rules reply / 自有服务的回复无法使用，改由规则回复");
            OwnReply::LeftToRules
        })))
    }

    fn client(&self) -> Result<&reqwest::Client, AskError> {
        let create = || {
            let builder = transport::client().map_err(|error| error.to_string())?;
            let builder = builder
                .connect_timeout(self.connect_timeout)
                .pool_idle_timeout(POOL_IDLE_TIMEOUT);
            builder.build().map_err(|error| chain(&error.without_url()))
        };
        let client = self.http.get_or_init(create).as_ref();
        client.map_err(|error| AskError::BrokenOff(error.clone()))
    }
}
