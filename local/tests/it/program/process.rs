//! A process of the built program.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// How long a process may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command with nothing in its environment: a variable of the person who runs the tests, such as `FORWARD_URL`, would
/// change them.
pub(crate) fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// The program with nothing in its environment.
pub(crate) fn local() -> Command {
    clean(env!("CARGO_BIN_EXE_local"))
}

/// A running program, with nothing in its environment but what a test sets. It is killed when the test ends.
pub(crate) struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    logs: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Program {
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = local()
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let logs: Arc<Mutex<String>> = Arc::default();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let collected = Arc::clone(&logs);
        let reader = thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                let mut logs = collected.lock().unwrap();
                logs.push_str(&line);
                logs.push('\n');
            }
        });
        Self {
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            logs,
            reader: Some(reader),
        }
    }

    /// Where it serves, once it says so.
    pub(crate) fn url(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let url = line.strip_prefix("ready ").and_then(|url| url.strip_suffix('\n'));
        url.unwrap_or_else(|| panic!("{line:?}; its log:\n{}", self.logs()))
            .to_owned()
    }

    /// All that it writes to standard output until it ends.
    pub(crate) fn output(mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        text
    }

    /// What it has written to standard error so far.
    pub(crate) fn logs(&self) -> String {
        self.logs.lock().unwrap().clone()
    }

    /// All that it has written to standard error, once it has been stopped.
    pub(crate) fn stopped(mut self) -> String {
        self.signal("TERM");
        self.exit_code();
        self.logs()
    }

    /// The exit code of the program, once it has ended by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                if let Some(reader) = self.reader.take() {
                    reader.join().unwrap();
                }
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it goes on running; its log:\n{}", self.logs());
    }

    /// The one line that it says when it cannot start, and its exit code.
    pub(crate) fn complaint(mut self) -> (String, i32) {
        let code = self.exit_code().unwrap();
        let logs = self.logs();
        assert_eq!(logs.lines().count(), 1, "one line: {logs}");
        (logs, code)
    }

    /// Sends `signal`, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it at once, as a machine that fails does: SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
