//! Ctrl-C and SIGTERM end the program, whatever is connected.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::process::Program;

/// Connections as they are open when somebody stops the program: idle after an answer, opened ahead and unused, and in
/// the middle of a request that will never end.
fn connections(url: &str) -> [TcpStream; 3] {
    let address = url.strip_prefix("http://").unwrap();
    let connect = || TcpStream::connect(address).unwrap();
    let mut idle = connect();
    write!(idle, "GET /api/menu HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    let mut endless = connect();
    write!(
        endless,
        "POST /api/menu HTTP/1.1\r\nhost: {address}\r\ncontent-length: 100\r\n\r\n{{"
    )
    .unwrap();
    [idle, connect(), endless]
}

#[test]
fn a_signal_ends_it_cleanly_whatever_is_connected() {
    for signal in ["INT", "TERM"] {
        let mut program = Program::start(&["--port", "0"], &[]);
        let open = connections(&program.url());
        program.signal(signal);
        assert_eq!(program.exit_code(), Some(0), "{signal}: {}", program.logs());
        drop(open);
    }
}
