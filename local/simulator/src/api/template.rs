//! Template messages: sending one, and the list of templates.
//!
//! See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::{
    Platform,
    account::is_app_id,
    call::Call,
    clock::wall_seconds,
    errcode::ApiError,
    notice::Notice,
    users::{self, MiniProgram, Shown},
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Send {
    touser: String,
    template_id: String,
    url: Option<String>,
    miniprogram: Option<MiniProgram>,
    client_msg_id: String,
    data: BTreeMap<String, Keyword>,
}

#[derive(Deserialize)]
struct Keyword {
    #[serde(default)]
    value: String,
}

pub(super) fn send(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    if call.escapes_text() {
        return Err(ApiError::of(47002));
    }
    let message: Send = call.json()?;
    if !users::is_openid(&message.touser) {
        return Err(ApiError::of(40003));
    }
    let template = platform
        .templates
        .find(&message.template_id)
        .ok_or_else(|| ApiError::of(40037))?;
    let (template_id, title) = (template.template_id.clone(), template.title.clone());
    let failure = match platform.users.get(&message.touser) {
        Some(user) if user.follows => match user.refusal {
            Some(errcode) => return Err(ApiError::of(errcode)),
            None if user.refuses_templates => {
                Some(user.receipt.clone().unwrap_or_else(|| "failed:user block".to_owned()))
            }
            None => None,
        },
        Some(_) => return Err(ApiError::of(43004)),
        // Of another account.
        None => return Err(ApiError::of(40003)),
    };
    let program = message.miniprogram.as_ref();
    if program.is_some_and(|program| !is_app_id(&program.appid)) {
        return Err(ApiError::of(40013));
    }
    let data = message
        .data
        .into_iter()
        .map(|(name, keyword)| (name, keyword.value))
        .collect();
    let text = template.fill(&data, platform.account_type)?;

    let now = platform.clock.now();
    if let Some(msgid) = platform.sends.repeated(&message.touser, &message.client_msg_id, now) {
        return Ok(sent(msgid));
    }
    let content = format!("{template_id}\n{text}");
    if platform.sends.is_duplicate(&message.touser, content, now) {
        return Err(ApiError::of(40241));
    }
    let Platform { sends, random, .. } = platform;
    let msgid = sends.record(&message.touser, message.client_msg_id, now, random);
    let status = match failure {
        Some(failure) => Some(failure),
        None => platform.receipts.next().unwrap_or_else(|| Some("success".to_owned())),
    };
    // A message whose result is never pushed arrives too.
    if status.as_deref().unwrap_or("success") == "success" {
        let shown = Shown::Template {
            at: now,
            msgid: msgid.to_string(),
            template_id,
            title,
            text,
            data,
            url: message.url,
            miniprogram: message.miniprogram,
        };
        platform.users.show(&message.touser, shown);
    }
    let result = status.map(|status| Notice::template_result(&message.touser, msgid, &status, wall_seconds()));
    platform.outbox.extend(result);
    Ok(sent(msgid))
}

pub(super) fn list(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"template_list": platform.templates}))
}

fn sent(msgid: u64) -> Value {
    json!({"errcode": 0, "errmsg": "ok", "msgid": msgid})
}
