//! What a campaign costs and how fast it is: messages a second, memory, write units of the table.
//!
//! WeChat is a server that only answers. The table is the embedded one, in this process, so its work counts against the rate.
//!
//! `cargo bench -p benchmarks --bench campaign`

#![expect(clippy::print_stdout, reason = "the figures are the program's output")]

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    Client,
    config::{Builder, Credentials, Region},
};
use benchmarks::{
    stub,
    usage::{cpu_time, peak_memory},
};
use serde_json::json;
use testing::{Function, Stage, account::APP_ID, now, now_millis};
use tokio::net::TcpListener;
use wechat::{
    api::{FieldValue, TemplateContent},
    campaign::{Audience, Campaign, CampaignState, Order, Plan, Recipient, into_chunks},
    store::{MessageStatus, PartOutcome, Receipt, Table},
};

/// Openids of one request of 256 KiB.
const PART: u32 = 8_000;
/// A pace that bounds nothing. Callers can ask for 1,000 a second at most.
const UNBOUNDED: u32 = 1_000_000;
/// WeChat's latency in the field.
const LATENCY: Duration = Duration::from_millis(150);
/// Milliseconds of one invocation.
const INVOCATION: i64 = 35_000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = [
        "build",
        "--release",
        "--quiet",
        "--package",
        "worker",
        "--bin",
        "worker",
    ];
    if !std::process::Command::new(cargo).args(build).status()?.success() {
        return Err("worker cannot be built".into());
    }
    println!(
        "| | recipients | messages a second | CPU of the worker a message, µs | log a message, bytes | peak memory of the worker, MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    speed("WeChat at once", Duration::ZERO, UNBOUNDED, 30_000).await?;
    speed("WeChat after 150 ms, pace 1,000", LATENCY, 1_000, 20_000).await?;
    println!("\n| | recipients | seconds | peak memory of the worker, MiB |\n|---|--:|--:|--:|");
    for recipients in [1_000, 100_000, 1_000_000] {
        loading(recipients).await?;
    }
    println!("\n| write units a message | with own data | |\n|---|--:|--:|");
    units(false).await?;
    units(true).await
}

/// The worker, its table and a WeChat that answers after `delay`.
struct Scene {
    stage: Stage,
    table: Table,
    sent: Arc<AtomicU64>,
    wechat: String,
}

impl Scene {
    async fn new(delay: Duration) -> Result<Self> {
        let stage = Stage::with_token().await;
        let table = Table::new(stage.table.client(), "wechat", APP_ID);
        let (sent, listener) = (Arc::default(), TcpListener::bind(("127.0.0.1", 0)).await?);
        let wechat = format!("http://{}", listener.local_addr()?);
        tokio::spawn(stub::serve(listener, answer, delay, Arc::clone(&sent)));
        Ok(Self {
            stage,
            table,
            sent,
            wechat,
        })
    }

    async fn worker(&self) -> Result<Function> {
        let path = format!("{}/../target/release/worker", env!("CARGO_MANIFEST_DIR"));
        let mut worker = self
            .stage
            .function_with(&path, &[("WECHAT_API_BASE", &self.wechat)])
            .await;
        worker.started().await;
        Ok(worker)
    }

    /// A campaign to `recipients` people that is started.
    async fn campaign(&self, pace: u32, recipients: u32, own_data: bool, start_at: Option<i64>) -> Result<()> {
        self.table
            .create_campaign("c1", &plan(pace, start_at), now_millis())
            .await?;
        for first in (0..recipients).step_by(PART as usize) {
            let people = first..recipients.min(first + PART);
            let part = people.map(|index| recipient(index, own_data)).collect();
            let name = first.to_string();
            let put = self
                .table
                .put_part("c1", &name, &name, &into_chunks(part), now())
                .await?;
            assert!(matches!(put, PartOutcome::Complete(_)));
        }
        let started = self.table.order_campaign("c1", Order::Start, now()).await?;
        assert!(matches!(started, Some(Ok(_))));
        Ok(())
    }

    async fn state(&self) -> Result<Campaign> {
        Ok(self.table.campaign("c1").await?.ok_or("it is gone")?)
    }
}

fn answer(path: &str, number: u64) -> String {
    if path.contains("quota") {
        let quota = json!({"daily_limit": 100_000_000, "used": 0, "remain": 100_000_000});
        return json!({"errcode": 0, "errmsg": "ok", "quota": quota}).to_string();
    }
    json!({"errcode": 0, "errmsg": "ok", "msgid": 3_400_000_000_000_000_000 + number}).to_string()
}

fn field(value: &str) -> FieldValue {
    FieldValue {
        value: value.to_owned(),
        color: None,
    }
}

fn plan(pace: u32, start_at: Option<i64>) -> Plan {
    let data = [
        ("thing1", "停水通知"),
        ("time2", "2026年12月1日 09:00"),
        ("const3", "通过"),
    ];
    Plan {
        name: "benchmark".to_owned(),
        content: TemplateContent {
            template_id: "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY".to_owned(),
            url: Some("https://example.com/details/1".to_owned()),
            miniprogram: None,
            data: data.map(|(name, value)| (name.to_owned(), field(value))).into(),
        },
        audience: Audience::List,
        pace,
        start_at,
        canary: None,
        keep_for_single_sends: None,
        only_warns: false,
    }
}

