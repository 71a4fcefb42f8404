//! Lists of followers, what WeChat says of them, and their tags.

use reqwest::Url;
use serde_json::{Value, json};
use simulator::{FOLLOWER, Mode};

use crate::stage::{Stage, errcode};

const TAG: &str = "/cgi-bin/tags/members/batchtagging";
const UNTAG: &str = "/cgi-bin/tags/members/batchuntagging";

async fn get(stage: &Stage, path: &str, parameters: &[(&str, &str)]) -> Value {
    let mut url = Url::parse(&stage.url(path)).unwrap();
    url.query_pairs_mut().append_pair("access_token", &stage.token().await);
    url.query_pairs_mut().extend_pairs(parameters);
    let response = stage.http.get(url).send().await.unwrap();
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn list(stage: &Stage, next_openid: &str) -> Value {
    get(stage, "/cgi-bin/user/get", &[("next_openid", next_openid)]).await
}

async fn follow(stage: &Stage) -> String {
    let answer = stage.post("/sim/follow", json!({})).await;
    answer["openid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn followers_come_in_pages_in_the_order_in_which_they_followed() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/sizes", json!({"followers_a_page": 2})).await;
    let others = [follow(&stage).await, follow(&stage).await];
    assert_eq!(
        list(&stage, "").await,
        json!({"total": 3, "count": 2, "data": {"openid": [FOLLOWER, others[0]]}, "next_openid": others[0]})
    );
    assert_eq!(
        list(&stage, &others[0]).await,
        json!({"total": 3, "count": 1, "data": {"openid": [others[1]]}, "next_openid": others[1]})
    );
    assert_eq!(
        list(&stage, &others[1]).await,
        json!({"total": 3, "count": 0, "next_openid": ""})
    );
    assert_eq!(errcode(&list(&stage, &"o".repeat(28)).await), 40003);
    let none = json!({"followers_a_page": 0});
    assert_eq!(stage.refused("/sim/sizes", &none).await, 400);
}

#[tokio::test]
async fn a_list_that_is_read_while_people_come_and_go_misses_nobody() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/sizes", json!({"followers_a_page": 2})).await;
    let others = [follow(&stage).await, follow(&stage).await];
    let cursor = list(&stage, "").await["next_openid"].as_str().unwrap().to_owned();
    assert_eq!(cursor, others[0]);
    stage.post("/sim/unfollow", json!({"openid": cursor})).await;
    stage.post("/sim/unfollow", json!({"openid": FOLLOWER})).await;
    stage.post("/sim/follow", json!({"openid": FOLLOWER})).await;
    let page = list(&stage, &cursor).await;
    assert_eq!(page["data"]["openid"], json!([others[1], FOLLOWER]));
    assert_eq!(page["total"], 2);
}

#[tokio::test]
async fn an_account_without_followers_has_an_empty_list() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/unfollow", json!({"openid": FOLLOWER})).await;
    assert_eq!(
        list(&stage, "").await,
        json!({"total": 0, "count": 0, "next_openid": ""})
    );
}

#[tokio::test]
async fn of_one_who_does_not_follow_nothing_is_said() {
    let stage = Stage::new(Mode::Safe).await;
    let info = |openid: String| {
        let stage = &stage;
        async move { get(stage, "/cgi-bin/user/info", &[("openid", &openid), ("lang", "zh_CN")]).await }
    };
    let follower = info(FOLLOWER.to_owned()).await;
    assert_eq!(follower["subscribe"], 1);
    assert_eq!(follower["subscribe_scene"], "ADD_SCENE_SEARCH");
    assert!(follower["subscribe_time"].as_i64().unwrap() > 1_700_000_000);
    assert!(follower.get("unionid").is_none() && follower.get("nickname").is_none());
    stage.post("/sim/open-platform", json!({"bound": true})).await;
    let unionid = info(FOLLOWER.to_owned()).await["unionid"].clone();
    assert!(unionid.is_string() && unionid != FOLLOWER);

    let gone = follow(&stage).await;
    stage.post("/sim/unfollow", json!({"openid": gone})).await;
    assert_eq!(info(gone.clone()).await, json!({"subscribe": 0, "openid": gone}));
    assert_eq!(errcode(&info("o".repeat(28)).await), 40003);

    let path = "/cgi-bin/user/info/batchget";
    let asked = |count: usize| {
        let user = json!({"openid": FOLLOWER, "lang": "zh_CN"});
        json!({"user_list": vec![user; count]})
    };
    let mut both = asked(1);
    both["user_list"].as_array_mut().unwrap().push(json!({"openid": gone}));
    let infos = stage.post_api(path, both).await;
    assert_eq!(infos["user_info_list"][0]["unionid"], unionid);
    assert_eq!(infos["user_info_list"][1], json!({"subscribe": 0, "openid": gone}));
    assert_eq!(stage.errcode(path, asked(100)).await, 0);
    assert_eq!(stage.errcode(path, asked(101)).await, 40032);
    assert_eq!(stage.errcode(path, asked(0)).await, 40032);
}

