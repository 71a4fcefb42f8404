//! The relay behind the gateway: its bodies are files too, and large.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures_util::stream;
use http::StatusCode;
use tokio::{sync::SemaphorePermit, time::timeout};
use wechat::api::ApiError;

use super::{Gateway, body::Incoming, refused};

/// The time for the body of a call of the relay to arrive: all that the call may take.
const RELAYED_BODY_TIMEOUT: Duration = Duration::from_secs(25);
/// Bytes. What a body of a call of the relay has beyond this needs one of [`LARGE_CALLS`] places.
const LARGE: usize = 1024 * 1024;
/// How long a call with a large body waits for a place.
const LARGE_CALL_WAITS: Duration = Duration::from_secs(10);
/// Calls of the relay with large bodies at once: 256 MiB at most.
pub(super) const LARGE_CALLS: usize = 8;
/// Requests for a token whose bodies are awaited at once: half of all connections, since anybody can send such a request, and more
/// than one address can hold.
pub(super) const TOKEN_REQUESTS: usize = 256;
/// The time for the body of a request for a token to arrive. SDKs send these 200 bytes along with the head.
const TOKEN_REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers with the relay, whose bodies are files too, and of any size: an answer that does not end soon is passed on in parts.
pub(super) async fn relayed(gateway: &Gateway, head: http_api::Request, body: Incoming) -> Response {
    let relay = &gateway.functions.relay;
    let response = match relay::body_limit(relay, &head).await {
        Err(refused) => {
            body.drain();
            refused
        }
        Ok(limit) => {
            let read = if relay::asks_for_token(&head) {
                read_token_request(gateway, body, limit).await
            } else {
                read_in_turn(gateway, body, limit).await
            };
            match read {
                Ok((body, _turn)) => relay::serve(relay, &head.with_body(body)).await,
                Err(status) => relay::unread(relay, &head, status, limit),
            }
        }
    };
    let (parts, mut body) = response.into_parts();
    let body = if body.is_whole() {
        match body.chunk().await {
            Ok(whole) => Body::from(whole.unwrap_or_default()),
            Err(_) => return refused(StatusCode::BAD_GATEWAY),
        }
    } else {
        Body::from_stream(stream::try_unfold(body, |mut body| async {
            let chunk = body.chunk().await?;
            Ok::<_, ApiError>(chunk.map(|chunk| (chunk, body)))
        }))
    };
    Response::from_parts(parts, body)
}

/// Reads the body of a request for a token, if few of them are awaited.
async fn read_token_request(
    gateway: &Gateway,
    body: Incoming,
    limit: usize,
) -> Result<(Bytes, Option<SemaphorePermit<'_>>), StatusCode> {
    let Ok(_place) = gateway.token_requests.try_acquire() else {
        body.drain();
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    };
    Ok((body.read(limit, TOKEN_REQUEST_TIMEOUT).await?, None))
}

/// Reads the body of a call, which has all of its time for that. A large one waits for its turn, which ends when that is dropped.
async fn read_in_turn(
    gateway: &Gateway,
    body: Incoming,
    limit: usize,
) -> Result<(Bytes, Option<SemaphorePermit<'_>>), StatusCode> {
    let turn = async {
        let turn = timeout(LARGE_CALL_WAITS, gateway.large_calls.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(StatusCode::SERVICE_UNAVAILABLE)
    };
    body.read_in_turn(limit, RELAYED_BODY_TIMEOUT, LARGE, turn).await
}
