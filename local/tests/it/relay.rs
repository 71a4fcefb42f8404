//! The relay on one machine: files of any size that WeChat takes, which AWS Lambda could not pass on.

use std::time::Duration;

use local::{Local, Options, SIMULATED_API_KEY};
use reqwest::{Client, Response};
use serde_json::Value;
use testing::http_client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct Relay {
    local: Local,
    http: Client,
    token: String,
}

impl Relay {
    async fn start() -> Self {
        let local = crate::start(Options::default()).await;
        let http = http_client();
        let account = http.get(format!("{}/sim/account", local.simulator_url().unwrap()));
        let account: Value = serde_json::from_str(&account.send().await.unwrap().text().await.unwrap()).unwrap();
        let app_id = account["app_id"].as_str().unwrap();
        let query = format!("grant_type=client_credential&appid={app_id}&secret={SIMULATED_API_KEY}");
        let issued = http.get(format!("{}/cgi-bin/token?{query}", local.url()));
        let issued: Value = serde_json::from_str(&issued.send().await.unwrap().text().await.unwrap()).unwrap();
        let token = issued["access_token"].as_str().unwrap().to_owned();
        Self { local, http, token }
    }

    fn url(&self, path: &str, query: &str) -> String {
        format!("{}{path}?access_token={}{query}", self.local.url(), self.token)
    }

    /// What is answered to these bytes.
    async fn answer_to(&self, bytes: &str) -> String {
        let address = self.local.url();
        let address = address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    async fn upload(&self, file: &[u8]) -> Response {
        let head = "--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a.png\"\r\n\r\n";
        let form = [head.as_bytes(), file, b"\r\n--b--\r\n"].concat();
        let request = self.http.post(self.url("/cgi-bin/media/upload", "&type=image"));
        let request = request.header("content-type", "multipart/form-data; boundary=b");
        request.body(form).send().await.unwrap()
    }
}

async fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_file_that_lambda_could_not_pass_on_comes_back_whole() {
    let relay = Relay::start().await;
    let file: Vec<u8> = (0..=250).cycle().take(9_500_000).collect();
    let uploaded = json(relay.upload(&file).await).await;
    let media_id = uploaded["media_id"].as_str().unwrap_or_else(|| panic!("{uploaded}"));
    let url = relay.url("/cgi-bin/media/get", &format!("&media_id={media_id}"));
    let response = relay.http.get(url).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "image/png");
    assert!(response.bytes().await.unwrap() == file, "another file");
    relay.local.stop(crate::GRACE).await;
}

#[tokio::test]
async fn a_call_that_is_too_large_is_a_failure_in_wechats_form_too() {
    let relay = Relay::start().await;
    let response = relay.upload(&vec![0; 33 * 1024 * 1024]).await;
    assert_eq!(response.status(), 413);
    let answer = json(response).await;
    assert_eq!(answer["errcode"], 413, "{answer}");
    relay.local.stop(crate::GRACE).await;
}

#[tokio::test]
async fn a_stranger_is_refused_without_the_body() {
    let relay = Relay::start().await;
    let head = "POST /cgi-bin/media/upload?access_token=nobodys HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n";
    let answer = relay.answer_to(head).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("40001"),
        "{answer}"
    );
    relay.local.stop(crate::GRACE).await;
}

#[tokio::test]
async fn bodies_that_stay_small_take_no_turn_of_the_large_ones() {
    let relay = Relay::start().await;
    let address = relay.local.url().replace("http://", "");
    let head = format!(
        "POST /cgi-bin/menu/get?access_token={} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        relay.token
    );
    let mut stalled = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(format!("{head}1\r\nx\r\n").as_bytes()).await.unwrap();
        stalled.push(stream);
    }
    let small = format!("{head}2\r\n{{}}\r\n0\r\n\r\n");
    let answer = tokio::time::timeout(Duration::from_secs(5), relay.answer_to(&small)).await;
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stalled);
    relay.local.stop(crate::GRACE).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure_in_wechats_form_too() {
    let relay = Relay::start().await;
    let token = &relay.token;
    let head = format!(
        "POST /cgi-bin/media/upload?access_token={token} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
    );
    let answer = relay.answer_to(&head).await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("\"errcode\":400"),
        "{answer}"
    );
    relay.local.stop(crate::GRACE).await;
}
