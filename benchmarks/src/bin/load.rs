//! Load for a running `local` with its simulated platform: signed callbacks and sends at a steady rate over kept
//! connections, and the results.
//!
//! `load PID CALLBACKS SENDS SECONDS [PORT]`: the process id of `local`, requests a second of each kind, and for how long.
//! It finds `local` on its default ports. With a port it also serves as the team's own code there: start `local` with
//! `FORWARD_URL=http://127.0.0.1:PORT`.

#![expect(clippy::print_stdout, reason = "the figures are the program's output")]

use std::{
    env,
    error::Error,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use benchmarks::{
    stub,
    usage::{cpu_time, peak_memory, resident_memory},
};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use simulator::Mode;
use testing::{event, message};
use tokio::net::TcpListener;

const GATEWAY: &str = "http://127.0.0.1:8000";
const SIMULATOR: &str = "http://127.0.0.1:8001";
/// More requests than these at once mean that `local` does not keep up.
const MOST_AT_ONCE: usize = 256;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\nusage: load PID CALLBACKS SENDS SECONDS [PORT]");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let numbers: Vec<u32> = env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let (pid, callbacks, sends, seconds, port) = match numbers[..] {
        [pid, callbacks, sends, seconds] => (pid, callbacks, sends, seconds, None),
        [pid, callbacks, sends, seconds, port] => (pid, callbacks, sends, seconds, Some(u16::try_from(port)?)),
        _ => return Err("four or five numbers are needed".into()),
    };
    let asked = Arc::new(AtomicU64::new(0));
    if let Some(port) = port {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        tokio::spawn(stub::serve(listener, own_reply, Duration::ZERO, Arc::clone(&asked)));
    }
    let client = Client::builder().no_proxy().build()?;
    let account = client
        .get(format!("{SIMULATOR}/sim/account"))
        .send()
        .await?
        .text()
        .await?;
    let account: Value = serde_json::from_str(&account)?;
    let (memory, cpu) = (resident_memory(pid)?, cpu_time(pid)?);
    let callback = {
        let client = client.clone();
        move |index| callback(&client, &account, index)
    };
    let (callbacks, sends) = tokio::join!(
        steadily(callbacks, seconds, callback),
        steadily(sends, seconds, move |_| send(&client)),
    );
    let cpu = (cpu_time(pid)? - cpu).as_secs_f64() / f64::from(seconds);
    println!("| | a second | errors | p50, ms | p99, ms | max, ms |\n|---|--:|--:|--:|--:|--:|");
    callbacks.print("callbacks", seconds);
    sends.print("sends", seconds);
    if port.is_some() {
        println!("\nown code was asked {} times", asked.load(Ordering::Relaxed));
    }
    println!(
        "\nmemory of local: {:.1} MiB before, {:.1} MiB after, {:.1} MiB at most; {cpu:.2} CPUs",
        mebibytes(memory),
        mebibytes(resident_memory(pid)?),
        mebibytes(peak_memory(pid)?),
    );
    Ok(())
}

/// Own code's reply to every callback.
fn own_reply(_: &str, _: u64) -> String {
    r#"{"reply":{"type":"text","content":"own code"}}"#.to_owned()
}

/// The results of the requests of one kind.
#[derive(Default)]
struct Outcome {
    latencies: Vec<Duration>,
    errors: u32,
}

impl Outcome {
    fn print(mut self, name: &str, seconds: u32) {
        self.latencies.sort_unstable();
        let at = |percent: usize| {
            let index = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
            self.latencies
                .get(index)
                .map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        let rate = self.latencies.len() as f64 / f64::from(seconds);
        println!(
            "| {name} | {rate:.0} | {} | {:.1} | {:.1} | {:.1} |",
            self.errors,
            at(50),
            at(99),
            at(100)
        );
    }
}

/// Sends `rate` requests a second. A latency counts from when the request was due, so that a server that stalls does not
/// hide it by being asked less.
async fn steadily(rate: u32, seconds: u32, mut request: impl FnMut(u64) -> RequestBuilder) -> Outcome {
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let mut running = tokio::task::JoinSet::new();
    let began = Instant::now();
    for index in 0..u64::from(rate) * u64::from(seconds) {
        let due = began + Duration::from_secs(1) * u32::try_from(index).unwrap_or(u32::MAX) / rate;
        tokio::time::sleep_until(due.into()).await;
        while running.len() >= MOST_AT_ONCE {
            running.join_next().await;
        }
        while running.try_join_next().is_some() {}
        let (request, outcome) = (request(index), Arc::clone(&outcome));
        running.spawn(async move {
            let is_answered = is_answered(request).await;
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.latencies.push(due.elapsed());
            outcome.errors += u32::from(!is_answered);
        });
    }
    running.join_all().await;
    std::mem::take(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn is_answered(request: RequestBuilder) -> bool {
    match request.send().await {
        Ok(response) => response.status() == 200 && response.bytes().await.is_ok(),
        Err(_) => false,
    }
}

fn callback(client: &Client, account: &Value, index: u64) -> RequestBuilder {
    let text = |name: &str| account[name].as_str().unwrap_or_default();
    let (query, body) = event::callback(event::text("你好", 24_000_000_000_000_000 + index))
        .app_id(text("app_id"))
        .token(text("token"))
        .aes_key(text("encoding_aes_key"))
        .signed(Mode::Safe);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&query)
        .finish();
    client
        .post(format!("{GATEWAY}/webhook?{query}"))
        .header("content-type", "text/xml")
        .body(body)
}

fn send(client: &Client) -> RequestBuilder {
    client
        .post(format!("{GATEWAY}/api/sendTemplateMessage"))
        .header("authorization", "Bearer local")
        .header("content-type", "application/json")
        .body(message().to_string())
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
