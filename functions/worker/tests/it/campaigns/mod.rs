//! Campaigns: each person gets one message, and the totals say what became of it.

mod audience;
mod crash;
mod life;
mod pace;
mod quota;
mod refusals;
mod unknown;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use simulator::TEMPLATE_ID;
use testing::{Fault, Function, Service, Stage, account::APP_ID, eventually, now, now_millis};
use wechat::{
    api::FieldValue,
    campaign::{Audience, Campaign, Content, Order, Plan, Recipient, Totals, into_chunks},
    store::{MessageStatus, PartOutcome, Receipt, Table},
};

use crate::start;

const ID: &str = "c1";
const SEND: &str = "/cgi-bin/message/template/send";
const QUOTA: &str = "/cgi-bin/openapi/quota/get";
const TEN_MINUTES: i64 = 600;

/// A campaign on a stage, as `send-template` makes and changes it.
struct Bench {
    stage: Stage,
    table: Table,
}

fn plan() -> Plan {
    let text = |value: &str| FieldValue {
        value: value.to_owned(),
        color: None,
    };
    let data = [("thing1", "停水通知"), ("time2", "10:00"), ("const3", "通过")];
    Plan {
        name: "n".to_owned(),
        content: Content {
            template_id: TEMPLATE_ID.to_owned(),
            url: None,
            miniprogram: None,
            data: data.map(|(name, value)| (name.to_owned(), text(value))).into(),
        },
        audience: Audience::List,
        pace: 1_000,
        start_at: None,
        canary: None,
        keep_for_single_sends: None,
        only_warns: false,
    }
}

impl Bench {
    async fn new() -> Self {
        let stage = Stage::with_token().await.behind_proxies().await;
        let table = Table::new(stage.table.client(), "wechat", APP_ID);
        Self { stage, table }
    }

    /// A draft of `plan` with `parts` of recipients.
    async fn draft(&self, plan: Plan, parts: &[Vec<Recipient>]) {
        self.table.create_campaign(ID, &plan, now_millis()).await.unwrap();
        for (index, part) in parts.iter().enumerate() {
            let chunks = into_chunks(part.clone());
            let name = index.to_string();
            let put = self.table.put_part(ID, &name, &name, &chunks, now()).await.unwrap();
            assert!(matches!(put, PartOutcome::Complete(_)), "{put:?}");
        }
    }

    /// A campaign of `plan` to `openids` that is started.
    async fn started(&self, plan: Plan, openids: &[String]) {
        let part = openids.iter().cloned().map(Recipient::of).collect();
        self.draft(plan, &[part]).await;
        self.order(Order::Start).await;
    }

    async fn order(&self, order: Order) {
        self.order_of(ID, order).await;
    }

    async fn order_of(&self, id: &str, order: Order) {
        let ordered = self.table.order_campaign(id, order, now()).await;
        ordered.unwrap().unwrap().unwrap();
    }

    async fn campaign(&self) -> Campaign {
        self.table.campaign(ID).await.unwrap().unwrap()
    }

    async fn totals(&self) -> Totals {
        let campaign = self.campaign().await;
        let totals = campaign.totals();
        assert_eq!(totals.all(), campaign.recipients(), "{campaign:?}");
        totals
    }

    async fn worker(&self) -> Function {
        start(&self.stage).await
    }

    /// How many messages are on the phone of each.
    async fn received(&self, openids: &[String]) -> Vec<usize> {
        let mut received = Vec::new();
        for openid in openids {
            received.push(self.stage.wechat.phone(openid).await.len());
        }
        received
    }

    async fn sends(&self) -> usize {
        self.stage.wechat.calls(SEND).await
    }

    /// Waits until WeChat has been asked for so many messages.
    async fn until_sends(&self, sends: usize) {
        eventually("a send", || async { (self.sends().await >= sends).then_some(()) }).await;
    }

    /// Kills the token, and has token-refresher answer late with the next one.
    async fn lose_token_for(&self, seconds: u64) {
        let slow = Fault::Delay(Duration::from_secs(seconds));
        self.stage.proxy(Service::Lambda).fail(.., slow);
        self.stage.wechat.control("token/invalidate", &json!({})).await;
    }

    /// The receipts of all messages on the phones of `openids`, as the webhook records them.
    async fn receipts(&self, openids: &[String], status: MessageStatus) {
        for openid in openids {
            for message in self.stage.wechat.phone(openid).await {
                let receipt = Receipt {
                    msgid: message["msgid"].as_str().unwrap(),
                    openid,
                    status,
                    words: "success",
                    at: now(),
                };
                assert!(self.table.record_receipt(receipt).await.unwrap().is_recorded());
            }
        }
    }

    /// Moves what is in flight, or unknown, into the past by `seconds`, and ends all claims.
    async fn age(&self, seconds: i64) {
        for item in self.stage.table.items().await {
            let pk = item["pk"].as_str().unwrap();
            let Some(ledger) = item["ledger"].as_str() else {
                continue;
            };
            let mut ledger: Value = serde_json::from_str(ledger).unwrap();
            if let Some(at) = ledger["t"].as_i64() {
                ledger["t"] = (at - seconds).into();
            }
            let unknown = ledger.get_mut("u").and_then(Value::as_object_mut);
            for at in unknown.into_iter().flatten().map(|(_, at)| at) {
                *at = (at.as_i64().unwrap() - seconds).into();
            }
            self.stage.table.set(pk, &json!({"ledger": ledger.to_string()})).await;
        }
        self.stage.table.end_claims().await;
    }

    /// Lets a waiting campaign look again now.
    async fn wait_is_over(&self) {
        let name = format!("campaign#{ID}");
        self.stage.table.set(&name, &json!({"resumes_at": now()})).await;
        self.is_due().await;
    }

    /// Has the next look for receipts be due.
    async fn look_now(&self) {
        let mut progress = json!(self.campaign().await.progress);
        progress["looks_for_receipts"]["next_at"] = now().into();
        let changed = json!({"progress": progress.to_string()});
        self.stage.table.set(&format!("campaign#{ID}"), &changed).await;
        self.is_due().await;
    }

    async fn is_due(&self) {
        self.stage
            .table
            .set(&format!("campaign#{ID}#due"), &json!({"isk": now()}))
            .await;
    }
}

async fn run(worker: &mut Function) -> Value {
    worker.succeed(&json!({"action": "run"})).await
}

fn of(totals: Totals) -> BTreeMap<String, u64> {
    let totals: BTreeMap<String, u64> = serde_json::from_value(json!(totals)).unwrap();
    totals.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn expected<const N: usize>(totals: [(&str, u64); N]) -> BTreeMap<String, u64> {
    totals.map(|(state, count)| (state.to_owned(), count)).into()
}

/// When messages were sent, in epoch seconds.
async fn send_times(bench: &Bench) -> Vec<i64> {
    let calls = bench.stage.wechat.all_calls().await;
    let sends = calls.iter().filter(|call| call["path"] == SEND);
    sends.map(|call| call["at"].as_i64().unwrap()).collect()
}

/// Kills the worker while it sends, and returns when it is dead.
async fn kill_while_it_sends(bench: &Bench, sends: usize) {
    let mut worker = bench.worker().await;
    tokio::select! {
        done = run(&mut worker) => panic!("it was not killed: {done}"),
        () = async {
            bench.until_sends(sends).await;
        } => {}
    }
    worker.kill().await;
}
