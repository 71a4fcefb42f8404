//! The built functions as processes, on a Lambda Runtime API of the project's own: what a start and a reply cost in CPU
//! time, how long they take, how much memory they hold and how large they are. Beside them a function of the same
//! runtime that does nothing, and the webhook's job in plain Node.js.
//!
//! Builds what it measures: `cargo bench -p benchmarks --bench process`.

#![expect(clippy::print_stdout, reason = "the figures are the program's output")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use benchmarks::usage::{cpu_time, peak_memory};
use serde_json::{Value, json};
use simulator::{FOLLOWER, Mode};
use testing::{
    Authority, Function, Outcome, OwnAnswer, OwnCode, Service, Stage, TlsFront,
    account::{AES_KEY, API_KEY, APP_ID, APP_SECRET, TOKEN},
    event::{Request, callback, get, post, receipt, sample, text},
    message, message_for, message_to,
};
use tokio::process::Command;

/// What is built: the functions, and one that does nothing.
const PACKAGES: [&str; 8] = [
    "webhook",
    "token-refresher",
    "send-template",
    "users",
    "relay",
    "admin",
    "worker",
    "hello",
];
/// Processes started for one figure.
const STARTS: usize = 30;
/// Replies before those that count.
const WARM_UP: usize = 100;
/// Replies that count, and in how many rounds.
const REPLIES: usize = 1000;
const ROUNDS: usize = 20;
/// The reply of the rules and of own code.
const REPLY: &str = "你好，有什么可以帮您？";
const FORWARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Rules that the webhook has.
const RULES: usize = 100;
/// The user whom the bound send is for.
const USER: &str = "user-1";
const SEND: &str = "/cgi-bin/message/template/send";

/// Recipients of one request, how long WeChat takes for each, and requests that count.
const RECIPIENTS: usize = 100;
const DELAY_MILLIS: u64 = 50;
const BATCHES: usize = 10;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    for package in PACKAGES {
        build(package)?;
    }
    println!("{}\n", machine());
    sizes()?;
    let scene = Scene::new().await?;
    starts(&scene).await?;
    replies(&scene).await?;
    hundred_recipients(&scene).await
}

/// Builds each package alone, as it is shipped: built together they would share the features of all.
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

/// The path of a built program, found from cargo's folder for temporary files, `target/tmp`.
fn binary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name("release")
        .join(name)
}

/// The stage of the functions, and TLS before what they reach.
struct Scene {
    stage: Stage,
    /// Answers with the reply that the first rule has.
    own_code: OwnCode,
    secure_wechat: TlsFront,
    secure_table: TlsFront,
    /// An opaque token of the relay's.
    relay_token: String,
}

impl Scene {
    async fn new() -> Result<Self> {
        let authority = Authority::new();
        // The system's root certificates and that of the fronts.
        let roots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("roots.pem");
        let system = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        fs::write(&roots, system + &authority.pem())?;
        let mut stage = Stage::with_token().await;
        stage.set([
            ("WECHAT_APP_SECRET", APP_SECRET),
            ("WECHAT_TOKEN", TOKEN),
            ("WECHAT_ENCODING_AES_KEY", AES_KEY),
            ("SSL_CERT_FILE", &roots.display().to_string()),
        ]);
        let rules = json!({"keywords": (0..RULES).map(rule).collect::<Vec<_>>()});
        stage.table.save_rules(&rules).await;
        stage.table.bind(USER, FOLLOWER).await;
        let own_code = OwnCode::start().await;
        own_code.answer(OwnAnswer::reply(REPLY));
        let mut scene = Self {
            own_code,
            secure_wechat: TlsFront::start(&authority, &stage.endpoint(Service::WeChat)).await,
            secure_table: TlsFront::start(&authority, &stage.endpoint(Service::Table)).await,
            stage,
            relay_token: String::new(),
        };
        // The list of templates, as any warm account has it in its table.
        let subject = send_template();
        answered(&mut scene.run(&subject, Endpoints::Http).await, &subject).await?;
        scene.relay_token = scene.relay_token().await?;
        Ok(scene)
    }

    async fn relay_token(&self) -> Result<String> {
        let path = format!("/cgi-bin/token?appid={APP_ID}&secret={API_KEY}");
        let subject = subject("relay", binary("relay"), Mode::Safe, get(&path));
        let answer = self
            .run(&subject, Endpoints::Http)
            .await
            .succeed(&subject.event.next())
            .await;
        let issued: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
        let token = issued["access_token"].as_str();
        Ok(token.ok_or("the relay issued no token")?.to_owned())
    }

