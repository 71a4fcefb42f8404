//! Checking, changing and restoring the menu.

use std::time::Duration;

use serde_json::{Value, json};
use testing::Outcome;

use crate::{Admin, api_event};

impl Admin {
    async fn add_conditional(&mut self, tag: &str) {
        let mut conditional = menu("vip");
        conditional["matchrule"] = json!({"tag_id": tag});
        let (status, added) = self.request("POST", "/api/menu/conditional", &conditional).await;
        assert_eq!(status, 200, "{added}");
    }

    /// The conditional menus, the oldest first.
    async fn conditional(&mut self) -> Vec<Value> {
        let (_, menus) = self.request("GET", "/api/menu", &Value::Null).await;
        let mut menus = menus["conditionalmenu"].as_array().cloned().unwrap_or_default();
        menus.sort_by_key(|menu| menu["menuid"].to_string().trim_matches('"').parse::<u64>().unwrap());
        menus
    }
}

fn menu(name: &str) -> Value {
    json!({"button": [{"type": "click", "name": name, "key": "K"}]})
}

#[tokio::test]
async fn a_faulty_menu_is_refused_with_every_fault_before_wechat_is_asked() {
    let mut admin = Admin::start().await;
    let faulty = json!({"button": [{"type": "click", "name": "名字太长太长太长"}, {"type": "clik", "name": "b"}]});
    let (status, problem) = admin.request("POST", "/api/menu", &faulty).await;
    assert_eq!(status, 400);
    let pointers: Vec<&str> = problem["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/button/0/name", "/button/0/key", "/button/1/type"]);
    assert_eq!(admin.calls("/cgi-bin/menu/create").await, 0);
}

/// The answer to the first request was lost, so its caller sends it again.
#[tokio::test]
async fn a_rollback_that_is_repeated_with_if_match_does_not_bring_the_bad_menu_back() {
    let mut admin = Admin::start().await;
    admin.request("POST", "/api/menu", &menu("good")).await;
    admin.request("POST", "/api/menu", &menu("bad")).await;
    let read = admin.respond(&api_event("GET", "/api/menu", &Value::Null)).await;
    let mut rollback = api_event("POST", "/api/menu/rollback", &Value::Null);
    rollback["headers"]["if-match"] = read["headers"]["etag"].clone();
    for status in [200, 412, 412] {
        assert_eq!(admin.respond(&rollback).await["statusCode"], status);
        let (_, now) = admin.request("GET", "/api/menu", &Value::Null).await;
        assert_eq!(now["menu"]["button"][0]["name"], "good");
    }
    let mut create = api_event("POST", "/api/menu", &menu("other"));
    create["headers"]["if-match"] = read["headers"]["etag"].clone();
    assert_eq!(admin.respond(&create).await["statusCode"], 412);
}

#[tokio::test]
async fn what_the_api_hands_out_can_be_given_back() {
    let mut admin = Admin::start().await;
    let parent = json!({"button": [{"name": "p", "sub_button": [{"type": "click", "name": "s", "key": "K"}]}]});
    assert_eq!(admin.request("POST", "/api/menu", &parent).await.0, 200);
    admin.add_conditional("100").await;
    let (_, queried) = admin.request("GET", "/api/menu", &Value::Null).await;
    let (_, current) = admin.request("GET", "/api/menu?source=current", &Value::Null).await;
    for body in [&queried, &json!({"menu": queried["menu"]}), &current] {
        let (status, answer) = admin.request("POST", "/api/menu?dry_run=true", body).await;
        assert_eq!((status, &answer["changes"]), (200, &json!([])), "{answer}");
        assert_eq!(admin.request("POST", "/api/menu", body).await.0, 200);
    }
    assert_eq!(admin.conditional().await.len(), 1);

    let conditional = &queried["conditionalmenu"][0];
    let (status, added) = admin.request("POST", "/api/menu/conditional", conditional).await;
    assert_eq!(status, 200, "{added}");
    // This call would leave the second one there.
    let (status, problem) = admin.request("POST", "/api/menu", &queried).await;
    assert_eq!(
        (status, &problem["faults"][0]["pointer"]),
        (400, &json!("/conditionalmenu"))
    );
}

