//! What WeChat is sent, and what comes back of its answer: everything unchanged except the token.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use testing::{Stage, event::Request, eventually};

use crate::{BINARY, Relay, SHOP, call, errcode, line, raw_server::RawServer, save_keys, token_of};

/// The relay before a server that shows what it was sent, and the access_token with which it calls.
async fn before_raw_server() -> (RawServer, Relay, String, String) {
    let mut stage = Stage::with_token().await;
    let real = stage.table.item("token").await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let server = RawServer::start().await;
    server.replaces_wechat(&mut stage);
    save_keys(&stage).await;
    let mut function = stage.function(BINARY).await;
    let token = token_of(&mut function, SHOP).await;
    (server, Relay { function, stage }, token, real)
}

#[tokio::test]
async fn a_call_goes_out_as_it_came_with_the_real_token_in_its_place() {
    let (server, mut relay, token, real) = before_raw_server().await;
    for (method, query, expected) in [
        ("GET", format!("access_token={token}"), format!("access_token={real}")),
        (
            "POST",
            format!("b=%e4%BD%a0+x&&flag&access_token={token}&a=2%2F&a=&=1&z=!()*~"),
            format!("b=%e4%BD%a0+x&&flag&access_token={real}&a=2%2F&a=&=1&z=!()*~"),
        ),
        (
            "PUT",
            format!("access%5Ftoken={token}&x=1"),
            format!("access%5Ftoken={real}&x=1"),
        ),
    ] {
        server.answer_with("200 OK", "", b"{}");
        relay
            .function
            .send(&call(method, &format!("/wxa/a.b-c_d/e?{query}")))
            .await;
        assert_eq!(
            server.last().line,
            format!("{method} /wxa/a.b-c_d/e?{expected} HTTP/1.1")
        );
    }
}

#[tokio::test]
async fn of_the_headers_only_the_content_type_goes_out() {
    let (server, mut relay, token, _) = before_raw_server().await;
    server.answer_with("200 OK", "", b"{}");
    let request = call("POST", &format!("/cgi-bin/menu/create?access_token={token}"))
        .header("content-type", "Text/Plain; Charset=\"GBK\"")
        .header("cookie", "a=1")
        .header("x-forwarded-for", "198.51.100.7")
        .header("user-agent", "an SDK")
        .header("accept-encoding", "gzip")
        .api_key("something")
        .text("{\"a\": \"你\"}  \n");
    relay.function.send(&request).await;
    let received = server.last();
    assert_eq!(received.header("content-type"), Some("Text/Plain; Charset=\"GBK\""));
    assert_eq!(received.body, "{\"a\": \"你\"}  \n".as_bytes());
    let mut names: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-length", "content-type", "host"]);
}

/// The headers that keep an answer from running as a page.
const OWN_HEADERS: [&str; 3] = ["cache-control", "content-security-policy", "x-content-type-options"];

#[tokio::test]
async fn an_answer_comes_back_as_it_was() {
    let (server, mut relay, token, _) = before_raw_server().await;
    let menu = call("GET", &format!("/cgi-bin/menu/get?access_token={token}"));
    for (status, body) in [
        ("200 OK", "{\"errcode\":-1,\n \"errmsg\":\"system error\"}"),
        ("200 OK", "<html>not JSON</html>"),
        ("500 Internal Server Error", "{\"errcode\":0}"),
        ("404 Not Found", ""),
    ] {
        let headers =
            "content-type: text/plain; charset=GBK\r\nset-cookie: a=1\r\nserver: x\r\ncache-control: private\r\n";
        server.answer_with(status, headers, body.as_bytes());
        let answer = relay.function.succeed(&menu).await;
        assert_eq!(answer["body"], body);
        assert_eq!(answer["statusCode"].to_string(), status[..3]);
        let headers = answer["headers"].as_object().unwrap();
        let from_wechat: Vec<_> = headers
            .iter()
            .filter(|(name, _)| !OWN_HEADERS.contains(&name.as_str()))
            .collect();
        assert_eq!(
            from_wechat,
            [(&"content-type".to_owned(), &json!("text/plain; charset=GBK"))]
        );
        assert_eq!(answer.get("cookies"), None);
    }
    assert_eq!(server.received().len(), 4, "nothing is repeated, -1 neither");
}

