//! Web login: the authorize page, its link, codes and the user's tokens.

use reqwest::{Client, Method, Response, Url, redirect::Policy};
use serde_json::{Value, json};
use simulator::{FOLLOWER, Mode};

use crate::stage::{Stage, errcode};

const BACK: &str = "https://wx.example.com/oauth/back?from=menu";

/// A link to the authorize page, in WeChat's order.
fn link(stage: &Stage, scope: &str) -> String {
    let app_id = &stage.simulator.account().app_id;
    with_parameters(
        stage,
        &[
            ("appid", app_id),
            ("redirect_uri", BACK),
            ("response_type", "code"),
            ("scope", scope),
            ("state", "s1"),
        ],
    )
}

fn with_parameters(stage: &Stage, parameters: &[(&str, &str)]) -> String {
    let mut url = Url::parse(&stage.url("/connect/oauth2/authorize")).unwrap();
    url.query_pairs_mut().extend_pairs(parameters);
    url.set_fragment(Some("wechat_redirect"));
    url.into()
}

/// Logs in by the control; the answer's location and openid.
async fn log_in(stage: &Stage, body: Value) -> (Url, String) {
    let answer = stage.post("/sim/authorize", body).await;
    let location = Url::parse(answer["location"].as_str().unwrap()).unwrap();
    (location, answer["openid"].as_str().unwrap().to_owned())
}

