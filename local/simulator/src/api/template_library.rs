//! The template library: adding and deleting templates, and the account's industries.
//!
//! See [WeChat Docs/模板消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html).

use serde::Deserialize;
use serde_json::{Value, json};

use super::ok;
use crate::platform::{Platform, call::Call, errcode::ApiError};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Add {
    template_id_short: String,
    keyword_name_list: Vec<String>,
}

#[derive(Deserialize)]
struct SetIndustry {
    industry_id1: String,
    industry_id2: String,
}

/// Adds a category template, whose id is a number. `TM…` and `OPENTM…` are ids of the old library.
pub(super) fn add(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: Add = call.json()?;
    let id = &request.template_id_short;
    if id.starts_with("TM") || id.starts_with("OPENTM") {
        return Err(ApiError::of(40247));
    }
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::of(40037));
    }
    if request.keyword_name_list.is_empty() || request.keyword_name_list.iter().any(String::is_empty) {
        return Err(ApiError::of(40246));
    }
    let Platform { templates, random, .. } = platform;
    let template_id = templates.add(&request.keyword_name_list, random)?;
    Ok(json!({"errcode": 0, "errmsg": "ok", "template_id": template_id}))
}

pub(super) fn delete(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    platform.templates.delete(&call.text("template_id")?)?;
    Ok(ok())
}

pub(super) fn industry(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    let Some(codes) = platform.industries.codes else {
        return Ok(json!({}));
    };
    let [primary, secondary] = codes.map(|code| json!({"first_class": "行业", "second_class": format!("行业{code}")}));
    Ok(json!({"primary_industry": primary, "secondary_industry": secondary}))
}

pub(super) fn set_industry(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: SetIndustry = call.json()?;
    let code = |text: &str| {
        let code = text.parse().ok().filter(|code| (1..=41).contains(code));
        code.ok_or_else(|| ApiError::of(40035))
    };
    let codes = [code(&request.industry_id1)?, code(&request.industry_id2)?];
    platform.industries.set(codes, platform.clock.now())?;
    Ok(ok())
}
