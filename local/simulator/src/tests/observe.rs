//! What the observer is told.

use super::*;
use crate::Observation;

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
    let bench = Bench::observed(Mode::Plain, Some(observer)).await;

    bench.token().await;
    bench
        .post("/sim/faults", json!({"path": "/cgi-bin/menu/get", "drop": true}))
        .await;
    assert!(bench.http.get(bench.url("/cgi-bin/menu/get")).send().await.is_err());
    bench.receiver.answer([Scripted::Status(500), bench.reply("好")]);
    bench.post("/sim/message", text_message("在吗")).await;
    assert_eq!(
        *told.lock().unwrap(),
        [
            "/cgi-bin/stable_token Some(200) false",
            "/cgi-bin/menu/get None true",
            "delivery 1 Some(500)",
        ]
    );
}
