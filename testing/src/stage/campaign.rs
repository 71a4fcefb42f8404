//! A campaign on a stage. `send-template` makes and changes it through the store, as here; `worker` sends it.

use std::{borrow::Borrow, collections::BTreeMap, time::Duration};

use embedded_table::TABLE_NAME;
use serde_json::{Value, json};
use simulator::{FOLLOWER, TEMPLATE_ID};
use wechat::{
    api::{FieldValue, TemplateContent, TemplateMessage},
    campaign::{Audience, Campaign, Order, Plan, Recipient, Totals, into_chunks},
    store::{MessageStatus, PartOutcome, Receipt, ScheduledMessage, ScheduledState, Table},
};

use super::Stage;
use crate::{Function, account::APP_ID, eventually, now, now_millis};

/// Where WeChat takes template messages.
pub const SEND: &str = "/cgi-bin/message/template/send";
/// The id of the campaign of a [`CampaignStage`].
pub const CAMPAIGN: &str = "c1";
/// The pause between two looks at a campaign, each of which costs the machine a few milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A stage with a campaign.
#[derive(Debug)]
pub struct CampaignStage<S = Stage> {
    /// The stage.
    pub stage: S,
    /// The functions' own view of its table.
    pub table: Table,
}

impl<S: Borrow<Stage>> CampaignStage<S> {
    /// Creates a stage without a campaign.
    pub fn new(stage: S) -> Self {
        let table = Table::new(stage.borrow().table.client(), TABLE_NAME, APP_ID);
        Self { stage, table }
    }

    fn stage(&self) -> &Stage {
        self.stage.borrow()
    }

    /// Makes a draft of `plan` with `parts` of recipients.
    pub async fn draft(&self, plan: Plan, parts: &[Vec<Recipient>]) {
        self.draft_of(CAMPAIGN, plan).await;
        for (index, part) in parts.iter().enumerate() {
            let chunks = into_chunks(part.clone());
            let name = index.to_string();
            let put = self.table.put_part(CAMPAIGN, &name, &name, &chunks, now()).await;
            let put = put.unwrap();
            assert!(matches!(put, PartOutcome::Complete(_)), "{put:?}");
        }
    }

    /// Makes a draft of `plan` under an id.
    pub async fn draft_of(&self, id: &str, plan: Plan) {
        self.table.create_campaign(id, &plan, now_millis()).await.unwrap();
    }

    /// Makes a draft of `plan` to `openids`.
    pub async fn loaded(&self, plan: Plan, openids: &[String]) {
        let part = openids.iter().cloned().map(Recipient::of).collect();
        self.draft(plan, &[part]).await;
    }

    /// Starts a campaign of `plan` to `openids`.
    pub async fn started(&self, plan: Plan, openids: &[String]) {
        self.loaded(plan, openids).await;
        self.order(Order::Start).await;
    }

    /// Gives an order, which must be taken.
    pub async fn order(&self, order: Order) {
        self.order_of(CAMPAIGN, order).await;
    }

    /// Gives the campaign `id` an order, which must be taken.
    pub async fn order_of(&self, id: &str, order: Order) {
        let ordered = self.table.order_campaign(id, order, now()).await;
        ordered.unwrap().unwrap().unwrap();
    }

    /// The campaign as it is in the table.
    pub async fn campaign(&self) -> Campaign {
        self.campaign_of(CAMPAIGN).await
    }

    /// The campaign `id` as it is in the table.
    pub async fn campaign_of(&self, id: &str) -> Campaign {
        self.table.campaign(id).await.unwrap().unwrap()
    }

    /// Its totals, which count each recipient once.
    pub async fn totals(&self) -> Totals {
        let campaign = self.campaign().await;
        let totals = campaign.totals();
        assert_eq!(totals.all(), campaign.recipients(), "{campaign:?}");
        totals
    }

    /// Runs `worker` until `is_reached` is true, then kills it and ends its lease: a run that has sent all messages checks
    /// for their receipts for some seconds more.
    pub async fn run_until<F: Future<Output = bool>>(&self, mut worker: Function, is_reached: impl Fn() -> F) {
        let reached = || async {
            tokio::time::sleep(LOOK_EVERY).await;
            is_reached().await.then_some(())
        };
        let running = async {
            loop {
                worker.succeed(&json!({"action": "run"})).await;
            }
        };
        tokio::select! {
            () = eventually("what a run leads to", reached) => {}
            () = running => {}
        }
        worker.kill().await;
        self.stage().table.end_claims().await;
    }

    /// Runs `worker` until the campaign has ended.
    pub async fn run_to_end(&self, worker: Function) {
        self.run_until(worker, || async { self.campaign().await.state.has_ended() })
            .await;
    }

