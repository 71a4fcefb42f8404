//! The followers: lists of them, and what WeChat says of each.
//!
//! See [WeChat Docs/获取用户列表](https://developers.weixin.qq.com/doc/offiaccount/User_Management/Getting_a_User_List.html)
//! and [WeChat Docs/获取用户基本信息](https://developers.weixin.qq.com/doc/offiaccount/User_Management/Get_users_basic_information_UnionID.html),
//! and for their remarks
//! [WeChat Docs/设置用户备注名](https://developers.weixin.qq.com/doc/offiaccount/User_Management/Configuring_user_notes.html).

use serde::Deserialize;
use serde_json::{Value, json};

use super::ok;
use crate::platform::{
    Platform,
    call::Call,
    errcode::ApiError,
    notice::Scene,
    users::{User, unionid},
};

/// Users of one `user/info/batchget`.
const MOST_INFOS: usize = 100;
/// Bytes. A remark must be shorter.
const REMARK_LIMIT: usize = 30;

#[derive(Deserialize)]
struct BatchGet {
    user_list: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    openid: String,
}

/// A page of all followers. A page after the last has a `count` of 0 and no `data`.
pub(super) fn list(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let (total, mut answer) = page(platform, call.query("next_openid"), |_| true)?;
    answer["total"] = total.into();
    Ok(answer)
}

/// A page of the followers who match, and the length of the whole list.
pub(super) fn page(
    platform: &Platform,
    next_openid: &str,
    matches: impl Fn(&User) -> bool,
) -> Result<(usize, Value), ApiError> {
    let page = platform.users.page(next_openid, platform.followers_a_page, matches)?;
    let answer = match page.openids.last() {
        Some(last) => json!({"count": page.openids.len(), "data": {"openid": page.openids}, "next_openid": last}),
        None => json!({"count": 0, "next_openid": ""}),
    };
    Ok((page.total, answer))
}

pub(super) fn info(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    info_of(platform, call.query("openid"))
}

pub(super) fn infos(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let BatchGet { user_list } = call.json()?;
    if !(1..=MOST_INFOS).contains(&user_list.len()) {
        return Err(ApiError::of(40032));
    }
    let infos: Result<Vec<Value>, ApiError> = user_list.iter().map(|asked| info_of(platform, &asked.openid)).collect();
    Ok(json!({"user_info_list": infos?}))
}

/// Gives a follower a remark; an empty one takes it away. 40092 for a remark that is too long.
pub(super) fn rename(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let (openid, remark) = (call.text("openid")?, call.text("remark")?);
    let user = platform.users.get_mut(&openid).filter(|user| user.follows);
    let user = user.ok_or_else(|| ApiError::of(40003))?;
    if remark.len() >= REMARK_LIMIT {
        return Err(ApiError::of(40092));
    }
    user.remark = remark;
    Ok(ok())
}

/// What WeChat says of a user: only the openid of one who does not follow. It no longer delivers names and pictures.
fn info_of(platform: &Platform, openid: &str) -> Result<Value, ApiError> {
    let user = platform.users.get(openid).ok_or_else(|| ApiError::of(40003))?;
    let Some(subscription) = user.subscription.as_ref().filter(|_| user.follows) else {
        return Ok(json!({"subscribe": 0, "openid": openid}));
    };
    let (scene_id, scene_text) = match &subscription.scene {
        Some(Scene::Number(id)) => (*id, ""),
        Some(Scene::Text(text)) => (0, text.as_str()),
        None => (0, ""),
    };
    let way = if subscription.scene.is_some() {
        "ADD_SCENE_QR_CODE"
    } else {
        "ADD_SCENE_SEARCH"
    };
    let mut info = json!({
        "subscribe": 1,
        "openid": openid,
        "language": "zh_CN",
        "subscribe_time": subscription.at,
        "remark": user.remark,
        "groupid": 0,
        "tagid_list": user.tags,
        "subscribe_scene": way,
        "qr_scene": scene_id,
        "qr_scene_str": scene_text,
    });
    if platform.has_unionids {
        info["unionid"] = unionid(openid).into();
    }
    Ok(info)
}
