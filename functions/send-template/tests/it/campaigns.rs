//! Campaigns as callers see them: drafts, audiences, orders. `worker`'s tests send them.

use serde_json::{Value, json};
use simulator::TEMPLATE_ID;
use testing::{Function, Response, Stage, event::api, now};

use crate::BINARY;

const QUOTA: &str = "/cgi-bin/openapi/quota/get";

fn body() -> Value {
    json!({
        "name": "停水通知", "template_id": TEMPLATE_ID, "audience": "list",
        "data": {"thing1": "停水", "time2": "10:00", "const3": "通过"},
    })
}

fn with(member: &str, value: Value) -> Value {
    let mut body = body();
    body[member] = value;
    body
}

async fn create(function: &mut Function, body: &Value) -> String {
    let made = function.post("/api/campaigns", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["state"], "draft");
    made.body["id"].as_str().unwrap().to_owned()
}

async fn load(function: &mut Function, id: &str, part: &str, recipients: Value) -> Response {
    let part = json!({"part": part, "recipients": recipients});
    function.post(&format!("/api/campaigns/{id}/recipients"), &part).await
}

async fn load_csv(function: &mut Function, id: &str, part: &str, csv: &str) -> Response {
    let request = api("POST", &format!("/api/campaigns/{id}/recipients?part={part}"));
    let request = request.header("content-type", "text/csv").with("/body", csv);
    function.ask(request).await
}

async fn order(function: &mut Function, id: &str, order: &str) -> Response {
    function
        .post(&format!("/api/campaigns/{id}/{order}"), &Value::Null)
        .await
}

async fn look(function: &mut Function, id: &str) -> Value {
    let found = function.get(&format!("/api/campaigns/{id}")).await;
    assert_eq!(found.status, 200, "{found:?}");
    let totals = found.body["totals"].as_object().unwrap();
    let sum: u64 = totals.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(found.body["recipients"], sum, "{found:?}");
    found.body
}

#[tokio::test]
async fn a_draft_is_made_loaded_started_paused_resumed_cancelled_and_deleted() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let id = create(function, &with("pace", json!(7))).await;
    let draft = look(function, &id).await;
    assert_eq!(
        (&draft["pace"], &draft["started_at"], draft["recipients"].as_u64()),
        (&json!(7), &Value::Null, Some(0))
    );

    let empty = order(function, &id, "start").await;
    assert_eq!((empty.status, empty.kind()), (409, "conflict"));
    let loaded = load(
        function,
        &id,
        "1",
        json!(["o1", {"touser": "o2", "data": {"thing1": "二"}}, {"user": "u-1"}]),
    )
    .await;
    assert_eq!(loaded.parts(), (200, json!({"part": "1", "recipients": 3, "total": 3})));
    assert_eq!(look(function, &id).await["totals"]["queued"], 3);

    for (wanted, status, state) in [
        ("pause", 409, "draft"),
        ("resume", 409, "draft"),
        ("start", 200, "loading"),
        ("start", 409, "loading"),
        ("pause", 200, "paused"),
        ("pause", 409, "paused"),
        ("resume", 200, "loading"),
        ("resend?state=unknown", 409, "loading"),
        ("cancel", 200, "cancelled"),
        ("cancel", 409, "cancelled"),
        ("resume", 409, "cancelled"),
        ("resend?state=unknown", 409, "cancelled"),
        ("resend", 400, "cancelled"),
    ] {
        let answer = order(function, &id, wanted).await;
        assert_eq!(answer.status, status, "{wanted}: {answer:?}");
        assert_eq!(look(function, &id).await["state"], state, "{wanted}");
    }
    let late = load(function, &id, "2", json!(["o3"])).await;
    assert_eq!(late.status, 409);
    let path = format!("/api/campaigns/{id}");
    assert_eq!(function.delete(&path).await.status, 204);
    assert_eq!(function.get(&path).await.status, 404);
    assert_eq!(function.delete(&path).await.status, 404);
    assert_eq!(order(function, &id, "start").await.status, 404);
}

