//! Articles: drafts, publishing them, and what was published.

use serde_json::{Value, json};
use simulator::Mode;

use crate::stage::{Form, Stage, errcode};

const ADD: &str = "/cgi-bin/draft/add";
const GET: &str = "/cgi-bin/draft/get";
const UPDATE: &str = "/cgi-bin/draft/update";
const SUBMIT: &str = "/cgi-bin/freepublish/submit";

/// A permanent picture.
async fn cover(stage: &Stage) -> String {
    let form = Form::file("a.jpg", b"jpg");
    let answer = stage
        .upload("/cgi-bin/material/add_material", "&type=image", &form)
        .await;
    answer["media_id"].as_str().unwrap().to_owned()
}

fn article(title: &str, cover: &str) -> Value {
    json!({"title": title, "content": "<p>正文</p>", "thumb_media_id": cover})
}

/// Adds a draft and returns its id.
async fn add(stage: &Stage, articles: Value) -> String {
    let answer = stage.post_api(ADD, json!({"articles": articles})).await;
    answer["media_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[tokio::test]
async fn a_draft_is_kept_changed_and_deleted() {
    let stage = Stage::new(Mode::Safe).await;
    let cover = cover(&stage).await;
    let first = add(&stage, json!([article("一", &cover), article("二", &cover)])).await;
    stage.advance(60).await;
    let second = add(&stage, json!([article("三", &cover)])).await;
    assert_eq!(stage.get_api("/cgi-bin/draft/count").await, json!({"total_count": 2}));

    let draft = stage.post_api(GET, json!({"media_id": second})).await;
    let shown = &draft["news_item"][0];
    assert_eq!(
        (&shown["article_type"], &shown["title"]),
        (&json!("news"), &json!("三"))
    );
    assert_eq!(
        (&shown["content"], &shown["digest"]),
        (&json!("<p>正文</p>"), &json!("正文"))
    );
    assert_eq!((&shown["author"], &shown["need_open_comment"]), (&json!(""), &json!(0)));
    assert!(shown["url"].as_str().unwrap().starts_with("http://mp.weixin.qq.com/s/"));
    assert!(
        shown["thumb_url"]
            .as_str()
            .unwrap()
            .starts_with("http://mmbiz.qpic.cn/")
    );
    assert!(draft["create_time"].is_i64() && draft["update_time"].is_i64());

    stage.advance(60).await;
    let change = json!({"media_id": first, "index": 1, "articles": article("二改", &cover)});
    assert_eq!(stage.errcode(UPDATE, change).await, 0);
    let draft = stage.post_api(GET, json!({"media_id": first})).await;
    let titles = [0, 1].map(|index: usize| draft["news_item"][index]["title"].clone());
    assert_eq!(titles, ["一", "二改"]);
    assert_eq!(
        draft["news_item"][0]["digest"], "",
        "one of several articles has no digest"
    );

    let list = "/cgi-bin/draft/batchget";
    let page = stage
        .post_api(list, json!({"offset": 0, "count": 1, "no_content": 1}))
        .await;
    assert_eq!((&page["total_count"], &page["item_count"]), (&json!(2), &json!(1)));
    assert_eq!(page["item"][0]["media_id"], first, "the one that was changed last");
    let shown = &page["item"][0]["content"]["news_item"][1];
    assert!(shown["title"] == "二改" && shown.get("content").is_none(), "{shown}");
    let page = stage.post_api(list, json!({"offset": 1, "count": 20})).await;
    assert_eq!(page["item"][0]["content"]["news_item"][0]["content"], "<p>正文</p>");
    assert_eq!(stage.errcode(list, json!({"offset": 0, "count": 21})).await, 40097);

    let one = json!({"media_id": first});
    assert_eq!(stage.errcode("/cgi-bin/draft/delete", &one).await, 0);
    assert_eq!(stage.errcode("/cgi-bin/draft/delete", &one).await, 40007);
    assert_eq!(stage.errcode(GET, &one).await, 40007);
    assert_eq!(
        stage.get("/sim/state").await["articles"],
        json!({"drafts": 1, "published": 0})
    );
}

#[tokio::test]
async fn a_draft_needs_a_title_a_text_and_a_permanent_cover() {
    let stage = Stage::new(Mode::Safe).await;
    let cover = cover(&stage).await;
    let temporary = stage
        .upload("/cgi-bin/media/upload", "&type=image", &Form::file("a.jpg", b"jpg"))
        .await;
    let voice = stage
        .upload(
            "/cgi-bin/material/add_material",
            "&type=voice",
            &Form::file("a.mp3", b"mp3"),
        )
        .await;
    let with = |name: &str, value: Value| {
        let mut changed = article("标题", &cover);
        changed[name] = value;
        changed
    };
    for (article, expected) in [
        (with("title", json!("")), 45003),
        (with("title", json!("题".repeat(33))), 45003),
        (with("title", json!("题".repeat(32))), 0),
        (with("digest", json!("摘".repeat(129))), 45004),
        (with("content", json!("")), 44004),
        (with("content", json!("文".repeat(20_000))), 45002),
        (with("content_source_url", json!("h".repeat(1_025))), 45005),
        (with("thumb_media_id", json!("never")), 40007),
        (with("thumb_media_id", temporary["media_id"].clone()), 40007),
        (with("thumb_media_id", voice["media_id"].clone()), 40007),
        (json!({"title": "标题", "content": "正文"}), 40007),
        (with("title", json!(1)), 47001),
    ] {
        let answer = stage.post_api(ADD, json!({"articles": [article]})).await;
        assert_eq!(errcode(&answer), expected, "{answer}");
    }
    assert_eq!(stage.errcode(ADD, json!({"articles": []})).await, 44003);
    let nine: Vec<Value> = (0..9).map(|_| article("标题", &cover)).collect();
    assert_eq!(stage.errcode(ADD, json!({"articles": nine})).await, 45008);

    let draft = add(&stage, json!([article("标题", &cover)])).await;
    for (media_id, index, article, expected) in [
        ("never", 0, article("改", &cover), 40007),
        (&draft, 1, article("改", &cover), 40097),
        (&draft, 0, article("", &cover), 45003),
    ] {
        let change = json!({"media_id": media_id, "index": index, "articles": article});
        assert_eq!(stage.errcode(UPDATE, change).await, expected);
    }
}

#[tokio::test]
async fn an_article_of_pictures_needs_permanent_pictures_and_no_cover() {
    let stage = Stage::new(Mode::Safe).await;
    let picture = cover(&stage).await;
    let pictures = |ids: Vec<&str>| {
        let list: Vec<Value> = ids.iter().map(|id| json!({"image_media_id": id})).collect();
        json!([{"article_type": "newspic", "title": "贴图", "content": "文字", "image_info": {"image_list": list}}])
    };
    for refused in [vec![], vec!["never"], vec![&*picture, "never"]] {
        let body = json!({"articles": pictures(refused)});
        assert_eq!(stage.errcode(ADD, body).await, 40007);
    }
    let media_id = add(&stage, pictures(vec![&picture])).await;
    let draft = stage.post_api(GET, json!({"media_id": media_id})).await;
    let shown = &draft["news_item"][0];
    assert_eq!(shown["image_info"]["image_list"][0]["image_media_id"], picture);
}

#[tokio::test]
async fn a_published_draft_is_gone_and_its_articles_can_be_read() {
    let stage = Stage::new(Mode::Safe).await;
    let cover = cover(&stage).await;
    let draft = add(&stage, json!([article("一", &cover), article("二", &cover)])).await;
    let submitted = stage.post_api(SUBMIT, json!({"media_id": draft})).await;
    assert_eq!(errcode(&submitted), 0);
    assert_eq!(stage.errcode(SUBMIT, json!({"media_id": draft})).await, 40007);
    assert_eq!(stage.errcode(GET, json!({"media_id": draft})).await, 40007);

    // The result is pushed, as from the system.
    stage.receiver.wait_for(1).await;
    let event = &stage.opened()[0];
    assert_eq!(event.text_of("Event"), "PUBLISHJOBFINISH");
    let info = event.child("PublishEventInfo").unwrap();
    assert_eq!(info.text_of("publish_id"), submitted["publish_id"].to_string());
    assert_eq!(info.text_of("publish_status"), "0");
    let article_id = info.text_of("article_id");
    assert_eq!(info.child("article_detail").unwrap().text_of("count"), "2");

    // SDKs send the id as a number or as text.
    for publish_id in [
        submitted["publish_id"].clone(),
        json!(submitted["publish_id"].to_string()),
    ] {
        let status = stage
            .post_api("/cgi-bin/freepublish/get", json!({"publish_id": publish_id}))
            .await;
        assert_eq!(
            (&status["publish_status"], &status["fail_idx"]),
            (&json!(0), &json!([]))
        );
        assert_eq!(status["article_id"], article_id);
        assert_eq!(status["article_detail"]["item"][1]["idx"], 2);
    }
    let read = stage
        .post_api("/cgi-bin/freepublish/getarticle", json!({"article_id": article_id}))
        .await;
    assert_eq!(read["news_item"][1]["title"], "二");
    assert_eq!(read["news_item"][1]["is_deleted"], false);
    let list = stage
        .post_api("/cgi-bin/freepublish/batchget", json!({"offset": 0, "count": 20}))
        .await;
    assert_eq!(
        (&list["total_count"], &list["item"][0]["article_id"]),
        (&json!(1), &json!(article_id))
    );
    assert_eq!(
        stage.get("/sim/state").await["articles"],
        json!({"drafts": 0, "published": 1})
    );
}

#[tokio::test]
async fn published_articles_are_deleted_one_by_one_or_together() {
    let stage = Stage::new(Mode::Safe).await;
    let cover = cover(&stage).await;
    let draft = add(&stage, json!([article("一", &cover), article("二", &cover)])).await;
    let publish_id = stage.post_api(SUBMIT, json!({"media_id": draft})).await["publish_id"].clone();
    let status = async || {
        stage
            .post_api("/cgi-bin/freepublish/get", json!({"publish_id": publish_id}))
            .await
    };
    let article_id = status().await["article_id"].clone();
    let delete = async |index: u32| {
        let body = json!({"article_id": article_id, "index": index});
        stage.errcode("/cgi-bin/freepublish/delete", body).await
    };
    assert_eq!((delete(3).await, delete(2).await), (40097, 0));
    let read = stage
        .post_api("/cgi-bin/freepublish/getarticle", json!({"article_id": article_id}))
        .await;
    let deleted = [0, 1].map(|index: usize| read["news_item"][index]["is_deleted"].clone());
    assert_eq!(deleted, [false, true]);
    assert_eq!(delete(0).await, 0);
    assert_eq!(status().await["publish_status"], 5);
    let list = stage
        .post_api("/cgi-bin/freepublish/batchget", json!({"offset": 0, "count": 20}))
        .await;
    assert_eq!(list["total_count"], 0);
    for (path, body, expected) in [
        ("getarticle", json!({"article_id": "never"}), 53600),
        ("delete", json!({"article_id": "never"}), 53600),
        ("get", json!({"publish_id": 1}), 40097),
        ("get", json!({"publish_id": "a"}), 40097),
    ] {
        assert_eq!(
            stage.errcode(&format!("/cgi-bin/freepublish/{path}"), body).await,
            expected
        );
    }
}

#[tokio::test]
async fn drafts_are_switched_on_and_for_verified_accounts() {
    let stage = Stage::new(Mode::Safe).await;
    let answer = stage.post_api("/cgi-bin/draft/switch", "").await;
    assert_eq!(answer["is_open"], 1);
    for (account_type, expected) in [
        ("unverified_service", 48001),
        ("verified_subscription", 40007),
        ("test", 40007),
    ] {
        stage.post("/sim/account-type", json!({"type": account_type})).await;
        assert_eq!(stage.errcode(SUBMIT, json!({"media_id": "never"})).await, expected);
    }
}
