//! A server that takes any request and answers at once, or after a delay: the floor beside which others are measured.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Answers a request to a path (with its query); the number counts the requests.
pub type Answer = fn(path: &str, number: u64) -> String;

/// Serves every connection of `listener` with `answer`, `delay` after each request. Counts the requests in `asked`.
pub async fn serve(listener: TcpListener, answer: Answer, delay: Duration, asked: Arc<AtomicU64>) {
    while let Ok((connection, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        // A connection ends when its client closes it.
        tokio::spawn(async move {
            answer_all(connection, answer, delay, &asked).await.unwrap_or_default();
        });
    }
}

async fn answer_all(connection: TcpStream, answer: Answer, delay: Duration, asked: &AtomicU64) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut connection = BufReader::new(connection);
    let mut line = String::new();
    loop {
        let (mut length, mut path) = (0, None);
        loop {
            line.clear();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            path = path.or_else(|| line.split(' ').nth(1).map(str::to_owned));
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
            if line == "\r\n" {
                break;
            }
        }
        connection.read_exact(&mut vec![0; length]).await?;
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let body = answer(path.as_deref().unwrap_or_default(), number);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(answer.as_bytes()).await?;
    }
}
