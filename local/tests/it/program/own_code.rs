//! The team's own code behind a simulated run: it is named by the environment, answers, and is taken down by the console.

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{OwnAnswer, OwnCode, http_client};

use super::process::Program;

struct Run {
    http: Client,
    url: String,
}

impl Run {
    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth("local");
        let response = request.json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth("local");
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The reply to a text of the follower.
    async fn write(&self, content: &str) -> Value {
        let message = json!({"openid": FOLLOWER, "type": "text", "content": content});
        self.post("/console/sim/message", &message).await.1["reply"]["Content"].clone()
    }

    async fn waiting(&self) -> Vec<Value> {
        self.get("/api/forwards").await["forwards"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_code_of_the_environment_answers_and_gets_by_a_retry_what_it_missed() {
    let own_code = OwnCode::start().await;
    own_code.answer(OwnAnswer::reply("自有回复"));
    let address = format!("{}/wechat?key=hidden", own_code.endpoint());
    let variables = [
        ("FORWARD_URL", address.as_str()),
        ("FORWARD_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("WECHAT_APP_ID", "not an AppID, and not read"),
    ];
    let mut program = Program::start(&["--port", "0"], &variables);
    let run = Run {
        url: program.url(),
        http: http_client(),
    };
    assert_eq!(run.write("一").await, "自有回复");
    let shown = json!({"address": format!("{}/wechat", own_code.endpoint()), "down": false});
    assert_eq!(run.get("/console/own-code").await, shown);

    let (status, switched) = run.post("/console/own-code", &json!({"down": true})).await;
    assert_eq!((status, &switched["down"]), (200, &json!(true)));
    assert_eq!(run.write("二").await, Value::Null);
    let waiting = run.waiting().await;
    assert_eq!((waiting.len(), &waiting[0]["attempts"]), (1, &json!(1)));
    assert_eq!(own_code.requests().len(), 1, "its open connection is cut too");

    run.post("/console/own-code", &json!({"down": false})).await;
    let id = waiting[0]["id"].as_str().unwrap();
    assert_eq!(
        run.post(&format!("/api/forwards/{id}/retry"), &Value::Null).await.0,
        202
    );
    own_code.asked(2).await;
    let late = own_code.requests().pop().unwrap();
    assert_eq!(
        (late.header("webhook-id"), late.header("wechat-reply")),
        (id, "too-late")
    );
    assert_eq!(late.target, "/wechat?key=hidden");
    assert_eq!(late.json()["document"]["Content"], "二");
    assert!(!program.stopped().contains("hidden"));
}

/// A retry waits up to 20 s for own code. WeChat's callbacks must not be refused for that long.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_retry_that_hangs() {
    let own_code = OwnCode::start().await;
    own_code.answer(OwnAnswer::status(500, ""));
    let address = own_code.endpoint();
    let variables = [
        ("FORWARD_URL", address.as_str()),
        ("FORWARD_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ];
    let mut program = Program::start(&["--port", "0"], &variables);
    let run = Run {
        url: program.url(),
        http: http_client(),
    };
    run.write("一").await;
    let waiting = run.waiting().await;
    own_code.answer(OwnAnswer::Hang);
    let retry = format!("/api/forwards/{}/retry", waiting[0]["id"].as_str().unwrap());
    assert_eq!(run.post(&retry, &Value::Null).await.0, 202);
    own_code.asked(2).await;
    let began = Instant::now();
    program.signal("TERM");
    assert_eq!(program.exit_code(), Some(0), "{}", program.logs());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
