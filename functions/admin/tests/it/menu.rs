//! Checking, changing and restoring the menu.

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{
    event::{api, post},
    eventually,
};

use crate::{Admin, BINARY};

const ADD_CONDITIONAL: &str = "/cgi-bin/menu/addconditional";

impl Admin {
    async fn add_conditional(&mut self, tag: &str) {
        let mut conditional = menu("vip");
        conditional["matchrule"] = json!({"tag_id": tag});
        let (status, added) = self.post("/api/menu/conditional", &conditional).await.parts();
        assert_eq!(status, 200, "{added}");
    }

    /// The conditional menus, the oldest first.
    async fn conditional(&mut self) -> Vec<Value> {
        let (_, menus) = self.get("/api/menu").await.parts();
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
    let (status, problem) = admin.post("/api/menu", &faulty).await.parts();
    assert_eq!(status, 400);
    let pointers: Vec<&str> = problem["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/button/0/name", "/button/0/key", "/button/1/type"]);
    assert_eq!(admin.stage.wechat.calls("/cgi-bin/menu/create").await, 0);
}

#[tokio::test]
async fn an_unknown_mini_program_of_a_button_is_the_callers_fault() {
    let mut admin = Admin::start().await;
    let button = json!({
        "type": "miniprogram", "name": "shop", "url": "https://example.com/", "appid": "wx123", "pagepath": "index",
    });
    for menu in [
        json!({"button": [button]}),
        json!({"button": [{"name": "more", "sub_button": [button]}]}),
    ] {
        let (status, problem) = admin.post("/api/menu", &menu).await.parts();
        assert_eq!((status, &problem["errcode"]), (400, &json!(40013)), "{problem}");
        assert_eq!(problem["field"], "button.appid");
    }
}

/// The answer to the first request was lost, so its caller sends it again.
#[tokio::test]
async fn a_rollback_that_is_repeated_with_if_match_does_not_bring_the_bad_menu_back() {
    let mut admin = Admin::start().await;
    admin.post("/api/menu", &menu("good")).await;
    admin.post("/api/menu", &menu("bad")).await;
    let read = admin.get("/api/menu").await;
    let etag = read.headers["etag"].as_str().unwrap();
    for status in [200, 412, 412] {
        let rolled_back = admin.post("/api/menu/rollback", &Value::Null).header("if-match", etag);
        assert_eq!(rolled_back.await.status, status);
        let (_, now) = admin.get("/api/menu").await.parts();
        assert_eq!(now["menu"]["button"][0]["name"], "good");
    }
    let create = admin.post("/api/menu", &menu("other")).header("if-match", etag);
    assert_eq!(create.await.status, 412);
}

#[tokio::test]
async fn what_the_api_hands_out_can_be_given_back() {
    let mut admin = Admin::start().await;
    let parent = json!({"button": [{"name": "p", "sub_button": [{"type": "click", "name": "s", "key": "K"}]}]});
    assert_eq!(admin.post("/api/menu", &parent).await.status, 200);
    admin.add_conditional("100").await;
    let (_, queried) = admin.get("/api/menu").await.parts();
    let (_, current) = admin.get("/api/menu?source=current").await.parts();
    for body in [&queried, &json!({"menu": queried["menu"]}), &current] {
        let (status, answer) = admin.post("/api/menu?dry_run=true", body).await.parts();
        assert_eq!((status, &answer["changes"]), (200, &json!([])), "{answer}");
        assert_eq!(admin.post("/api/menu", body).await.status, 200);
    }
    assert_eq!(admin.conditional().await.len(), 1);

    let conditional = &queried["conditionalmenu"][0];
    let (status, added) = admin.post("/api/menu/conditional", conditional).await.parts();
    assert_eq!(status, 200, "{added}");
    // This call would leave the conditional menu in place.
    let (status, problem) = admin.post("/api/menu", &queried).await.parts();
    assert_eq!(
        (status, &problem["faults"][0]["pointer"]),
        (400, &json!("/conditionalmenu"))
    );
}

