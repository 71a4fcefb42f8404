//! A proxy before a service that breaks on request, to test how a client copes with an outage.

use std::{
    io,
    net::SocketAddr,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use wechat::lock::lock;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The proxy stops listening until it is mended, and open connections break.
    Refuse,
    /// The connection is reset; the service does not see the request.
    Reset,
    /// The request is never answered; the service does not see it.
    Freeze,
    /// The service carries the request out; its answer is delayed.
    Delay(Duration),
    /// The proxy answers in place of the service, which does not see the request.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Headers besides the content's length.
        headers: Vec<(&'static str, &'static str)>,
        /// The body.
        body: String,
    },
    /// The service carries the request out; the connection is reset before the answer.
    LoseAnswer,
    /// The service carries the request out; the answer never comes.
    WithholdAnswer,
}

impl Fault {
    /// The proxy answers with JSON in place of the service.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "every caller makes the body for this")]
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self::Answer {
            status,
            headers: vec![("content-type", "application/json")],
            body: body.to_string(),
        }
    }
}

/// A proxy for HTTP/1.1 without TLS. Requests and answers must have a `content-length` if they have a body. It ends when
/// this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    service: SocketAddr,
    state: Mutex<State>,
    /// Whether connections are accepted.
    is_open: watch::Sender<bool>,
    /// How many requests the fault has hit since it was set.
    struck: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<(usize, usize, Fault)>,
    requests: Vec<String>,
}

impl FaultProxy {
    /// Starts before the service at `endpoint`, an `http://ADDRESS:PORT`, and passes everything on.
    pub async fn start(endpoint: &str) -> Self {
        let service = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let reserved = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = reserved.local_addr().unwrap();
        let listener = bind(address).and_then(|socket| socket.listen(BACKLOG)).unwrap();
        let shared = Arc::new(Shared {
            service,
            state: Mutex::default(),
            is_open: watch::Sender::new(true),
            struck: watch::Sender::new(0),
        });
        let acceptor = tokio::spawn(accept(listener, reserved, Arc::clone(&shared)));
        Self {
            address,
            shared,
            acceptor,
        }
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Applies `fault` to the requests of `which`, counted from 1 from now on.
    pub fn fail(&self, which: impl RangeBounds<usize>, fault: Fault) {
        let first = match which.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 1,
        };
        let last = match which.end_bound() {
            Bound::Included(last) => *last,
            Bound::Excluded(after) => after - 1,
            Bound::Unbounded => usize::MAX,
        };
        // The first request must already find nobody.
        let is_open = !(first == 1 && matches!(fault, Fault::Refuse));
        self.shared.with(|state| {
            state.requests.clear();
            state.fault = Some((first, last, fault));
        });
        self.shared.struck.send_replace(0);
        self.shared.is_open.send_replace(is_open);
    }

    /// Passes everything on again, and starts counting and listing requests anew. Returns once it listens.
    pub async fn mend(&self) {
        self.shared.with(|state| *state = State::default());
        self.shared.is_open.send_replace(true);
        while TcpStream::connect(self.address).await.is_err() {
            assert!(!self.acceptor.is_finished(), "the proxy at {} has ended", self.address);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The requests since the last [`FaultProxy::fail`] or [`FaultProxy::mend`], faulty ones included: an AWS call by its
    /// operation, any other by method and path.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.with(|state| state.requests.clone())
    }

    /// Waits until the fault has hit a request. If its answer is lost or withheld, the service has carried it out by then.
    pub async fn struck(&self) {
        // The sender lives as long as this.
        let _ = self.shared.struck.subscribe().wait_for(|struck| *struck > 0).await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut lock(&self.state))
    }

    /// Counts a request and returns the fault that applies to it.
    fn due(&self, name: String) -> Option<Fault> {
        self.with(|state| {
            state.requests.push(name);
            let count = state.requests.len();
            let fault = state.fault.as_ref();
            let due = fault.filter(|(first, last, _)| (*first..=*last).contains(&count));
            due.map(|(.., fault)| fault.clone())
        })
    }

    fn strike(&self) {
        self.struck.send_modify(|struck| *struck += 1);
    }
}

/// Accepts connections, with the listener closed while the proxy refuses them. `reserved` stays bound to the address without
/// listening, so that no other process gets the port meanwhile.
async fn accept(mut listener: TcpListener, reserved: TcpSocket, shared: Arc<Shared>) {
    let Ok(address) = reserved.local_addr() else { return };
    let mut is_open = shared.is_open.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let shut = async { is_open.wait_for(|is_open| !is_open).await.is_ok() };
        tokio::select! {
            connection = listener.accept() => {
                if let Ok((connection, _)) = connection {
                    connections.spawn(serve(connection, Arc::clone(&shared)));
                }
                continue;
            }
            is_shut = shut => if !is_shut { return },
        }
        drop(listener);
        connections.shutdown().await;
        if is_open.wait_for(|is_open| *is_open).await.is_err() {
            return;
        }
        listener = match bind(address).and_then(|socket| socket.listen(BACKLOG)) {
            Ok(listener) => listener,
            Err(_) => return,
        };
    }
}