#[tokio::test]
async fn followers_and_tags_are_for_verified_accounts() {
    let stage = Stage::new(Mode::Safe).await;
    for (kind, expected) in [("unverified_service", 48001), ("verified_subscription", 0), ("test", 0)] {
        stage.post("/sim/account-type", json!({"type": kind})).await;
        assert_eq!(errcode(&list(&stage, "").await), expected, "{kind}");
        let tags = get(&stage, "/cgi-bin/tags/get", &[]).await;
        assert_eq!(errcode(&tags), expected, "{kind}");
    }
    let query = json!({"cgi_path": "/cgi-bin/user/get"});
    let answer = stage.post_api("/cgi-bin/openapi/quota/get", query).await;
    assert_eq!(answer["quota"]["daily_limit"], 100);
}

async fn create(stage: &Stage, name: &str) -> Value {
    stage
        .post_api("/cgi-bin/tags/create", json!({"tag": {"name": name}}))
        .await
}

#[tokio::test]
async fn tags_are_made_renamed_and_deleted() {
    let stage = Stage::new(Mode::Safe).await;
    let tag = create(&stage, "审核员").await["tag"].clone();
    assert_eq!(tag, json!({"id": 100, "name": "审核员"}));
    let members = json!({"openid_list": [FOLLOWER], "tagid": 100});
    assert_eq!(stage.errcode(TAG, &members).await, 0);
    assert_eq!(
        get(&stage, "/cgi-bin/tags/get", &[]).await,
        json!({"tags": [{"id": 2, "name": "星标组", "count": 0}, {"id": 100, "name": "审核员", "count": 1}]})
    );
    let change = |id: u32, name: &str| json!({"tag": {"id": id, "name": name}});
    let long = "长".repeat(11);
    for (path, body, expected) in [
        ("create", change(0, "审核员"), 45157),
        ("create", change(0, ""), 45157),
        ("create", change(0, &long), 45158),
        ("create", change(0, &long[..30]), 0),
        ("update", change(100, "组长"), 0),
        ("update", change(100, "组长"), 0),
        ("update", change(100, "星标组"), 45157),
        ("update", change(2, "a"), 45058),
        ("update", change(99, "a"), 45159),
        ("delete", change(2, ""), 45058),
        ("delete", change(99, ""), 45159),
        ("delete", change(100, ""), 0),
    ] {
        let path = format!("/cgi-bin/tags/{path}");
        assert_eq!(stage.errcode(&path, &body).await, expected, "{path} {body}");
    }
    let of_user = stage
        .post_api("/cgi-bin/tags/getidlist", json!({"openid": FOLLOWER}))
        .await;
    assert_eq!(of_user, json!({"tagid_list": []}));
    assert_eq!(stage.errcode(TAG, &members).await, 45159);
}

#[tokio::test]
async fn an_account_has_a_hundred_tags_and_a_user_twenty() {
    let stage = Stage::new(Mode::Safe).await;
    for number in 0..100 {
        assert_eq!(errcode(&create(&stage, &format!("t{number}")).await), 0);
    }
    assert_eq!(errcode(&create(&stage, "one more").await), 45056);
    for id in 100..120 {
        let members = json!({"openid_list": [FOLLOWER], "tagid": id});
        assert_eq!(stage.errcode(TAG, members).await, 0);
    }
    let other = follow(&stage).await;
    let members = json!({"openid_list": [other, FOLLOWER], "tagid": 120});
    assert_eq!(stage.errcode(TAG, &members).await, 45059);
    let of_other = stage
        .post_api("/cgi-bin/tags/getidlist", json!({"openid": other}))
        .await;
    assert_eq!(of_other["tagid_list"], json!([]));
}