#[tokio::test]
async fn a_campaign_tells_its_plan_and_a_list_leaves_the_message_out() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let mut plan = body();
    plan["url"] = json!("https://example.com/");
    plan["miniprogram"] = json!({"appid": "wx0123456789abcdef", "pagepath": "index"});
    plan["canary"] = json!({"count": 5, "wait": 60});
    plan["keep_for_single_sends"] = json!(3);
    let id = create(function, &plan).await;
    let found = look(function, &id).await;
    assert_eq!(found["data"]["thing1"]["value"], "停水");
    for member in ["url", "miniprogram", "canary", "keep_for_single_sends"] {
        assert_eq!(found[member], plan[member], "{member}");
    }
    let list = function.get("/api/campaigns").await.body;
    let listed = list["campaigns"][0].as_object().unwrap();
    assert_eq!(listed["canary"], plan["canary"]);
    for member in ["data", "url", "miniprogram"] {
        assert!(!listed.contains_key(member), "{member}");
    }
}

#[tokio::test]
async fn of_two_starts_at_once_one_is_refused() {
    let stage = Stage::with_token().await;
    let (mut one, mut two) = (stage.function(BINARY).await, stage.function(BINARY).await);
    let id = create(&mut one, &body()).await;
    load(&mut one, &id, "1", json!(["o1"])).await;
    let (first, second) = tokio::join!(order(&mut one, &id, "start"), order(&mut two, &id, "start"));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn a_part_is_loaded_whole_or_not_at_all_and_once() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let id = create(function, &body()).await;
    let bad = load(
        function,
        &id,
        "1",
        json!(["o1", "o 2", {"touser": "o3", "data": {"thing1": "长".repeat(21)}}]),
    )
    .await;
    assert_eq!((bad.status, &bad.body["pointer"]), (400, &json!("/recipients/1")));
    let bad = load(
        function,
        &id,
        "1",
        json!(["o1", {"touser": "o3", "data": {"thing1": "长".repeat(21)}}]),
    )
    .await;
    assert_eq!(
        (bad.status, &bad.body["pointer"]),
        (400, &json!("/recipients/1/data/thing1/value")),
        "{bad:?}"
    );
    assert_eq!(look(function, &id).await["recipients"], 0);

    let good = json!(["o1", "o2"]);
    for total in [2, 2] {
        let loaded = load(function, &id, "1", good.clone()).await;
        assert_eq!(
            loaded.parts(),
            (200, json!({"part": "1", "recipients": 2, "total": total}))
        );
    }
    let other = load(function, &id, "1", json!(["o1", "o3"])).await;
    assert_eq!((other.status, &other.body["field"]), (409, &json!("part")));

    let csv = "\u{feff}touser,thing1\r\no4,四\r\no5,\r\n";
    let loaded = load_csv(function, &id, "2", csv).await;
    assert_eq!(loaded.parts(), (200, json!({"part": "2", "recipients": 2, "total": 4})));
    let bad = load_csv(function, &id, "3", "touser\no6\n\"\"\n").await;
    assert_eq!((bad.status, &bad.body["pointer"]), (400, &json!("/line 3")), "{bad:?}");
    let bad = load_csv(
        function,
        &id,
        "3",
        &format!("touser,thing1\no6,ok\no7,{}\n", "长".repeat(21)),
    )
    .await;
    assert_eq!(
        (bad.status, &bad.body["pointer"]),
        (400, &json!("/line 3/data/thing1/value")),
        "{bad:?}"
    );
    let misspelt = load_csv(function, &id, "3", "touser,thing9\no6,x\n").await;
    assert_eq!(
        (misspelt.status, &misspelt.body["pointer"]),
        (400, &json!("/line 1/data/thing9")),
        "{misspelt:?}"
    );
    let nameless = load_csv(function, &id, "", "touser\no6\n").await;
    assert_eq!(nameless.status, 400);

    let followers = create(function, &with("audience", json!("followers"))).await;
    assert_eq!(load(function, &followers, "1", json!(["o1"])).await.status, 409);
    assert_eq!(load(function, "ffff", "1", json!(["o1"])).await.status, 404);
}

#[tokio::test]
async fn a_part_that_was_interrupted_does_not_count_until_it_is_sent_again() {
    let stage = Stage::with_token().await.behind_proxies().await;
    let function = &mut stage.function(BINARY).await;
    let id = create(function, &body()).await;
    let many: Vec<String> = (0..250).map(|index| format!("o{index}")).collect();
    let proxy = stage.proxy(testing::Service::Table);
    // The chunks are not written: the process has no more time.
    proxy.fail(4.., testing::Fault::Freeze);
    let cut = function.post(
        &format!("/api/campaigns/{id}/recipients"),
        &json!({"part": "1", "recipients": many}),
    );
    assert!(cut.within(4_000).await.status >= 500);
    stage.mend().await;
    assert_eq!(look(function, &id).await["recipients"], 0);
    load(function, &id, "2", json!(["o900"])).await;
    let listed = function.get(&format!("/api/campaigns/{id}/recipients")).await;
    assert_eq!(listed.body["recipients"].as_array().unwrap().len(), 1, "{listed:?}");
    let again = load(function, &id, "1", json!(many)).await;
    assert_eq!(
        again.parts(),
        (200, json!({"part": "1", "recipients": 250, "total": 251}))
    );
}