#[tokio::test]
async fn a_dry_run_names_the_changes_and_makes_none() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.post("/api/menu", &menu("old")).await.status, 200);
    let (status, answer) = admin.post("/api/menu?dry_run=true", &menu("new")).await.parts();
    assert_eq!(status, 200);
    assert_eq!(
        answer["changes"],
        json!([{"pointer": "/button/0/name", "from": "old", "to": "new"}])
    );
    assert_eq!(admin.get("/api/menu").await.body["menu"]["button"][0]["name"], "old");
    assert_eq!(
        admin.post("/api/menu?dry_run=yes", &menu("new")).await.status,
        400,
        "never taken for a no"
    );
    for (method, path) in [
        ("POST", "/api/menu?dryrun=true"),
        ("DELETE", "/api/menu?dry_run=true"),
        ("POST", "/api/menu/rollback?dry_run=true"),
        ("POST", "/api/menu/conditional?dry_run=true"),
    ] {
        let (status, problem) = admin.ask(api(method, path).json(&menu("new"))).await.parts();
        assert_eq!(status, 400, "{path}: {problem}");
    }
    // A request with `If-Match` changes nothing either.
    for (method, path) in [("POST", "/api/menu/conditional"), ("DELETE", "/api/menu/conditional/1")] {
        let request = api(method, path).json(&menu("new")).header("if-match", "\"0123\"");
        let (status, problem) = admin.ask(request).await.parts();
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!("If-Match")),
            "{path}: {problem}"
        );
    }
    assert_eq!(admin.ask(api("PATCH", "/api/menu?dry_run=true")).await.status, 405);
    assert_eq!(admin.post("/api/menus?dry_run=true", &Value::Null).await.status, 404);
    assert_eq!(admin.get("/api/menu").await.body["menu"]["button"][0]["name"], "old");
}

/// An answer that is not WeChat's must not be kept as the earlier menu.
#[tokio::test]
async fn an_answer_that_is_no_menu_is_not_taken_for_one() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.post("/api/menu", &menu("old")).await.status, 200);
    let user = json!({"user_id": FOLLOWER});
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
            .stage
            .wechat
            .control("faults", &json!({"path": operation, "errcode": 0}))
            .await;
        let (status, problem) = admin.ask(api(method, path).json(body)).await.parts();
        assert_eq!(status, 502, "{path}: {problem}");
    }
    let (_, now) = admin.get("/api/menu").await.parts();
    assert_eq!(now["menu"]["button"][0]["name"], "old");
}

#[tokio::test]
async fn a_rollback_restores_what_was_there_and_undoes_itself() {
    let mut admin = Admin::start().await;
    assert_eq!(
        admin.post("/api/menu/rollback", &Value::Null).await.status,
        404,
        "nothing was changed yet"
    );
    admin.post("/api/menu", &menu("first")).await;
    admin.post("/api/menu", &menu("second")).await;
    for expected in ["first", "second"] {
        assert_eq!(admin.post("/api/menu/rollback", &Value::Null).await.status, 200);
        let (_, now) = admin.get("/api/menu").await.parts();
        assert_eq!(now["menu"]["button"][0]["name"], expected);
    }
}

#[tokio::test]
async fn a_deleted_menu_comes_back_and_a_first_menu_goes_away() {
    let mut admin = Admin::start().await;
    admin.post("/api/menu", &menu("only")).await;
    assert_eq!(
        admin.post("/api/menu/rollback", &Value::Null).await.status,
        200,
        "to no menu at all"
    );
    assert_eq!(admin.get("/api/menu").await.status, 404);
    assert_eq!(admin.post("/api/menu/rollback", &Value::Null).await.status, 200);
    admin.delete("/api/menu").await;
    admin.post("/api/menu/rollback", &Value::Null).await;
    assert_eq!(admin.get("/api/menu").await.body["menu"]["button"][0]["name"], "only");
}

#[tokio::test]
async fn conditional_menus_are_added_tried_restored_and_deleted() {
    let mut admin = Admin::start().await;
    admin.post("/api/menu", &menu("all")).await;
    let mut conditional = menu("vip");
    conditional["matchrule"] = json!({"sex": "1"});
    let (status, problem) = admin.post("/api/menu/conditional", &conditional).await.parts();
    assert_eq!(
        (status, &problem["faults"][0]["pointer"]),
        (400, &json!("/matchrule/sex"))
    );

    conditional["matchrule"] = json!({"tag_id": "100"});
    let (status, added) = admin.post("/api/menu/conditional", &conditional).await.parts();
    assert_eq!(status, 200, "{added}");
    let user = json!({"user_id": FOLLOWER});
    assert_eq!(admin.post("/api/menu/trymatch", &user).await.status, 200);
    assert_eq!(admin.post("/api/menu/trymatch", &json!({})).await.status, 400);

    admin.delete("/api/menu").await;
    assert_eq!(admin.post("/api/menu/rollback", &Value::Null).await.status, 200);
    let (_, restored) = admin.get("/api/menu").await.parts();
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
    assert_eq!(admin.delete(&path).await.status, 200);
    assert_eq!(admin.delete("/api/menu/conditional/all").await.status, 400);
}