#[tokio::test]
async fn files_pass_both_ways_byte_for_byte() {
    let mut relay = Relay::start().await;
    let token = relay.caller(SHOP).await;
    let file: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let head =
        "--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n";
    let form = [head.as_bytes(), &file, b"\r\n--b--\r\n"].concat();
    let upload = call(
        "POST",
        &format!("/cgi-bin/media/upload?type=image&access_token={token}"),
    )
    .header("content-type", "multipart/form-data; boundary=b")
    .base64(&form);
    let media_id = relay.function.send(&upload).await.body["media_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let sent = line(&relay.function);
    assert_eq!(
        (&sent["request_bytes"], &sent["errcode"]),
        (&json!(form.len()), &json!(0))
    );

    let download = call(
        "GET",
        &format!("/cgi-bin/media/get?access_token={token}&media_id={media_id}"),
    );
    let answer = relay.function.succeed(&download).await;
    assert_eq!(answer["isBase64Encoded"], true);
    assert_eq!(STANDARD.decode(answer["body"].as_str().unwrap()).unwrap(), file);
    assert_eq!(answer["headers"]["content-type"], "image/jpeg");
    let disposition = answer["headers"]["content-disposition"].as_str().unwrap();
    assert!(disposition.starts_with("attachment; filename="), "{disposition}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(
            answer["headers"][name], value,
            "an answer must not run as a page of the console's origin"
        );
    }
    let received = line(&relay.function);
    assert_eq!(
        (&received["response_bytes"], &received["errcode"]),
        (&json!(file.len()), &Value::Null)
    );
}