#[tokio::test]
async fn a_message_that_wechat_would_refuse_is_no_campaign() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    for (body, field) in [
        (with("template_id", json!("OTHER")), "template_id"),
        (with("data", json!({"thing1": "长".repeat(21)})), "data.thing1.value"),
        (with("pace", json!(5_000)), "pace"),
        (with("audience", json!("all")), "audience"),
        (with("start_at", json!("soon")), "start_at"),
        // A wrong year must not send at once.
        (with("start_at", json!(now() - 365 * 24 * 3600)), "start_at"),
        (with("start_at", json!(now() + 370 * 24 * 3600)), "start_at"),
    ] {
        let refused = function.post("/api/campaigns", &body).await;
        assert_eq!(
            (refused.status, &refused.body["field"]),
            (400, &json!(field)),
            "{refused:?}"
        );
    }
    // People's own data may fill in a missing field, but then everybody's data must have the field.
    let id = create(function, &with("data", json!({"time2": "10:00", "const3": "通过"}))).await;
    assert_eq!(
        load(function, &id, "1", json!([{"touser": "o1", "data": {"thing1": "一"}}]))
            .await
            .status,
        200
    );
    let bare = load(function, &id, "2", json!(["o2"])).await;
    assert_eq!(
        (bare.status, &bare.body["pointer"]),
        (400, &json!("/recipients/0/data/thing1")),
        "{bare:?}"
    );
    // A test account takes any value.
    let mut long = with(
        "data",
        json!({"thing1": "长".repeat(21), "time2": "10:00", "const3": "通过"}),
    );
    long["validate"] = json!("warn");
    let id = create(function, &long).await;
    assert_eq!(load(function, &id, "1", json!(["o1"])).await.status, 200);
    let all = json!({"name": "n", "template_id": TEMPLATE_ID, "audience": "followers", "data": {"thing1": "一"}});
    assert_eq!(function.post("/api/campaigns", &all).await.status, 400);
}

#[tokio::test]
async fn a_quota_that_is_not_above_the_reserve_starts_nothing() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let id = create(function, &with("keep_for_single_sends", json!(100_000))).await;
    load(function, &id, "1", json!(["o1"])).await;
    let refused = order(function, &id, "start").await;
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(
        refused.status == 409 && detail.matches("100000").count() == 4,
        "{refused:?}"
    );
    // An account that may not ask has no reserve.
    stage.wechat.fault(QUOTA, &json!({"errcode": 48001, "times": 10})).await;
    assert_eq!(order(function, &id, "start").await.status, 200);
}

#[tokio::test]
async fn a_preview_says_who_what_how_long_and_how_much_of_the_quota() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let id = create(function, &body()).await;
    load(
        function,
        &id,
        "1",
        json!([{"touser": "o1", "data": {"thing1": "给你的"}}, "o2"]),
    )
    .await;
    let preview = function.get(&format!("/api/campaigns/{id}/preview")).await.body;
    assert_eq!((&preview["recipients"], &preview["seconds"]), (&json!(2), &json!(1)));
    assert_eq!(preview["message"]["data"]["thing1"]["value"], "给你的");
    assert_eq!(
        (&preview["quota"]["reserve"], &preview["quota"]["days"]),
        (&json!(1_000), &json!(1))
    );
    let tag = create(function, &with("audience", json!({"tag": 134}))).await;
    let preview = function.get(&format!("/api/campaigns/{tag}/preview")).await.body;
    assert_eq!(preview.get("recipients"), None, "WeChat says who at the start");
    assert_eq!(stage.wechat.calls("/cgi-bin/message/template/send").await, 0);
}

