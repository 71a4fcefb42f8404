//! The built functions as processes, on a Lambda Runtime API of the project's own: what a start and a reply cost in CPU
//! time, how long they take, how much memory they hold and how large they are. Beside them a function of the same
//! runtime that does nothing, and the webhook's job in plain Node.js.
//!
//! Builds what it measures: `cargo bench -p benchmarks --bench process`.

#![expect(clippy::print_stdout, reason = "the figures are the program's output")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use benchmarks::{
    account::{self, Keys, callback, text_message},
    usage::{cpu_time, peak_memory},
};
use serde_json::{Value, json};
use simulator::{FOLLOWER, Settings, Simulator, TEMPLATE_ID};
use testing::{Authority, EmbeddedTable, Function, LambdaApi, Outcome, TABLE_NAME, TlsFront};
use tokio::{net::TcpListener, process::Command};
use wechat::{callback::MessageMode, store::Table};

/// What is built: the functions, and one that does nothing.
const PACKAGES: [&str; 5] = ["webhook", "token-refresher", "send-template", "admin", "hello"];
/// Processes started for one figure.
const STARTS: usize = 30;
/// Replies before those that count.
const WARM_UP: usize = 100;
/// Replies that count, and in how many rounds.
const REPLIES: usize = 1000;
const ROUNDS: usize = 20;
/// Rules that the webhook has.
const RULES: usize = 100;
const API_KEY: &str = "key-of-the-benchmarks";
const SEND: &str = "/cgi-bin/message/template/send";

/// Recipients of one request, and how long WeChat takes for each.
const RECIPIENTS: usize = 100;
const DELAY_MILLIS: u64 = 50;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    for package in PACKAGES {
        build(package)?;
    }
    println!("{}\n", machine());
    sizes()?;
    let stage = Stage::new().await?;
    starts(&stage).await?;
    replies(&stage).await?;
    hundred_recipients(&stage).await
}

/// Each by itself, as it is shipped: built together they would share the features of all.
fn build(package: &str) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--release", "--quiet", "--package", package, "--bin", package];
    let status = std::process::Command::new(cargo).args(arguments).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{package} cannot be built").into())
    }
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = cpus.lines().filter_map(|line| line.strip_prefix("model name"));
    let model = models.clone().next().unwrap_or("unknown CPU");
    let cores = models.count();
    format!(
        "{cores} cores of {}, {}",
        model.trim_start_matches([' ', '\t', ':']),
        env::consts::ARCH
    )
}

fn sizes() -> Result<()> {
    println!("| binary | bytes | deflate 6 | deflate 9 |\n|---|--:|--:|--:|");
    for name in PACKAGES {
        let bytes = fs::read(binary(name))?;
        let zipped = |level| miniz_oxide::deflate::compress_to_vec(&bytes, level).len();
        println!("| {name} | {} | {} | {} |", bytes.len(), zipped(6), zipped(9));
    }
    println!();
    Ok(())
}

/// Where cargo puts it, from where it keeps temporary files: `target/tmp`.
fn binary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name("release")
        .join(name)
}

/// What the functions need around them.
struct Stage {
    simulator: Simulator,
    table: EmbeddedTable,
    lambda: LambdaApi,
    secure_wechat: TlsFront,
    secure_table: TlsFront,
    /// The system's root certificates and that of the fronts.
    roots: PathBuf,
}

