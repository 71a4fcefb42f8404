//! `freepublish/…`: publishing drafts, and what was published.
//!
//! See [WeChat Docs/发布草稿](https://developers.weixin.qq.com/doc/service/api/public/api_freepublish_submit),
//! [WeChat Docs/发布状态查询](https://developers.weixin.qq.com/doc/service/api/public/api_freepublish_get) and
//! [WeChat Docs/删除发布文章](https://developers.weixin.qq.com/doc/service/api/public/api_freepublishdelete).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{material::Page, ok};
use crate::platform::{
    Platform, articles::Publication, call::Call, clock::wall_seconds, errcode::ApiError, notice::Notice,
    users::make_openid,
};

/// `publish_status` of a publication that succeeded.
const SUCCEEDED: u8 = 0;
/// `publish_status` of a publication whose articles were all deleted.
const DELETED: u8 = 5;

#[derive(Deserialize)]
struct Status {
    publish_id: PublishId,
}

/// WeChat's page says that the id is text, but it answers a number. Both are accepted.
#[derive(Deserialize)]
#[serde(untagged)]
enum PublishId {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
struct Delete {
    article_id: String,
    /// From 1; 0 for all articles.
    #[serde(default)]
    index: usize,
}

/// Publishes a draft, removes it from the drafts, and pushes the result.
pub(super) fn submit(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let draft = platform.drafts.take(&call.text("media_id")?)?;
    let now = platform.clock.now();
    let system = make_openid(&mut platform.random);
    let publication = platform.publications.add(draft, now, &mut platform.random);
    let publish_id = publication.publish_id;
    let result = Notice::publication(&system, publication, wall_seconds());
    platform.outbox.push(result);
    Ok(json!({"errcode": 0, "errmsg": "ok", "publish_id": publish_id, "msg_data_id": publish_id}))
}

/// How a publication ended: 40097 for an unknown one.
pub(super) fn status(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let Status { publish_id } = call.json()?;
    let publish_id = match publish_id {
        PublishId::Number(id) => Some(id),
        PublishId::Text(text) => text.parse().ok(),
    };
    let publication = publish_id.and_then(|id| platform.publications.by_publish_id(id));
    let publication = publication.ok_or_else(|| ApiError::of(40097))?;
    if publication.is_deleted() {
        let id = publication.publish_id;
        return Ok(json!({"publish_id": id, "publish_status": DELETED, "fail_idx": []}));
    }
    let articles = publication.urls().zip(1..);
    let articles: Vec<Value> = articles
        .map(|(url, index)| json!({"idx": index, "article_url": url}))
        .collect();
    Ok(json!({
        "publish_id": publication.publish_id,
        "publish_status": SUCCEEDED,
        "article_id": publication.article_id,
        "article_detail": {"count": articles.len(), "item": articles},
        "fail_idx": [],
    }))
}

/// A page of what was published, the newest first.
pub(super) fn list(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let page: Page = call.json()?;
    let publications: Vec<&Publication> = platform.publications.living().collect();
    page.of(&publications, |publication| {
        let content = publication.shown(page.no_content == 0);
        json!({
            "article_id": publication.article_id,
            "content": content,
            "update_time": publication.updated_at,
        })
    })
}

pub(super) fn get(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let publication = platform.publications.get(&call.text("article_id")?)?;
    Ok(publication.shown(true))
}

pub(super) fn delete(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let Delete { article_id, index } = call.json()?;
    platform.publications.delete(&article_id, index)?;
    Ok(ok())
}
