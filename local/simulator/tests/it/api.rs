//! The platform's calls over HTTP, and their faults.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::Mode;

use crate::stage::{Stage, errcode, now, template_message};

const SEND: &str = "/cgi-bin/message/template/send";

#[tokio::test]
async fn errors_come_as_http_200_plain_text_with_a_request_id() {
    let stage = Stage::new(Mode::Safe).await;
    let response = stage.http.get(stage.url("/cgi-bin/menu/get")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer["errcode"], 41001);
    let (text, rid) = answer["errmsg"].as_str().unwrap().split_once(" rid: ").unwrap();
    assert_eq!(text, "access_token missing");
    let groups: Vec<&str> = rid.split('-').collect();
    assert!(
        groups.len() == 3 && groups.iter().all(|group| group.len() == 8),
        "{rid}"
    );
    assert!(i64::from_str_radix(groups[0], 16).unwrap().abs_diff(now()) < 60);
    let (status, answer) = stage.send(Method::PUT, "/cgi-bin/never/heard/of", String::new()).await;
    assert_eq!((status, &answer["errcode"]), (200, &json!(40066)));
}

#[tokio::test]
async fn both_token_endpoints_serve() {
    let stage = Stage::new(Mode::Safe).await;
    let account = stage.simulator.account();
    let path = format!(
        "/cgi-bin/token?grant_type=client_credential&appid={}&secret={}",
        account.app_id, account.app_secret
    );
    let ordinary = stage.get(&path).await;
    assert_eq!(ordinary["expires_in"], 7_200);
    let ordinary = ordinary["access_token"].as_str().unwrap();
    for token in [ordinary, &stage.token().await] {
        let path = format!("/cgi-bin/template/get_all_private_template?access_token={token}");
        let answer = stage.get(&path).await;
        assert!(answer["template_list"].as_array().unwrap().len() >= 2, "{answer}");
    }
}

#[tokio::test]
async fn a_faulty_errcode_leaves_the_token_and_the_phone_alone() {
    let stage = Stage::new(Mode::Safe).await;
    stage.fault(json!({"path": SEND, "errcode": 40001, "times": 2})).await;
    for _ in 0..2 {
        let answer = stage.post_api(SEND, template_message()).await;
        assert_eq!(answer["errcode"], 40001);
        let beginning = "invalid credential, access_token is invalid or not latest";
        assert!(answer["errmsg"].as_str().unwrap().starts_with(beginning), "{answer}");
    }
    assert_eq!(stage.phone().await, json!([]));
    assert_eq!(stage.errcode(SEND, template_message()).await, 0);
}

#[tokio::test]
async fn faults_speak_the_platforms_words_or_those_given() {
    let stage = Stage::new(Mode::Safe).await;
    let path = "/cgi-bin/menu/get";
    for (errcode, beginning) in [
        (
            40164,
            "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: ",
        ),
        (47003, "argument invalid! data.thing1.value invalid rid: "),
        (
            45009,
            "reach max api daily quota limit, could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r rid: ",
        ),
    ] {
        stage.fault(json!({"path": path, "errcode": errcode})).await;
        let answer = stage.get(path).await;
        assert_eq!(answer["errcode"], errcode);
        assert!(answer["errmsg"].as_str().unwrap().starts_with(beginning), "{answer}");
    }
    stage
        .fault(json!({"path": path, "errcode": -1, "errmsg": "busy"}))
        .await;
    let answer = stage.get(path).await;
    assert!(answer["errmsg"].as_str().unwrap().starts_with("busy rid: "), "{answer}");
}

#[tokio::test]
async fn a_fault_can_answer_garbage_and_be_cleared() {
    let stage = Stage::new(Mode::Safe).await;
    let path = "/cgi-bin/menu/get";
    stage.fault(json!({"path": path, "http_status": 502})).await;
    stage.fault(json!({"path": path, "body": "{\"errcode\":"})).await;
    stage
        .fault(json!({"path": path, "http_status": 503, "errcode": -1}))
        .await;
    stage
        .fault(json!({"path": path, "http_status": 502, "times": 100}))
        .await;
    let (status, page) = stage.send(Method::GET, path, String::new()).await;
    assert!(status == 502 && page.as_str().unwrap().starts_with("<html>"), "{page}");
    assert_eq!(stage.get(path).await, "{\"errcode\":");
    let (status, answer) = stage.send(Method::GET, path, String::new()).await;
    assert_eq!((status, &answer["errcode"]), (503, &json!(-1)));
    let (_, cleared) = stage.send(Method::DELETE, "/sim/faults", String::new()).await;
    assert_eq!(cleared, json!({"faults": []}));
    assert_eq!(stage.get(path).await["errcode"], 41001);
}

#[tokio::test]
async fn a_dropped_answer_is_a_broken_connection_after_the_call_was_carried_out() {
    let stage = Stage::new(Mode::Safe).await;
    let path = format!("{SEND}?access_token={}", stage.token().await);
    stage.fault(json!({"path": SEND, "drop": true})).await;
    let mut body = template_message();
    body["client_msg_id"] = json!("order-1");
    let error = stage
        .http
        .post(stage.url(&path))
        .body(body.to_string())
        .send()
        .await
        .unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(stage.post(&path, body).await["errcode"], 0);
    assert_eq!(stage.phone().await.as_array().unwrap().len(), 1);
    let calls = stage.get("/sim/calls").await;
    let statuses: Vec<&Value> = calls.as_array().unwrap().iter().map(|call| &call["status"]).collect();
    assert_eq!(statuses, [&json!(200), &json!(null), &json!(200)]);
}