#[tokio::test]
async fn recipients_are_listed_page_by_page_as_json_and_as_csv() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let id = create(function, &body()).await;
    let openids: Vec<String> = (0..230).map(|index| format!("o{index}")).collect();
    load(function, &id, "1", json!(openids)).await;
    let ledger =
        json!({"m": format!("sdru{}", "q".repeat(96)), "i": {"0": "7", "1": "8"}, "e": {"2": "43004"}, "u": {"3": 1}});
    let name = format!("campaign#{id}#ledger#0");
    stage
        .table
        .set(&name, &json!({"ledger": ledger.to_string(), "version": 1}))
        .await;

    let mut path = format!("/api/campaigns/{id}/recipients");
    let mut seen = Vec::new();
    for pages in 1.. {
        let page = function.get(&path).await.body;
        let people = page["recipients"].as_array().unwrap().clone();
        seen.extend(people);
        let Some(cursor) = page["cursor"].as_str() else {
            assert_eq!(pages, 3);
            break;
        };
        path = format!("/api/campaigns/{id}/recipients?cursor={cursor}");
    }
    let listed: Vec<&str> = seen.iter().map(|person| person["touser"].as_str().unwrap()).collect();
    assert_eq!(listed, openids);
    assert_eq!(seen[0], json!({"touser": "o0", "state": "sent", "msgid": "7"}));
    assert_eq!(seen[2], json!({"touser": "o2", "state": "refused", "errcode": 43004}));

    let unknown = function
        .get(&format!("/api/campaigns/{id}/recipients?state=unknown"))
        .await
        .body;
    assert_eq!(unknown["recipients"], json!([{"touser": "o3", "state": "unknown"}]));
    let csv = api("GET", &format!("/api/campaigns/{id}/recipients?state=queued")).header("accept", "text/csv");
    let csv = function.ask(csv).await;
    let text = csv.body.as_str().unwrap();
    assert!(
        text.starts_with("touser,user,state,msgid,errcode\r\no4,,queued,,\r\n"),
        "{text}"
    );
    let link = csv.headers["link"].as_str().unwrap();
    assert!(
        link.starts_with(&format!("</api/campaigns/{id}/recipients?state=queued&cursor=")),
        "{link}"
    );
    for wrong in ["state=lost", "cursor=x", "cursor=1"] {
        let answer = function.get(&format!("/api/campaigns/{id}/recipients?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn campaigns_are_listed_the_newest_first() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(create(function, &body()).await);
    }
    function.delete(&format!("/api/campaigns/{}", ids[1])).await;
    let listed = function.get("/api/campaigns").await.body;
    let found: Vec<&str> = listed["campaigns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|campaign| campaign["id"].as_str().unwrap())
        .collect();
    assert_eq!(found, [ids[2].as_str(), ids[0].as_str()]);
    assert_eq!(function.get("/api/campaigns?cursor=x").await.status, 400);
}

#[tokio::test]
async fn a_key_needs_the_scope_and_may_use_only_its_templates() {
    let stage = Stage::with_token().await;
    let (all, limited) = (
        "wk_000000000000000000000000000send1",
        "wk_000000000000000000000000000camp1",
    );
    stage
        .table
        .save_keys(&[
            (all, json!({"name": "all", "scopes": ["send"]})),
            (
                limited,
                json!({"name": "limited", "scopes": ["campaigns"], "templates": ["OTHER"]}),
            ),
        ])
        .await;
    let function = &mut stage.function(BINARY).await;
    let id = create(function, &body()).await;
    let by = |key: &str, method: &str, path: &str| api(method, path).api_key(key);
    let refused = function.ask(by(all, "GET", "/api/campaigns")).await;
    assert_eq!((refused.status, refused.kind()), (403, "forbidden"));
    let hidden = function.ask(by(limited, "GET", &format!("/api/campaigns/{id}"))).await;
    assert_eq!(hidden.status, 404);
    let listed = function.ask(by(limited, "GET", "/api/campaigns")).await;
    assert_eq!(listed.body, json!({"campaigns": []}));
    let made = function.ask(by(limited, "POST", "/api/campaigns").json(&body())).await;
    assert_eq!((made.status, &made.body["field"]), (403, &json!("template_id")));
}

#[tokio::test]
async fn a_start_time_makes_it_scheduled_when_followers_are_read_later() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let mut later = with("audience", json!("followers"));
    later["start_at"] = json!(now() + 3600);
    let id = create(function, &later).await;
    let started = order(function, &id, "start").await;
    assert_eq!(
        (&started.body["state"], started.body["start_at"].as_i64()),
        (&json!("scheduled"), later["start_at"].as_i64())
    );
}