/// WeChat shows the newest conditional menu that matches a user, so their order matters.
#[tokio::test]
async fn a_rollback_that_was_cut_short_goes_on_and_keeps_the_order_of_conditional_menus() {
    let mut admin = Admin::start().await;
    admin.post("/api/menu", &menu("all")).await;
    for name in ["older", "newer"] {
        let mut conditional = menu(name);
        conditional["matchrule"] = json!({"client_platform_type": "1"});
        let (status, added) = admin.post("/api/menu/conditional", &conditional).await.parts();
        assert_eq!(status, 200, "{added}");
    }
    assert_eq!(admin.delete("/api/menu").await.status, 200);

    let fault = json!({"errcode": 45009, "times": 1});
    admin.stage.wechat.fault(ADD_CONDITIONAL, &fault).await;
    assert_eq!(admin.post("/api/menu/rollback", &Value::Null).await.status, 429);
    let (status, answer) = admin.post("/api/menu/rollback", &Value::Null).await.parts();
    assert_eq!(status, 200, "{answer}");

    let (_, restored) = admin.get("/api/menu").await.parts();
    assert_eq!(
        restored["conditionalmenu"].as_array().map(Vec::len),
        Some(2),
        "{restored}"
    );
    let user = json!({"user_id": FOLLOWER});
    let (_, seen) = admin.post("/api/menu/trymatch", &user).await.parts();
    assert_eq!(seen["button"][0]["name"], "newer");

    // A conditional menu that somebody deletes later is no sign of a rollback that was cut short.
    let id = &restored["conditionalmenu"][0]["menuid"];
    let path = format!(
        "/api/menu/conditional/{}",
        id.as_str().map_or_else(|| id.to_string(), str::to_owned)
    );
    assert_eq!(admin.delete(&path).await.status, 200);
    assert_eq!(admin.post("/api/menu/rollback", &Value::Null).await.status, 200);
    assert_eq!(
        admin.get("/api/menu").await.status,
        404,
        "a whole rollback is undone by the next"
    );
}

/// WeChat shows the newest conditional menu that matches a user, so their order matters.
#[tokio::test]
async fn a_rollback_takes_conditional_menus_away_and_brings_them_back_in_their_order() {
    let mut admin = Admin::start().await;
    admin.post("/api/menu", &menu("first")).await;
    for tag in ["100", "101"] {
        admin.add_conditional(tag).await;
    }
    admin.post("/api/menu", &menu("second")).await;
    let older = admin.conditional().await[0]["menuid"].to_string();
    let path = format!("/api/menu/conditional/{}", older.trim_matches('"'));
    assert_eq!(admin.delete(&path).await.status, 200);
    admin.add_conditional("102").await;

    for (name, tags) in [
        ("first", ["100", "101"]),
        ("second", ["101", "102"]),
        ("first", ["100", "101"]),
    ] {
        let (status, answer) = admin.post("/api/menu/rollback", &Value::Null).await.parts();
        assert_eq!(status, 200, "{answer}");
        let (_, now) = admin.get("/api/menu").await.parts();
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

#[tokio::test]
async fn of_two_changes_of_the_menu_that_both_have_read_one_is_made() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.post("/api/menu", &menu("read")).await.status, 200);
    let tag = admin.get("/api/menu").await.headers["etag"]
        .as_str()
        .unwrap()
        .to_owned();
    let slow = json!({"delay_ms": 500, "times": 2});
    admin.stage.wechat.fault("/cgi-bin/menu/create", &slow).await;
    let mut other = admin.stage.function(BINARY).await;
    let change = |name: &str| post("/api/menu", &menu(name)).header("if-match", &tag);
    let (first, second) = (change("one"), change("two"));
    let (one, two) = tokio::join!(admin.send(&first), other.send(&second));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{one:?} {two:?}");
    let refused = admin.send(&change("three")).await;
    assert_eq!(refused.status, 412, "the claim has ended, and the menu has changed");
}

