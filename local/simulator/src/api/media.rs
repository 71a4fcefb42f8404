//! `media/…`: temporary files, and the pictures in articles.
//!
//! See [WeChat Docs/新增临时素材](https://developers.weixin.qq.com/doc/service/api/material/temporary/api_uploadtempmedia),
//! [WeChat Docs/获取临时素材](https://developers.weixin.qq.com/doc/service/api/material/temporary/api_getmedia) and
//! [WeChat Docs/上传图文消息图片](https://developers.weixin.qq.com/doc/service/api/material/permanent/api_uploadimage).

use serde_json::{Value, json};

use super::Reply;
use crate::platform::{
    Platform,
    call::Call,
    errcode::ApiError,
    media::{Kind, article_picture},
};

/// Keeps a file for three days. The id of a thumb has a name of its own.
pub(super) fn upload(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.query_or_field("type");
    let kind = Kind::named(name)?;
    let now = platform.clock.now();
    let Platform { media, random, .. } = platform;
    let media_id = media.add_temporary(kind, &call.media()?, now, random)?;
    let id_name = if kind == Kind::Thumb {
        "thumb_media_id"
    } else {
        "media_id"
    };
    Ok(json!({"type": name, id_name: media_id, "created_at": now, "item": []}))
}

/// Answers with the file, or for a video with its address.
pub(super) fn get(platform: &mut Platform, call: &Call<'_>) -> Result<Reply, ApiError> {
    let media_id = call.query("media_id");
    let (kind, file) = platform.media.temporary(media_id, platform.clock.now())?;
    Ok(match kind {
        Kind::Video => Reply::Json(json!({"video_url": video_url(media_id)})),
        _ => Reply::File(file.named(media_id)),
    })
}

pub(super) fn upload_article_picture(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let url = article_picture(&call.media()?, &mut platform.random)?;
    Ok(json!({"url": url, "errcode": 0, "errmsg": "ok"}))
}

/// A made-up address, which nothing serves.
pub(super) fn video_url(media_id: &str) -> String {
    format!("http://mpvideo.qpic.cn/made/{media_id}.mp4")
}
