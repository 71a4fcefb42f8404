//! Ports of loopback: with a server, with nobody, and with a service that never answers.

use std::{future::Future, net::SocketAddr};

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};

/// A server on a free port. It ends with this value.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Runs `serve` on the listener of a free port.
    pub async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = listener().await;
        Self {
            address: listener.local_addr().unwrap(),
            task: tokio::spawn(serve(listener)),
        }
    }

    /// Its host and port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `router`.
pub async fn serve(router: Router) -> Server {
    // It ends with an error only when its listener breaks; clients then see that nothing listens.
    Server::start(|listener| async move { drop(axum::serve(listener, router).await) }).await
}

/// A listener on a free port.
pub async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

/// The URL of a port on which nobody listens.
#[must_use]
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The URL of a service that takes connections and never answers.
pub async fn frozen() -> Server {
    Server::start(|listener| async move {
        let _listener = listener;
        std::future::pending().await
    })
    .await
}
