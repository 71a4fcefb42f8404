//! Answers that cannot be handed on: broken, compressed, or too long for Lambda.

use testing::{Response, Stage};

use crate::{BINARY, SHOP, call, line, raw_server::RawServer, save_keys, token_of};

/// The answer to a call that WeChat answers with these bytes.
async fn answer_to(bytes: Vec<u8>) -> Response {
    let mut stage = Stage::with_token().await;
    let server = RawServer::start().await;
    server.replaces_wechat(&mut stage);
    server.answer(bytes);
    save_keys(&stage).await;
    let mut function = stage.function(BINARY).await;
    let token = token_of(&mut function, SHOP).await;
    let response = function
        .send(&call("GET", &format!("/cgi-bin/media/get?access_token={token}")))
        .await;
    assert_eq!(server.received().len(), 1, "a call that may have acted is not repeated");
    assert_eq!(line(&function)["status"], response.status);
    if response.status != 200 {
        assert_eq!(response.body["errcode"], response.status, "{response:?}");
    }
    response
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_502() {
    for bytes in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"errcode\":0".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc".to_vec(),
        [
            b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n".to_vec(),
            vec![0; 2_000_000],
        ]
        .concat(),
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n".to_vec(),
        b"not HTTP, but an answer of some length\r\n\r\n".to_vec(),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..20]).into_owned();
        assert_eq!(answer_to(bytes).await.status, 502, "{shown}");
    }
    assert_eq!(answer_to(Vec::new()).await.status, 504, "no answer at all");
}

#[tokio::test]
async fn an_answer_that_lambda_cannot_give_is_an_error_that_says_so() {
    let answer = |length: usize| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\ncontent-length: {length}\r\n\r\n");
        [head.into_bytes(), vec![7; length]].concat()
    };
    assert_eq!(answer_to(answer(4_500_000)).await.status, 200);
    let refused = answer_to(answer(4_500_001)).await;
    assert_eq!(refused.status, 502);
    let errmsg = refused.body["errmsg"].as_str().unwrap();
    assert!(errmsg.contains("4500000") && errmsg.contains("AWS Lambda"), "{errmsg}");
}
