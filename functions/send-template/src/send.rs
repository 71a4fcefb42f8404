//! `POST /api/sendTemplateMessage`: checks a message, sends it to each recipient and answers a result for each.

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, Location, Parameter, Schema},
    route,
};
use wechat::{
    random,
    store::SendState,
    validate::{
        send::{Recipients, SendTemplate},
        template::Finding,
    },
};

use crate::{
    App, answer,
    batch::{self, Batch, Progress, SendJob},
    idempotency::{self, CLIENT_MSG_ID_LENGTH},
    templates,
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(POST "/api/sendTemplateMessage" => send_template_message, Operation {
        id: "sendTemplateMessage",
        summary: "Send a template message / 发送模板消息",
        parameters: &[Parameter {
            name: "Idempotency-Key",
            location: Location::Header,
            description: "Retries with the same key within 24 hours send each message once and get the same answer. While the outcome of a message is unknown, or it was not sent, a retry sends that one only. Keys belong to the caller's API key.",
            schema: r#"{"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}"#,
        }],
        body: Some(Body::required("TemplateMessage")),
        answers: &[
            (200, "WeChat accepted the message; with an array, the message to each recipient", Schema::OneOf(&["Sent", "Results"])),
            (
                207,
                "Some recipients failed: see `results`. When all failed for the same reason, the answer is that failure",
                Schema::Named("Results"),
            ),
        ],
        failures: &[400, 409, 413, 422, 429],
        ..Operation::NEW
    }),
];

/// Serves `POST /api/sendTemplateMessage`.
async fn send_template_message(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let body = request.json()?;
    let message = &SendTemplate::read(&body).map_err(Problem::faulty_request)?;
    if let Some(key) = idempotency::key(request.headers())? {
        return idempotency::send_once(app, request, message, &body, key).await;
    }
    let client_msg_id = match &message.client_msg_id {
        Some(id) => id.clone(),
        None => random::hex::<{ CLIENT_MSG_ID_LENGTH / 2 }>(),
    };
    let job = SendJob {
        caller: request.caller(),
        message,
        client_msg_id: &client_msg_id,
        state: &SendState::default(),
        deadline: request.deadline(),
    };
    let (response, _) = deliver(app, job).await;
    Ok(response)
}

/// Checks and sends the message of `job`. Returns the answer, and how far the job has come.
pub(crate) async fn deliver(app: &App, job: SendJob<'_>) -> (Response<String>, Progress) {
    let batch = Batch::new(app, job);
    let tousers = match &job.message.recipients {
        Recipients::One(touser) => std::slice::from_ref(touser),
        Recipients::Many(tousers) => tousers,
    };
    let mut findings = None;
    if batch.has_attempts(tousers) {
        match check(app, job).await {
            Ok(found) => findings = found,
            Err(problem) => batch.halt(problem),
        }
    }
    let deliveries = batch.deliver_to_all(tousers).await;
    let progress = batch::progress(&deliveries);
    let results = tousers
        .iter()
        .filter_map(|touser| deliveries.get(touser).map(|delivery| delivery.result.clone()))
        .collect();
    let response = match &job.message.recipients {
        Recipients::One(_) => answer::to_one(results, findings),
        Recipients::Many(_) => answer::to_many(results, batch::refusal_for_all(&deliveries), findings),
    };
    (response, progress)
}

/// Returns the findings to answer, or the reason why the message can be sent to nobody.
async fn check(app: &App, job: SendJob<'_>) -> Result<Option<Vec<Finding>>, Problem> {
    let SendJob { message, deadline, .. } = job;
    // Without a token every recipient would fail, each after its own call of token-refresher.
    if let Err(error) = app.account.tokens.token(deadline).await {
        return Err(Problem::from_token(&error, app.account.clock.now()));
    }
    let findings = templates::check(app, message, deadline).await;
    if findings.iter().any(Finding::is_refusal) && !message.only_warns {
        return Err(Problem::template_mismatch(findings));
    }
    Ok(Some(findings).filter(|findings| message.only_warns || !findings.is_empty()))
}