    async fn run(&self, subject: &Subject, endpoints: Endpoints) -> Function {
        let mut command = Command::new(&subject.program);
        command.args(&subject.argument);
        let own_code = self.own_code.endpoint();
        let own_code = [("FORWARD_URL", own_code.as_str()), ("FORWARD_SECRET", FORWARD_SECRET)];
        let own_code = if subject.asks_own_code { &own_code[..] } else { &[] };
        let mode = [&[("WECHAT_MESSAGE_MODE", name(subject.mode))], own_code].concat();
        let (wechat, table) = (self.secure_wechat.endpoint(), self.secure_table.endpoint());
        let secure = [
            ("WECHAT_API_BASE", wechat.as_str()),
            ("AWS_ENDPOINT_URL_DYNAMODB", &table),
        ];
        match endpoints {
            Endpoints::Http => self.stage.run(command, &mode).await,
            Endpoints::Https => self.stage.run(command, &[&mode[..], &secure].concat()).await,
        }
    }
}

fn subject(name: impl Into<String>, program: PathBuf, mode: Mode, event: impl Into<Value>) -> Subject {
    Subject {
        name: name.into(),
        program,
        argument: None,
        mode,
        asks_own_code: false,
        event: Event::Same(event.into()),
    }
}

const fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Plain => "plain",
        Mode::Compat => "compat",
        Mode::Safe => "safe",
    }
}

fn callback_in(mode: Mode) -> Request {
    callback(text("你好", 24_000_000_000_000_001)).in_mode(mode)
}

/// The webhook with own code behind it, and a message that no delivery has brought before each time.
fn webhook_with_own_code() -> Subject {
    Subject {
        asks_own_code: true,
        event: numbered(|number| callback(text("你好", number)).safe().into()),
        ..subject("webhook, safe, own code", binary("webhook"), Mode::Safe, Value::Null)
    }
}

/// The webhook with the receipt of another message each time, which it records and counts.
fn webhook_with_receipts() -> Subject {
    Subject {
        event: numbered(|number| callback(receipt(&number.to_string(), "success")).safe().into()),
        ..subject("webhook, safe, a receipt", binary("webhook"), Mode::Safe, Value::Null)
    }
}

const fn numbered(event: fn(u64) -> Value) -> Event {
    Event::Numbered(AtomicU64::new(24_000_000_000_000_002), event)
}

fn webhook(mode: Mode) -> Subject {
    let title = format!("webhook, {}", name(mode));
    subject(title, binary("webhook"), mode, callback_in(mode))
}

fn node(mode: Mode) -> Subject {
    let title = format!("Node.js, {}", name(mode));
    Subject {
        argument: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("node/webhook.mjs")),
        ..subject(title, "/usr/bin/node".into(), mode, callback_in(mode))
    }
}

fn send_template() -> Subject {
    sending("send-template", &message())
}

/// A send of `body`.
fn sending(name: &str, body: &Value) -> Subject {
    let send = post("/api/sendTemplateMessage", body);
    subject(name, binary("send-template"), Mode::Safe, send)
}

fn subjects(scene: &Scene) -> Vec<Subject> {
    let refresh = sample("refresh-schedule");
    let query = format!("access_token={}&openid={FOLLOWER}", scene.relay_token);
    let relayed = get(&format!("/cgi-bin/user/info?{query}"));
    vec![
        subject("hello", binary("hello"), Mode::Safe, callback_in(Mode::Safe)),
        webhook(Mode::Plain),
        webhook(Mode::Safe),
        webhook_with_own_code(),
        webhook_with_receipts(),
        subject("token-refresher", binary("token-refresher"), Mode::Safe, refresh),
        send_template(),
        sending("send-template, to a user", &message_for("user", USER)),
        subject("users", binary("users"), Mode::Safe, get(&format!("/api/users/{USER}"))),
        subject("relay", binary("relay"), Mode::Safe, relayed),
        subject("admin", binary("admin"), Mode::Safe, get("/api/replies")),
        subject(
            "admin, the console's texts",
            binary("admin"),
            Mode::Safe,
            get("/console/pages/texts.js"),
        ),
        subject(
            "worker, nothing due",
            binary("worker"),
            Mode::Safe,
            sample("worker-run"),
        ),
        node(Mode::Plain),
        node(Mode::Safe),
    ]
}

