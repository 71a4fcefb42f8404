//! Every operation of the client against the simulated WeChat, which applies WeChat's rules.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use simulator::{FOLLOWER, TEMPLATE_ID};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use wechat::{
    api::{
        ApiError, Client,
        calls::{
            conditional_menu::{AddConditionalMenu, DeleteConditionalMenu, TryMatchMenu},
            management::{CheckCallback, GetCallbackAddresses, GetQuota},
            menu::{CreateMenu, DeleteMenu, GetCurrentMenu, GetMenu},
            template::ListTemplates,
        },
    },
    clock::{Deadline, SystemClock},
    secret::Secret,
};

use super::WeChat;

const NONE: Deadline = Deadline::NONE;

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, ApiError>, errcode: i64) -> String {
    match outcome {
        Err(ApiError::Rejected { rejection, .. }) if rejection.errcode == errcode => rejection.errmsg,
        other => panic!("{other:?} instead of errcode {errcode}"),
    }
}

async fn start() -> (WeChat, Secret) {
    let wechat = WeChat::start().await;
    let token = wechat.issue(false).await;
    (wechat, token)
}

fn menu() -> Value {
    json!({"button": [{"type": "click", "name": "今日", "key": "TODAY"}]})
}

/// A broken way out of the network: packets are dropped, and no connection is made.
#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // When the listen queue is full, the kernel drops new connections.
    let mut queue = Vec::new();
    while let Ok(Ok(waiting)) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queue.push(waiting);
    }
    let client = Client::new(&format!("http://{address}"), None, Arc::new(SystemClock)).unwrap();
    let error = client
        .call(&ListTemplates, &Secret::new("token"), 1, NONE)
        .await
        .unwrap_err();
    assert!(matches!(error, ApiError::Connection { .. }), "{error:?}");
    assert!(!error.may_have_landed());
}

#[tokio::test]
async fn conditional_menus_stand_beside_the_default() {
    let (wechat, token) = start().await;
    let client = &wechat.client;
    let vip = json!({
        "button": [{"type": "click", "name": "VIP", "key": "VIP"}],
        "matchrule": {"client_platform_type": "1"},
    });
    assert_refused(
        client.call(&AddConditionalMenu { menu: &vip }, &token, 1, NONE).await,
        65303,
    );
    client
        .call(&CreateMenu { menu: &menu() }, &token, 1, NONE)
        .await
        .unwrap();
    let key = |seen: &Value| seen["button"][0]["key"].clone();
    assert_eq!(
        key(&client
            .call(&TryMatchMenu { user_id: FOLLOWER }, &token, 1, NONE)
            .await
            .unwrap()),
        "TODAY"
    );

    let menuid = client
        .call(&AddConditionalMenu { menu: &vip }, &token, 1, NONE)
        .await
        .unwrap();
    assert!(
        !menuid.is_empty() && menuid.bytes().all(|byte| byte.is_ascii_digit()),
        "{menuid}"
    );
    assert_eq!(
        key(&client
            .call(&TryMatchMenu { user_id: FOLLOWER }, &token, 1, NONE)
            .await
            .unwrap()),
        "VIP"
    );
    let menus = client.call(&GetMenu, &token, 1, NONE).await.unwrap();
    assert_eq!(menus["conditionalmenu"][0]["matchrule"]["client_platform_type"], 1);

    client
        .call(&DeleteConditionalMenu { menuid: &menuid }, &token, 1, NONE)
        .await
        .unwrap();
    assert_eq!(
        key(&client
            .call(&TryMatchMenu { user_id: FOLLOWER }, &token, 1, NONE)
            .await
            .unwrap()),
        "TODAY"
    );
    assert_refused(
        client
            .call(&DeleteConditionalMenu { menuid: &menuid }, &token, 1, NONE)
            .await,
        65301,
    );
    assert_refused(
        client.call(&TryMatchMenu { user_id: "nobody" }, &token, 1, NONE).await,
        65302,
    );
    for (rule, errcode) in [(json!({}), 65304), (json!({"sex": "1"}), 65320)] {
        let menu = json!({"button": vip["button"], "matchrule": rule});
        assert_refused(
            client.call(&AddConditionalMenu { menu: &menu }, &token, 1, NONE).await,
            errcode,
        );
    }
}

#[tokio::test]
async fn the_menu_is_created_shown_and_deleted() {
    let (wechat, token) = start().await;
    let client = &wechat.client;
    assert_refused(client.call(&GetMenu, &token, 1, NONE).await, 46003);
    client
        .call(&CreateMenu { menu: &menu() }, &token, 1, NONE)
        .await
        .unwrap();
    let current = client.call(&GetCurrentMenu, &token, 1, NONE).await.unwrap();
    assert_eq!(current["selfmenu_info"]["button"][0]["name"], "今日");
    client.call(&DeleteMenu, &token, 1, NONE).await.unwrap();
    assert_eq!(
        client.call(&GetCurrentMenu, &token, 1, NONE).await.unwrap()["is_menu_open"],
        0
    );
}

