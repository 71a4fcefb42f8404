//! `draft/…`: articles before they are published.
//!
//! See [WeChat Docs/新增草稿](https://developers.weixin.qq.com/doc/service/api/draftbox/draftmanage/api_draft_add),
//! [WeChat Docs/更新草稿](https://developers.weixin.qq.com/doc/service/api/draftbox/draftmanage/api_draft_update.html) and
//! [WeChat Docs/草稿箱开关设置](https://developers.weixin.qq.com/doc/subscription/api/draftbox/draftmanage/api_draft_switch.html).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{material::Page, ok};
use crate::platform::{
    Platform,
    articles::{Article, Draft},
    call::Call,
    errcode::ApiError,
};

#[derive(Deserialize)]
struct Add {
    #[serde(default)]
    articles: Vec<Article>,
}

#[derive(Deserialize)]
struct Update {
    media_id: String,
    #[serde(default)]
    index: usize,
    articles: Article,
}

pub(super) fn add(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let Add { articles } = call.json()?;
    let now = platform.clock.now();
    let Platform {
        drafts, media, random, ..
    } = platform;
    let media_id = drafts.add(articles, media, now, random)?;
    Ok(json!({"media_id": media_id, "item": []}))
}

pub(super) fn get(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let draft = platform.drafts.get(&call.text("media_id")?)?;
    Ok(draft.shown(true))
}

/// Replaces one article of a draft.
pub(super) fn update(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: Update = call.json()?;
    let now = platform.clock.now();
    let Platform {
        drafts, media, random, ..
    } = platform;
    drafts.update(&request.media_id, request.index, request.articles, media, now, random)?;
    Ok(ok())
}

pub(super) fn delete(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    platform.drafts.take(&call.text("media_id")?)?;
    Ok(ok())
}

pub(super) fn count(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"total_count": platform.drafts.all().len()}))
}

/// A page of the drafts, the most recently changed first.
pub(super) fn list(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let page: Page = call.json()?;
    let drafts: Vec<&Draft> = platform.drafts.all().collect();
    page.of(&drafts, |draft| {
        let content = draft.shown(page.no_content == 0);
        json!({"media_id": draft.media_id, "content": content, "update_time": draft.updated_at})
    })
}

/// Whether the account has drafts. All accounts have them by now, and nobody can switch them off.
pub(super) fn switch(_: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"errcode": 0, "errmsg": "ok", "is_open": 1}))
}
