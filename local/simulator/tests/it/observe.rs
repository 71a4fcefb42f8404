//! What the observer hears.

use std::sync::{Arc, Mutex};

use serde_json::json;
use simulator::{Mode, Observation, Observer};

use crate::stage::{Scripted, Stage, text_message};

fn line(observation: Observation) -> String {
    match observation {
        Observation::Call(call) => format!("{} {:?} {}", call.path, call.status, call.is_fault),
        Observation::FailedDelivery { delivery, status, .. } => format!("delivery {delivery} {status:?}"),
    }
}

#[tokio::test]
async fn the_observer_hears_of_every_call_and_of_every_delivery_that_failed() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&told);
    let observer = Observer::new(move |observation| heard.lock().unwrap().push(line(observation)));
    let stage = Stage::observed(Mode::Plain, Some(observer)).await;

    stage.token().await;
    stage.fault(json!({"path": "/cgi-bin/menu/get", "drop": true})).await;
    assert!(stage.http.get(stage.url("/cgi-bin/menu/get")).send().await.is_err());
    stage.receiver.answer([Scripted::Status(500), stage.reply("好")]);
    stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!(
        *told.lock().unwrap(),
        [
            "/cgi-bin/stable_token Some(200) false",
            "/cgi-bin/menu/get None true",
            "delivery 1 Some(500)",
        ]
    );
}
