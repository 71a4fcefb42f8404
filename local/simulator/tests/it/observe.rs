//! What the observer hears.

use std::sync::{Arc, Mutex};

use serde_json::json;
use simulator::{Mode, Observation, ObservedCall, Observer};

use crate::stage::{Form, Scripted, Stage, text_message};

fn line(observation: Observation) -> String {
    match observation {
        Observation::Call(call) => format!("{} {:?} {}", call.path, call.status, call.is_fault),
        Observation::FailedDelivery { delivery, status, .. } => format!("delivery {delivery} {status:?}"),
    }
}

#[tokio::test]
async fn the_observer_hears_of_every_call_and_of_every_delivery_that_failed() {
    let observed: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&observed);
    let observer = Observer::new(move |observation| heard.lock().unwrap().push(line(observation)));
    let stage = Stage::observed(Mode::Plain, Some(observer)).await;

    stage.token().await;
    stage.fault(json!({"path": "/cgi-bin/menu/get", "drop": true})).await;
    assert!(stage.http.get(stage.url("/cgi-bin/menu/get")).send().await.is_err());
    stage.receiver.answer([Scripted::Status(500), stage.reply("好")]);
    stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!(
        *observed.lock().unwrap(),
        [
            "/cgi-bin/stable_token Some(200) false",
            "/cgi-bin/menu/get None true",
            "delivery 1 Some(500)",
        ]
    );
}

#[tokio::test]
async fn the_observer_hears_of_files_with_their_types() {
    let observed: Arc<Mutex<Vec<ObservedCall>>> = Arc::default();
    let heard = Arc::clone(&observed);
    let observer = Observer::new(move |observation| {
        if let Observation::Call(call) = observation {
            heard.lock().unwrap().push(call);
        }
    });
    let stage = Stage::observed(Mode::Plain, Some(observer)).await;
    let form = Form::file("a.gif", b"GIF\xff");
    let answer = stage.upload("/cgi-bin/media/upload", "&type=image", &form).await;
    let token = stage.token().await;
    let media_id = answer["media_id"].as_str().unwrap();
    stage
        .get(&format!("/cgi-bin/media/get?access_token={token}&media_id={media_id}"))
        .await;
    let observed = observed.lock().unwrap();
    let [_, upload, _, download] = &**observed else {
        panic!("{observed:?}")
    };
    assert_eq!(upload.request_type, Form::CONTENT_TYPE);
    assert_eq!(upload.request, form.body);
    assert_eq!(download.response_type, "image/gif");
    assert_eq!(download.response, b"GIF\xff");
}
