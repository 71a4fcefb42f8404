//! The program as a user starts it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

/// A running program; it is killed when a test ends.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in ["WECHAT_APP_ID", "WECHAT_TOKEN", "WECHAT_APP_SECRET", "API_KEYS"] {
            command.env_remove(variable);
        }
        Self(command.spawn().unwrap())
    }

    fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        line
    }

    /// What it says when it cannot start.
    fn complaint(mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(1), "{text}");
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_line_says_that_it_is_ready() {
    let mut program = Program::start(&["--port", "0"]);
    let line = program.first_line();
    let port = line
        .trim()
        .strip_prefix("ready http://127.0.0.1:")
        .unwrap_or_else(|| panic!("{line:?}"));
    assert!(port.parse::<u16>().unwrap() > 0);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let complaint = Program::start(&["--port", &port]).complaint();
    assert!(complaint.contains(&port) && complaint.contains("--port"), "{complaint}");
}

#[test]
fn an_unwritable_folder_is_named() {
    let complaint = Program::start(&["--port", "0", "--data", "/proc/nowhere"]).complaint();
    assert!(complaint.contains("/proc/nowhere"), "{complaint}");
}

#[test]
fn a_real_account_needs_its_variables_and_all_are_named_at_once() {
    let complaint = Program::start(&["--port", "0", "--wechat", "https://api.weixin.qq.com"]).complaint();
    for variable in ["WECHAT_APP_ID", "WECHAT_APP_SECRET", "WECHAT_TOKEN"] {
        assert!(complaint.contains(variable), "{variable} in {complaint}");
    }
}
