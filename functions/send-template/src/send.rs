//! `POST /api/sendTemplateMessage`: sends a message to each recipient and answers a result for each.

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, Schema},
    route,
};
use wechat::{api::CLIENT_MSG_ID_LENGTH, random, store::SendState, validate::send::SendTemplate};

use crate::{
    App,
    batch::{SendJob, deliver},
    idempotency, scheduled,
    users::Users,
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Send, POST "/api/sendTemplateMessage" => send_template_message, Operation {
        id: "sendTemplateMessage",
        summary: "Send a template message / 发送模板消息",
        parameters: &[idempotency::parameter(
            "Retries with the same key within 24 hours send each message once and get the same answer. While the outcome of a message is unknown, or it was not sent, a retry sends that one only. Keys belong to the caller's API key.",
        )],
        body: Some(Body::required("TemplateMessage")),
        answers: &[
            (202, "With `send_at`: the message is scheduled. The same id for the same Idempotency-Key", Schema::Named("Scheduled")),
            (200, "WeChat accepted the message; with an array or `users`, the message to each recipient", Schema::OneOf(&["Sent", "Results"])),
            (
                207,
                "Some recipients failed: see `results`. When all failed for the same reason, the answer is that failure",
                Schema::Named("Results"),
            ),
        ],
        failures: &[400, 404, 409, 413, 422, 429],
        ..Operation::NEW
    }),
];

/// Serves `POST /api/sendTemplateMessage`.
async fn send_template_message(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let body = request.json()?;
    let message = &SendTemplate::read(&body).map_err(Problem::faulty_request)?;
    if !request.caller().grants().allows_template(&message.content.template_id) {
        return Err(Problem::forbidden(
            "the scope send of this key does not include this template / 该密钥的 send 权限不包括此模板",
        )
        .with_field("template_id"));
    }
    let (caller, deadline) = (request.caller(), request.deadline());
    if let Some(send_at) = message.send_at {
        return scheduled::schedule(app, request, &body, message, send_at).await;
    }
    let client_msg_id = match (&message.client_msg_id, idempotency::key(request.headers())?) {
        (Some(id), _) => id.clone(),
        (None, Some(key)) => idempotency::client_msg_id(app, caller, key),
        (None, None) => random::hex::<{ CLIENT_MSG_ID_LENGTH / 2 }>(),
    };
    let client_msg_id = client_msg_id.as_str();
    let users = Users::read(app, &message.recipients).await?;
    let users = users.as_ref();
    let send = async |state: SendState| {
        let job = SendJob {
            caller,
            message,
            users,
            client_msg_id,
            state: &state,
            deadline,
        };
        deliver(app, job).await
    };
    idempotency::once(app, request, &body, users, Some(client_msg_id), send).await
}
