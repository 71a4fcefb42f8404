//! A team's own code behind `FORWARD_URL`: it records what it is asked, and answers as a test says.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use wechat::lock::lock;

use super::loopback::Server;
use crate::now_millis;

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// What own code does with a request.
#[derive(Clone, Debug)]
pub enum OwnAnswer {
    /// Own code answers.
    Status {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// Further headers.
        headers: Vec<(&'static str, String)>,
    },
    /// Own code gives this answer after this time.
    After(Duration, Box<Self>),
    /// Own code never answers.
    Hang,
    /// Own code closes the connection without an answer.
    Reset,
    /// Own code closes the connection in the middle of an answer 200.
    BreakOff,
}

impl OwnAnswer {
    /// An answer with a body.
    #[must_use]
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Self::Status {
            status,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// An answer with a text as the reply.
    #[must_use]
    pub fn reply(content: &str) -> Self {
        let reply = serde_json::json!({"reply": {"type": "text", "content": content}});
        Self::status(200, reply.to_string())
    }

    /// The same answer, after `delay`.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

/// A request to own code.
#[derive(Clone, Debug)]
pub struct OwnRequest {
    /// The path and the query.
    pub target: String,
    /// The headers, with names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: String,
    /// When it came, in epoch milliseconds.
    pub at: i64,
    /// The number of the connection that it came on, from 1.
    pub connection: usize,
}

impl OwnRequest {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The signature that Standard Webhooks asks for, with a secret `whsec_…`.
    #[must_use]
    pub fn signature(&self, secret: &str) -> String {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = format!("{id}.{timestamp}.{}", self.body);
        format!("v1,{}", STANDARD.encode(hmac(&key, signed.as_bytes())))
    }
}

/// HMAC-SHA256 as RFC 2104 defines it, for keys no longer than a block. The bundle uses a crate for it.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| {
        let mut pad = [byte; BLOCK];
        pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        pad
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

/// The server. It ends with this value.
#[derive(Debug)]
pub struct OwnCode {
    state: Arc<Mutex<State>>,
    server: Server,
}

#[derive(Debug)]
struct State {
    answer: OwnAnswer,
    next: VecDeque<OwnAnswer>,
    requests: Vec<OwnRequest>,
    connections: usize,
}

impl OwnCode {
    /// Starts with an empty answer 200.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            answer: OwnAnswer::status(200, ""),
            next: VecDeque::new(),
            requests: Vec::new(),
            connections: 0,
        }));
        let shared = Arc::clone(&state);
        Self {
            state,
            server: Server::start(|listener| accept(listener, shared)).await,
        }
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Reacts in this way to every request from now on.
    pub fn answer(&self, answer: OwnAnswer) {
        with(&self.state, |state| state.answer = answer);
    }

    /// Reacts in this way to one request: the next for which no reaction is queued.
    pub fn answer_once(&self, answer: OwnAnswer) {
        with(&self.state, |state| state.next.push_back(answer));
    }

    /// The requests so far, those that still wait included.
    #[must_use]
    pub fn requests(&self) -> Vec<OwnRequest> {
        with(&self.state, |state| state.requests.clone())
    }

    /// Waits until it was asked `count` times.
    pub async fn asked(&self, count: usize) {
        while self.requests().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn with<T>(state: &Mutex<State>, act: impl FnOnce(&mut State) -> T) -> T {
    act(&mut lock(state))
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let connection = with(&state, |state| {
            state.connections += 1;
            state.connections
        });
        let state = Arc::clone(&state);
        connections.spawn(async move { serve(stream, connection, &state).await });
    }
}

/// Serves requests until one side closes the connection.
async fn serve(mut stream: TcpStream, connection: usize, state: &Mutex<State>) -> Option<()> {
    let mut received = Vec::new();
    loop {
        let request = read(&mut stream, &mut received, connection).await?;
        let mut answer = with(state, |state| {
            state.requests.push(request);
            state.next.pop_front().unwrap_or_else(|| state.answer.clone())
        });
        while let OwnAnswer::After(delay, then) = answer {
            tokio::time::sleep(delay).await;
            answer = *then;
        }
        match answer {
            OwnAnswer::Status { status, body, headers } => {
                let headers: String = headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"))
                    .collect();
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\n\r\n");
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
            }
            OwnAnswer::BreakOff => {
                let part = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"reply\":null}";
                stream.write_all(part).await.ok()?;
                return None;
            }
            OwnAnswer::Hang => std::future::pending().await,
            OwnAnswer::Reset | OwnAnswer::After(..) => return None,
        }
    }
}

async fn read(stream: &mut TcpStream, received: &mut Vec<u8>, connection: usize) -> Option<OwnRequest> {
    let mut buffer = [0; 8192];
    loop {
        if let Some((request, length)) = parse(received, connection) {
            received.drain(..length);
            return Some(request);
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Reads a request with a `content-length`. Returns it with its length; `None` when there is more to come.
fn parse(received: &[u8], connection: usize) -> Option<(OwnRequest, usize)> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&received[..end]).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = end
        + headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
    let body = received.get(end..length)?;
    let request = OwnRequest {
        target,
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        at: now_millis(),
        connection,
    };
    Some((request, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 2 of RFC 4231.
    #[test]
    fn the_signature_is_an_hmac() {
        let digest = hmac(b"Jefe", b"what do ya want for nothing?");
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
