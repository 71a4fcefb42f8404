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
use testing::{CampaignStage, Fault, Function, SEND, Service, Stage};
use wechat::campaign::Totals;

use crate::start;

const QUOTA: &str = "/cgi-bin/openapi/quota/get";
const TEN_MINUTES: i64 = 600;

/// A stage without a campaign, each service behind its proxy.
async fn bench() -> CampaignStage {
    CampaignStage::new(Stage::with_token().await.behind_proxies().await)
}

/// Runs the worker until there is nothing to do for now. Once all messages are sent, that is some seconds later: it looks for their
/// receipts. A run that is the last of its test is [`CampaignStage::run_to_end`].
async fn run(worker: &mut Function) -> Value {
    worker.succeed(&json!({"action": "run"})).await
}

/// Kills the token, and has token-refresher answer late with the next one.
async fn lose_token_for(bench: &CampaignStage, seconds: u64) {
    let slow = Fault::Delay(Duration::from_secs(seconds));
    bench.stage.proxy(Service::Lambda).fail(.., slow);
    bench.stage.wechat.control("token/invalidate", &json!({})).await;
}

fn of(totals: Totals) -> BTreeMap<String, u64> {
    let totals: BTreeMap<String, u64> = serde_json::from_value(json!(totals)).unwrap();
    totals.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn expected<const N: usize>(totals: [(&str, u64); N]) -> BTreeMap<String, u64> {
    totals.map(|(state, count)| (state.to_owned(), count)).into()
}

/// When messages were sent, in epoch seconds.
async fn send_times(bench: &CampaignStage) -> Vec<i64> {
    let calls = bench.stage.wechat.all_calls().await;
    let sends = calls.iter().filter(|call| call["path"] == SEND);
    sends.map(|call| call["at"].as_i64().unwrap()).collect()
}

/// Kills the worker while it sends, and returns when it is dead.
async fn kill_while_it_sends(bench: &CampaignStage, sends: usize) {
    let mut worker = start(&bench.stage).await;
    tokio::select! {
        done = run(&mut worker) => panic!("it was not killed: {done}"),
        () = bench.until_sends(sends) => {}
    }
    worker.kill().await;
}