#[tokio::test]
async fn tagging_names_the_users_whom_it_could_not_tag() {
    let stage = Stage::new(Mode::Safe).await;
    create(&stage, "a").await;
    let gone = follow(&stage).await;
    let list = |openids: Value| json!({"openid_list": openids, "tagid": 100});
    assert_eq!(stage.errcode(TAG, list(json!([gone]))).await, 0);
    stage.post("/sim/unfollow", json!({"openid": gone})).await;
    let partly = stage.post_api(TAG, list(json!([gone, FOLLOWER]))).await;
    assert_eq!(errcode(&partly), 45171);
    assert_eq!(partly["fail_openid_list"], json!([gone]));
    let members = stage
        .post_api("/cgi-bin/user/tag/get", json!({"tagid": 100, "next_openid": ""}))
        .await;
    assert_eq!(
        members,
        json!({"count": 1, "data": {"openid": [FOLLOWER]}, "next_openid": FOLLOWER})
    );
    let end = stage
        .post_api("/cgi-bin/user/tag/get", json!({"tagid": 100, "next_openid": FOLLOWER}))
        .await;
    assert_eq!(end, json!({"count": 0, "next_openid": ""}));
    for (path, body, expected) in [
        (TAG, list(json!([])), 40032),
        (TAG, list(json!(vec![FOLLOWER; 51])), 40032),
        (TAG, list(json!(["nobody"])), 40003),
        (UNTAG, list(json!([FOLLOWER])), 0),
        ("/cgi-bin/user/tag/get", json!({"tagid": 7}), 45159),
        ("/cgi-bin/tags/getidlist", json!({"openid": gone}), 40003),
    ] {
        assert_eq!(stage.errcode(path, &body).await, expected, "{path} {body}");
    }
    let of_user = stage
        .post_api("/cgi-bin/tags/getidlist", json!({"openid": FOLLOWER}))
        .await;
    assert_eq!(of_user["tagid_list"], json!([]));
}

#[tokio::test]
async fn menus_and_tags_are_about_the_same_tags() {
    let stage = Stage::new(Mode::Safe).await;
    let button = |name: &str| json!([{"type": "click", "name": name, "key": "K"}]);
    assert_eq!(
        stage
            .errcode("/cgi-bin/menu/create", json!({"button": button("默认")}))
            .await,
        0
    );
    create(&stage, "会员").await;
    let conditional = json!({"button": button("会员"), "matchrule": {"tag_id": "100"}});
    stage.post_api("/cgi-bin/menu/addconditional", conditional).await;
    stage
        .post_api(TAG, json!({"openid_list": [FOLLOWER], "tagid": 100}))
        .await;
    let seen = stage.get(&format!("/sim/phones/{FOLLOWER}/menu")).await;
    assert_eq!(seen["button"][0]["name"], "会员");

    let change = json!({"openid": FOLLOWER, "tags": ["100", "107"]});
    let changed = stage.post("/sim/user", change).await;
    assert_eq!(changed["tags"], json!(["100", "107"]));
    let tags = get(&stage, "/cgi-bin/tags/get", &[]).await;
    assert_eq!(tags["tags"][2], json!({"id": 107, "name": "标签107", "count": 1}));
    let wrong = json!({"openid": FOLLOWER, "tags": ["vip"]});
    assert_eq!(stage.refused("/sim/user", &wrong).await, 400);
}

#[tokio::test]
async fn a_remark_is_shown_with_the_follower() {
    let stage = Stage::new(Mode::Safe).await;
    let path = "/cgi-bin/user/info/updateremark";
    let named = |openid: &str, remark: &str| json!({"openid": openid, "remark": remark});
    let shown = async || {
        let path = format!(
            "/cgi-bin/user/info?access_token={}&openid={FOLLOWER}",
            stage.token().await
        );
        stage.get(&path).await["remark"].clone()
    };
    assert_eq!(shown().await, "");
    assert_eq!(stage.errcode(path, named(FOLLOWER, "老客户")).await, 0);
    assert_eq!(shown().await, "老客户");
    // 30 bytes: ten characters of three.
    assert_eq!(stage.errcode(path, named(FOLLOWER, &"客".repeat(10))).await, 40092);
    assert_eq!(stage.errcode(path, named("never", "a")).await, 40003);
    assert_eq!(shown().await, "老客户");
    assert_eq!(stage.errcode(path, named(FOLLOWER, "")).await, 0);
    assert_eq!(shown().await, "");
}
