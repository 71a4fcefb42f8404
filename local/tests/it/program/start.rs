//! What a user reads at the start: one line that it is ready, or one that says what is in the way.

use std::net::TcpListener;

use serde_json::Value;

use super::process::Program;

const ACCOUNT: [(&str, &str); 3] = [
    ("WECHAT_APP_ID", "wx0123456789abcdef"),
    ("WECHAT_APP_SECRET", "0123456789abcdef0123456789abcdef"),
    ("WECHAT_TOKEN", "callback-token"),
];
/// Nothing is asked of it here.
const PLATFORM: [&str; 4] = ["--port", "0", "--wechat", "http://127.0.0.1:9"];

#[track_caller]
fn refused(arguments: &[&str], variables: &[(&str, &str)], code: i32, words: &[&str]) {
    let (complaint, exit_code) = Program::start(arguments, variables).complaint();
    for word in words {
        assert!(complaint.contains(word), "{word} in {complaint}");
    }
    assert_eq!(exit_code, code, "{complaint}");
}

#[test]
fn one_line_says_that_it_is_ready() {
    let url = Program::start(&["--port", "0"], &[]).url();
    let port = url.strip_prefix("http://127.0.0.1:").unwrap_or_else(|| panic!("{url}"));
    assert!(port.parse::<u16>().unwrap() > 0);
}

#[test]
fn an_account_that_a_simulated_run_does_not_use_is_told_of() {
    let stopped = |variables: &[(&str, &str)]| {
        let mut program = Program::start(&["--port", "0"], variables);
        program.url();
        program.stopped()
    };
    assert!(stopped(&ACCOUNT).contains("--wechat"));
    assert!(!stopped(&[]).contains("--wechat"));
}

/// A port that is taken while the listener lives, and the one before it is free.
fn port_after_a_free_one() -> (u16, TcpListener) {
    loop {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port - 1)).is_ok() {
            return (port, taken);
        }
    }
}

#[test]
fn either_port_in_use_is_named() {
    let (port, _taken) = port_after_a_free_one();
    let named = format!("port {port} on 127.0.0.1");
    refused(&["--port", &port.to_string()], &[], 1, &[&named, "--port"]);
    refused(&["--port", &(port - 1).to_string()], &[], 1, &[&named, "--port"]);
}

#[test]
fn a_command_line_that_cannot_be_used_is_told_from_a_machine_that_cannot() {
    refused(
        &["--wechat", "api.weixin.qq.com"],
        &[],
        2,
        &["--wechat", "https://api.weixin.qq.com"],
    );
    refused(&["--wechat", "ftp://127.0.0.1"], &[], 2, &["--wechat", "http"]);
    let with_password = "http://me:hunter2@127.0.0.1/?key=hunter3";
    let (complaint, code) = Program::start(&["--wechat", with_password], &[]).complaint();
    assert!(code == 2 && !complaint.contains("hunter"), "{complaint}");
    refused(&["--mode", "open"], &[], 2, &["--mode", "safe, compat, plain"]);
    refused(&["--prot", "1"], &[], 2, &["--prot", "--port", "--help"]);
    refused(&["--port", "65535"], &[], 2, &["65535"]);
}

#[test]
fn an_unwritable_folder_is_named() {
    refused(
        &["--port", "0", "--data", "/proc/nowhere"],
        &[],
        1,
        &["/proc/nowhere", "--data"],
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    refused(&["--port", "0", "--data", path], &[], 1, &[path]);
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mut first = Program::start(&["--port", "0", "--data", path], &[]);
    first.url();
    refused(&["--port", "0", "--data", path], &[], 1, &[path, "another process"]);
    first.kill();
    Program::start(&["--port", "0", "--data", path], &[]).url();
}

#[test]
fn a_file_that_is_not_a_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("wechat.sqlite"), "no database ".repeat(100)).unwrap();
    let path = folder.path().to_str().unwrap();
    refused(&["--port", "0", "--data", path], &[], 1, &["wechat.sqlite"]);
}

#[test]
fn a_real_account_needs_its_variables_and_all_are_named_at_once() {
    refused(
        &PLATFORM,
        &[],
        1,
        &["WECHAT_APP_ID", "WECHAT_APP_SECRET", "WECHAT_TOKEN"],
    );
}

#[test]
fn what_is_in_aws_needs_a_region() {
    for (variable, value) in [("EVENT_BUS_NAME", "bus"), ("WECHAT_SECRET_ID", "secret")] {
        let variables = [&ACCOUNT[..], &[(variable, value)]].concat();
        refused(&PLATFORM, &variables, 1, &[variable, "AWS_REGION"]);
    }
}

#[test]
fn other_addresses_are_for_real_accounts_with_keys() {
    refused(
        &["--listen", "0.0.0.0"],
        &[],
        2,
        &["the simulator is for development: it serves on loopback only"],
    );
    let elsewhere = [&PLATFORM[..], &["--listen", "0.0.0.0"]].concat();
    refused(&elsewhere, &ACCOUNT, 1, &["--listen", "API_KEYS"]);
    let keys = [&ACCOUNT[..], &[("API_KEYS", "a-key")]].concat();
    let loopback = [&PLATFORM[..], &["--listen", "127.0.0.2"]].concat();
    let url = Program::start(&loopback, &keys).url();
    assert!(url.starts_with("http://127.0.0.2:"), "{url}");
}

#[test]
fn a_missing_key_is_worth_a_line() {
    let mut program = Program::start(&PLATFORM, &ACCOUNT);
    program.url();
    let logs = program.stopped();
    assert!(logs.contains("API_KEYS"), "{logs}");
}

#[test]
fn log_lines_are_for_people_or_for_machines() {
    let json = |line: &str| serde_json::from_str::<Value>(line);
    for (format, is_json) in [("text", false), ("json", true)] {
        let mut program = Program::start(&["--port", "0", "--log", format], &[]);
        program.url();
        let logs = program.stopped();
        assert!(logs.contains("API key: local"), "{logs}");
        assert!(logs.lines().all(|line| json(line).is_ok() == is_json), "{logs}");
        if is_json {
            let line = json(logs.lines().next().unwrap()).unwrap();
            assert_eq!(line["level"], "INFO");
            assert!(line["message"].is_string() && line["timestamp"].is_string());
        }
    }
}

#[test]
fn the_help_says_all() {
    let help = Program::start(&["--help"], &[]).output();
    for words in [
        "--port",
        "--listen",
        "--data",
        "--wechat",
        "--mode",
        "--log",
        "Examples / 示例",
        "--wechat https://api.weixin.qq.com",
        "WECHAT_APP_ID",
        "WECHAT_APP_SECRET",
        "WECHAT_TOKEN_API",
        "WECHAT_TOKEN ",
        "WECHAT_ENCODING_AES_KEY",
        "WECHAT_MESSAGE_MODE",
        "WECHAT_MAX_CLOCK_SKEW",
        "WECHAT_TOKEN_PREVIOUS",
        "WECHAT_ENCODING_AES_KEY_PREVIOUS",
        "WECHAT_SECRET_ID",
        "API_KEYS",
        "EVENT_BUS_NAME",
        "HTTPS_PROXY",
        "AWS_LAMBDA_LOG_LEVEL",
        "监听端口",
    ] {
        assert!(help.contains(words), "{words} in {help}");
    }
}