#[tokio::test]
async fn an_order_that_wechat_did_not_confirm_is_not_done() {
    let (wechat, token) = start().await;
    for body in ["{}", "\"ok\"", "[]", "{\"errmsg\":\"ok\"}"] {
        wechat
            .control("faults", &json!({"path": "/cgi-bin/menu/create", "body": body}))
            .await;
        let outcome = wechat.client.call(&CreateMenu { menu: &menu() }, &token, 1, NONE).await;
        assert!(
            matches!(outcome, Err(ApiError::Unreadable { .. })),
            "{body}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn addresses_are_lists() {
    let (wechat, token) = start().await;
    assert_eq!(
        wechat
            .client
            .call(&GetCallbackAddresses, &token, 1, NONE)
            .await
            .unwrap(),
        ["127.0.0.1"]
    );
}

#[tokio::test]
async fn the_callback_is_checked_when_there_is_one() {
    let (wechat, token) = start().await;
    let check = wechat.client.call(&CheckCallback, &token, 1, NONE).await;
    assert_refused(check, 40201);

    let body = r#"{"dns":[{"ip":"203.0.113.10","real_operator":"UNICOM"}],"ping":[{"ip":"203.0.113.10","from_operator":"UNICOM","package_loss":"0%","time":"23.079ms"}]}"#;
    wechat
        .control("faults", &json!({"path": "/cgi-bin/callback/check", "body": body}))
        .await;
    let check = wechat.client.call(&CheckCallback, &token, 1, NONE).await.unwrap();
    assert_eq!(
        (check.dns[0].ip.as_str(), check.ping[0].time.as_str()),
        ("203.0.113.10", "23.079ms")
    );
    let calls = wechat.look("calls").await;
    let sent = &calls.as_array().unwrap().last().unwrap()["body"];
    assert_eq!(*sent, json!({"action": "all", "check_operator": "DEFAULT"}));
}

#[tokio::test]
async fn quotas_are_read() {
    const CREATE: &str = "/cgi-bin/menu/create";
    let (wechat, token) = start().await;
    let client = &wechat.client;
    client
        .call(&CreateMenu { menu: &menu() }, &token, 1, NONE)
        .await
        .unwrap();
    let quota = client
        .call(&GetQuota { cgi_path: CREATE }, &token, 1, NONE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((quota.used, quota.remain), (1, quota.daily_limit - 1));
    let nothing = GetQuota {
        cgi_path: "/cgi-bin/nothing",
    };
    assert_refused(client.call(&nothing, &token, 1, NONE).await, 76021);
}

#[tokio::test]
async fn no_error_of_any_operation_holds_the_token() {
    let (wechat, token) = start().await;
    let path = "/cgi-bin/template/get_all_private_template";
    let echo = format!("{{\"access_token\":\"{}\"", token.expose());
    for fault in [
        json!({"path": path, "errcode": 40001}),
        json!({"path": path, "body": echo}),
        json!({"path": path, "body": echo + "}"}),
        json!({"path": path, "http_status": 500}),
        json!({"path": path, "drop": true}),
    ] {
        wechat.control("faults", &fault).await;
        let error = wechat.client.call(&ListTemplates, &token, 1, NONE).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(token.expose()), "{fault}: {shown}");
        assert!(!shown.contains("access_token="), "{fault}: {shown}");
    }
    assert_eq!(
        wechat.client.call(&ListTemplates, &token, 1, NONE).await.unwrap()[0].template_id,
        TEMPLATE_ID
    );
    let unreachable = wechat::api::Client::new(
        "http://127.0.0.1:1",
        None,
        std::sync::Arc::new(wechat::clock::SystemClock),
    );
    let error = unreachable
        .unwrap()
        .call(&ListTemplates, &token, 2, NONE)
        .await
        .unwrap_err();
    assert!(
        !error.is_ambiguous() && !format!("{error} {error:?}").contains(token.expose()),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_call_that_may_have_landed_is_ambiguous_when_no_retry_fits() {
    let (wechat, token) = start().await;
    let path = "/cgi-bin/template/get_all_private_template";
    wechat
        .control("faults", &json!({"path": path, "drop": true, "times": 9}))
        .await;
    // The budget is enough for one attempt.
    let now = wechat::clock::Clock::now_millis(&wechat::clock::SystemClock);
    let deadline = Deadline::from_lambda(now as u64 + 1_300, now);
    let error = wechat
        .client
        .call(&ListTemplates, &token, 3, deadline)
        .await
        .unwrap_err();
    assert!(error.is_ambiguous(), "{error:?}");
    assert_eq!(wechat.calls(path).await, 1);
}

#[tokio::test]
async fn the_debug_of_a_client_hides_the_proxys_password() {
    let proxy = Secret::new("http://user:proxy-pass@127.0.0.1:3128");
    let clock = std::sync::Arc::new(wechat::clock::SystemClock);
    let client = wechat::api::Client::new("https://api.weixin.qq.com", Some(&proxy), clock).unwrap();
    assert!(!format!("{client:?}").contains("proxy-pass"));
}
