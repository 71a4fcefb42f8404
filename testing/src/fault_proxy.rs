//! A proxy before a service on loopback that breaks as it is told: what a client makes of an outage, request by request.

use std::{
    io,
    net::SocketAddr,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What befalls a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nobody listens any more, until the proxy is mended. The connections that there are break.
    Refuse,
    /// Its connection is reset; the service does not see it.
    Reset,
    /// It is never answered; the service does not see it.
    Freeze,
    /// The service sees it, and its answer comes so much later.
    Delay(Duration),
    /// Something else answers; the service does not see it.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Headers besides the content's length.
        headers: Vec<(&'static str, &'static str)>,
        /// The body.
        body: String,
    },
    /// The service carries it out; the connection is reset before the answer.
    LoseAnswer,
    /// The service carries it out; the answer never comes.
    WithholdAnswer,
}

impl Fault {
    /// Something else answers with JSON.
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
    /// How many requests a fault has befallen since it was ordered, as far as it was to.
    struck: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<(usize, usize, Fault)>,
    requests: Vec<String>,
}

impl FaultProxy {
    /// Starts before the service at `endpoint`, an `http://ADDRESS:PORT`, and passes everything on.
    ///
    /// # Errors
    /// When `endpoint` is none, or no port can be had.
    pub async fn start(endpoint: &str) -> io::Result<Self> {
        let service = endpoint
            .strip_prefix("http://")
            .and_then(|address| address.parse().ok());
        let service = service.ok_or_else(|| io::Error::other(format!("{endpoint} is no address")))?;
        let reserved = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = reserved.local_addr()?;
        let listener = bind(address)?.listen(BACKLOG)?;
        let shared = Arc::new(Shared {
            service,
            state: Mutex::default(),
            is_open: watch::Sender::new(true),
            struck: watch::Sender::new(0),
        });
        let acceptor = tokio::spawn(accept(listener, reserved, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            acceptor,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on `fault` befalls the requests of `which`, counted from 1 from now on.
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
        // Whoever asks for the first request finds nobody already.
        let is_open = !(first == 1 && matches!(fault, Fault::Refuse));
        self.shared.with(|state| {
            state.requests.clear();
            state.fault = Some((first, last, fault));
        });
        self.shared.struck.send_replace(0);
        self.shared.is_open.send_replace(is_open);
    }

    /// Passes everything on again, and counts and lists requests anew. Afterwards it listens.
    ///
    /// # Panics
    /// When it can listen no more.
    pub async fn mend(&self) {
        self.shared.with(|state| *state = State::default());
        self.shared.is_open.send_replace(true);
        while TcpStream::connect(self.address).await.is_err() {
            assert!(!self.acceptor.is_finished(), "the proxy at {} has ended", self.address);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The requests since the last [`FaultProxy::fail`] or [`FaultProxy::mend`], whatever became of them: each the
    /// operation's name of an AWS call, else the method and the path.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.with(|state| state.requests.clone())
    }

    /// Waits until the fault has befallen a request; one whose answer is lost or withheld has been carried out then.
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
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a request, and tells what befalls it.
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

/// Serves, and while it refuses connections closes its listener. `reserved` stays bound to the address without listening, so
/// that nobody else gets the port meanwhile.
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
    /// `None` when the connection ended before a message began.
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

    /// What the log of requests calls it. The query is left out, since tokens travel in it.
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

    use super::*;

    /// A service that answers every request with its number.
    async fn counter() -> (String, watch::Receiver<usize>, JoinHandle<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (count, seen) = watch::channel(0);
        let server = tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                while let Ok(Some(_)) = Message::read(&mut connection).await {
                    count.send_modify(|count| *count += 1);
                    let answer = Message::answer(200, &[], count.borrow().to_string());
                    connection.write_all(&answer.to_bytes()).await.unwrap();
                }
            }
        });
        (endpoint, seen, server)
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
        let (endpoint, seen, server) = counter().await;
        let proxy = FaultProxy::start(&endpoint).await.unwrap();
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
        server.abort();
    }
}