/// WeChat does not refuse a second copy of a conditional menu.
#[tokio::test]
async fn of_two_rollbacks_at_once_one_adds_the_conditional_menus() {
    let mut admin = Admin::start().await;
    admin.post("/api/menu", &menu("all")).await;
    for tag in ["100", "101"] {
        admin.add_conditional(tag).await;
    }
    assert_eq!(admin.delete("/api/menu").await.status, 200);

    let slow = json!({"delay_ms": 800, "times": 2});
    admin.stage.wechat.fault(ADD_CONDITIONAL, &slow).await;
    let before = admin.stage.wechat.calls(ADD_CONDITIONAL).await;
    let mut other = admin.stage.function(BINARY).await;
    let mut third = admin.stage.function(BINARY).await;
    let changes = async {
        // What the rollback has not added yet is kept nowhere else.
        let adds = || async { (admin.stage.wechat.calls(ADD_CONDITIONAL).await > before).then_some(()) };
        eventually("the first conditional menu", adds).await;
        let mut conditional = menu("vip");
        conditional["matchrule"] = json!({"tag_id": "102"});
        [
            third.post("/api/menu/conditional", &conditional).await,
            third.delete("/api/menu/conditional/1").await,
            third.post("/api/menu", &menu("other")).await,
        ]
    };
    let rollback = post("/api/menu/rollback", &Value::Null);
    let (one, two, changes) = tokio::join!(admin.function.send(&rollback), other.send(&rollback), changes);
    for change in changes {
        assert_eq!(change.status, 409, "{change:?}");
        let seconds: u64 = change.headers["retry-after"].as_str().unwrap().parse().unwrap();
        assert!((1..=30).contains(&seconds), "{change:?}");
    }
    let (waits, done) = if one.status == 409 { (one, two) } else { (two, one) };
    assert_eq!(waits.status, 409, "{waits:?} {done:?}");
    assert_ne!(done.status, 409, "{waits:?} {done:?}");
    let seconds: u64 = waits.headers["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{waits:?}");

    let (_, restored) = admin.get("/api/menu").await.parts();
    assert_eq!(
        restored["conditionalmenu"].as_array().map(Vec::len),
        Some(2),
        "{restored}"
    );
    assert_eq!(
        admin.post("/api/menu/rollback", &Value::Null).await.status,
        200,
        "the claim has ended"
    );
}

/// A kept document that is not a menu must not delete the live one: only null stands for "no menu".
#[tokio::test]
async fn a_kept_document_that_is_not_a_menu_deletes_nothing() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.post("/api/menu", &menu("there")).await.status, 200);
    let kept = json!({"menu": "{\"x\":1}", "kept_at": 0});
    admin.stage.table.set("menu", &kept).await;
    let (status, problem) = admin.post("/api/menu/rollback", &Value::Null).await.parts();
    assert_eq!(status, 503, "{problem}");
    let (_, now) = admin.get("/api/menu").await.parts();
    assert_eq!(now["menu"]["button"][0]["name"], "there");
}

/// WeChat may still add a menu for which its answer was lost: the next rollback would add that menu once more.
#[tokio::test]
async fn a_rollback_whose_outcome_is_open_keeps_its_claim() {
    let mut admin = Admin::start().await;
    admin.post("/api/menu", &menu("all")).await;
    admin.add_conditional("100").await;
    assert_eq!(admin.delete("/api/menu").await.status, 200);
    let lost = json!({"drop": true, "times": 1});
    admin.stage.wechat.fault(ADD_CONDITIONAL, &lost).await;
    assert_eq!(admin.post("/api/menu/rollback", &Value::Null).await.status, 504);
    assert_eq!(admin.post("/api/menu/rollback", &Value::Null).await.status, 409);
}

#[tokio::test]
async fn a_body_of_thousands_of_faults_gets_a_short_answer() {
    let mut admin = Admin::start().await;
    let (status, problem) = admin
        .post("/api/menu", &json!({"button": vec![0; 50_000]}))
        .await
        .parts();
    assert_eq!(status, 400);
    assert!(problem.to_string().len() < 4096, "{} bytes", problem.to_string().len());
}

#[tokio::test]
async fn the_menu_that_users_see_can_be_asked_for() {
    let mut admin = Admin::start().await;
    let (status, seen) = admin.get("/api/menu?source=current").await.parts();
    assert_eq!(status, 200);
    assert!(seen.get("is_menu_open").is_some(), "{seen}");
    assert_eq!(admin.get("/api/menu?source=console").await.status, 400);
}
