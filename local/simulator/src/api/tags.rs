//! Tags, and the users who have them.
//!
//! See [WeChat Docs/用户标签管理](https://developers.weixin.qq.com/doc/offiaccount/User_Management/User_Tag_Management.html).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ok, users::page};
use crate::platform::{
    Platform,
    call::Call,
    errcode::ApiError,
    users::{User, is_openid},
};

/// Tags on one user.
const MOST_ON_A_USER: usize = 20;
/// Openids of one call.
const MOST_OPENIDS: usize = 50;

#[derive(Deserialize)]
struct Change {
    tag: TagMembers,
}

#[derive(Deserialize)]
struct TagMembers {
    #[serde(default)]
    id: u32,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Members {
    openid_list: Vec<String>,
    tagid: u32,
}

#[derive(Deserialize)]
struct MembersPage {
    tagid: u32,
    #[serde(default)]
    next_openid: String,
}

pub(super) fn create(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let Change { tag } = call.json()?;
    let id = platform.tags.create(&tag.name)?;
    Ok(json!({"tag": {"id": id, "name": tag.name}}))
}

pub(super) fn list(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"tags": platform.tags.shown(&platform.users)}))
}

pub(super) fn update(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let Change { tag } = call.json()?;
    platform.tags.rename(tag.id, &tag.name)?;
    Ok(ok())
}

pub(super) fn delete(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let Change { tag } = call.json()?;
    platform.tags.delete(tag.id, &mut platform.users)?;
    Ok(ok())
}

/// The followers who have a tag.
pub(super) fn members(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let MembersPage { tagid, next_openid } = call.json()?;
    platform.tags.check(tagid)?;
    let (_, answer) = page(platform, &next_openid, |user| user.tags.contains(&tagid))?;
    Ok(answer)
}

/// Tags all of the users or none: 45059 when one of them would have too many tags.
pub(super) fn tag(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let Members { openid_list, tagid } = checked_members(platform, call)?;
    let is_full = |openid: &String| {
        let user = platform.users.get(openid);
        user.is_some_and(|user| user.tags.len() >= MOST_ON_A_USER && !user.tags.contains(&tagid))
    };
    if openid_list.iter().any(is_full) {
        return Err(ApiError::of(45059));
    }
    for_each(platform, openid_list, |user| {
        if !user.tags.contains(&tagid) {
            user.tags.push(tagid);
        }
    })
}

pub(super) fn untag(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let Members { openid_list, tagid } = checked_members(platform, call)?;
    for_each(platform, openid_list, |user| user.tags.retain(|tag| *tag != tagid))
}

fn checked_members(platform: &Platform, call: &Call<'_>) -> Result<Members, ApiError> {
    let members: Members = call.json()?;
    if !(1..=MOST_OPENIDS).contains(&members.openid_list.len()) {
        return Err(ApiError::of(40032));
    }
    if !members.openid_list.iter().all(|openid| is_openid(openid)) {
        return Err(ApiError::of(40003));
    }
    platform.tags.check(members.tagid)?;
    Ok(members)
}

/// Changes the followers among the openids; 45171 names the others.
fn for_each(
    platform: &mut Platform,
    openids: Vec<String>,
    mut change: impl FnMut(&mut User),
) -> Result<Value, ApiError> {
    let mut failed = Vec::new();
    for openid in openids {
        match platform.users.get_mut(&openid).filter(|user| user.follows) {
            Some(user) => change(user),
            None => failed.push(openid),
        }
    }
    if failed.is_empty() {
        return Ok(ok());
    }
    let mut error = ApiError::of(45171);
    error.failed_openids = failed;
    Err(error)
}

/// The tags of a follower.
pub(super) fn of_user(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let user = platform.users.get(&call.text("openid")?).filter(|user| user.follows);
    let user = user.ok_or_else(|| ApiError::of(40003))?;
    Ok(json!({"tagid_list": user.tags}))
}