impl Stage {
    async fn new() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let simulator = Simulator::start(listener, Settings::default())?;
        let table = EmbeddedTable::start(None).await?;
        let authority = Authority::new();
        let roots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("roots.pem");
        let system = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        fs::write(&roots, system + &authority.pem())?;
        let stage = Self {
            secure_wechat: TlsFront::start(&authority, &simulator.base_url()).await?,
            secure_table: TlsFront::start(&authority, &table.endpoint()).await?,
            lambda: LambdaApi::start(async |_| Ok(json!({}))).await?,
            simulator,
            table,
            roots,
        };
        let rules = json!({"keywords": (0..RULES).map(rule).collect::<Vec<_>>()});
        Table::new(stage.table.client(), TABLE_NAME, stage.keys().app_id)
            .save_replies(&rules.to_string(), None, account::now())
            .await?;
        // The token, and the list of templates, as any warm account has them in its table.
        for subject in [stage.token_refresher(), stage.send_template()] {
            let mut function = stage.run(&subject, Endpoints::Http).await?;
            function.invoke(&subject.event).await;
        }
        Ok(stage)
    }

    fn keys(&self) -> Keys<'_> {
        let account = self.simulator.account();
        Keys {
            app_id: &account.app_id,
            token: &account.token,
            aes_key: &account.encoding_aes_key,
        }
    }

    async fn run(&self, subject: &Subject, endpoints: Endpoints) -> Result<Function> {
        let (wechat, table) = match endpoints {
            Endpoints::Http => (self.simulator.base_url(), self.table.endpoint()),
            Endpoints::Https => (self.secure_wechat.endpoint(), self.secure_table.endpoint()),
        };
        let (keys, lambda, roots) = (self.keys(), self.lambda.endpoint(), self.roots.display().to_string());
        let variables = [
            ("WECHAT_APP_ID", keys.app_id),
            ("WECHAT_APP_SECRET", self.simulator.account().app_secret.as_str()),
            ("WECHAT_TOKEN", keys.token),
            ("WECHAT_ENCODING_AES_KEY", keys.aes_key),
            ("WECHAT_MESSAGE_MODE", subject.mode.as_str()),
            ("WECHAT_API_BASE", &wechat),
            ("API_KEYS", API_KEY),
            ("TABLE_NAME", TABLE_NAME),
            ("TOKEN_REFRESHER_FUNCTION", "token-refresher"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &table),
            ("AWS_ENDPOINT_URL_LAMBDA", &lambda),
            ("SSL_CERT_FILE", &roots),
        ];
        let mut command = Command::new(&subject.program);
        command.args(&subject.argument);
        Ok(Function::run(command, &variables).await?)
    }

    fn subject(&self, name: impl Into<String>, program: PathBuf, mode: MessageMode, event: Value) -> Subject {
        Subject {
            name: name.into(),
            program,
            argument: None,
            mode,
            event,
        }
    }

    fn hello(&self) -> Subject {
        self.subject(
            "hello",
            binary("hello"),
            MessageMode::Safe,
            self.message(MessageMode::Safe),
        )
    }

    fn webhook(&self, mode: MessageMode) -> Subject {
        let name = format!("webhook, {}", mode.as_str());
        self.subject(name, binary("webhook"), mode, self.message(mode))
    }

    fn node(&self, mode: MessageMode) -> Subject {
        let name = format!("Node.js, {}", mode.as_str());
        Subject {
            argument: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("node/webhook.mjs")),
            ..self.subject(name, "/usr/bin/node".into(), mode, self.message(mode))
        }
    }

    fn message(&self, mode: MessageMode) -> Value {
        callback(self.keys(), &text_message("你好", 24_000_000_000_000_001), mode)
    }

    fn token_refresher(&self) -> Subject {
        let event = testing::event("refresh-schedule");
        self.subject("token-refresher", binary("token-refresher"), MessageMode::Safe, event)
    }

    fn send_template(&self) -> Subject {
        let event = send_event(&json!(FOLLOWER));
        self.subject("send-template", binary("send-template"), MessageMode::Safe, event)
    }

    fn admin(&self) -> Subject {
        let event = authorized(testing::event("replies-get"));
        self.subject("admin", binary("admin"), MessageMode::Safe, event)
    }

    fn subjects(&self) -> Vec<Subject> {
        vec![
            self.hello(),
            self.webhook(MessageMode::Plain),
            self.webhook(MessageMode::Safe),
            self.token_refresher(),
            self.send_template(),
            self.admin(),
            self.node(MessageMode::Plain),
            self.node(MessageMode::Safe),
        ]
    }
}

/// A function, or what it is compared with.
struct Subject {
    name: String,
    program: PathBuf,
    argument: Option<PathBuf>,
    mode: MessageMode,
    event: Value,
}

/// How WeChat and the table are reached. With TLS, as on AWS, the system's root certificates have to be read.
#[derive(Clone, Copy)]
enum Endpoints {
    Http,
    Https,
}

fn rule(index: usize) -> Value {
    let value = if index == 0 {
        "你好".to_owned()
    } else {
        format!("问题{index}")
    };
    json!({"match": "exact", "value": value, "reply": {"type": "text", "content": "你好，有什么可以帮您？"}})
}

fn send_event(touser: &Value) -> Value {
    let mut event = authorized(testing::event("send-template"));
    if let Some(headers) = event["headers"].as_object_mut() {
        headers.remove("idempotency-key");
    }
    let message = json!({"touser": touser, "template_id": TEMPLATE_ID, "data": {
        "thing1": "项目审核", "time2": "2024年7月19日 10:00", "const3": "通过",
    }});
    event["body"] = json!(message.to_string());
    event
}

fn authorized(mut event: Value) -> Value {
    event["headers"]["authorization"] = json!(format!("Bearer {API_KEY}"));
    event
}

/// What one start has cost.
#[derive(Default)]
struct Starts {
    /// CPU time up to the first poll.
    cpu: Vec<Duration>,
    /// CPU time of the first reply.
    reply_cpu: Vec<Duration>,
    /// From the start of the process to the first reply.
    reply: Vec<Duration>,
}