/// A function, or what it is compared with.
struct Subject {
    name: String,
    program: PathBuf,
    argument: Option<PathBuf>,
    mode: Mode,
    asks_own_code: bool,
    event: Event,
}

/// What a function is asked.
enum Event {
    /// The same each time.
    Same(Value),
    /// Another one for each number.
    Numbered(AtomicU64, fn(u64) -> Value),
}

impl Event {
    fn next(&self) -> Value {
        match self {
            Self::Same(event) => event.clone(),
            Self::Numbered(number, event) => event(number.fetch_add(1, Ordering::Relaxed)),
        }
    }
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
    json!({"match": "exact", "value": value, "reply": {"type": "text", "content": REPLY}})
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

async fn starts(scene: &Scene) -> Result<()> {
    println!("Starts, medians of {STARTS}:\n");
    println!("| | CPU to first poll, ms | CPU of first reply, ms | first reply after, ms |\n|---|--:|--:|--:|");
    let subjects = subjects(scene);
    for endpoints in [Endpoints::Http, Endpoints::Https] {
        let mut found: Vec<Starts> = subjects.iter().map(|_| Starts::default()).collect();
        // In turns, so that other work of the machine slows all of them alike.
        for _ in 0..STARTS {
            for (subject, starts) in subjects.iter().zip(&mut found) {
                start(scene, subject, endpoints, starts).await?;
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

async fn start(scene: &Scene, subject: &Subject, endpoints: Endpoints, starts: &mut Starts) -> Result<()> {
    let began = Instant::now();
    let mut function = scene.run(subject, endpoints).await;
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
    async fn up(scene: &Scene, subject: Subject) -> Result<Self> {
        let mut function = scene.run(&subject, Endpoints::Http).await;
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

async fn replies(scene: &Scene) -> Result<()> {
    println!("Warm replies, {REPLIES} one after the other in {ROUNDS} rounds; CPU of the median round:\n");
    println!(
        "| | CPU a reply, µs | latency, median, µs | latency, p99, µs | peak memory, MiB |\n|---|--:|--:|--:|--:|"
    );
    let mut warm = Vec::new();
    for subject in subjects(scene) {
        warm.push(Warm::up(scene, subject).await?);
    }
    // In turns, as starts are.
    for _ in 0..ROUNDS {
        for subject in &mut warm {
            subject.round().await?;
        }
    }
    for warm in &mut warm {
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

async fn hundred_recipients(scene: &Scene) -> Result<()> {
    let Stage { wechat, table, .. } = &scene.stage;
    let followers = wechat.followers(RECIPIENTS).await;
    let users: Vec<_> = (0..RECIPIENTS).map(|index| format!("follower-{index}")).collect();
    for (user, follower) in users.iter().zip(&followers) {
        table.bind(user, follower).await;
    }
    let slow = json!({"delay_ms": DELAY_MILLIS, "times": 1_000_000});
    wechat.fault(SEND, &slow).await;
    println!("{RECIPIENTS} recipients, WeChat taking {DELAY_MILLIS} ms for each, medians of {BATCHES}:\n");
    println!("| | latency, ms | CPU, ms |\n|---|--:|--:|");
    let mut batches = Vec::new();
    for subject in [
        sending("openids", &message_to(followers)),
        sending("users", &message_for("users", users)),
    ] {
        let function = scene.run(&subject, Endpoints::Http).await;
        batches.push((subject, function, Vec::new(), Vec::new()));
    }
    // In turns, as starts are.
    for _ in 0..BATCHES {
        for (subject, function, times, cpu) in &mut batches {
            let pid = function.pid().ok_or("it has ended")?;
            let (began, before) = (Instant::now(), cpu_time(pid)?);
            answered(function, subject).await?;
            times.push(began.elapsed());
            cpu.push(cpu_time(pid)? - before);
        }
    }
    for (subject, _, times, cpu) in &mut batches {
        let (time, cpu) = (millis(median(times)), millis(median(cpu)));
        println!("| {} | {time:.0} | {cpu:.2} |", subject.name);
    }
    Ok(())
}

async fn answered(function: &mut Function, subject: &Subject) -> Result<()> {
    match function.invoke(&subject.event.next()).await {
        // An event that is not HTTP's has no status, and WeChat says in a text that it refuses.
        Outcome::Answered(answer)
            if answer["statusCode"].as_u64().unwrap_or(200) == 200 && !answer.to_string().contains("rid: ") =>
        {
            Ok(())
        }
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
