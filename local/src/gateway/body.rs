//! Bodies of requests: read within limits, or taken and dropped.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use futures_util::StreamExt as _;
use http::{StatusCode, header, request::Parts};
use tokio::time::timeout;

/// Bytes of a refused body that are still read and dropped.
const DRAINED: usize = 64 * 1024 * 1024;
/// How long a refused body is still read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that sends nothing for this long counts as finished, and no longer holds its connection.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);

/// The body of a request that is arriving.
#[derive(Debug)]
pub(super) struct Incoming {
    body: Body,
    /// Whether the client sends it only when it is told to: `Expect: 100-continue`.
    awaits_consent: bool,
}

impl Incoming {
    pub(super) fn new(parts: &Parts, body: Body) -> Self {
        Self {
            body,
            awaits_consent: parts.headers.contains_key(header::EXPECT),
        }
    }

    /// Reads a body of at most `limit` bytes; nothing of it when that is 0.
    ///
    /// # Errors
    /// The status to answer: the body is too large, too slow or broken.
    pub(super) async fn read(self, limit: usize, time_limit: Duration) -> Result<Bytes, StatusCode> {
        let no_turn = std::future::ready(Ok(()));
        let (body, _) = self.read_in_turn(limit, time_limit, usize::MAX, no_turn).await?;
        Ok(body)
    }

    /// Reads a body of at most `limit` bytes. One with more than `large` bytes goes on once it has its `turn`.
    ///
    /// # Errors
    /// The status to answer: the body is too large, too slow or broken, or has no turn.
    pub(super) async fn read_in_turn<T>(
        mut self,
        limit: usize,
        time_limit: Duration,
        large: usize,
        turn: impl Future<Output = Result<T, StatusCode>>,
    ) -> Result<(Bytes, Option<T>), StatusCode> {
        if limit == 0 {
            self.drain();
            return Ok((Bytes::new(), None));
        }
        let mut chunks = std::mem::take(&mut self.body).into_data_stream();
        let mut whole = Vec::new();
        let mut held = None;
        let mut turn = std::pin::pin!(turn);
        let reading = async {
            while let Some(chunk) = chunks.next().await {
                whole.extend_from_slice(&chunk.map_err(|_| StatusCode::BAD_REQUEST)?);
                if whole.len() > limit {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                if whole.len() > large && held.is_none() {
                    held = Some(turn.as_mut().await?);
                }
            }
            Ok(())
        };
        let read = timeout(time_limit, reading).await;
        let read = read.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT));
        if matches!(
            read,
            Err(StatusCode::PAYLOAD_TOO_LARGE | StatusCode::SERVICE_UNAVAILABLE)
        ) {
            let (body, awaits_consent) = (Body::from_stream(chunks), false);
            Self { body, awaits_consent }.drain();
        }
        read.map(|()| (whole.into(), held))
    }

    /// Takes the body and drops it, while the refusal is on its way. A reverse proxy that is cut off while it sends answers 502,
    /// and its client never sees the refusal.
    pub(super) fn drain(self) {
        if self.awaits_consent || self.body.is_end_stream() {
            return;
        }
        let draining = async move {
            let mut chunks = self.body.into_data_stream();
            let mut taken = 0;
            while let Ok(Some(Ok(chunk))) = timeout(DRAIN_PAUSE, chunks.next()).await {
                taken += chunk.len();
                if taken > DRAINED {
                    return;
                }
            }
        };
        tokio::spawn(timeout(DRAIN_TIMEOUT, draining));
    }
}