#[tokio::test]
async fn a_dry_run_names_the_changes_and_makes_none() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.request("POST", "/api/menu", &menu("old")).await.0, 200);
    let (status, answer) = admin.request("POST", "/api/menu?dry_run=true", &menu("new")).await;
    assert_eq!(status, 200);
    assert_eq!(
        answer["changes"],
        json!([{"pointer": "/button/0/name", "from": "old", "to": "new"}])
    );
    assert_eq!(
        admin.request("GET", "/api/menu", &Value::Null).await.1["menu"]["button"][0]["name"],
        "old"
    );
    assert_eq!(
        admin.request("POST", "/api/menu?dry_run=yes", &menu("new")).await.0,
        400,
        "never taken for a no"
    );
    for (method, path) in [
        ("POST", "/api/menu?dryrun=true"),
        ("DELETE", "/api/menu?dry_run=true"),
        ("POST", "/api/menu/rollback?dry_run=true"),
        ("POST", "/api/menu/conditional?dry_run=true"),
    ] {
        let (status, problem) = admin.request(method, path, &menu("new")).await;
        assert_eq!(status, 400, "{path}: {problem}");
    }
    assert_eq!(
        admin.request("PATCH", "/api/menu?dry_run=true", &Value::Null).await.0,
        405
    );
    assert_eq!(
        admin.request("POST", "/api/menus?dry_run=true", &Value::Null).await.0,
        404
    );
    assert_eq!(
        admin.request("GET", "/api/menu", &Value::Null).await.1["menu"]["button"][0]["name"],
        "old"
    );
}

/// What some other server answers in WeChat's place must not be kept for the menu that there was.
#[tokio::test]
async fn an_answer_that_is_no_menu_is_not_taken_for_one() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.request("POST", "/api/menu", &menu("old")).await.0, 200);
    let user = json!({"user_id": simulator::FOLLOWER});
    for (method, path, operation, body) in [
        ("GET", "/api/menu", "/cgi-bin/menu/get", &Value::Null),
        ("POST", "/api/menu", "/cgi-bin/menu/get", &menu("new")),
        (
            "GET",
            "/api/menu?source=current",
            "/cgi-bin/get_current_selfmenu_info",
            &Value::Null,
        ),
        ("POST", "/api/menu/trymatch", "/cgi-bin/menu/trymatch", &user),
    ] {
        // errcode 0, and nothing else.
        admin
            .sim("/sim/faults", &json!({"path": operation, "errcode": 0}))
            .await;
        let (status, problem) = admin.request(method, path, body).await;
        assert_eq!(status, 502, "{path}: {problem}");
    }
    let (_, now) = admin.request("GET", "/api/menu", &Value::Null).await;
    assert_eq!(now["menu"]["button"][0]["name"], "old");
}

#[tokio::test]
async fn a_rollback_restores_what_was_there_and_undoes_itself() {
    let mut admin = Admin::start().await;
    assert_eq!(
        admin.request("POST", "/api/menu/rollback", &Value::Null).await.0,
        404,
        "nothing was changed yet"
    );
    admin.request("POST", "/api/menu", &menu("first")).await;
    admin.request("POST", "/api/menu", &menu("second")).await;
    for expected in ["first", "second"] {
        assert_eq!(admin.request("POST", "/api/menu/rollback", &Value::Null).await.0, 200);
        let (_, now) = admin.request("GET", "/api/menu", &Value::Null).await;
        assert_eq!(now["menu"]["button"][0]["name"], expected);
    }
}

#[tokio::test]
async fn a_deleted_menu_comes_back_and_a_first_menu_goes_away() {
    let mut admin = Admin::start().await;
    admin.request("POST", "/api/menu", &menu("only")).await;
    assert_eq!(
        admin.request("POST", "/api/menu/rollback", &Value::Null).await.0,
        200,
        "to no menu at all"
    );
    assert_eq!(admin.request("GET", "/api/menu", &Value::Null).await.0, 404);
    assert_eq!(admin.request("POST", "/api/menu/rollback", &Value::Null).await.0, 200);
    admin.request("DELETE", "/api/menu", &Value::Null).await;
    admin.request("POST", "/api/menu/rollback", &Value::Null).await;
    assert_eq!(
        admin.request("GET", "/api/menu", &Value::Null).await.1["menu"]["button"][0]["name"],
        "only"
    );
}

