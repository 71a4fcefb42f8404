//! `GET /api/messages/{msgid}`: what became of a message.

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

pub(crate) const ROUTES: &[Route<App>] = &[route!(GET "/api/messages/{msgid}" => get, Operation {
    id: "getMessage",
    summary: "What became of a message / 查询送达结果",
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

/// Serves `GET /api/messages/{msgid}`.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let msgid = request.parameter("msgid");
    let record = find(app, msgid).await?.ok_or_else(|| {
        Problem::not_found("there is no record of this msgid from the last 30 days / 最近 30 天内没有该 msgid 的记录").with_hint(
            "A message may have been sent all the same: by another program, or with a record that could not be written (search \
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
            TOO_OFTEN
        } else {
            meaning(record.status)
        },
    };
    Ok(response::json(200, &message))
}

/// The record of a message. What cannot be a msgid is no message's.
async fn find(app: &App, msgid: &str) -> Result<Option<MessageRecord>, Problem> {
    if !is_msgid(msgid) {
        return Ok(None);
    }
    let record = app.account.table.message(msgid, app.account.clock.now()).await;
    record.map_err(Problem::from)
}

/// What it means that WeChat accepted a message and then dropped it for its recipient's frequency.
const TOO_OFTEN: &str = "WeChat accepted it, then dropped it because this user has been sent too many messages: do not send it \
    again for hours, and send less often to this user. \
    / 微信受理后因对该用户发送过于频繁而未下发：数小时内不要重发，并降低向该用户发送的频率。";

const fn meaning(status: MessageStatus) -> &'static str {
    match status {
        MessageStatus::Sent => {
            "WeChat has accepted it; its receipt usually comes within seconds. / 微信已受理，等待送达回执。"
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
