//! A server in WeChat's place that notes every byte of a request and answers with any bytes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use testing::{Stage, loopback};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The first line and the headers, with names in lower case.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct State {
    received: Vec<Received>,
    answers: VecDeque<Vec<u8>>,
}

/// The server. It closes a connection after each answer, and one without an answer at once.
#[derive(Clone, Debug)]
pub(crate) struct RawServer {
    endpoint: String,
    state: Arc<Mutex<State>>,
}

impl RawServer {
    pub(crate) async fn start() -> Self {
        let listener = loopback::listener().await;
        let server = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
        };
        let state = Arc::clone(&server.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        server
    }

    /// Makes functions that are started later call this server in WeChat's place.
    pub(crate) fn replaces_wechat(&self, stage: &mut Stage) {
        stage.set([("WECHAT_API_BASE", self.endpoint.clone())]);
    }

    /// Answers the next request with these bytes, after which it hangs up.
    pub(crate) fn answer(&self, bytes: impl Into<Vec<u8>>) {
        self.state.lock().unwrap().answers.push_back(bytes.into());
    }

    /// Answers the next request with a status, headers and a body of the right length.
    pub(crate) fn answer_with(&self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
        self.answer([head.as_bytes(), body].concat());
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    pub(crate) fn last(&self) -> Received {
        self.received().pop().unwrap()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some(received) = read(&mut stream).await else {
        return;
    };
    let answer = {
        let mut state = state.lock().unwrap();
        state.received.push(received);
        state.answers.pop_front()
    };
    // The other side may have hung up.
    let _ = stream.write_all(&answer.unwrap_or_default()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { line, headers, body })
}
