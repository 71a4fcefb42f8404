//! `GET /api/messages/{msgid}`: the record of a message, with its delivery status.

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Location, Parameter, Schema},
    response, route,
};
use wechat::{
    message::{DeliveryStatus, is_msgid},
    store::{MessageRecord, MessageStatus},
};

use crate::{App, answer::Message};

pub(crate) const ROUTES: &[Route<App>] = &[route!(Send, GET "/api/messages/{msgid}" => get, Operation {
    id: "getMessage",
    summary: "Query the delivery status of a message / 查询送达结果",
    parameters: &[Parameter {
        name: "msgid",
        location: Location::Path,
        description: "",
        schema: r#"{"type": "string", "pattern": "^[0-9]{1,20}$"}"#,
    }],
    answers: &[(200, "The record, kept for 30 days", Schema::Named("Message"))],
    failures: &[404],
    ..Operation::NEW
})];

/// Serves `GET /api/messages/{msgid}`. A message of a template that the caller may not use does not exist for the caller.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let msgid = request.parameter("msgid");
    let record = find(app, msgid).await?;
    let is_shown = |record: &MessageRecord| {
        let template_id = record.template_id.as_deref().unwrap_or_default();
        request.caller().grants().allows_template(template_id)
    };
    let record = record.filter(is_shown);
    let record = record.ok_or_else(|| {
        Problem::not_found("there is no record of this msgid from the last 30 days / 最近 30 天内没有该 msgid 的记录").with_hint(
            "The message may still have been sent: by another program, or while its record could not be written (search \
             the log for \"could not be recorded\"). / 消息仍可能已发送：由其他程序发出，或记录写入失败（请在日志中搜索 \
             could not be recorded）。",
        )
    })?;
    let is_frequency = record.status == MessageStatus::Failed
        && record.receipt.as_deref().map(DeliveryStatus::parse) == Some(DeliveryStatus::FrequencyLimited);
    let message = Message {
        msgid: msgid.to_owned(),
        touser: record.touser,
        template_id: record.template_id,
        status: record.status,
        sent_at: record.sent_at,
        finished_at: record.finished_at,
        receipt: record.receipt,
        reason: is_frequency.then_some("frequency-limit"),
        meaning: if is_frequency {
            TOO_FREQUENT
        } else {
            meaning(record.status)
        },
    };
    Ok(response::json(200, &message))
}

/// Reads the record of a message. `None` without a read when `msgid` cannot be one.
async fn find(app: &App, msgid: &str) -> Result<Option<MessageRecord>, Problem> {
    if !is_msgid(msgid) {
        return Ok(None);
    }
    let record = app.account.table.message(msgid, app.account.clock.now()).await;
    record.map_err(Problem::from)
}

/// The meaning of a message that WeChat accepted and then dropped because its recipient had received too many.
const TOO_FREQUENT: &str = "WeChat accepted it, then dropped it because this user has received too many messages: do not send it \
    again for hours, and send less often to this user. \
    / 微信受理后因对该用户发送过于频繁而未下发：数小时内不要重发，并降低向该用户发送的频率。";

const fn meaning(status: MessageStatus) -> &'static str {
    match status {
        MessageStatus::Sent => {
            "WeChat has accepted it; its receipt usually arrives within seconds. / 微信已受理，送达回执通常在数秒内到达。"
        }
        MessageStatus::Delivered => "It has reached the user. / 已送达用户。",
        MessageStatus::Blocked => {
            "The user refuses this account's messages: stop sending to them. / 用户拒收该公众号消息，请勿再发送。"
        }
        MessageStatus::Failed => {
            "WeChat could not deliver it. A new message may get through. / 微信侧发送失败，可稍后重新发送。"
        }
    }
}
