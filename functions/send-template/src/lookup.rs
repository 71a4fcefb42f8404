//! What became of a message, and which templates there are.

use http::Response;
use wechat::{
    clock::Deadline,
    message::is_msgid,
    problem::Problem,
    response,
    store::{MessageRecord, MessageStatus},
};

use crate::{
    App,
    answer::{Message, TemplateList},
    templates,
};

/// Serves `GET /api/messages/{msgid}`.
pub(crate) async fn message(app: &App, msgid: &str) -> Result<Response<String>, Problem> {
    let record = find(app, msgid).await?.ok_or_else(|| {
        Problem::not_found("no message with this msgid was sent in the last 30 days / 30 天内没有该 msgid 的消息")
    })?;
    let message = Message {
        msgid: msgid.to_owned(),
        touser: record.touser,
        template_id: record.template_id,
        status: record.status,
        sent_at: record.sent_at,
        finished_at: record.finished_at,
        receipt: record.receipt,
        meaning: meaning(record.status),
    };
    Ok(response::json(200, &message))
}

/// The record of a message. What cannot be a msgid is no message's.
async fn find(app: &App, msgid: &str) -> Result<Option<MessageRecord>, Problem> {
    if !is_msgid(msgid) {
        return Ok(None);
    }
    let record = app.table.message(&app.app_id, msgid, app.clock.now()).await;
    record.map_err(Problem::from)
}

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

/// Serves `GET /api/templates`.
pub(crate) async fn templates(app: &App, deadline: Deadline) -> Result<Response<String>, Problem> {
    let list = |token, attempts| async move { app.client.templates(&token, attempts, deadline).await };
    let templates = app.tokens.call(deadline, list).await;
    let templates = templates.map_err(|error| Problem::from_call(&error, app.clock.now()))?;
    templates::learn(app, &templates, deadline).await;
    let templates = templates.into_iter().map(Into::into).collect();
    Ok(response::json(200, &TemplateList { templates }))
}
