//! Web login, as browsers, WeChat and attackers use it.

use serde_json::json;
use simulator::FOLLOWER;
use testing::{
    Browser, Fault, Function, PUBLIC_URL, Service,
    event::{api, get, post},
    parameter,
};

use crate::{BINARY, Users};

const TO: &str = "https://shop.example.com/me?tab=orders#/list";
const TO_ENCODED: &str = "https%3A%2F%2Fshop.example.com%2Fme%3Ftab%3Dorders%23%2Flist";

fn login_of(to: &str) -> String {
    format!("/oauth/login?to={to}")
}

/// Logs the follower in, up to WeChat's redirect back.
async fn begin(users: &mut Users, browser: &mut Browser) -> String {
    let opened = browser.open(&mut users.function, &login_of(TO_ENCODED)).await;
    assert_eq!(opened.status, 302, "{opened:?}");
    users.stage.wechat.authorize(opened.location(), FOLLOWER).await
}

async fn redeem(function: &mut Function, code: &str) -> (u16, serde_json::Value) {
    function
        .send(&api("POST", &format!("/api/logins/{code}")).into())
        .await
        .parts()
}

#[tokio::test]
async fn a_person_logs_in_and_the_back_end_learns_who_it_is_once() {
    let mut users = Users::start().await;
    users.put_user("u-1", FOLLOWER).await;
    let mut browser = Browser::default();
    let opened = browser.open(&mut users.function, &login_of(TO_ENCODED)).await;
    assert_eq!(opened.status, 302);
    let address = opened.location().to_owned();
    let start = format!(
        "{}/connect/oauth2/authorize?appid={}&redirect_uri=https%3A%2F%2Fwechat%2Eexample%2Ecom%2Foauth%2Fback&response_type=code&scope=snsapi_base&state=",
        users.stage.wechat.endpoint(),
        testing::account::APP_ID
    );
    let rest = address.strip_prefix(&start).unwrap_or_else(|| panic!("{address}"));
    let state = rest.strip_suffix("#wechat_redirect").unwrap();
    assert!((22..=128).contains(&state.len()) && state.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let [cookie] = &opened.cookies[..] else {
        panic!("{opened:?}")
    };
    for part in ["HttpOnly", "Secure", "SameSite=Lax", "Max-Age=600"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain") && !cookie.contains(state), "{cookie}");
    assert_eq!(opened.headers["cache-control"], "no-store");

    let back = users.stage.wechat.authorize(&address, FOLLOWER).await;
    assert!(back.starts_with(&format!("{PUBLIC_URL}/oauth/back?code=")), "{back}");
    let ended = browser.open(&mut users.function, &back).await;
    let to = ended.location().to_owned();
    let login = parameter(&to, "login");
    assert_eq!(
        to,
        format!("https://shop.example.com/me?tab=orders&login={login}#/list")
    );
    assert!(!to.contains(FOLLOWER), "never an openid in an address");

    let mut other = users.another().await;
    assert_eq!(
        redeem(&mut other, &login).await,
        (200, json!({"openid": FOLLOWER, "user": "u-1"}))
    );
    assert_eq!(redeem(&mut users.function, &login).await.0, 404, "once");
    let kept = users.stage.table.item(&format!("login#{login}")).await;
    assert_eq!(kept.get("openid"), None, "who it stood for is not kept");
    assert_eq!(users.get(&format!("/api/logins/{login}/x")).await.status, 404);
    let logs = format!("{}{}", users.logs(), other.logs());
    for secret in [state, &login, &parameter(&back, "code"), FOLLOWER] {
        assert!(!logs.contains(secret), "{secret}");
    }
    assert!(logs.contains("/oauth/back") && logs.contains("/api/logins/{login}"));
}

#[tokio::test]
async fn wechat_may_ask_twice_for_the_same_answer_and_one_exchange() {
    let mut users = Users::start().await;
    let mut browser = Browser::default();
    let back = begin(&mut users, &mut browser).await;
    let mut other = users.another().await;
    let mut again = browser.clone();
    let (one, two) = tokio::join!(browser.open(&mut users.function, &back), again.open(&mut other, &back));
    assert_eq!((one.status, two.status), (302, 302), "{one:?} {two:?}");
    assert_eq!(one.location(), two.location());
    assert_eq!(
        browser.open(&mut users.function, &back).await.location(),
        one.location(),
        "also later"
    );
    assert_eq!(users.stage.wechat.calls("/sns/oauth2/access_token").await, 1);
}

#[tokio::test]
async fn another_browser_ends_no_login_and_spends_nothing() {
    let mut users = Users::start().await;
    let (mut victim, mut attacker) = (Browser::default(), Browser::default());
    let back = begin(&mut users, &mut attacker).await;
    // The attacker has the victim open an address of the attacker's own login.
    let forged = victim.open(&mut users.function, &back).await;
    assert_eq!(forged.status, 400);
    assert!(forged.content_type().starts_with("text/html") && forged.text().contains("同一浏览器"));
    let own = begin(&mut users, &mut victim).await;
    let mixed = back.replace(&parameter(&back, "state"), &parameter(&own, "state"));
    assert_eq!(
        attacker.open(&mut users.function, &mixed).await.status,
        400,
        "another login's state"
    );
    assert_eq!(users.stage.wechat.calls("/sns/oauth2/access_token").await, 0);
    assert_eq!(
        attacker.open(&mut users.function, &back).await.status,
        302,
        "its own browser ends it"
    );
}

#[tokio::test]
async fn a_wrong_or_ended_state_and_a_missing_code_are_the_visitors_fault() {
    let mut users = Users::start().await;
    let mut browser = Browser::default();
    let back = begin(&mut users, &mut browser).await;
    let state = parameter(&back, "state");
    for path in [
        "/oauth/back".to_owned(),
        "/oauth/back?code=x".to_owned(),
        format!("/oauth/back?code=x&state={}", "0".repeat(32)),
        "/oauth/back?code=x&state=%27%22%3E%3Cscript%3E".to_owned(),
        format!("/oauth/back?state={state}"),
        format!("/oauth/back?code=&state={state}"),
    ] {
        let page = browser.open(&mut users.function, &path).await;
        assert_eq!(page.status, 400, "{path}");
        assert!(
            page.content_type().starts_with("text/html") && !page.text().contains("script"),
            "{page:?}"
        );
    }
    let login = format!("login#{state}");
    users
        .stage
        .table
        .set(&login, &json!({"expires_at": testing::now()}))
        .await;
    assert_eq!(
        browser.open(&mut users.function, &back).await.status,
        400,
        "it has expired"
    );
    assert_eq!(users.stage.wechat.calls("/sns/oauth2/access_token").await, 0);
}

#[tokio::test]
async fn a_login_returns_to_listed_hosts_only() {
    let mut users = Users::start().await;
    let mut browser = Browser::default();
    for to in [
        "",
        "https%3A%2F%2Fevil.example%2F",
        "https%3A%2F%2Fshop.example.com%40evil.example%2F",
        "https%3A%2F%2Fshop.example.com.evil.example%2F",
        "https%3A%2F%2Fshop.example.com%3A8443%2F",
        "http%3A%2F%2Fshop.example.com%2F",
        "%2F%2Fshop.example.com%2F",
        "javascript%3Aalert(1)",
        "https%3A%2F%2Fshop.example.com%5C%40evil.example%2F",
        "https%3A%2F%2Fshop.example.com%2F%0D%0ASet-Cookie%3A%20a%3Db",
    ] {
        let refused = browser.open(&mut users.function, &login_of(to)).await;
        assert_eq!((refused.status, refused.headers.get("location")), (400, None), "{to}");
    }
    let local = browser
        .open(&mut users.function, &login_of("http%3A%2F%2F127.0.0.1%3A5173%2Fcb"))
        .await;
    assert_eq!(local.status, 302);
    let mut without_hosts = Users::start_with(&[("LOGIN_HOSTS", "")]).await;
    assert_eq!(
        Browser::default()
            .open(&mut without_hosts.function, &login_of(TO_ENCODED))
            .await
            .status,
        400
    );
    let mut without_url = Users::start_with(&[("PUBLIC_URL", "")]).await;
    assert_eq!(
        Browser::default()
            .open(&mut without_url.function, &login_of(TO_ENCODED))
            .await
            .status,
        503
    );
}

#[tokio::test]
async fn a_replayed_or_wrong_code_of_wechats_logs_nobody_in() {
    let mut users = Users::start().await;
    let (mut first, mut second) = (Browser::default(), Browser::default());
    let back = begin(&mut users, &mut first).await;
    assert_eq!(first.open(&mut users.function, &back).await.status, 302);
    let other = begin(&mut users, &mut second).await;
    let replayed = other.replace(&parameter(&other, "code"), &parameter(&back, "code"));
    let refused = second.open(&mut users.function, &replayed).await;
    assert_eq!((refused.status, refused.headers.get("location")), (502, None));
    assert_eq!(
        second.open(&mut users.function, &replayed).await.status,
        502,
        "the same answer"
    );
    assert_eq!(users.stage.wechat.calls("/sns/oauth2/access_token").await, 2);
}

#[tokio::test]
async fn a_snapshots_identity_is_neither_kept_nor_bound() {
    let mut users = Users::start().await;
    let virtual_person = json!({"access_token": "t", "openid": "oVirtual", "unionid": "uVirtual", "scope": "snsapi_userinfo", "is_snapshotuser": 1});
    let fault = json!({"body": virtual_person.to_string(), "times": 2});
    users.stage.wechat.fault("/sns/oauth2/access_token", &fault).await;
    let mut browser = Browser::default();
    let back = begin(&mut users, &mut browser).await;
    for _ in 0..2 {
        let page = browser.open(&mut users.function, &back).await;
        assert_eq!(
            (page.status, page.text().contains("使用完整服务")),
            (403, true),
            "{page:?}"
        );
    }
    let made = users.post("/api/bindings", &json!({"user": "u-1"})).await.body;
    let opened = browser.open(&mut users.function, made["link"].as_str().unwrap()).await;
    let back = users.stage.wechat.authorize(opened.location(), FOLLOWER).await;
    assert_eq!(browser.open(&mut users.function, &back).await.status, 403);
    let kept = format!("{:?} {}", users.stage.table.items().await, users.logs());
    assert!(!kept.contains("oVirtual") && !kept.contains("uVirtual"), "{kept:.300}");
    assert_eq!(users.get("/api/users/u-1").await.status, 404);
}

#[tokio::test]
async fn wechats_and_the_set_ups_failures_are_502_and_may_be_tried_again() {
    let mut users = Users::start().await;
    for fault in [
        json!({"errcode": 40125, "times": 1}),
        json!({"http_status": 502, "times": 1}),
        json!({"body": "<html>", "times": 1}),
        json!({"body": "{\"scope\":\"snsapi_base\"}", "times": 1}),
    ] {
        users.stage.wechat.fault("/sns/oauth2/access_token", &fault).await;
        let mut browser = Browser::default();
        let back = begin(&mut users, &mut browser).await;
        let page = browser.open(&mut users.function, &back).await;
        assert_eq!(
            (page.status, page.content_type()),
            (502, "text/html; charset=utf-8"),
            "{fault}"
        );
        users.stage.wechat.clear_faults().await;
        assert_eq!(browser.open(&mut users.function, &back).await.status, 302, "{fault}");
    }
}

#[tokio::test]
async fn without_the_table_nobody_logs_in_and_nothing_is_spent() {
    let mut users = Users::start().await;
    users.stage = users.stage.behind_proxies().await;
    users.function = users.stage.function(BINARY).await;
    let mut browser = Browser::default();
    let back = begin(&mut users, &mut browser).await;
    users.stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    assert_eq!(browser.open(&mut users.function, &back).await.status, 502);
    assert_eq!(
        browser.open(&mut users.function, &login_of(TO_ENCODED)).await.status,
        502
    );
    users.stage.mend().await;
    let ended = browser.open(&mut users.function, &back).await;
    let login = parameter(ended.location(), "login");
    users.stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    assert!(
        redeem(&mut users.function, &login).await.0 >= 500,
        "not 404: the code is not spent"
    );
    users.stage.mend().await;
    assert_eq!(
        redeem(&mut users.function, &login).await,
        (200, json!({"openid": FOLLOWER}))
    );
}

/// WeChat's code is spent by then: nobody can ask WeChat again who the visitor is.
#[tokio::test]
async fn a_table_in_trouble_after_the_exchange_costs_nobody_the_login() {
    let mut users = Users::start().await;
    users.stage = users.stage.behind_proxies().await;
    users.function = users.stage.function(BINARY).await;
    let throttled = json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"});
    let conflict = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
    });
    // Real tables refuse a write in this way while a transaction changes the item, such as the end of the login.
    let write_conflict = json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException"});
    // The first two calls read and claim the login. The SDK repeats what was throttled.
    for (calls, answer) in [(3..=9, throttled), (3..=3, conflict), (2..=2, write_conflict)] {
        let mut browser = Browser::default();
        let back = begin(&mut users, &mut browser).await;
        let before = users.stage.wechat.calls("/sns/oauth2/access_token").await;
        users.stage.proxy(Service::Table).fail(calls, Fault::json(400, &answer));
        let ended = browser.open(&mut users.function, &back).await;
        let requests = users.stage.proxy(Service::Table).requests();
        assert_eq!(ended.status, 302, "{ended:?} {requests:?}");
        assert_eq!(requests.last().unwrap(), "TransactWriteItems", "{requests:?}");
        users.stage.mend().await;
        assert_eq!(users.stage.wechat.calls("/sns/oauth2/access_token").await, before + 1);
        let login = parameter(ended.location(), "login");
        assert_eq!(
            redeem(&mut users.function, &login).await,
            (200, json!({"openid": FOLLOWER}))
        );
    }
}

