//! `POST /api/sendCustomMessage`: sends a customer-service message to one person.
//!
//! WeChat does not recognise a retry of such a message, so it is sent once. Without a clear answer the outcome stays
//! unknown, and requests with the same `Idempotency-Key` get that answer again.

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, Schema},
    response, route,
};
use serde_json::{Map, Value};
use wechat::{
    api::calls::custom_message::SendCustomMessage,
    digest::logged_openid,
    sending::{Outcome, is_unfollowed},
    store::{RecipientOutcome, SendState},
    validate::{custom::SendCustom, send::Recipients},
};

use crate::{
    App,
    answer::{CustomSent, Recipient},
    batch::RECORDING,
    hints,
    idempotency::{self, Progress},
    users::{NOT_FOLLOWING, Unreachable, Users},
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Send, POST "/api/sendCustomMessage" => send_custom_message, Operation {
        id: "sendCustomMessage",
        summary: "Send a customer-service message / 发送客服消息",
        parameters: &[idempotency::parameter(
            "Retries with the same key within 24 hours send the message once and get the same answer, also when the outcome is unknown. A message that WeChat refused, or was not asked to send, a retry sends. Keys belong to the caller's API key.",
        )],
        body: Some(Body::required("CustomMessage")),
        answers: &[(200, "WeChat accepted the message", Schema::Named("CustomSent"))],
        failures: &[400, 404, 409, 413, 422, 429],
        ..Operation::NEW
    }),
];

/// The type of a message that opens a mini program, and the member of that name.
const MINI_PROGRAM: &str = "miniprogrampage";
/// Why the outcome of a message is unknown when its first run did not end.
const RUN_DID_NOT_END: &str = "the first request with this Idempotency-Key ended before WeChat's answer was recorded \
     / 使用此 Idempotency-Key 的首次请求中断，未记录微信的应答";

/// Serves `POST /api/sendCustomMessage`.
async fn send_custom_message(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let body = request.json()?;
    let SendCustom { recipient, message } = &SendCustom::read(&body).map_err(Problem::faulty_request)?;
    if request.caller().grants().templates.is_some() {
        return Err(Problem::forbidden(
            "the scope send of this key is limited to templates, so it sends no customer-service messages \
             / 该密钥的 send 权限限定了模板（templates），因此不能发送客服消息",
        ));
    }
    let users = Users::read(app, recipient).await?;
    let users = users.as_ref();
    let send = async |state: SendState| deliver(app, request, recipient, users, message, &state).await;
    idempotency::once(app, request, &body, users, None, send).await
}

/// The outcome of the message.
enum Delivery {
    /// WeChat accepted it.
    Accepted,
    /// WeChat refused it.
    Refused(Problem),
    /// WeChat was not asked.
    NotAttempted(Problem),
    /// WeChat may have accepted it.
    Unknown(Problem),
}

impl Delivery {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Accepted => Outcome::Accepted,
            Self::Refused(_) => Outcome::Refused,
            Self::NotAttempted(_) => Outcome::NotAttempted,
            Self::Unknown(_) => Outcome::Unknown,
        }
    }

    fn errcode(&self) -> Option<i64> {
        match self {
            Self::Accepted => Some(0),
            Self::Refused(problem) | Self::NotAttempted(problem) | Self::Unknown(problem) => problem.errcode(),
        }
    }
}

/// Sends the message, unless an earlier run may have sent it or it cannot reach the recipient.
async fn deliver(
    app: &App,
    request: &ApiRequest<'_>,
    recipient: &Recipients,
    users: Option<&Users>,
    message: &Map<String, Value>,
    state: &SendState,
) -> (Response<String>, Progress) {
    let name = recipient.first();
    let (touser, delivery) = match state.of(name) {
        // A run that ends leaves no state of a recipient, so this state is from a run that did not end.
        Some(RecipientOutcome::Unknown { openid, .. }) => {
            let touser = openid.unwrap_or_else(|| name.to_owned());
            let problem = Problem::may_have_been_sent_once(RUN_DID_NOT_END);
            (Some(touser), Delivery::Unknown(problem))
        }
        _ => match users.map_or(Ok(name), |users| users.openid(name)) {
            Ok(openid) => (Some(openid.to_owned()), send(app, request, openid, message).await),
            Err(Unreachable { openid, problem }) => (openid, Delivery::NotAttempted(problem)),
        },
    };
    record(app, request, touser.as_deref(), &delivery);
    let recipient = Recipient {
        user: users.map(|_| name.to_owned()),
        touser,
    };
    let failed = |problem| recipient.clone().of(problem).into_response();
    match delivery {
        Delivery::Accepted => (response::json(200, &CustomSent::to(recipient)), Progress::Done),
        Delivery::Refused(problem) => (failed(problem), Progress::Refused),
        Delivery::NotAttempted(problem) => (failed(problem), Progress::NotAttempted),
        Delivery::Unknown(problem) => (failed(problem), Progress::Done),
    }
}

/// Asks WeChat to send the message. A recipient who does not follow the account is recorded.
async fn send(app: &App, request: &ApiRequest<'_>, openid: &str, message: &Map<String, Value>) -> Delivery {
    let (asked_at, deadline) = (app.account.clock.now(), request.deadline());
    let call = SendCustomMessage {
        touser: openid,
        message,
    };
    let sent = app.account.call(&call, deadline.before(RECORDING)).await;
    let outcome = Outcome::of(&sent);
    let Err(error) = sent else {
        return Delivery::Accepted;
    };
    if is_unfollowed(&error) {
        let recorded = app.account.table.set_followed(openid, false, asked_at);
        app.write(NOT_FOLLOWING, None, deadline, recorded).await;
    }
    let problem = hints::problem(&error);
    match outcome {
        Outcome::Unknown => Delivery::Unknown(Problem::may_have_been_sent_once(problem.detail())),
        Outcome::Refused if message.contains_key(MINI_PROGRAM) => {
            Delivery::Refused(problem.blaming_mini_program(&error, MINI_PROGRAM))
        }
        Outcome::Refused => Delivery::Refused(problem),
        Outcome::Accepted | Outcome::NotAttempted => Delivery::NotAttempted(problem),
    }
}

/// Writes one log line and one metric for the message.
fn record(app: &App, request: &ApiRequest<'_>, touser: Option<&str>, delivery: &Delivery) {
    let (outcome, errcode) = (delivery.outcome(), delivery.errcode());
    tracing::info!(
        errcode,
        outcome = outcome.as_str(),
        openid_sha256 = touser.map(logged_openid),
        key = request.caller().name(),
        "customer-service message"
    );
    outcome.count(1, app.account.clock.now_millis());
}
