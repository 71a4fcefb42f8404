//! The account's customer-service agents (客服), of which it has none.
//!
//! See [WeChat Docs/获取所有客服账号](https://developers.weixin.qq.com/doc/service/api/customer/servicermanage/api_getkflist) and
//! [WeChat Docs/获取在线客服列表](https://developers.weixin.qq.com/doc/service/api/customer/servicermanage/api_getonlinekflist).

use serde_json::{Value, json};

use crate::platform::{Platform, call::Call, errcode::ApiError};

pub(super) fn all(_: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"kf_list": []}))
}

pub(super) fn online(_: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"kf_online_list": []}))
}
