//! Signatures for pages in WeChat, and the file that checks the domain.

use serde_json::json;
use testing::event::get;

use crate::Users;

const PAGE: &str = "https://shop.example.com/page?a=1&b=%2F";

fn ask(url: &str) -> testing::event::Request {
    get("/jssdk/config").keyless().with_query(&[("url", url)])
}

#[tokio::test]
async fn a_page_is_signed_as_wechat_checks_it() {
    let mut users = Users::start().await;
    users
        .stage
        .wechat
        .control("js-domains", &json!({"domains": ["shop.example.com"]}))
        .await;
    for url in [PAGE.to_owned(), format!("{PAGE}#/route")] {
        let (status, config) = users.send(&ask(&url).into()).await.parts();
        assert_eq!(status, 200, "{config}");
        let mut check = config.clone();
        check["url"] = json!(PAGE);
        let checked = users.stage.wechat.control("jssdk/check", &check).await;
        assert_eq!(checked, json!({"ok": true}), "{config}");
    }
    let mut other = users.another().await;
    assert_eq!(other.send(&ask(PAGE).into()).await.status, 200);
    assert_eq!(
        users.stage.wechat.calls("/cgi-bin/ticket/getticket").await,
        1,
        "one ticket for all instances"
    );
}

#[tokio::test]
async fn only_pages_of_listed_hosts_are_signed_and_may_read_the_answer() {
    let mut users = Users::start().await;
    for url in [
        "",
        "https://evil.example/",
        "http://shop.example.com/",
        "https://shop.example.com.evil.example/",
        "https://shop.example.com@evil.example/",
    ] {
        let refused = users.send(&ask(url).into()).await;
        assert_eq!((refused.status, refused.kind()), (403, "forbidden"), "{url}");
    }
    let refused = users.send(&ask("https://evil.example/").into()).await;
    assert_eq!(
        refused.body["detail"],
        "url has a host that JSSDK_HOSTS does not list / url 的主机不在 JSSDK_HOSTS 中"
    );
    for (origin, allowed) in [
        ("https://shop.example.com", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let answer = users.send(&ask(PAGE).header("origin", origin).into()).await;
        assert_eq!(answer.status, 200);
        let header = answer.headers.get("access-control-allow-origin");
        assert_eq!(header, allowed.then(|| json!(origin)).as_ref(), "{origin}");
        assert_eq!(answer.headers["vary"], "origin");
    }
    let mut without_hosts = Users::start_with(&[("JSSDK_HOSTS", "")]).await;
    assert_eq!(without_hosts.send(&ask(PAGE).into()).await.status, 403);
}

#[tokio::test]
async fn no_ticket_is_a_failure_that_says_why_and_asks_wechat_once() {
    const GET_TICKET: &str = "/cgi-bin/ticket/getticket";
    let mut users = Users::start().await;
    let fault = json!({"errcode": 48001, "errmsg": "api unauthorized by 198.51.100.7", "times": 99});
    users.stage.wechat.fault(GET_TICKET, &fault).await;
    for _ in 0..20 {
        let refused = users.send(&ask(PAGE).into()).await;
        assert_eq!(
            (
                refused.status,
                &refused.body["errcode"],
                &refused.headers["retry-after"]
            ),
            (503, &json!(48001), &json!("10")),
            "{refused:?}"
        );
        assert!(refused.body["detail"].as_str().unwrap().contains(" / "), "{refused:?}");
        let told = refused.body.to_string();
        assert!(
            !told.contains("198.51.100.7") && !told.contains("rid"),
            "WeChat's own words: {told}"
        );
    }
    assert_eq!(users.stage.wechat.calls(GET_TICKET).await, 1);
    assert!(users.logs().contains("198.51.100.7"), "the operator reads why");
    users.stage.wechat.clear_faults().await;
    let mut other = users.another().await;
    assert_eq!(other.send(&ask(PAGE).into()).await.status, 200);
}

#[tokio::test]
async fn a_page_is_not_told_which_address_is_not_whitelisted() {
    let mut users = Users::start().await;
    users.stage.table.delete("token").await;
    users.stage.wechat.whitelist(json!(["198.51.100.7"])).await;
    let refused = users.send(&ask(PAGE).into()).await;
    assert_eq!(
        (refused.status, &refused.body["errcode"]),
        (503, &json!(40164)),
        "{refused:?}"
    );
    let hint = refused.body["hint"].as_str().unwrap();
    assert!(hint.contains("IP白名单"), "what to do: {hint}");
    let told = refused.body.to_string();
    assert!(
        !told.contains("127.0.0.1") && refused.body.get("errmsg").is_none(),
        "{told}"
    );
}

#[tokio::test]
async fn the_file_that_checks_the_domain_is_served_at_its_name() {
    let mut users = Users::start().await;
    let file = users
        .send(&get("/MP_verify_AbCdEf0123456789.txt").keyless().into())
        .await;
    assert_eq!((file.status, file.text()), (200, "AbCdEf0123456789"));
    assert!(file.content_type().starts_with("text/plain"));
    for path in [
        "/MP_verify_AbCdEf012345678X.txt",
        "/MP_verify_.txt",
        "/MP_verify_AbCdEf0123456789",
    ] {
        assert!(
            [401, 404].contains(&users.send(&get(path).keyless().into()).await.status),
            "{path}"
        );
    }
    let mut without = Users::start_with(&[("WECHAT_DOMAIN_CHECK", "")]).await;
    assert_eq!(
        without
            .send(&get("/MP_verify_AbCdEf0123456789.txt").keyless().into())
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn wrong_settings_stop_the_start_and_are_all_named() {
    let stage = testing::Stage::with_token().await;
    let wrong = [
        ("PUBLIC_URL", "wechat.example.com"),
        ("LOGIN_HOSTS", "https://shop.example.com"),
        ("JSSDK_HOSTS", "*"),
        ("WECHAT_DOMAIN_CHECK", "x"),
    ];
    let mut function = stage.function_with(crate::BINARY, &wrong).await;
    assert_ne!(function.exit_code().await, Some(0));
    let logs = function.logs();
    for (name, _) in wrong {
        assert!(logs.contains(name), "{name}: {logs}");
    }
}