/// A socket that shares its address with others of this process.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// One connection. It ends with an error when either side breaks it off, which the other side sees.
async fn serve(mut client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    while let Some(request) = Message::read(&mut client).await? {
        let Some(fault) = shared.due(request.name()) else {
            client.write_all(&pass_on(&request, shared.service).await?).await?;
            continue;
        };
        match fault {
            Fault::Refuse => {
                shared.strike();
                client.set_zero_linger()?;
                shared.is_open.send_replace(false);
                return Ok(());
            }
            Fault::Reset => {
                shared.strike();
                return client.set_zero_linger();
            }
            Fault::Freeze => {
                shared.strike();
                return gone(&mut client).await;
            }
            Fault::Delay(delay) => {
                let answer = pass_on(&request, shared.service).await?;
                shared.strike();
                tokio::time::sleep(delay).await;
                client.write_all(&answer).await?;
            }
            Fault::Answer { status, headers, body } => {
                shared.strike();
                let answer = Message::answer(status, &headers, body);
                client.write_all(&answer.to_bytes()).await?;
            }
            Fault::LoseAnswer => {
                pass_on(&request, shared.service).await?;
                shared.strike();
                return client.set_zero_linger();
            }
            Fault::WithholdAnswer => {
                pass_on(&request, shared.service).await?;
                shared.strike();
                return gone(&mut client).await;
            }
        }
    }
    Ok(())
}

/// Waits until the client gives up.
async fn gone(client: &mut TcpStream) -> io::Result<()> {
    while client.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// Asks the service, on a connection of its own, and returns its answer as it is to be written.
async fn pass_on(request: &Message, service: SocketAddr) -> io::Result<Vec<u8>> {
    let mut service = TcpStream::connect(service).await?;
    service.write_all(&request.to_bytes()).await?;
    let answer = Message::read(&mut service).await?;
    let answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Ok(answer.to_bytes())
}

/// A request or an answer.
#[derive(Debug)]
struct Message {
    /// The first line and the headers.
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// Reads a message. `None` when the connection ended before a message began.
    async fn read(stream: &mut TcpStream) -> io::Result<Option<Self>> {
        const END: &[u8] = b"\r\n\r\n";
        let mut bytes = Vec::new();
        let head_length = loop {
            if let Some(position) = bytes.windows(END.len()).position(|window| window == END) {
                break position;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return if bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let mut body = bytes.split_off(head_length + END.len());
        bytes.truncate(head_length);
        let head = String::from_utf8(bytes).map_err(io::Error::other)?;
        let mut message = Self { head, body: Vec::new() };
        let length = message.header("content-length").map_or(Ok(0), str::parse);
        let length: usize = length.map_err(io::Error::other)?;
        while body.len() < length {
            if stream.read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        message.body = body;
        Ok(Some(message))
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: String) -> Self {
        let mut head = format!("HTTP/1.1 {status} \r\ncontent-length: {}", body.len());
        for (name, value) in headers {
            head.push_str(&format!("\r\n{name}: {value}"));
        }
        Self {
            head,
            body: body.into_bytes(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let mut values = headers.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }

    /// Its name in the list of requests, without the query, which may hold a token.
    fn name(&self) -> String {
        if let Some(operation) = self.header("x-amz-target").and_then(|target| target.rsplit('.').next()) {
            return operation.to_owned();
        }
        let line = self.head.split("\r\n").next().unwrap_or_default();
        let target = line.rsplit_once(' ').map_or(line, |(target, _)| target);
        target.split('?').next().unwrap_or_default().to_owned()
    }

    fn to_bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n\r\n", &self.body].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{super::loopback::Server, *};

    /// A service that answers every request with its number.
    async fn counter() -> (Server, watch::Receiver<usize>) {
        let (count, seen) = watch::channel(0);
        let serve = |listener: TcpListener| async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                while let Ok(Some(_)) = Message::read(&mut connection).await {
                    count.send_modify(|count| *count += 1);
                    let answer = Message::answer(200, &[], count.borrow().to_string());
                    connection.write_all(&answer.to_bytes()).await.unwrap();
                }
            }
        };
        (Server::start(serve).await, seen)
    }

    async fn ask(proxy: &FaultProxy) -> io::Result<String> {
        let mut connection = TcpStream::connect(proxy.address).await?;
        connection
            .write_all(b"POST /a?token=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
            .await?;
        let answer = Message::read(&mut connection).await?;
        let answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(String::from_utf8(answer.body).unwrap())
    }

    #[tokio::test]
    async fn each_fault_breaks_what_it_says_and_the_proxy_can_be_mended() {
        let (service, seen) = counter().await;
        let proxy = FaultProxy::start(&service.endpoint()).await;
        assert_eq!(ask(&proxy).await.unwrap(), "1");

        proxy.fail(2.., Fault::Refuse);
        assert_eq!(ask(&proxy).await.unwrap(), "2", "only from the second request on");
        assert!(ask(&proxy).await.is_err());
        assert_eq!(ask(&proxy).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);

        for (fault, is_seen) in [(Fault::Reset, false), (Fault::LoseAnswer, true)] {
            proxy.mend().await;
            let before = *seen.borrow();
            proxy.fail(1..=1, fault);
            assert_eq!(ask(&proxy).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(*seen.borrow(), before + usize::from(is_seen));
            assert!(ask(&proxy).await.is_ok(), "only the first request");
        }

        for (fault, is_seen) in [(Fault::Freeze, false), (Fault::WithholdAnswer, true)] {
            let before = *seen.borrow();
            proxy.fail(1..=1, fault);
            tokio::select! {
                answer = ask(&proxy) => panic!("{answer:?}"),
                () = proxy.struck() => {}
            }
            assert_eq!(*seen.borrow(), before + usize::from(is_seen));
        }

        proxy.fail(.., Fault::json(503, "busy"));
        assert_eq!(ask(&proxy).await.unwrap(), "busy");
        proxy.fail(.., Fault::Delay(Duration::from_millis(60)));
        let started = Instant::now();
        assert!(ask(&proxy).await.is_ok());
        assert!(started.elapsed() >= Duration::from_millis(60));
        assert_eq!(proxy.requests(), ["POST /a"]);
    }
}