#[tokio::test]
async fn conditional_menus_are_added_tried_restored_and_deleted() {
    let mut admin = Admin::start().await;
    admin.request("POST", "/api/menu", &menu("all")).await;
    let mut conditional = menu("vip");
    conditional["matchrule"] = json!({"sex": "1"});
    let (status, problem) = admin.request("POST", "/api/menu/conditional", &conditional).await;
    assert_eq!(
        (status, &problem["faults"][0]["pointer"]),
        (400, &json!("/matchrule/sex"))
    );

    conditional["matchrule"] = json!({"tag_id": "100"});
    let (status, added) = admin.request("POST", "/api/menu/conditional", &conditional).await;
    assert_eq!(status, 200, "{added}");
    let user = json!({"user_id": simulator::FOLLOWER});
    assert_eq!(admin.request("POST", "/api/menu/trymatch", &user).await.0, 200);
    assert_eq!(admin.request("POST", "/api/menu/trymatch", &json!({})).await.0, 400);

    admin.request("DELETE", "/api/menu", &Value::Null).await;
    assert_eq!(admin.request("POST", "/api/menu/rollback", &Value::Null).await.0, 200);
    let (_, restored) = admin.request("GET", "/api/menu", &Value::Null).await;
    assert_eq!(
        restored["conditionalmenu"].as_array().map(Vec::len),
        Some(1),
        "{restored}"
    );

    let menuid = match &restored["conditionalmenu"][0]["menuid"] {
        Value::String(menuid) => menuid.clone(),
        menuid => menuid.to_string(),
    };
    let path = format!("/api/menu/conditional/{menuid}");
    assert_eq!(admin.request("DELETE", &path, &Value::Null).await.0, 200);
    assert_eq!(
        admin
            .request("DELETE", "/api/menu/conditional/all", &Value::Null)
            .await
            .0,
        400
    );
}

/// Of those that match a user, WeChat shows the newest.
#[tokio::test]
async fn a_rollback_that_was_cut_short_goes_on_and_keeps_the_order_of_conditional_menus() {
    let mut admin = Admin::start().await;
    admin.request("POST", "/api/menu", &menu("all")).await;
    for name in ["older", "newer"] {
        let mut conditional = menu(name);
        conditional["matchrule"] = json!({"client_platform_type": "1"});
        let (status, added) = admin.request("POST", "/api/menu/conditional", &conditional).await;
        assert_eq!(status, 200, "{added}");
    }
    assert_eq!(admin.request("DELETE", "/api/menu", &Value::Null).await.0, 200);

    let fault = json!({"path": "/cgi-bin/menu/addconditional", "errcode": 45009, "times": 1});
    admin.sim("/sim/faults", &fault).await;
    assert_eq!(admin.request("POST", "/api/menu/rollback", &Value::Null).await.0, 429);
    let (status, answer) = admin.request("POST", "/api/menu/rollback", &Value::Null).await;
    assert_eq!(status, 200, "{answer}");

    let (_, restored) = admin.request("GET", "/api/menu", &Value::Null).await;
    assert_eq!(
        restored["conditionalmenu"].as_array().map(Vec::len),
        Some(2),
        "{restored}"
    );
    let user = json!({"user_id": simulator::FOLLOWER});
    let (_, seen) = admin.request("POST", "/api/menu/trymatch", &user).await;
    assert_eq!(seen["button"][0]["name"], "newer");

    // A conditional menu that somebody deletes later is no sign of a rollback that was cut short.
    let id = &restored["conditionalmenu"][0]["menuid"];
    let path = format!(
        "/api/menu/conditional/{}",
        id.as_str().map_or_else(|| id.to_string(), str::to_owned)
    );
    assert_eq!(admin.request("DELETE", &path, &Value::Null).await.0, 200);
    assert_eq!(admin.request("POST", "/api/menu/rollback", &Value::Null).await.0, 200);
    assert_eq!(
        admin.request("GET", "/api/menu", &Value::Null).await.0,
        404,
        "a whole rollback is undone by the next"
    );
}

