//! A run with `--data` that is killed under load: what was answered with success is there after the restart.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use embedded_table::{EmbeddedTable, TABLE_NAME};
use reqwest::Client;
use serde_json::{Value, json};
use simulator::{FOLLOWER, Simulator};
use tempfile::TempDir;
use testing::{eventually, http_client};
use tokio::task::JoinSet;
use wechat::{random, store::Table};

use super::real_account::{self, API_KEY};

const KILLS: usize = 6;
/// Tasks that send at once.
const SENDERS: usize = 3;
/// Successes that a run must have seen before it is killed.
const AT_LEAST: usize = 8;

/// What the program has answered with success.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Each send's answer, by its Idempotency-Key.
    sends: BTreeMap<String, Value>,
    /// The messages whose receipt was taken.
    receipts: Vec<String>,
    /// The number in the last rules that were stored.
    rules: usize,
}

impl Acknowledged {
    fn merge(&mut self, other: Self) {
        self.sends.extend(other.sends);
        self.receipts.extend(other.receipts);
        self.rules = self.rules.max(other.rules);
    }
}

/// One run of the program, as its clients see it.
#[derive(Clone)]
struct Run {
    http: Client,
    url: String,
    webhook: String,
    successes: Arc<AtomicUsize>,
}

impl Run {
    fn new(url: String, platform: &Simulator) -> Self {
        Self {
            http: http_client(),
            webhook: real_account::webhook_url(&url, platform.account()),
            url,
            successes: Arc::default(),
        }
    }

    /// The answer to a send under `key`; `None` when it was no success, or none came.
    async fn send(&self, key: &str) -> Option<Value> {
        let body = json!({
            "touser": FOLLOWER,
            "template_id": simulator::TEMPLATE_ID,
            "data": {"thing1": "项目审核", "time2": "2024年7月19日 10:00", "const3": "通过"},
        });
        let request = self.http.post(format!("{}/api/sendTemplateMessage", self.url));
        let request = request.bearer_auth(API_KEY).header("idempotency-key", key);
        let answer = request.body(body.to_string()).send().await.ok()?;
        let is_success = answer.status() == 200;
        let text = answer.text().await.ok()?;
        is_success.then(|| serde_json::from_str(&text).unwrap())
    }

    /// Whether the receipt of `msgid` was taken.
    async fn receive_receipt(&self, msgid: &str) -> bool {
        let xml = format!(
            "<xml><ToUserName>gh_0123456789ab</ToUserName><FromUserName>{FOLLOWER}</FromUserName>\
             <CreateTime>1395658920</CreateTime><MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event>\
             <MsgID>{msgid}</MsgID><Status>success</Status></xml>"
        );
        let answer = self.http.post(&self.webhook).body(xml).send().await;
        let Ok(answer) = answer else { return false };
        answer.status() == 200 && answer.text().await.is_ok_and(|text| text == "success")
    }

    /// Whether the rules with `number` in them were stored.
    async fn put_rules(&self, number: usize) -> bool {
        let rules = json!({"default": {"type": "text", "content": number.to_string()}});
        let put = self.http.put(format!("{}/api/replies", self.url)).bearer_auth(API_KEY);
        let answer = put.body(rules.to_string()).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(API_KEY);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    fn note_success(&self) {
        self.successes.fetch_add(1, Ordering::SeqCst);
    }

    /// Sends, and takes the receipts, until the program is gone.
    async fn keep_sending(self, name: String) -> Acknowledged {
        let mut acknowledged = Acknowledged::default();
        for number in 0.. {
            let key = format!("{name}-{number}");
            if let Some(answer) = self.send(&key).await {
                let msgid = answer["msgid"].as_str().unwrap().to_owned();
                acknowledged.sends.insert(key, answer);
                self.note_success();
                if self.receive_receipt(&msgid).await {
                    acknowledged.receipts.push(msgid);
                }
            } else if self.is_gone().await {
                break;
            }
        }
        acknowledged
    }

    /// Stores rules with one number after the other, until the program is gone.
    async fn keep_editing(self, first: usize) -> Acknowledged {
        let mut acknowledged = Acknowledged::default();
        for number in first.. {
            if self.put_rules(number).await {
                acknowledged.rules = number;
                self.note_success();
            } else if self.is_gone().await {
                break;
            }
        }
        acknowledged
    }

    async fn is_gone(&self) -> bool {
        self.http.get(&self.url).send().await.is_err()
    }

    /// Under load until some time after `kill` may be called.
    async fn load(&self, round: usize, first_rules: usize, kill: impl FnOnce()) -> Acknowledged {
        let mut tasks: JoinSet<Acknowledged> = (0..SENDERS)
            .map(|sender| self.clone().keep_sending(format!("{round}-{sender}")))
            .collect();
        tasks.spawn(self.clone().keep_editing(first_rules));
        let enough = || async { (self.successes.load(Ordering::SeqCst) >= AT_LEAST).then_some(()) };
        eventually("a success", enough).await;
        let random = u64::from_str_radix(&random::hex::<1>(), 16).unwrap();
        tokio::time::sleep(Duration::from_millis(random)).await;
        kill();
        let mut acknowledged = Acknowledged::default();
        while let Some(task) = tasks.join_next().await {
            acknowledged.merge(task.unwrap());
        }
        acknowledged
    }

    async fn assert_nothing_is_lost(&self, acknowledged: &Acknowledged) {
        for (key, answer) in &acknowledged.sends {
            let msgid = answer["msgid"].as_str().unwrap();
            let record = self.get(&format!("/api/messages/{msgid}")).await;
            if acknowledged.receipts.iter().any(|received| received == msgid) {
                assert_eq!(record["status"], "delivered", "the receipt of {msgid} was taken");
            }
            assert_eq!(
                self.send(key).await.as_ref(),
                Some(answer),
                "the recorded answer of {key}"
            );
        }
        if acknowledged.rules > 0 {
            let rules = self.get("/api/replies").await;
            let stored: usize = rules["default"]["content"].as_str().unwrap().parse().unwrap();
            assert!(stored >= acknowledged.rules, "{stored} < {}", acknowledged.rules);
        }
    }
}

/// The generation in the folder, while no process runs.
async fn generation(folder: &TempDir, platform: &Simulator) -> u64 {
    let embedded = EmbeddedTable::start(Some(folder.path())).await.unwrap();
    let table = Table::new(embedded.client(), TABLE_NAME, &platform.account().app_id);
    let item = table.token().await.unwrap();
    assert!(item.token.is_some());
    item.generation
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let platform = real_account::platform().await;
    let mut acknowledged = Acknowledged::default();
    for round in 1..=KILLS {
        let mut program = real_account::run(&platform, &["--data", path], &[]);
        let run = Run::new(program.url(), &platform);
        run.assert_nothing_is_lost(&acknowledged).await;
        // The first send after it brings a new token.
        let dead = run
            .http
            .post(format!("{}/sim/token/invalidate", platform.base_url()))
            .send();
        assert_eq!(dead.await.unwrap().status(), 200);
        assert!(run.send(&format!("{round}-first")).await.is_some());
        acknowledged.merge(run.load(round, acknowledged.rules + 1, || program.kill()).await);
        let generation = generation(&folder, &platform).await;
        assert!(generation >= round as u64, "{generation} in round {round}");
    }
    let mut program = real_account::run(&platform, &["--data", path], &[]);
    let run = Run::new(program.url(), &platform);
    run.assert_nothing_is_lost(&acknowledged).await;
    assert!(
        acknowledged.sends.len() >= KILLS && acknowledged.rules >= KILLS,
        "{acknowledged:?}"
    );
}