    /// Returns how many messages are on the phone of each.
    pub async fn received(&self, openids: &[String]) -> Vec<usize> {
        let mut received = Vec::new();
        for openid in openids {
            received.push(self.stage().wechat.phone(openid).await.len());
        }
        received
    }

    /// How often WeChat was asked for a message.
    pub async fn sends(&self) -> usize {
        self.stage().wechat.calls(SEND).await
    }

    /// Waits until WeChat has answered at least `sends` requests for a message.
    pub async fn until_sends(&self, sends: usize) {
        let wechat = &self.stage().wechat;
        eventually("a send", || async { (wechat.calls_over(SEND) >= sends).then_some(()) }).await;
    }

    /// Records the receipts of all messages on the phones of `openids`, which came at `at` (epoch seconds), as the webhook does.
    pub async fn record_receipts(&self, openids: &[String], status: MessageStatus, at: i64) {
        for (openid, msgid) in self.messages(openids).await {
            let receipt = Receipt {
                msgid: &msgid,
                openid: &openid,
                status,
                words: "success",
                at,
            };
            assert!(self.table.record_receipt(receipt).await.unwrap().is_recorded());
        }
    }

    /// Deletes the records of all messages on the phones of `openids`, as if the table had not taken them. Returns the names of
    /// their items.
    pub async fn forget_messages(&self, openids: &[String]) -> Vec<String> {
        let mut names = Vec::new();
        for (_, msgid) in self.messages(openids).await {
            let name = format!("message#{msgid}");
            self.stage().table.delete(&name).await;
            names.push(name);
        }
        names
    }

    /// The messages on the phones of `openids`, each as its openid and its msgid.
    async fn messages(&self, openids: &[String]) -> Vec<(String, String)> {
        let mut messages = Vec::new();
        for openid in openids {
            for message in self.stage().wechat.phone(openid).await {
                messages.push((openid.clone(), message["msgid"].as_str().unwrap().to_owned()));
            }
        }
        messages
    }

    /// Moves what is in flight, or unknown, into the past by `seconds`, and ends all claims.
    pub async fn age(&self, seconds: i64) {
        let table = &self.stage().table;
        for item in table.items().await {
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
            let name = item["pk"].as_str().unwrap();
            table.set(name, &json!({"ledger": ledger.to_string()})).await;
        }
        table.end_claims().await;
    }

    /// Makes a waiting campaign try again now.
    pub async fn end_wait(&self) {
        let name = format!("campaign#{CAMPAIGN}");
        self.stage().table.set(&name, &json!({"resumes_at": now()})).await;
        self.make_due().await;
    }

    /// Makes the next check for receipts due.
    pub async fn look_for_receipts(&self) {
        let mut progress = json!(self.campaign().await.progress);
        progress["looks_for_receipts"]["next_at"] = now().into();
        let changed = json!({"progress": progress.to_string()});
        self.stage().table.set(&format!("campaign#{CAMPAIGN}"), &changed).await;
        self.make_due().await;
    }

    /// Makes the campaign due.
    pub async fn make_due(&self) {
        let due = json!({"isk": now()});
        self.stage().table.set(&format!("campaign#{CAMPAIGN}#due"), &due).await;
    }
}

/// A plan of messages to a list, as fast as they go.
#[must_use]
pub fn plan() -> Plan {
    Plan {
        name: "n".to_owned(),
        content: TemplateContent {
            template_id: TEMPLATE_ID.to_owned(),
            url: None,
            miniprogram: None,
            data: data(),
        },
        audience: Audience::List,
        pace: 1_000,
        start_at: None,
        canary: None,
        keep_for_single_sends: None,
        only_warns: false,
    }
}

/// A message to [`FOLLOWER`], or to `user`, that is due at `send_at` (epoch seconds).
#[must_use]
pub fn scheduled_message(send_at: i64, user: Option<&str>) -> ScheduledMessage {
    ScheduledMessage {
        message: TemplateMessage {
            touser: if user.is_some() { "" } else { FOLLOWER }.to_owned(),
            template_id: TEMPLATE_ID.to_owned(),
            url: None,
            miniprogram: None,
            client_msg_id: "m1".to_owned(),
            data: data(),
        },
        user: user.map(str::to_owned),
        send_at,
        key: "root".to_owned(),
        fingerprint: "f".to_owned(),
        state: ScheduledState::Waiting,
        asked_at: None,
        msgid: None,
        errcode: None,
    }
}

fn data() -> BTreeMap<String, FieldValue> {
    let data = [("thing1", "停水通知"), ("time2", "10:00"), ("const3", "通过")];
    let field = |(name, value): (&str, &str)| {
        let value = FieldValue {
            value: value.to_owned(),
            color: None,
        };
        (name.to_owned(), value)
    };
    data.map(field).into()
}