#[tokio::test]
async fn a_one_time_code_needs_the_scope_and_is_good_for_two_minutes() {
    let mut users = Users::start().await;
    let mut browser = Browser::default();
    let back = begin(&mut users, &mut browser).await;
    let login = parameter(browser.open(&mut users.function, &back).await.location(), "login");
    let path = format!("/api/logins/{login}");
    assert_eq!(users.send(&api("POST", &path).keyless().into()).await.status, 401);
    assert_eq!(users.send(&get(&path).into()).await.status, 405);
    for wrong in [parameter(&back, "state"), "0".repeat(32), "x".to_owned()] {
        assert_eq!(redeem(&mut users.function, &wrong).await.0, 404, "{wrong}");
    }
    users
        .stage
        .table
        .set(&format!("login#{login}"), &json!({"expires_at": testing::now()}))
        .await;
    assert_eq!(redeem(&mut users.function, &login).await.0, 404, "too late");
    let body = post(&path, &json!({})).text("not json");
    assert_eq!(users.send(&body.into()).await.status, 404, "the body is not read");
}

/// Programs that preview links ask with HEAD.
#[tokio::test]
async fn a_preview_of_an_address_spends_nothing() {
    let mut users = Users::start().await;
    let mut browser = Browser::default();
    let back = begin(&mut users, &mut browser).await;
    let head = browser.request(&back).with("/requestContext/http/method", "HEAD");
    assert_eq!(users.send(&head.into()).await.status, 200);
    assert_eq!(users.stage.wechat.calls("/sns/oauth2/access_token").await, 0);
    let ended = browser.open(&mut users.function, &back).await;
    assert_eq!(ended.status, 302);
    assert!(ended.location().starts_with(&TO[..TO.find('#').unwrap()]));
}