async fn starts(stage: &Stage) -> Result<()> {
    println!("Starts, medians of {STARTS}:\n");
    println!("| | CPU to first poll, ms | CPU of first reply, ms | first reply after, ms |\n|---|--:|--:|--:|");
    let subjects = stage.subjects();
    for endpoints in [Endpoints::Http, Endpoints::Https] {
        let mut found: Vec<Starts> = subjects.iter().map(|_| Starts::default()).collect();
        // In turns, so that what else the machine does falls on all alike.
        for _ in 0..STARTS {
            for (subject, starts) in subjects.iter().zip(&mut found) {
                start(stage, subject, endpoints, starts).await?;
            }
        }
        for (subject, starts) in subjects.iter().zip(&mut found) {
            let suffix = match endpoints {
                Endpoints::Http => "",
                Endpoints::Https => ", TLS",
            };
            println!(
                "| {}{suffix} | {:.2} | {:.2} | {:.1} |",
                subject.name,
                millis(median(&mut starts.cpu)),
                millis(median(&mut starts.reply_cpu)),
                millis(median(&mut starts.reply)),
            );
        }
    }
    println!();
    Ok(())
}

async fn start(stage: &Stage, subject: &Subject, endpoints: Endpoints, starts: &mut Starts) -> Result<()> {
    let began = Instant::now();
    let mut function = stage.run(subject, endpoints).await?;
    function.started().await;
    let pid = function.pid().ok_or("it has ended")?;
    let cpu = cpu_time(pid)?;
    answered(&mut function, subject).await?;
    starts.reply.push(began.elapsed());
    starts.cpu.push(cpu);
    starts.reply_cpu.push(cpu_time(pid)? - cpu);
    Ok(())
}

/// A warm function, and what its replies have cost.
struct Warm {
    subject: Subject,
    function: Function,
    pid: u32,
    /// CPU time of one reply, in each round.
    cpu: Vec<Duration>,
    latencies: Vec<Duration>,
}

impl Warm {
    async fn up(stage: &Stage, subject: Subject) -> Result<Self> {
        let mut function = stage.run(&subject, Endpoints::Http).await?;
        for _ in 0..WARM_UP {
            answered(&mut function, &subject).await?;
        }
        Ok(Self {
            pid: function.pid().ok_or("it has ended")?,
            subject,
            function,
            cpu: Vec::new(),
            latencies: Vec::new(),
        })
    }

    async fn round(&mut self) -> Result<()> {
        let replies = REPLIES / ROUNDS;
        let before = cpu_time(self.pid)?;
        for _ in 0..replies {
            let began = Instant::now();
            answered(&mut self.function, &self.subject).await?;
            self.latencies.push(began.elapsed());
        }
        self.cpu.push((cpu_time(self.pid)? - before) / u32::try_from(replies)?);
        Ok(())
    }
}

async fn replies(stage: &Stage) -> Result<()> {
    println!("Warm replies, {REPLIES} one after the other in {ROUNDS} rounds; CPU of the median round:\n");
    println!(
        "| | CPU a reply, µs | latency, median, µs | latency, p99, µs | peak memory, MiB |\n|---|--:|--:|--:|--:|"
    );
    let mut subjects = Vec::new();
    for subject in stage.subjects() {
        subjects.push(Warm::up(stage, subject).await?);
    }
    // In turns, as starts are.
    for _ in 0..ROUNDS {
        for subject in &mut subjects {
            subject.round().await?;
        }
    }
    for warm in &mut subjects {
        let latency = median(&mut warm.latencies);
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.1} |",
            warm.subject.name,
            micros(median(&mut warm.cpu)),
            micros(latency),
            micros(warm.latencies[REPLIES * 99 / 100]),
            peak_memory(warm.pid)? as f64 / 1024.0,
        );
    }
    println!();
    Ok(())
}

async fn hundred_recipients(stage: &Stage) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let control = |path: &str, body: Value| {
        let request = http.post(format!("{}{path}", stage.simulator.base_url()));
        request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
    };
    let mut followers = Vec::new();
    for _ in 0..RECIPIENTS {
        let answer = control("/sim/follow", json!({})).await?.text().await?;
        followers.push(serde_json::from_str::<Value>(&answer)?["openid"].clone());
    }
    let fault = json!({"path": SEND, "delay_ms": DELAY_MILLIS, "times": 1_000_000});
    control("/sim/faults", fault).await?.error_for_status()?;
    let subject = Subject {
        event: send_event(&json!(followers)),
        ..stage.send_template()
    };
    let mut function = stage.run(&subject, Endpoints::Http).await?;
    let mut times = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        answered(&mut function, &subject).await?;
        times.push(began.elapsed());
    }
    println!(
        "{RECIPIENTS} recipients, WeChat taking {DELAY_MILLIS} ms for each: {:.0} ms, median of 10",
        millis(median(&mut times))
    );
    Ok(())
}

async fn answered(function: &mut Function, subject: &Subject) -> Result<()> {
    match function.invoke(&subject.event).await {
        // An event that is not HTTP's has no status.
        Outcome::Answered(answer) if answer["statusCode"].as_u64().unwrap_or(200) == 200 => Ok(()),
        other => Err(format!("{}: {other:?}\n{}", subject.name, function.logs()).into()),
    }
}

fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
