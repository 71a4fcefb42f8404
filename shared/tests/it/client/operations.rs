//! Every operation of the client against the simulated WeChat, which keeps WeChat's rules.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use simulator::{FOLLOWER, TEMPLATE_ID};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use wechat::{
    api::{ApiError, CheckAction, CheckOperator, Client, CustomArticle, CustomMessage, MenuItem, Typing},
    clock::{Deadline, SystemClock},
    errcode,
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

/// What an egress address that does not work looks like: packets are dropped, and no connection comes about.
#[tokio::test]
async fn where_no_connection_comes_about_nothing_was_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Once its queue is full, the kernel drops what comes.
    let mut queue = Vec::new();
    while let Ok(Ok(waiting)) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queue.push(waiting);
    }
    let client = Client::new(&format!("http://{address}"), None, Arc::new(SystemClock)).unwrap();
    let error = client.templates(&Secret::new("token"), 1, NONE).await.unwrap_err();
    assert!(
        matches!(
            error,
            ApiError::Connection {
                before_sending: true,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.may_have_landed());
}

#[tokio::test]
async fn templates_are_added_and_deleted() {
    let (wechat, token) = start().await;
    let client = &wechat.client;
    let added = client
        .add_template(&token, "47123", &["订单号", "商品"], NONE)
        .await
        .unwrap();
    let templates = client.templates(&token, 1, NONE).await.unwrap();
    let template = templates.iter().find(|template| template.template_id == added).unwrap();
    assert!(
        template.content.contains("订单号") && template.fields().len() == 2,
        "{template:?}"
    );
    client.delete_template(&token, &added, NONE).await.unwrap();
    assert_eq!(
        client.templates(&token, 1, NONE).await.unwrap().len(),
        templates.len() - 1
    );

    assert_refused(client.delete_template(&token, &added, NONE).await, 40037);
    assert_refused(client.add_template(&token, "47123", &[], NONE).await, 40246);
    assert_refused(client.add_template(&token, "TM00015", &["商品"], NONE).await, 40247);
    for _ in templates.len() - 1..25 {
        client.add_template(&token, "47123", &["商品"], NONE).await.unwrap();
    }
    assert_refused(client.add_template(&token, "47123", &["商品"], NONE).await, 45026);
}

#[tokio::test]
async fn industries_are_set_once_a_month() {
    let (wechat, token) = start().await;
    let client = &wechat.client;
    let none = client.industries(&token, 1, NONE).await.unwrap();
    assert_eq!((none.primary, none.secondary), (None, None));
    client.set_industries(&token, 1, 4, NONE).await.unwrap();
    let industries = client.industries(&token, 1, NONE).await.unwrap();
    assert!(industries.primary.is_some() && industries.secondary.is_some());
    assert_ne!(industries.primary, industries.secondary);
    assert_refused(client.set_industries(&token, 2, 4, NONE).await, 43100);
}

#[tokio::test]
async fn conditional_menus_stand_beside_the_default() {
    let (wechat, token) = start().await;
    let client = &wechat.client;
    let vip = json!({
        "button": [{"type": "click", "name": "VIP", "key": "VIP"}],
        "matchrule": {"client_platform_type": "1"},
    });
    assert_refused(client.add_conditional_menu(&token, &vip, NONE).await, 65303);
    client.create_menu(&token, &menu(), 1, NONE).await.unwrap();
    let key = |seen: &Value| seen["button"][0]["key"].clone();
    assert_eq!(
        key(&client.menu_seen_by(&token, FOLLOWER, 1, NONE).await.unwrap()),
        "TODAY"
    );

    let menuid = client.add_conditional_menu(&token, &vip, NONE).await.unwrap();
    assert!(
        !menuid.is_empty() && menuid.bytes().all(|byte| byte.is_ascii_digit()),
        "{menuid}"
    );
    assert_eq!(
        key(&client.menu_seen_by(&token, FOLLOWER, 1, NONE).await.unwrap()),
        "VIP"
    );
    let menus = client.menu(&token, 1, NONE).await.unwrap();
    assert_eq!(menus["conditionalmenu"][0]["matchrule"]["client_platform_type"], 1);

    client.delete_conditional_menu(&token, &menuid, NONE).await.unwrap();
    assert_eq!(
        key(&client.menu_seen_by(&token, FOLLOWER, 1, NONE).await.unwrap()),
        "TODAY"
    );
    assert_refused(client.delete_conditional_menu(&token, &menuid, NONE).await, 65301);
    assert_refused(client.menu_seen_by(&token, "nobody", 1, NONE).await, 65302);
    for (rule, errcode) in [(json!({}), 65304), (json!({"sex": "1"}), 65320)] {
        let menu = json!({"button": vip["button"], "matchrule": rule});
        assert_refused(client.add_conditional_menu(&token, &menu, NONE).await, errcode);
    }
}

#[tokio::test]
async fn the_menu_is_created_shown_and_deleted() {
    let (wechat, token) = start().await;
    let client = &wechat.client;
    assert_refused(client.menu(&token, 1, NONE).await, 46003);
    client.create_menu(&token, &menu(), 1, NONE).await.unwrap();
    let current = client.current_menu(&token, 1, NONE).await.unwrap();
    assert_eq!(current["selfmenu_info"]["button"][0]["name"], "今日");
    client.delete_menu(&token, 1, NONE).await.unwrap();
    assert_eq!(client.current_menu(&token, 1, NONE).await.unwrap()["is_menu_open"], 0);
}

#[tokio::test]
async fn an_order_that_wechat_did_not_confirm_is_not_done() {
    let (wechat, token) = start().await;
    for body in ["{}", "\"ok\"", "[]", "{\"errmsg\":\"ok\"}"] {
        wechat
            .control("faults", &json!({"path": "/cgi-bin/menu/create", "body": body}))
            .await;
        let outcome = wechat.client.create_menu(&token, &menu(), 1, NONE).await;
        assert!(
            matches!(outcome, Err(ApiError::Unreadable { .. })),
            "{body}: {outcome:?}"
        );
    }
}

fn every_custom_message() -> Vec<CustomMessage> {
    let text = str::to_owned;
    vec![
        CustomMessage::Text {
            content: text("处理完成"),
        },
        CustomMessage::Image { media_id: text("m") },
        CustomMessage::Voice { media_id: text("m") },
        CustomMessage::Video {
            media_id: text("m"),
            thumb_media_id: text("t"),
            title: text("标题"),
            description: text("说明"),
        },
        CustomMessage::Music {
            title: text("标题"),
            description: text("说明"),
            musicurl: text("https://example.com/a"),
            hqmusicurl: text("https://example.com/b"),
            thumb_media_id: text("t"),
        },
        CustomMessage::News {
            articles: [CustomArticle {
                title: text("标题"),
                description: text("说明"),
                url: text("https://example.com/"),
                picurl: text("https://example.com/a.png"),
            }],
        },
        CustomMessage::MpNews { media_id: text("m") },
        CustomMessage::MpNewsArticle { article_id: text("a") },
        CustomMessage::MsgMenu {
            head_content: text("满意吗?"),
            list: vec![MenuItem {
                id: text("101"),
                content: text("满意"),
            }],
            tail_content: text("谢谢"),
        },
        CustomMessage::WxCard { card_id: text("c") },
        CustomMessage::MiniProgramPage {
            title: text("标题"),
            appid: text("wxfedcba9876543210"),
            pagepath: text("pages/index"),
            thumb_media_id: text("t"),
        },
    ]
}

#[tokio::test]
async fn custom_messages_of_every_type_reach_the_phone() {
    let (wechat, token) = start().await;
    for message in every_custom_message() {
        let says = json!({"openid": FOLLOWER, "type": "text", "content": "在吗"});
        wechat.control("message", &says).await;
        let sent = wechat
            .client
            .send_custom_message(&token, FOLLOWER, &message, None, NONE)
            .await;
        assert!(sent.is_ok(), "{message:?}: {sent:?}");
    }
    let phone = wechat.look(&format!("phones/{FOLLOWER}")).await;
    let shown: Vec<&Value> = phone
        .as_array()
        .unwrap()
        .iter()
        .filter(|shown| shown["type"] == "custom")
        .collect();
    assert_eq!(shown.len(), every_custom_message().len());
    assert_eq!(shown[0]["message"]["content"], "处理完成");
    assert_eq!(shown[8]["message"]["list"][0]["content"], "满意");
}

#[tokio::test]
async fn custom_messages_answer_what_the_user_did() {
    let (wechat, token) = start().await;
    let message = &CustomMessage::Text {
        content: "您好".to_owned(),
    };
    let send = || {
        wechat
            .client
            .send_custom_message(&token, FOLLOWER, message, Some("agent1@sheet"), NONE)
    };
    assert_refused(send().await, 45015);
    wechat.control("click", &json!({"openid": FOLLOWER, "key": "K"})).await;
    for _ in 0..3 {
        send().await.unwrap();
    }
    assert_refused(send().await, 45047);
    wechat.control("clock", &json!({"advance_seconds": 60})).await;
    assert_refused(send().await, 45015);
    let calls = wechat.look("calls").await;
    let call = calls.as_array().unwrap().last().unwrap();
    assert_eq!(call["body"]["customservice"]["kf_account"], "agent1@sheet");
    let stranger = wechat
        .client
        .send_custom_message(&token, "nobody", message, None, NONE)
        .await;
    assert_refused(stranger, 40003);
}

#[tokio::test]
async fn typing_is_shown_after_a_message_only_and_once() {
    let (wechat, token) = start().await;
    let set = |typing| wechat.client.set_typing(&token, FOLLOWER, typing, NONE);
    assert_refused(set(Typing::Start).await, 45080);
    let says = json!({"openid": FOLLOWER, "type": "text", "content": "在吗"});
    wechat.control("message", &says).await;
    set(Typing::Start).await.unwrap();
    assert_refused(set(Typing::Start).await, 45081);
    set(Typing::Cancel).await.unwrap();
    set(Typing::Start).await.unwrap();
    wechat.control("clock", &json!({"advance_seconds": 31})).await;
    assert_refused(set(Typing::Start).await, 45080);
}

#[tokio::test]
async fn addresses_are_lists() {
    let (wechat, token) = start().await;
    assert_eq!(
        wechat.client.api_addresses(&token, 1, NONE).await.unwrap(),
        ["127.0.0.1"]
    );
    assert_eq!(
        wechat.client.callback_addresses(&token, 1, NONE).await.unwrap(),
        ["127.0.0.1"]
    );
}

#[tokio::test]
async fn the_callback_is_checked_when_there_is_one() {
    let (wechat, token) = start().await;
    let check = wechat
        .client
        .check_callback(&token, CheckAction::default(), CheckOperator::default(), 1, NONE)
        .await;
    assert_refused(check, 40201);

    let body = r#"{"dns":[{"ip":"203.0.113.10","real_operator":"UNICOM"}],"ping":[{"ip":"203.0.113.10","from_operator":"UNICOM","package_loss":"0%","time":"23.079ms"}]}"#;
    wechat
        .control("faults", &json!({"path": "/cgi-bin/callback/check", "body": body}))
        .await;
    let check = wechat
        .client
        .check_callback(&token, CheckAction::All, CheckOperator::Unicom, 1, NONE)
        .await
        .unwrap();
    assert_eq!(
        (check.dns[0].ip.as_str(), check.ping[0].time.as_str()),
        ("203.0.113.10", "23.079ms")
    );
    let calls = wechat.look("calls").await;
    let sent = &calls.as_array().unwrap().last().unwrap()["body"];
    assert_eq!(*sent, json!({"action": "all", "check_operator": "UNICOM"}));
}

#[tokio::test]
async fn quotas_are_read_and_cleared() {
    const CREATE: &str = "/cgi-bin/menu/create";
    let (wechat, token) = start().await;
    let client = &wechat.client;
    client.create_menu(&token, &menu(), 1, NONE).await.unwrap();
    let quota = client.quota(&token, CREATE, 1, NONE).await.unwrap();
    assert_eq!((quota.today.used, quota.today.remain), (1, quota.today.daily_limit - 1));
    let app_id = testing::account::APP_ID;
    client.clear_quota(&token, app_id, NONE).await.unwrap();
    assert_eq!(client.quota(&token, CREATE, 1, NONE).await.unwrap().today.used, 0);
    assert_refused(client.quota(&token, "/cgi-bin/nothing", 1, NONE).await, 76021);
    for _ in 0..9 {
        client.clear_quota(&token, app_id, NONE).await.unwrap();
    }
    assert_refused(client.clear_quota(&token, app_id, NONE).await, 48006);
}

#[tokio::test]
async fn a_refused_call_can_be_looked_up_by_its_rid() {
    let (wechat, token) = start().await;
    let client = &wechat.client;
    let errmsg = assert_refused(client.delete_template(&token, "unknown", NONE).await, 40037);
    let rid = errcode::rid(&errmsg).unwrap();
    let logged = client.logged_request(&token, rid, 1, NONE).await.unwrap();
    assert_eq!(logged.client_ip, "127.0.0.1");
    assert!(logged.request_body.expose().contains("unknown"));
    assert!(logged.response_body.expose().contains("40037"));
    assert!(
        logged
            .request_url
            .expose()
            .starts_with("/cgi-bin/template/del_private_template")
    );
    assert!(!format!("{logged:?}").contains("unknown"));
    assert_refused(
        client
            .logged_request(&token, "00000000-00000000-00000000", 1, NONE)
            .await,
        76001,
    );
    assert_refused(client.logged_request(&token, "", 1, NONE).await, 76002);
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
        wechat.control("faults", &fault.clone()).await;
        let error = wechat.client.templates(&token, 1, NONE).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains(token.expose()), "{fault}: {told}");
        assert!(!told.contains("access_token="), "{fault}: {told}");
    }
    assert_eq!(
        wechat.client.templates(&token, 1, NONE).await.unwrap()[0].template_id,
        TEMPLATE_ID
    );
    let unreachable = wechat::api::Client::new(
        "http://127.0.0.1:1",
        None,
        std::sync::Arc::new(wechat::clock::SystemClock),
    );
    let error = unreachable.unwrap().templates(&token, 2, NONE).await.unwrap_err();
    assert!(
        !error.is_ambiguous() && !format!("{error} {error:?}").contains(token.expose()),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_call_that_may_have_landed_is_told_as_such_whatever_became_of_its_repeat() {
    let (wechat, token) = start().await;
    let path = "/cgi-bin/template/get_all_private_template";
    wechat
        .control("faults", &json!({"path": path, "drop": true, "times": 9}))
        .await;
    // Time for one attempt, and none for another.
    let now = wechat::clock::Clock::now_millis(&wechat::clock::SystemClock);
    let deadline = Deadline::from_lambda(now as u64 + 1_300, now);
    let error = wechat.client.templates(&token, 3, deadline).await.unwrap_err();
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
