//! `material/…`: permanent files.
//!
//! See [WeChat Docs/上传永久素材](https://developers.weixin.qq.com/doc/service/api/material/permanent/api_addmaterial),
//! [WeChat Docs/获取永久素材](https://developers.weixin.qq.com/doc/service/api/material/permanent/api_getmaterial) and
//! [WeChat Docs/获取永久素材列表](https://developers.weixin.qq.com/doc/subscription/api/material/permanent/api_batchgetmaterial).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Reply, media::video_url, ok};
use crate::platform::{
    Platform,
    call::Call,
    errcode::ApiError,
    media::{Description, Kind, Material},
};

/// Entries on a page of a list.
const MOST_A_PAGE: usize = 20;

/// The page of a list that a call asks for.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    offset: usize,
    count: usize,
    /// Whether to leave out the texts of articles: 1 or 0.
    #[serde(default)]
    pub(super) no_content: u8,
}

impl Page {
    /// The answer: the page of these entries, each as `shown`. 40097 for a page that is empty or too large.
    pub(super) fn of<T>(&self, entries: &[T], shown: impl Fn(&T) -> Value) -> Result<Value, ApiError> {
        if !(1..=MOST_A_PAGE).contains(&self.count) {
            return Err(ApiError::of(40097));
        }
        let page = entries.iter().skip(self.offset).take(self.count);
        let item: Vec<Value> = page.map(shown).collect();
        Ok(json!({"total_count": entries.len(), "item_count": item.len(), "item": item}))
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    r#type: String,
    #[serde(flatten)]
    page: Page,
}

/// Keeps a file. A video has a title and an introduction.
pub(super) fn add(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let kind = Kind::named(call.query_or_field("type"))?;
    let description = match (kind, call.query_or_field("description")) {
        (Kind::Video, text) if !text.is_empty() => serde_json::from_str(text).map_err(|_| ApiError::of(47001))?,
        _ => Description::default(),
    };
    let now = platform.clock.now();
    let Platform { media, random, .. } = platform;
    let (media_id, url) = media.add_permanent(kind, &call.media()?, description, now, random)?;
    let mut answer = json!({"media_id": media_id, "item": []});
    if let Some(url) = url {
        answer["url"] = url.into();
    }
    Ok(answer)
}

/// Answers with the file, or for a video with its title and address.
pub(super) fn get(platform: &mut Platform, call: &Call<'_>) -> Result<Reply, ApiError> {
    let material = platform.media.permanent(&call.text("media_id")?)?;
    let Material {
        media_id, description, ..
    } = material;
    Ok(match material.kind {
        Kind::Video => Reply::Json(json!({
            "title": description.title,
            "description": description.introduction,
            "down_url": video_url(media_id),
        })),
        _ => Reply::File(material.file.named(media_id)),
    })
}

pub(super) fn delete(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    platform.media.delete_permanent(&call.text("media_id")?)?;
    Ok(ok())
}

/// The thumbs are not counted. There are no articles since 2022: they are drafts.
pub(super) fn count(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    let count = |kind| platform.media.all_permanent(kind).count();
    Ok(json!({
        "voice_count": count(Kind::Voice),
        "video_count": count(Kind::Video),
        "image_count": count(Kind::Image),
        "news_count": 0,
    }))
}

/// A page of the files of one kind, the newest first.
pub(super) fn list(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let List { r#type, page } = call.json()?;
    let materials: Vec<&Material> = match &*r#type {
        "news" => Vec::new(),
        name => platform.media.all_permanent(Kind::named(name)?).collect(),
    };
    page.of(&materials, |material| shown(material))
}

fn shown(material: &Material) -> Value {
    let name = match &*material.description.title {
        "" => &*material.file.name,
        title => title,
    };
    let mut shown = json!({"media_id": material.media_id, "name": name, "update_time": material.updated_at});
    if let Some(url) = &material.url {
        shown["url"] = url.as_str().into();
    }
    shown
}

/// `add_news` and `update_news`, which WeChat retired on 2022-02-28 in favour of drafts.
///
/// See [WeChat Docs/公告](https://mp.weixin.qq.com/cgi-bin/announce?action=getannouncement&announce_id=11644831863qFQSh).
pub(super) fn retired(_: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Err(ApiError::of(45106))
}