#[tokio::test]
async fn the_real_token_is_hidden_wherever_an_answer_shows_it() {
    let (server, mut relay, token, real) = before_raw_server().await;
    let request = |path: &str| call("POST", &format!("{path}?access_token={token}")).text("{}");
    let body = format!("{{\"request_url\":\"/x?access_token={real}&a=1\",\"again\":\"{real}\"}}");
    server.answer_with("200 OK", "content-type: text/plain\r\n", body.as_bytes());
    let answer = relay.function.succeed(&request("/cgi-bin/openapi/rid/get")).await;
    assert_eq!(answer["body"], body.replace(&real, &token));

    let headers = format!("location: https://api.weixin.qq.com/x?access_token={real}\r\n");
    server.answer_with("302 Found", &headers, b"");
    let answer = relay.function.succeed(&request("/cgi-bin/x")).await;
    assert_eq!(answer["statusCode"], 302, "a redirect is not followed");
    let expected = format!("https://api.weixin.qq.com/x?access_token={token}");
    assert_eq!(answer["headers"]["location"], expected);
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn a_token_that_was_replaced_stays_hidden() {
    let (server, mut relay, token, real) = before_raw_server().await;
    let request = call("GET", &format!("/cgi-bin/x?access_token={token}"));
    relay.stage.wechat.control("token/invalidate", &json!({})).await;
    server.answer_with("200 OK", "", br#"{"errcode":40001,"errmsg":"invalid credential"}"#);
    server.answer_with("200 OK", "", format!("{{\"old\":\"{real}\"}}").as_bytes());
    let answer = relay.function.succeed(&request).await;
    assert_eq!(answer["body"], json!({ "old": token }).to_string());
    assert_ne!(
        server.last().line,
        server.received()[0].line,
        "the call was made again with another token"
    );
    server.answer_with("200 OK", "", format!("{{\"old\":\"{real}\"}}").as_bytes());
    let answer = relay.function.succeed(&request).await;
    assert_eq!(answer["body"], json!({ "old": token }).to_string(), "the next one too");
}

#[tokio::test]
async fn the_token_before_the_one_in_the_table_is_hidden_by_a_new_instance_too() {
    const OLD: &str = "96_the-token-before-this-one";
    let (server, relay, token, _) = before_raw_server().await;
    relay.stage.table.set("token", &json!({ "previous_token": OLD })).await;
    let mut fresh = relay.stage.function(BINARY).await;
    server.answer_with("200 OK", "", format!("{{\"request_url\":\"{OLD}\"}}").as_bytes());
    let request = call("POST", &format!("/cgi-bin/openapi/rid/get?access_token={token}"));
    let answer = fresh.succeed(&request).await;
    assert_eq!(answer["body"], json!({ "request_url": token }).to_string());
}

#[tokio::test]
async fn a_token_that_this_instance_has_not_seen_is_hidden() {
    const NEW: &str = "97_the-token-of-another-instance";
    let (server, mut relay, token, _) = before_raw_server().await;
    let request = call("POST", &format!("/cgi-bin/openapi/rid/get?access_token={token}"));
    server.answer_with("200 OK", "", b"{}");
    relay.function.succeed(&request).await;
    relay.stage.table.set("token", &json!({ "access_token": NEW })).await;
    let url = |token: &str| format!("{{\"request_url\":\"/x?access_token={token}\"}}");
    server.answer_with("200 OK", "", url(NEW).as_bytes());
    assert_eq!(relay.function.succeed(&request).await["body"], url(&token));
}

#[tokio::test]
async fn a_call_that_carried_the_app_secret_is_not_shown() {
    let (server, mut relay, token, _) = before_raw_server().await;
    for path in ["/cgi-bin/openapi/rid/get", "/cgi-bin/Openapi/rid/get"] {
        let request = call("POST", &format!("{path}?access_token={token}"));
        server.answer_with("200 OK", "", br#"{"request":{"request_body":"{\"secret\":\"0123\"}"}}"#);
        assert_eq!(errcode(&relay.function.send(&request).await), 76022);
    }
    let request = call("POST", &format!("/cgi-bin/openapi/rid/get?access_token={token}"));
    for shown in [
        r"?appid=wx1&secret=0123",
        r"secret%3d0123",
        r"secret\u003d0123",
        r"{\u0022secret\u0022:\u00220123\u0022}",
        r"%7B%22Secret%22%3A%220123%22%7D",
        r#"{\\\"secret\\\" : \\\"0123\\\"}"#,
    ] {
        let body = format!("{{\"request\":{{\"request_body\":\"{shown}\"}}}}");
        server.answer_with("200 OK", "", body.as_bytes());
        assert_eq!(errcode(&relay.function.send(&request).await), 76022, "{shown}");
    }
    let innocent = r#"{"request":{"request_body":"{\"content\":\"your secret santa\"}"}}"#;
    server.answer_with("200 OK", "", innocent.as_bytes());
    assert_eq!(relay.function.succeed(&request).await["body"], innocent);
}

#[tokio::test]
async fn a_call_without_a_body_says_so() {
    let (server, mut relay, token, _) = before_raw_server().await;
    for (method, length) in [("POST", Some("0")), ("DELETE", Some("0")), ("GET", None)] {
        server.answer_with("200 OK", "", b"{}");
        relay
            .function
            .send(&call(method, &format!("/cgi-bin/x?access_token={token}")))
            .await;
        assert_eq!(server.last().header("content-length"), length, "{method}");
    }
}

#[tokio::test]
async fn a_file_name_comes_back_in_any_script() {
    let (server, mut relay, token, _) = before_raw_server().await;
    let headers = "content-disposition: attachment; filename=\"图片.jpg\"\r\ncontent-encoding: identity\r\n";
    server.answer_with("200 OK", headers, b"x");
    let answer = relay
        .function
        .succeed(&call("GET", &format!("/cgi-bin/x?access_token={token}")))
        .await;
    assert_eq!(
        answer["headers"]["content-disposition"],
        "attachment; filename=\"图片.jpg\""
    );
}

#[tokio::test]
async fn the_ticket_is_the_bundles_own_one_call_for_all() {
    let mut relay = Relay::start().await;
    let token = relay.caller(SHOP).await;
    let get = |kind: &str| {
        call(
            "GET",
            &format!("/cgi-bin/ticket/getticket?access_token={token}&type={kind}"),
        )
    };
    let first = relay.function.send(&get("jsapi")).await;
    assert_eq!(errcode(&first), 0);
    assert_eq!(first.body["errmsg"], "ok");
    assert!(first.body["expires_in"].as_i64().unwrap() > 7100, "{first:?}");
    let second = relay.function.send(&get("jsapi")).await;
    assert_eq!(first.body["ticket"], second.body["ticket"]);
    assert_eq!(relay.stage.wechat.calls("/cgi-bin/ticket/getticket").await, 1);
    assert_eq!(errcode(&relay.function.send(&get("wx_card")).await), 0);
    assert_eq!(relay.stage.wechat.calls("/cgi-bin/ticket/getticket").await, 2);
}

#[tokio::test]
async fn calls_are_counted_by_their_keys() {
    let mut relay = Relay::start().await;
    let (token, root) = (relay.caller(SHOP).await, relay.caller(testing::account::API_KEY).await);
    for (token, path) in [(&token, "user/get"), (&token, "menu/get"), (&root, "user/get")] {
        let request = call("GET", &format!("/cgi-bin/{path}?access_token={token}"));
        relay.function.send(&request).await;
    }
    let counted = |item: &Value| {
        let number = |name: &str| item[name].as_i64().unwrap_or_default();
        (number("calls_shop1"), number("failed_shop1"), number("calls_root"))
    };
    let count = || async {
        let items = relay.stage.table.items().await;
        let mut counts = items
            .iter()
            .filter(|item| item["pk"].as_str().unwrap().starts_with("relay#"));
        counts.any(|item| counted(item) == (2, 1, 1)).then_some(())
    };
    eventually("the count", count).await;
}

#[tokio::test]
async fn a_call_is_logged_by_its_key_and_path_without_its_query() {
    let mut relay = Relay::start().await;
    let token = relay.caller(testing::account::API_KEY).await;
    let request: Request = call(
        "POST",
        &format!("/cgi-bin/tags/create?access_token={token}&x=quite-private"),
    );
    relay
        .function
        .send(&request.text(r#"{"tag":{"name":"also-private"}}"#))
        .await;
    let line = line(&relay.function);
    for (name, expected) in [
        ("key", json!("root")),
        ("path", json!("/cgi-bin/tags/create")),
        ("errcode", json!(0)),
        ("request_bytes", json!(31)),
    ] {
        assert_eq!(line[name], expected, "{line}");
    }
    assert!(
        line["millis"].is_i64() && line["response_bytes"].as_i64().unwrap() > 10,
        "{line}"
    );
    for private in ["private", &token] {
        assert!(!relay.logs().contains(private));
    }
}
