//! The gateway's connections, limited in number and in the time for a request's head: `--listen` can open the gateway to a
//! network.

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;
use wechat::lock::lock;

/// The pause after a failed `accept`, which usually means that the process has no file descriptor left.
const PAUSE: Duration = Duration::from_secs(1);

/// Limits against clients that open many connections or send slowly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time. Others wait until one ends.
    pub(super) connections: usize,
    /// Connections at a time from one public address. Others are closed at once.
    pub(super) per_peer: usize,
    /// The time for a request's head to arrive, and for an idle connection to send its next request.
    pub(super) head: Duration,
    /// The time in which a client reads a part of its answer.
    pub(super) answer: Duration,
}

/// Serves `router` until `stopped` completes, then finishes the requests in flight.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits, stopped: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let peers = Peers::default();
    let connections = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let mut stopped = pin!(stopped);
    loop {
        let (stream, peer, permit) = tokio::select! {
            connection = accept(&listener, &room) => connection,
            () = &mut stopped => break,
        };
        let Some(place) = peers.admit(peer.ip(), limits.per_peer) else {
            continue;
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.answer));
        let stream = TokioIo::new(Box::pin(stream));
        let service = TowerToHyperService::new(router.clone().layer(Extension(ConnectInfo(peer))));
        let connection = connections.watch(server.serve_connection(stream, service));
        tokio::spawn(async move {
            // An error here is the client's: it hung up, was too slow, or sent no HTTP.
            let _ = connection.await;
            drop((permit, place));
        });
    }
    drop(listener);
    connections.shutdown().await;
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let permit = Arc::clone(room).acquire_owned().await;
        match (listener.accept().await, permit) {
            (Ok((stream, peer)), Ok(permit)) => {
                // Without Nagle's algorithm: a small answer must not wait for the ACK of an earlier one.
                let _ = stream.set_nodelay(true);
                return (stream, peer, permit);
            }
            (Err(error), _) => {
                tracing::warn!(%error, "a connection could not be accepted / 无法接受新连接");
                sleep(PAUSE).await;
            }
            (_, Err(_)) => std::future::pending().await,
        }
    }
}

/// How many connections each address holds.
#[derive(Clone, Debug, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A counted connection of an address, until it is dropped.
#[derive(Debug)]
struct Place {
    peers: Peers,
    address: Option<IpAddr>,
}

impl Peers {
    /// Counts a connection from `peer`, if it holds fewer than `limit`.
    ///
    /// Loopback is not counted: all clients of a reverse proxy on this machine share that address, and the proxy has to limit
    /// them.
    fn admit(&self, peer: IpAddr, limit: usize) -> Option<Place> {
        let address = counted(peer);
        if let Some(address) = address {
            let held = &mut *lock(&self.0);
            let held = held.entry(address).or_default();
            if *held >= limit {
                return None;
            }
            *held += 1;
        }
        Some(Place {
            peers: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let held = &mut *lock(&self.peers.0);
        if let Some(count) = held.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&address);
            }
        }
    }
}

/// The address under which a peer is counted. For IPv6 only the /64 prefix: a subscriber chooses the rest. None for this machine
/// and for private networks, from which a reverse proxy or a container's bridge brings everybody's connections.
fn counted(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) if address.is_private() => None,
        IpAddr::V6(address) if address.is_unique_local() => None,
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
        address => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
        task::JoinHandle,
    };

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

    /// A server that answers with its client's port, and its stop signal.
    async fn start(
        connections: usize,
        head: Duration,
    ) -> io::Result<(SocketAddr, oneshot::Sender<()>, JoinHandle<()>)> {
        let limits = Limits {
            connections,
            per_peer: 1,
            head,
            answer: Duration::from_millis(50),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let port = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.port().to_string() };
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let router = Router::new()
            .route("/", get(port))
            .route("/long", get(async || "x".repeat(64 << 20)));
        Ok((address, stop, tokio::spawn(serve(listener, router, limits, stopped))))
    }

    async fn answer(stream: &mut TcpStream) -> io::Result<String> {
        let mut bytes = [0; 1024];
        let length = stream.read(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_not_waited_for() -> io::Result<()> {
        let (address, _stop, _) = start(8, Duration::from_millis(50)).await?;
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&REQUEST[..20]).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
        Ok(())
    }

    #[tokio::test]
    async fn a_client_that_reads_no_answer_holds_no_place() -> io::Result<()> {
        let (address, _stop, _) = start(1, Duration::from_secs(60)).await?;
        let mut deaf = TcpStream::connect(address).await?;
        deaf.write_all(b"GET /long HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await?;
        let mut other = TcpStream::connect(address).await?;
        other.write_all(REQUEST).await?;
        assert!(answer(&mut other).await?.starts_with("HTTP/1.1 200"));
        Ok(())
    }

    #[tokio::test]
    async fn the_last_place_is_given_to_the_next_that_waits() -> io::Result<()> {
        let (address, stop, served) = start(1, Duration::from_secs(60)).await?;
        let mut first = TcpStream::connect(address).await?;
        first.write_all(REQUEST).await?;
        let port = first.local_addr()?.port().to_string();
        assert!(answer(&mut first).await?.ends_with(&port), "the client is known");

        let mut second = TcpStream::connect(address).await?;
        second.write_all(REQUEST).await?;
        let waits = tokio::time::timeout(Duration::from_millis(50), second.readable()).await;
        assert!(waits.is_err(), "the only place is taken");
        drop(first);
        assert!(answer(&mut second).await?.starts_with("HTTP/1.1 200"));

        let _ = stop.send(());
        served.await?;
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
        Ok(())
    }

    #[test]
    fn one_address_cannot_take_every_place_unless_it_is_the_proxy_of_all() {
        let peers = Peers::default();
        let admit = |address: &str| peers.admit(address.parse().unwrap(), 2);
        let held = [admit("192.0.2.1"), admit("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some(), "another address has its own places");
        drop(held);
        assert!(admit("192.0.2.1").is_some(), "a connection that ends makes room");
        assert!(peers.0.lock().unwrap().is_empty(), "and is forgotten");

        let held = [admit("2001:db8::1"), admit("2001:db8::2:1")];
        assert!(held.iter().all(Option::is_some));
        assert!(admit("2001:db8::3:1").is_none(), "a subscriber has many addresses");
        assert!(admit("2001:db8:0:1::1").is_some());

        for proxy in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "10.0.0.5",
            "172.17.0.1",
            "fd00::1",
        ] {
            let proxied: Vec<_> = (0..10).map(|_| admit(proxy)).collect();
            assert!(proxied.iter().all(Option::is_some), "{proxy}");
        }
    }
}