#[tokio::test]
async fn a_delayed_answer_can_outlast_the_callers_patience() {
    let stage = Stage::new(Mode::Safe).await;
    stage
        .fault(json!({"path": "/cgi-bin/menu/get", "delay_ms": 60_000}))
        .await;
    stage.fault(json!({"path": "/cgi-bin/menu/get", "delay_ms": 20})).await;
    let request = stage
        .http
        .get(stage.url("/cgi-bin/menu/get"))
        .timeout(Duration::from_millis(100));
    assert!(request.send().await.unwrap_err().is_timeout());
    let started = std::time::Instant::now();
    assert_eq!(stage.get("/cgi-bin/menu/get").await["errcode"], 41001);
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert_eq!(stage.get("/sim/calls").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_log_of_calls_holds_no_secret() {
    let stage = Stage::new(Mode::Safe).await;
    let token = stage.token().await;
    let account = stage.simulator.account();
    stage
        .get(&format!(
            "/cgi-bin/token?grant_type=x&appid={}&secret={}",
            account.app_id, account.app_secret
        ))
        .await;
    let path = format!("{SEND}?access_token={token}");
    stage.post(&path, template_message()).await;
    let calls = stage.get("/sim/calls").await;
    let text = calls.to_string();
    assert!(!text.contains(&token) && !text.contains(&account.app_secret), "{text}");
    assert_eq!(calls[0]["body"]["secret"], "***");
    assert_eq!(calls[0]["body"]["appid"], account.app_id);
    assert_eq!(calls[1]["method"], "GET");
    assert_eq!(calls[1]["path"], "/cgi-bin/token");
    assert_eq!(calls[1]["query"]["secret"], "***");
    assert_eq!(calls[1]["errcode"], 40002);
    assert_eq!(calls[2]["query"]["access_token"], "***");
    assert_eq!(calls[2]["status"], 200);
    assert_eq!(calls[2]["body"]["data"]["thing1"]["value"], "项目审核");
}

#[tokio::test]
async fn calls_without_a_living_token_get_nowhere() {
    let stage = Stage::new(Mode::Safe).await;
    let menu = "/cgi-bin/menu/get";
    for (query, expected) in [("", 41001), ("?access_token=", 41001), ("?access_token=abc", 40014)] {
        assert_eq!(errcode(&stage.get(&format!("{menu}{query}")).await), expected);
    }
    assert_eq!(errcode(&stage.get_api(menu).await), 46003);
    let token = stage.token().await;
    stage.advance(7_200).await;
    assert_eq!(
        errcode(&stage.get(&format!("{menu}?access_token={token}")).await),
        42001
    );
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_answered_with_errcodes() {
    let stage = Stage::new(Mode::Safe).await;
    assert_eq!(errcode(&stage.get_api("/cgi-bin/nothing/here").await), 40066);
    assert_eq!(errcode(&stage.get_api("/cgi-bin/menu/create").await), 43002);
    assert_eq!(stage.errcode("/cgi-bin/menu/get", "{}").await, 43001);
}

#[tokio::test]
async fn a_used_up_quota_is_45009() {
    let stage = Stage::new(Mode::Safe).await;
    let path = format!("/cgi-bin/menu/delete?access_token={}", stage.token().await);
    for _ in 0..1_000 {
        assert_eq!(errcode(&stage.get(&path).await), 0);
    }
    assert_eq!(errcode(&stage.get(&path).await), 45009);
}

#[tokio::test]
async fn paths_outside_of_the_known_prefixes_are_answered_with_an_errcode() {
    let stage = Stage::new(Mode::Safe).await;
    for path in [
        "/customservice/kfaccount/add",
        "/datacube/getusersummary",
        "/wxa/getwxacode",
        "/wxaapi/newtmpl/gettemplate",
        "/card/create",
        "/",
    ] {
        let query = format!("{path}?access_token={}", stage.token().await);
        let (status, answer) = stage.send(Method::POST, &query, "{}".to_owned()).await;
        assert_eq!((status, errcode(&answer)), (200, 40066), "{path}");
        let calls = stage.get("/sim/calls").await;
        let logged = calls.as_array().unwrap().last().unwrap();
        assert_eq!((&logged["path"], &logged["errcode"]), (&json!(path), &json!(40066)));
        assert_eq!(logged["query"]["access_token"], "***");
    }
    let foreign = stage
        .http
        .get(stage.url("/wxa/getwxacode"))
        .header("host", "example.com");
    assert_eq!(foreign.send().await.unwrap().status(), 403, "guarded as all paths are");
    for path in ["/sim/nothing", "/sim/phones", "/connect/nothing"] {
        let (status, answer) = stage.send(Method::GET, path, String::new()).await;
        assert_eq!(status, 404, "{path}");
        assert!(answer["error"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn every_prefix_can_fail_on_demand() {
    let stage = Stage::new(Mode::Safe).await;
    stage.fault(json!({"path": "/customservice/*", "errcode": -1})).await;
    stage
        .fault(json!({"path": "/datacube/getusersummary", "http_status": 502}))
        .await;
    assert_eq!(stage.errcode("/customservice/kfaccount/add", "{}").await, -1);
    let (status, _) = stage
        .send(Method::POST, "/datacube/getusersummary", String::new())
        .await;
    assert_eq!(status, 502);
}

#[tokio::test]
async fn the_account_has_no_agents() {
    let stage = Stage::new(Mode::Safe).await;
    let all = stage.get_api("/cgi-bin/customservice/getkflist").await;
    assert_eq!(all, json!({"kf_list": []}));
    let online = stage.get_api("/cgi-bin/customservice/getonlinekflist").await;
    assert_eq!(online, json!({"kf_online_list": []}));
}