/// Of those that match a user, WeChat shows the newest.
#[tokio::test]
async fn a_rollback_takes_conditional_menus_away_and_brings_them_back_in_their_order() {
    let mut admin = Admin::start().await;
    admin.request("POST", "/api/menu", &menu("first")).await;
    for tag in ["100", "101"] {
        admin.add_conditional(tag).await;
    }
    admin.request("POST", "/api/menu", &menu("second")).await;
    let older = admin.conditional().await[0]["menuid"].to_string();
    let path = format!("/api/menu/conditional/{}", older.trim_matches('"'));
    assert_eq!(admin.request("DELETE", &path, &Value::Null).await.0, 200);
    admin.add_conditional("102").await;

    for (name, tags) in [
        ("first", ["100", "101"]),
        ("second", ["101", "102"]),
        ("first", ["100", "101"]),
    ] {
        let (status, answer) = admin.request("POST", "/api/menu/rollback", &Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        let (_, now) = admin.request("GET", "/api/menu", &Value::Null).await;
        assert_eq!(now["menu"]["button"][0]["name"], name);
        let found: Vec<String> = admin
            .conditional()
            .await
            .iter()
            .map(|menu| menu["matchrule"]["group_id"].to_string())
            .collect();
        assert_eq!(found, tags);
    }
}

/// WeChat takes the same conditional menu twice.
#[tokio::test]
async fn of_two_rollbacks_at_once_one_adds_the_conditional_menus() {
    let mut admin = Admin::start().await;
    admin.request("POST", "/api/menu", &menu("all")).await;
    for tag in ["100", "101"] {
        admin.add_conditional(tag).await;
    }
    assert_eq!(admin.request("DELETE", "/api/menu", &Value::Null).await.0, 200);

    let slow = json!({"path": "/cgi-bin/menu/addconditional", "delay_ms": 500, "times": 2});
    admin.sim("/sim/faults", &slow).await;
    let mut other = admin.another_process().await;
    let rollback = api_event("POST", "/api/menu/rollback", &Value::Null);
    let mut third = admin.another_process().await;
    let create = async {
        // Once the rollback has begun to add: what it has not added yet is kept nowhere else.
        tokio::time::sleep(Duration::from_millis(700)).await;
        third.invoke(&api_event("POST", "/api/menu", &menu("other"))).await
    };
    let (one, two, create) = tokio::join!(admin.function.invoke(&rollback), other.invoke(&rollback), create);
    let Outcome::Answered(create) = create else {
        panic!("{create:?}")
    };
    assert_eq!(create["statusCode"], 409, "{create}");
    let answers = (one, two);
    let (Outcome::Answered(one), Outcome::Answered(two)) = answers else {
        panic!("{answers:?}")
    };
    let waits = if one["statusCode"] == 409 { &one } else { &two };
    assert_eq!(waits["statusCode"], 409, "{one} {two}");
    assert_ne!(one["statusCode"], two["statusCode"]);
    let seconds: u64 = waits["headers"]["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{waits}");

    let (_, restored) = admin.request("GET", "/api/menu", &Value::Null).await;
    assert_eq!(
        restored["conditionalmenu"].as_array().map(Vec::len),
        Some(2),
        "{restored}"
    );
    assert_eq!(
        admin.request("POST", "/api/menu/rollback", &Value::Null).await.0,
        200,
        "the claim has ended"
    );
}

/// What is kept may be anybody's: only null stands for "there was no menu".
#[tokio::test]
async fn a_kept_menu_that_is_none_deletes_nothing() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.request("POST", "/api/menu", &menu("there")).await.0, 200);
    let app_id = admin.simulator.account().app_id.clone();
    let table = wechat::store::Table::new(admin.table.client(), testing::TABLE_NAME, app_id);
    table.keep_menu(None, r#"{"x":1}"#, 0).await.unwrap();
    let (status, problem) = admin.request("POST", "/api/menu/rollback", &Value::Null).await;
    assert_eq!(status, 503, "{problem}");
    let (_, now) = admin.request("GET", "/api/menu", &Value::Null).await;
    assert_eq!(now["menu"]["button"][0]["name"], "there");
}

/// WeChat may yet add what it did not answer to: the next rollback would add it once more.
#[tokio::test]
async fn a_rollback_whose_outcome_is_open_keeps_its_claim() {
    let mut admin = Admin::start().await;
    admin.request("POST", "/api/menu", &menu("all")).await;
    admin.add_conditional("100").await;
    assert_eq!(admin.request("DELETE", "/api/menu", &Value::Null).await.0, 200);
    let lost = json!({"path": "/cgi-bin/menu/addconditional", "drop": true, "times": 1});
    admin.sim("/sim/faults", &lost).await;
    assert_eq!(admin.request("POST", "/api/menu/rollback", &Value::Null).await.0, 504);
    assert_eq!(admin.request("POST", "/api/menu/rollback", &Value::Null).await.0, 409);
}

#[tokio::test]
async fn a_body_of_thousands_of_faults_gets_a_short_answer() {
    let mut admin = Admin::start().await;
    let (status, problem) = admin
        .request("POST", "/api/menu", &json!({"button": vec![0; 50_000]}))
        .await;
    assert_eq!(status, 400);
    assert!(problem.to_string().len() < 4096, "{} bytes", problem.to_string().len());
}

#[tokio::test]
async fn the_menu_that_users_see_can_be_asked_for() {
    let mut admin = Admin::start().await;
    let (status, seen) = admin.request("GET", "/api/menu?source=current", &Value::Null).await;
    assert_eq!(status, 200);
    assert!(seen.get("is_menu_open").is_some(), "{seen}");
    assert_eq!(
        admin.request("GET", "/api/menu?source=console", &Value::Null).await.0,
        400
    );
}