fn openid(index: u32) -> String {
    format!("odhkK{index:023}")
}

fn recipient(index: u32, own_data: bool) -> Recipient {
    let own = own_data.then(|| ("thing1".to_owned(), field(&"通知内容".repeat(10))));
    Recipient {
        data: own.into_iter().collect::<BTreeMap<_, _>>(),
        ..Recipient::of(openid(index))
    }
}

async fn run(worker: &mut Function) {
    worker.invoke_within(&json!({"action": "run"}), INVOCATION).await;
}

async fn speed(name: &str, delay: Duration, pace: u32, recipients: u32) -> Result<()> {
    let scene = Scene::new(delay).await?;
    scene.campaign(pace, recipients, false, None).await?;
    let mut worker = scene.worker().await?;
    let pid = worker.pid().ok_or("it has ended")?;
    let cpu = cpu_time(pid)?;
    let (first, last) = tokio::join!(run(&mut worker), sent_all(&scene, recipients)).1?;
    let rate = f64::from(recipients) / (last - first).as_secs_f64();
    let cpu = (cpu_time(pid)? - cpu) / recipients;
    let memory = peak_memory(pid)? as f64 / 1024.0;
    let log = worker.logs().len() / recipients as usize;
    println!(
        "| {name} | {recipients} | {rate:.0} | {} | {log} | {memory:.1} |",
        cpu.as_micros()
    );
    Ok(())
}

/// When WeChat got the first message, and when the last.
async fn sent_all(scene: &Scene, recipients: u32) -> Result<(Instant, Instant)> {
    let mut first = None;
    loop {
        let sent = scene.sent.load(Ordering::Relaxed);
        if sent > 1 {
            first.get_or_insert_with(Instant::now);
        }
        if sent >= u64::from(recipients)
            && let Some(first) = first
        {
            return Ok((first, Instant::now()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Loads an audience that is sent to later.
async fn loading(recipients: u32) -> Result<()> {
    let scene = Scene::new(Duration::ZERO).await?;
    scene.campaign(1_000, recipients, false, Some(now() + 3_600)).await?;
    let mut worker = scene.worker().await?;
    let pid = worker.pid().ok_or("it has ended")?;
    let began = Instant::now();
    while scene.state().await?.state == CampaignState::Loading {
        run(&mut worker).await;
    }
    let memory = peak_memory(pid)? as f64 / 1024.0;
    assert_eq!(scene.state().await?.recipients(), u64::from(recipients));
    println!(
        "| loading | {recipients} | {:.1} | {memory:.1} |",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Counts the table's write units of a campaign, from its parts to the last receipt.
async fn units(own_data: bool) -> Result<()> {
    const RECIPIENTS: u32 = 3_000;
    let mut scene = Scene::new(Duration::ZERO).await?;
    // Through the server, which counts.
    let counted = aws_client(&scene.stage.table.endpoint());
    scene.table = Table::new(counted, "wechat", APP_ID);
    let server = scene.stage.table.server();
    server.count_units();
    scene.campaign(1_000, RECIPIENTS, own_data, None).await?;
    let parts = server.write_units();
    let mut worker = scene.worker().await?;
    run(&mut worker).await;
    let sent = server.write_units();
    let mut cursor = 0;
    while cursor < RECIPIENTS {
        let openid = openid(cursor);
        for (msgid, _) in scene.table.page_of_messages(&openid, None, now()).await?.entries {
            let receipt = Receipt {
                msgid: &msgid,
                openid: &openid,
                status: MessageStatus::Delivered,
                words: "success",
                at: now(),
            };
            scene.table.record_receipt(receipt).await?;
        }
        cursor += 1;
    }
    let receipts = server.write_units();
    scene.stage.table.set("campaign#c1#due", &json!({"isk": now()})).await;
    let mut progress = json!(scene.state().await?.progress);
    progress["looks_for_receipts"]["next_at"] = now().into();
    scene
        .stage
        .table
        .set("campaign#c1", &json!({"progress": progress.to_string()}))
        .await;
    run(&mut worker).await;
    let settled = server.write_units();
    let campaign = scene.state().await?;
    assert_eq!(campaign.totals().delivered, u64::from(RECIPIENTS), "{campaign:?}");
    let a_message = |units: f64| units / f64::from(RECIPIENTS);
    println!(
        "| parts {:.2}, messages and ledgers {:.2}, receipts {:.2}, totals {:.2} | {own_data} | **{:.2}** |",
        a_message(parts),
        a_message(sent - parts),
        a_message(receipts - sent),
        a_message(settled - receipts),
        a_message(settled)
    );
    Ok(())
}

/// The calls that a part, a start and a receipt make.
const AWS_CALLS: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
];

fn aws_client(endpoint: &str) -> Client {
    let config = Builder::from(&wechat::aws::load(AWS_CALLS))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "benchmark"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}