fn parameter(url: &Url, name: &str) -> String {
    let mut pairs = url.query_pairs();
    let pair = pairs.find(|(key, _)| key == name);
    pair.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

async fn sns(stage: &Stage, path: &str, parameters: &[(&str, &str)]) -> Value {
    let mut url = Url::parse(&stage.url(path)).unwrap();
    url.query_pairs_mut().extend_pairs(parameters);
    let response = stage.http.get(url).send().await.unwrap();
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn exchange(stage: &Stage, code: &str) -> Value {
    let account = stage.simulator.account();
    let parameters = [
        ("appid", account.app_id.as_str()),
        ("secret", &account.app_secret),
        ("code", code),
        ("grant_type", "authorization_code"),
    ];
    sns(stage, "/sns/oauth2/access_token", &parameters).await
}

/// A browser that does not follow redirects.
struct Browser(Client);

impl Browser {
    fn new() -> Self {
        let builder = Client::builder().no_proxy().tls_certs_only([]);
        Self(builder.redirect(Policy::none()).build().unwrap())
    }

    async fn get(&self, url: &str, cookie: &str) -> Response {
        self.0.get(url).header("cookie", cookie).send().await.unwrap()
    }
}

fn location(response: &Response) -> Url {
    assert_eq!(response.status(), 302);
    Url::parse(response.headers()["location"].to_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_code_is_good_once_and_for_five_minutes() {
    let stage = Stage::new(Mode::Safe).await;
    let body = json!({"url": link(&stage, "snsapi_base"), "openid": FOLLOWER});
    let (back, openid) = log_in(&stage, body.clone()).await;
    assert!(back.as_str().starts_with(BACK), "{back}");
    assert_eq!((parameter(&back, "state").as_str(), openid.as_str()), ("s1", FOLLOWER));
    let code = parameter(&back, "code");
    let granted = exchange(&stage, &code).await;
    assert_eq!(granted["openid"], FOLLOWER);
    assert_eq!(granted["scope"], "snsapi_base");
    assert_eq!(granted["expires_in"], 7_200);
    assert!(granted.get("unionid").is_none() && granted.get("is_snapshotuser").is_none());

    let again = exchange(&stage, &code).await;
    assert_eq!(errcode(&again), 40163);
    let errmsg = again["errmsg"].as_str().unwrap();
    assert!(errmsg.starts_with("code been used, rid: "), "{errmsg}");
    assert_eq!(errcode(&exchange(&stage, "nobodys").await), 40029);
    let code = parameter(&log_in(&stage, body).await.0, "code");
    stage.advance(300).await;
    assert_eq!(errcode(&exchange(&stage, &code).await), 42003);
}

#[tokio::test]
async fn the_credentials_of_an_exchange_are_checked_before_its_code() {
    let stage = Stage::new(Mode::Safe).await;
    let (back, _) = log_in(&stage, json!({"url": link(&stage, "snsapi_base"), "openid": FOLLOWER})).await;
    let code = parameter(&back, "code");
    let account = stage.simulator.account();
    let right = [
        ("appid", account.app_id.as_str()),
        ("secret", &account.app_secret),
        ("code", &code),
        ("grant_type", "authorization_code"),
    ];
    for (name, value, expected) in [
        ("appid", "", 41002),
        ("appid", "wx0000000000000000", 40013),
        ("secret", "", 41004),
        ("secret", "0", 40125),
        ("grant_type", "client_credential", 40002),
        ("code", "", 41008),
    ] {
        let mut parameters = right;
        for parameter in &mut parameters {
            if parameter.0 == name {
                parameter.1 = value;
            }
        }
        let refused = sns(&stage, "/sns/oauth2/access_token", &parameters).await;
        assert_eq!(errcode(&refused), expected, "{name}={value}");
    }
    // The whitelist does not guard the exchange, and no refusal has used up the code.
    stage.post("/sim/whitelist", json!({"ips": ["203.0.113.7"]})).await;
    assert_eq!(exchange(&stage, &code).await["openid"], FOLLOWER);
}

#[tokio::test]
async fn the_users_tokens_are_refreshed_and_end() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/open-platform", json!({"bound": true})).await;
    let (back, _) = log_in(
        &stage,
        json!({"url": link(&stage, "snsapi_userinfo"), "openid": FOLLOWER}),
    )
    .await;
    let granted = exchange(&stage, &parameter(&back, "code")).await;
    assert!(granted["unionid"].is_string());
    let token = granted["access_token"].as_str().unwrap();
    let of = |openid: &'static str| [("access_token", token), ("openid", openid)];
    let info = sns(&stage, "/sns/userinfo", &of(FOLLOWER)).await;
    assert_eq!(info["openid"], FOLLOWER);
    assert_eq!(info["unionid"], granted["unionid"]);
    assert!(info["nickname"].is_string());
    assert_eq!(sns(&stage, "/sns/auth", &of(FOLLOWER)).await["errmsg"], "ok");
    let other = "o".repeat(28).leak();
    assert_eq!(errcode(&sns(&stage, "/sns/auth", &of(other)).await), 40003);
    assert_eq!(errcode(&sns(&stage, "/sns/auth", &[("openid", FOLLOWER)]).await), 41001);

    let app_id = &stage.simulator.account().app_id;
    let refresh = |token: &str| {
        let parameters = [
            ("appid", app_id.clone()),
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", token.to_owned()),
        ];
        let stage = &stage;
        async move {
            let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
            sns(stage, "/sns/oauth2/refresh_token", &parameters).await
        }
    };
    stage.advance(7_200).await;
    assert_eq!(errcode(&sns(&stage, "/sns/userinfo", &of(FOLLOWER)).await), 42001);
    let first = granted["refresh_token"].as_str().unwrap();
    let renewed = refresh(first).await;
    assert_eq!(renewed["openid"], FOLLOWER);
    assert_eq!(errcode(&refresh(first).await), 40030);
    assert_eq!(errcode(&refresh("").await), 41003);
    stage.advance(30 * 86_400).await;
    assert_eq!(
        errcode(&refresh(renewed["refresh_token"].as_str().unwrap()).await),
        42002
    );
}

#[tokio::test]
async fn a_base_login_gives_no_more_than_the_openid() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/open-platform", json!({"bound": true})).await;
    let (back, _) = log_in(&stage, json!({"url": link(&stage, "snsapi_base"), "openid": FOLLOWER})).await;
    let granted = exchange(&stage, &parameter(&back, "code")).await;
    assert!(granted.get("unionid").is_none());
    let token = granted["access_token"].as_str().unwrap();
    let of = [("access_token", token), ("openid", FOLLOWER)];
    assert_eq!(errcode(&sns(&stage, "/sns/userinfo", &of).await), 48001);
}

#[tokio::test]
async fn a_snapshot_gives_virtual_ids_that_nobody_has() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/open-platform", json!({"bound": true})).await;
    let url = link(&stage, "snsapi_userinfo");
    let mut openids = vec![FOLLOWER.to_owned()];
    for _ in 0..2 {
        let body = json!({"url": url, "openid": FOLLOWER, "snapshot": true});
        let (back, openid) = log_in(&stage, body).await;
        let granted = exchange(&stage, &parameter(&back, "code")).await;
        assert_eq!(granted["is_snapshotuser"], 1);
        assert_eq!(granted["openid"], openid);
        assert!(granted["unionid"].is_string());
        assert!(!openids.contains(&openid));
        openids.push(openid);
    }
    assert_eq!(stage.get("/sim/state").await["users"].as_array().unwrap().len(), 1);
    let base = json!({"url": link(&stage, "snsapi_base"), "snapshot": true});
    assert_eq!(stage.refused("/sim/authorize", &base).await, 400);
}

#[tokio::test]
async fn a_stranger_logs_in_without_following() {
    let stage = Stage::new(Mode::Safe).await;
    let (_, openid) = log_in(&stage, json!({"url": link(&stage, "snsapi_base")})).await;
    let state = stage.get("/sim/state").await;
    let mut users = state["users"].as_array().unwrap().iter();
    let user = users.find(|user| user["openid"] == openid.as_str()).unwrap();
    assert_eq!(user["follows"], false);
    assert!(stage.receiver.pushed().is_empty());
    let unknown = json!({"url": link(&stage, "snsapi_base"), "openid": "o".repeat(28)});
    assert_eq!(stage.refused("/sim/authorize", &unknown).await, 404);
}

#[tokio::test]
async fn a_wrong_link_shows_the_code_of_its_error() {
    let stage = Stage::new(Mode::Safe).await;
    let app_id = &stage.simulator.account().app_id;
    let long = "s".repeat(129);
    let right = [
        ("appid", app_id.as_str()),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("scope", "snsapi_base"),
        ("state", "s1"),
    ];
    for (name, value, expected) in [
        ("appid", "", 10012),
        ("appid", "wx0000000000000000", 10012),
        ("redirect_uri", "", 10011),
        ("redirect_uri", "/back", 10003),
        ("redirect_uri", "javascript:alert(1)", 10003),
        ("redirect_uri", "https://wx.example.com:8443/back", 10003),
        ("scope", "", 10010),
        ("scope", "snsapi_login", 10005),
        ("response_type", "token", 10005),
        ("state", "", 10013),
        ("state", "a-b", 10013),
        ("state", &long, 10013),
    ] {
        let mut parameters = right;
        for parameter in &mut parameters {
            if parameter.0 == name {
                parameter.1 = value;
            }
        }
        let url = with_parameters(&stage, &parameters);
        shows_error(&stage, &url, FOLLOWER, expected).await;
        let page = stage.http.get(&url).send().await.unwrap();
        assert_eq!(page.status(), 400);
        assert!(page.text().await.unwrap().contains(&format!("错误码：{expected}")));
    }
    let without_fragment = json!({"url": link(&stage, "snsapi_base").replace("#wechat_redirect", "")});
    assert_eq!(stage.refused("/sim/authorize", &without_fragment).await, 400);
}

async fn shows_error(stage: &Stage, url: &str, openid: &str, expected: u16) {
    let body = json!({"url": url, "openid": openid}).to_string();
    let (status, answer) = stage.send(Method::POST, "/sim/authorize", body).await;
    assert_eq!((status, &answer["code"]), (400, &json!(expected)), "{url}");
}

#[tokio::test]
async fn only_snsapi_userinfo_needs_wechats_order() {
    let stage = Stage::new(Mode::Safe).await;
    let app_id = &stage.simulator.account().app_id;
    let mut parameters = [
        ("redirect_uri", BACK),
        ("appid", app_id),
        ("response_type", "code"),
        ("scope", "snsapi_base"),
        ("state", "s1"),
    ];
    log_in(
        &stage,
        json!({"url": with_parameters(&stage, &parameters), "openid": FOLLOWER}),
    )
    .await;
    parameters[3].1 = "snsapi_userinfo";
    shows_error(&stage, &with_parameters(&stage, &parameters), FOLLOWER, 10005).await;
}

#[tokio::test]
async fn only_the_registered_domain_itself_is_sent_back_to() {
    let stage = Stage::new(Mode::Safe).await;
    let domains = json!({"domains": ["wx.example.com"]});
    assert_eq!(stage.post("/sim/oauth-domains", domains.clone()).await, domains);
    let url = link(&stage, "snsapi_base");
    log_in(&stage, json!({"url": url, "openid": FOLLOWER})).await;
    stage
        .post("/sim/oauth-domains", json!({"domains": ["example.com"]}))
        .await;
    shows_error(&stage, &url, FOLLOWER, 10003).await;
    let wrong = json!({"domains": ["https://example.com"]});
    assert_eq!(stage.refused("/sim/oauth-domains", &wrong).await, 400);
    stage.post("/sim/oauth-domains", json!({"domains": null})).await;
    // A port is for hosts of this machine alone.
    let local = url.replace("https%3A%2F%2Fwx.example.com", "http%3A%2F%2F127.0.0.1%3A8000");
    assert_ne!(local, url);
    log_in(&stage, json!({"url": local, "openid": FOLLOWER})).await;
}

#[tokio::test]
async fn the_kind_of_account_decides_who_can_log_in() {
    let stage = Stage::new(Mode::Safe).await;
    let url = link(&stage, "snsapi_base");
    for kind in ["unverified_service", "verified_subscription", "unverified_subscription"] {
        stage.post("/sim/account-type", json!({"type": kind})).await;
        shows_error(&stage, &url, FOLLOWER, 10005).await;
    }
    stage.post("/sim/account-type", json!({"type": "test"})).await;
    log_in(&stage, json!({"url": url, "openid": FOLLOWER})).await;
    stage.post("/sim/unfollow", json!({"openid": FOLLOWER})).await;
    shows_error(&stage, &url, FOLLOWER, 10006).await;
    let before = stage.get("/sim/state").await["users"].clone();
    let stranger = json!({"url": url});
    assert_eq!(stage.refused("/sim/authorize", &stranger).await, 400);
    assert_eq!(stage.get("/sim/state").await["users"], before);
}

#[tokio::test]
async fn the_page_asks_who_logs_in() {
    let stage = Stage::new(Mode::Safe).await;
    let browser = Browser::new();
    let url = link(&stage, "snsapi_userinfo");
    let response = browser.get(&url, "").await;
    assert_eq!(response.status(), 200);
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = response.text().await.unwrap();
    for part in [FOLLOWER, "wx.example.com", "陌生人", "name=\"snapshot\""] {
        assert!(page.contains(part), "{part}");
    }
    for (form, is_snapshot) in [
        (format!("openid={FOLLOWER}"), false),
        ("openid=".to_owned(), false),
        ("snapshot=1".to_owned(), true),
    ] {
        let post = browser.0.post(&url).body(form.clone());
        let post = post.header("content-type", "application/x-www-form-urlencoded");
        let back = location(&post.send().await.unwrap());
        let granted = exchange(&stage, &parameter(&back, "code")).await;
        assert_eq!(granted["is_snapshotuser"] == 1, is_snapshot, "{form}");
        assert_eq!(granted["openid"] == FOLLOWER, form.ends_with(FOLLOWER), "{form}");
    }
}

#[tokio::test]
async fn nothing_in_a_link_becomes_part_of_the_page() {
    let stage = Stage::new(Mode::Safe).await;
    let script = "<script>alert(1)</script>";
    let url = link(&stage, "snsapi_base").replace("state=s1", &format!("state=s1&x={script}&\"onload=\"=1"));
    let page = stage.http.get(&url).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(!page.text().await.unwrap().contains("alert"));
}

#[tokio::test]
async fn a_phone_opens_links_as_its_user() {
    let stage = Stage::new(Mode::Safe).await;
    let browser = Browser::new();
    let authorize = link(&stage, "snsapi_base");
    let mut open = Url::parse(&stage.url(&format!("/sim/phones/{FOLLOWER}/open"))).unwrap();
    open.query_pairs_mut().append_pair("url", &authorize);
    let opened = browser.get(open.as_str(), "").await;
    assert_eq!(location(&opened).as_str(), authorize);
    let cookie = opened.headers()["set-cookie"].to_str().unwrap();
    for part in ["; Path=/connect", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();

    let back = location(&browser.get(&authorize, &format!("a=b; {cookie}")).await);
    assert_eq!(exchange(&stage, &parameter(&back, "code")).await["openid"], FOLLOWER);
    // snsapi_userinfo asks, but only the phone's own user.
    stage.post("/sim/follow", json!({})).await;
    let page = browser.get(&link(&stage, "snsapi_userinfo"), cookie).await;
    let page = page.text().await.unwrap();
    assert_eq!(page.matches("name=\"openid\"").count(), 1);
    // A phone whose user is unknown is nobody's.
    let asked = browser.get(&authorize, "simulator_phone=nobody").await;
    assert_eq!(asked.status(), 200);

    for (openid, url, expected) in [
        ("nobody", authorize.as_str(), 404),
        (FOLLOWER, "javascript:alert(1)", 400),
        (FOLLOWER, "", 400),
    ] {
        let mut open = Url::parse(&stage.url(&format!("/sim/phones/{openid}/open"))).unwrap();
        open.query_pairs_mut().append_pair("url", url);
        assert_eq!(browser.get(open.as_str(), "").await.status(), expected, "{url}");
    }
}

#[tokio::test]
async fn calls_of_web_login_are_logged_without_secrets_and_can_fail() {
    let stage = Stage::new(Mode::Safe).await;
    let (back, _) = log_in(&stage, json!({"url": link(&stage, "snsapi_base"), "openid": FOLLOWER})).await;
    let code = parameter(&back, "code");
    stage
        .fault(json!({"path": "/sns/oauth2/access_token", "errcode": -1}))
        .await;
    assert_eq!(errcode(&exchange(&stage, &code).await), -1);
    let granted = exchange(&stage, &code).await;
    let refused = exchange(&stage, &code).await;
    let calls = stage.get("/sim/calls").await;
    assert_eq!(calls[1]["path"], "/sns/oauth2/access_token");
    assert_eq!(calls[1]["errcode"], 0);
    let secret = &stage.simulator.account().app_secret;
    let shown = calls.to_string();
    for secret in [secret, &code, granted["access_token"].as_str().unwrap()] {
        assert!(!shown.contains(secret));
    }
    let errmsg = refused["errmsg"].as_str().unwrap();
    let rid = errmsg.split("rid: ").nth(1).unwrap();
    assert_eq!(
        stage.errcode("/cgi-bin/openapi/rid/get", json!({"rid": rid})).await,
        76022
    );
    let (status, unknown) = stage.send(Method::GET, "/sns/nothing", String::new()).await;
    assert_eq!((status, errcode(&unknown)), (200, 40066));
}
