//! Uploaded files: temporary and permanent ones, and the pictures in articles.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use simulator::Mode;

use crate::stage::{Form, Stage, errcode};

const UPLOAD: &str = "/cgi-bin/media/upload";
const UPLOAD_PICTURE: &str = "/cgi-bin/media/uploadimg";
const ADD: &str = "/cgi-bin/material/add_material";
const GET: &str = "/cgi-bin/material/get_material";
/// The beginning of a PNG, which is not UTF-8.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\xff\xfe--";

/// `media/get`.
async fn download(stage: &Stage, media_id: &str) -> Response {
    let path = format!(
        "/cgi-bin/media/get?access_token={}&media_id={media_id}",
        stage.token().await
    );
    stage.http.get(stage.url(&path)).send().await.unwrap()
}

/// `material/get_material`.
async fn download_permanent(stage: &Stage, media_id: &str) -> Response {
    let url = stage.url(&format!("{GET}?access_token={}", stage.token().await));
    let body = json!({"media_id": media_id}).to_string();
    stage.http.post(url).body(body).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

async fn json_of(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

fn id(answer: &Value) -> String {
    answer["media_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[tokio::test]
async fn a_temporary_file_comes_back_for_three_days() {
    let stage = Stage::new(Mode::Safe).await;
    let answer = stage.upload(UPLOAD, "&type=image", &Form::file("中文.PNG", PNG)).await;
    assert_eq!(answer["type"], "image");
    assert!(answer["created_at"].is_i64());
    let media_id = id(&answer);
    assert_eq!(media_id.len(), 64);
    assert_eq!(stage.get("/sim/state").await["media"]["temporary"], 1);

    let file = download(&stage, &media_id).await;
    assert_eq!(
        (file.status().as_u16(), header(&file, "content-type")),
        (200, "image/png")
    );
    let disposition = format!("attachment; filename=\"{media_id}.PNG\"");
    assert_eq!(header(&file, "content-disposition"), disposition);
    assert_eq!(file.bytes().await.unwrap(), PNG);

    stage.advance(3 * 86_400 - 60).await;
    assert_eq!(download(&stage, &media_id).await.bytes().await.unwrap(), PNG);
    stage.advance(60).await;
    for gone in [&*media_id, "never", ""] {
        let refused = download(&stage, gone).await;
        assert_eq!(header(&refused, "content-type"), "text/plain");
        assert_eq!(errcode(&json_of(refused).await), 40007, "{gone}");
    }
    assert_eq!(stage.get("/sim/state").await["media"]["temporary"], 0);
}

#[tokio::test]
async fn videos_are_answered_by_their_address_and_thumbs_have_an_id_of_their_own() {
    let stage = Stage::new(Mode::Safe).await;
    // EasyWeChat sends the type as a field of the form.
    let form = Form::file("a.mp4", b"video").with_field("type", "video");
    let video = id(&stage.upload(UPLOAD, "", &form).await);
    let address = json_of(download(&stage, &video).await).await;
    assert!(
        address["video_url"].as_str().unwrap().starts_with("http://"),
        "{address}"
    );

    let thumb = stage.upload(UPLOAD, "&type=thumb", &Form::file("a.jpg", b"jpg")).await;
    assert!(thumb.get("media_id").is_none());
    let file = download(&stage, thumb["thumb_media_id"].as_str().unwrap()).await;
    assert_eq!(header(&file, "content-type"), "image/jpeg");

    let voice = stage.upload(UPLOAD, "&type=voice", &Form::file("a.amr", b"amr")).await;
    let file = download(&stage, &id(&voice)).await;
    assert_eq!(header(&file, "content-type"), "audio/amr");
}

#[tokio::test]
async fn uploads_that_wechat_cannot_read_are_refused() {
    let stage = Stage::new(Mode::Safe).await;
    let large = vec![0; (10 << 20) + 1];
    for (query, form, expected) in [
        (
            "&type=image",
            Form::part("name=\"file\"; filename=\"a.png\"", PNG),
            41005,
        ),
        ("&type=image", Form::part("name=\"media\"", PNG), 41005),
        // What Python's requests make of a Chinese name: wechatpy#293, WeRoBot#292.
        (
            "&type=image",
            Form::part("name=\"media\"; filename*=utf-8''%E4%B8%AD.png", PNG),
            41005,
        ),
        ("&type=image", Form::file("a.png", b""), 44001),
        ("&type=file", Form::file("a.png", PNG), 40004),
        ("", Form::file("a.png", PNG), 40004),
        ("&type=image", Form::file("phpsNnmJN", PNG), 40005),
        ("&type=image", Form::file("a.bmp", PNG), 40005),
        ("&type=video", Form::file("a.png", PNG), 40005),
        ("&type=voice", Form::file("a.mp3", &large[..(2 << 20) + 1]), 40010),
        ("&type=thumb", Form::file("a.jpg", &large[..(64 << 10) + 1]), 40012),
        ("&type=image", Form::file("a.png", &large), 45001),
        ("&type=voice", Form::file("a.mp3", &large), 45001),
    ] {
        let answer = stage.upload(UPLOAD, query, &form).await;
        assert_eq!(errcode(&answer), expected, "{query} {answer}");
    }
    let path = format!("{UPLOAD}?access_token={}&type=image", stage.token().await);
    let (_, answer) = stage.send(Method::POST, &path, "bytes alone".to_owned()).await;
    assert_eq!(errcode(&answer), 41005);
    let truncated = Form {
        body: Form::file("a.png", PNG).body[..150].to_vec(),
    };
    assert_eq!(errcode(&stage.upload(UPLOAD, "&type=image", &truncated).await), 41005);
}

#[tokio::test]
async fn a_picture_of_ten_megabytes_is_taken_in_chunks() {
    let stage = Stage::new(Mode::Safe).await;
    let form = Form::file("a.png", &vec![b'p'; 10 << 20]);
    let path = format!("{UPLOAD}?access_token={}&type=image", stage.token().await);
    let address = stage.simulator.base_url().replace("http://", "");
    let sent = tokio::task::spawn_blocking(move || send_in_chunks(&address, &path, &form.body));
    let answer = sent.await.unwrap();
    let media_id = answer
        .split("\"media_id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(download(&stage, media_id).await.bytes().await.unwrap().len(), 10 << 20);
}

fn send_in_chunks(address: &str, path: &str, body: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n",
        Form::CONTENT_TYPE
    );
    connection.write_all(head.as_bytes()).unwrap();
    for chunk in body.chunks(100_000) {
        connection
            .write_all(format!("{:x}\r\n", chunk.len()).as_bytes())
            .unwrap();
        connection.write_all(chunk).unwrap();
        connection.write_all(b"\r\n").unwrap();
    }
    connection.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn pictures_in_articles_have_an_address_and_are_smaller_than_a_megabyte() {
    let stage = Stage::new(Mode::Safe).await;
    // Unlike the other uploads it is for every account.
    stage
        .post("/sim/account-type", json!({"type": "unverified_subscription"}))
        .await;
    let below = vec![0; (1 << 20) - 1];
    for form in [Form::file("a.jpg", b"jpg"), Form::file("a.png", &below)] {
        let answer = stage.upload(UPLOAD_PICTURE, "", &form).await;
        let address = answer["url"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(address.starts_with("http://mmbiz.qpic.cn/"), "{address}");
    }
    for (form, expected) in [
        (Form::file("a.gif", b"gif"), 40005),
        (Form::file("a.png", &vec![0; 1 << 20]), 40009),
        (Form::part("name=\"media\"", b"png"), 41005),
        (Form::file("a.png", b""), 44001),
    ] {
        assert_eq!(errcode(&stage.upload(UPLOAD_PICTURE, "", &form).await), expected);
    }
    let refused = stage.upload(UPLOAD, "&type=image", &Form::file("a.png", PNG)).await;
    assert_eq!(errcode(&refused), 48001);
}

#[tokio::test]
async fn a_permanent_file_stays_until_it_is_deleted() {
    let stage = Stage::new(Mode::Safe).await;
    let picture = stage.upload(ADD, "&type=image", &Form::file("封面.bmp", PNG)).await;
    assert!(
        picture["url"]
            .as_str()
            .unwrap()
            .starts_with("http://mmbiz.qpic.cn/mmbiz_bmp/")
    );
    let voice = stage
        .upload(ADD, "", &Form::file("a.wma", b"wma").with_field("type", "voice"))
        .await;
    assert!(voice.get("url").is_none());
    stage.advance(30 * 86_400).await;
    let file = download_permanent(&stage, &id(&picture)).await;
    assert_eq!(header(&file, "content-type"), "image/bmp");
    let disposition = format!("attachment; filename=\"{}.bmp\"", id(&picture));
    assert_eq!(header(&file, "content-disposition"), disposition);
    assert_eq!(file.bytes().await.unwrap(), PNG);
    // A permanent file is not a temporary one.
    assert_eq!(errcode(&json_of(download(&stage, &id(&picture)).await).await), 40007);

    let counts = stage.get_api("/cgi-bin/material/get_materialcount").await;
    assert_eq!(
        counts,
        json!({"voice_count": 1, "video_count": 0, "image_count": 1, "news_count": 0})
    );
    let delete = "/cgi-bin/material/del_material";
    let body = json!({"media_id": id(&picture)});
    assert_eq!(stage.errcode(delete, &body).await, 0);
    assert_eq!(stage.errcode(delete, &body).await, 40007);
    assert_eq!(
        errcode(&json_of(download_permanent(&stage, &id(&picture)).await).await),
        40007
    );
    assert_eq!(stage.get("/sim/state").await["media"]["permanent"], 1);
}

#[tokio::test]
async fn a_permanent_video_has_a_title_and_an_address() {
    let stage = Stage::new(Mode::Safe).await;
    let description = json!({"title": "标题", "introduction": "简介"}).to_string();
    let form = Form::file("a.mp4", b"mp4").with_field("description", &description);
    let in_form = id(&stage.upload(ADD, "&type=video", &form).await);
    // wechatpy sends it in the query.
    let query = "&type=video&description=%7B%22title%22%3A%22t%22%2C%22introduction%22%3A%22i%22%7D";
    let in_query = id(&stage.upload(ADD, query, &Form::file("a.mp4", b"mp4")).await);
    for (media_id, title, text) in [(in_form, "标题", "简介"), (in_query, "t", "i")] {
        let video = json_of(download_permanent(&stage, &media_id).await).await;
        assert_eq!((&video["title"], &video["description"]), (&json!(title), &json!(text)));
        assert!(video["down_url"].as_str().unwrap().starts_with("http://"));
    }
    let broken = Form::file("a.mp4", b"mp4").with_field("description", "标题");
    assert_eq!(errcode(&stage.upload(ADD, "&type=video", &broken).await), 47001);
}

#[tokio::test]
async fn permanent_files_are_listed_in_pages_the_newest_first() {
    let stage = Stage::new(Mode::Safe).await;
    for number in 1..=3 {
        let form = Form::file(&format!("{number}.png"), PNG);
        stage.upload(ADD, "&type=image", &form).await;
    }
    let list = async |kind: &str, offset: u32, count: u32| {
        let body = json!({"type": kind, "offset": offset, "count": count});
        stage.post_api("/cgi-bin/material/batchget_material", body).await
    };
    let page = list("image", 1, 20).await;
    assert_eq!((&page["total_count"], &page["item_count"]), (&json!(3), &json!(2)));
    assert_eq!(
        (&page["item"][0]["name"], &page["item"][1]["name"]),
        (&json!("2.png"), &json!("1.png"))
    );
    assert!(page["item"][0]["url"].is_string() && page["item"][0]["update_time"].is_i64());
    assert_eq!(list("image", 3, 1).await["item"], json!([]));
    assert_eq!(list("news", 0, 20).await["total_count"], 0);
    for (kind, count, expected) in [("image", 0, 40097), ("image", 21, 40097), ("other", 20, 40004)] {
        assert_eq!(errcode(&list(kind, 0, count).await), expected, "{kind} {count}");
    }
}

#[tokio::test]
async fn articles_are_no_longer_permanent_files() {
    let stage = Stage::new(Mode::Safe).await;
    for path in ["/cgi-bin/material/add_news", "/cgi-bin/material/update_news"] {
        let answer = stage.post_api(path, json!({"articles": []})).await;
        assert_eq!(errcode(&answer), 45106);
        assert!(
            answer["errmsg"]
                .as_str()
                .unwrap()
                .starts_with("This API has been unsupported")
        );
    }
}

#[tokio::test]
async fn the_logs_show_an_upload_by_its_size() {
    let stage = Stage::new(Mode::Safe).await;
    let form = Form::file("a.txt", b"hidden").with_field("type", "image");
    let refused = stage.upload(UPLOAD, "", &form).await;
    let size = format!("{} bytes", form.body.len());
    let calls = stage.get("/sim/calls").await;
    let logged = calls.as_array().unwrap().last().unwrap();
    assert_eq!((&logged["body"], &logged["errcode"]), (&json!(size), &json!(40005)));

    let rid = refused["errmsg"].as_str().unwrap().split_once("rid: ").unwrap().1;
    let request = stage.post_api("/cgi-bin/openapi/rid/get", json!({"rid": rid})).await;
    assert_eq!(request["request"]["request_body"], size);
    for shown in [calls.to_string(), request.to_string()] {
        assert!(!shown.contains("hidden") && !shown.contains(&stage.token().await));
    }

    let media_id = id(&stage.upload(UPLOAD, "&type=image", &Form::file("a.png", PNG)).await);
    download(&stage, &media_id).await;
    let calls = stage.get("/sim/calls").await;
    let logged = calls
        .as_array()
        .unwrap()
        .iter()
        .rfind(|call| call["path"] == "/cgi-bin/media/get");
    let logged = logged.unwrap();
    assert_eq!((&logged["status"], &logged["errcode"]), (&json!(200), &json!(null)));
}

#[tokio::test]
async fn downloads_can_fail_on_demand() {
    let stage = Stage::new(Mode::Safe).await;
    let media_id = id(&stage.upload(UPLOAD, "&type=image", &Form::file("a.png", PNG)).await);
    let path = "/cgi-bin/media/get";
    stage.fault(json!({"path": path, "truncated": true})).await;
    stage.fault(json!({"path": path, "content_type": "text/plain"})).await;
    stage.fault(json!({"path": path, "errcode": -1})).await;
    stage.fault(json!({"path": path, "body": "<html>"})).await;
    stage.fault(json!({"path": path, "drop": true})).await;
    assert_eq!(
        download(&stage, &media_id).await.bytes().await.unwrap(),
        PNG[..PNG.len() / 2]
    );
    let mislabelled = download(&stage, &media_id).await;
    assert_eq!(header(&mislabelled, "content-type"), "text/plain");
    assert_eq!(mislabelled.bytes().await.unwrap(), PNG);
    let refused = download(&stage, &media_id).await;
    assert!(refused.headers().get("content-disposition").is_none());
    assert_eq!(errcode(&json_of(refused).await), -1);
    assert_eq!(download(&stage, &media_id).await.text().await.unwrap(), "<html>");
    let url = stage.url(&format!("{path}?access_token={}", stage.token().await));
    assert!(stage.http.get(url).send().await.is_err());
    assert_eq!(download(&stage, &media_id).await.bytes().await.unwrap(), PNG);
}

#[tokio::test]
async fn uploads_and_articles_have_daily_quotas() {
    let stage = Stage::new(Mode::Safe).await;
    for (path, daily_limit) in [
        (UPLOAD, 100_000),
        ("/cgi-bin/media/get", 200_000),
        ("/cgi-bin/draft/add", 1_000),
        ("/cgi-bin/freepublish/submit", 100),
        ("/cgi-bin/user/info/updateremark", 10_000),
    ] {
        let quota = stage
            .post_api("/cgi-bin/openapi/quota/get", json!({"cgi_path": path}))
            .await;
        assert_eq!(quota["quota"]["daily_limit"], daily_limit, "{path}");
    }
    stage
        .post("/sim/quotas", json!({"path": UPLOAD, "daily_limit": 1}))
        .await;
    let form = Form::file("a.png", PNG);
    let mut errcodes = Vec::new();
    for _ in 0..2 {
        errcodes.push(errcode(&stage.upload(UPLOAD, "&type=image", &form).await));
    }
    assert_eq!(errcodes, [0, 45009]);
}
