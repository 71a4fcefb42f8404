//! The answers of this function. Failures are `http_api::Problem`s.

use http::Response;
use http_api::{Problem, response};
use serde::Serialize;
use serde_json::Value;
use wechat::{store::MessageStatus, validate::template::Finding};

/// The answer for one recipient: WeChat's own, with the msgid as text because it can exceed 2^53.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Sent {
    /// 0.
    pub(crate) errcode: i64,
    /// `ok`.
    pub(crate) errmsg: &'static str,
    /// The message's id, for `GET /api/messages/{msgid}`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9]+$"))]
    pub(crate) msgid: String,
    /// The team's id of the user, in the answer to a request with `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The openid of this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) touser: Option<String>,
    /// The parts of the message that WeChat may drop or display differently. Absent when there are none. With
    /// `"validate": "warn"` always present, and also with what WeChat would refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) findings: Option<Vec<Finding>>,
}

impl Sent {
    pub(crate) const fn new(msgid: String) -> Self {
        Self {
            errcode: 0,
            errmsg: "ok",
            msgid,
            user: None,
            touser: None,
            findings: None,
        }
    }
}

/// The answer for several recipients.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Results {
    /// The results, in the order of `touser` or `users`.
    pub(crate) results: Vec<RecipientResult>,
    /// The parts of the message that WeChat may drop or display differently. Absent when there are none. With
    /// `"validate": "warn"` always present, and also with what WeChat would refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) findings: Option<Vec<Finding>>,
}

/// The answer when WeChat accepted a customer-service message: WeChat's own, which has no msgid.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct CustomSent {
    /// 0.
    pub(crate) errcode: i64,
    /// `ok`.
    pub(crate) errmsg: &'static str,
    /// The team's id of the user, in the answer to a request with `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The openid of this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) touser: Option<String>,
}

impl CustomSent {
    pub(crate) fn to(recipient: Recipient) -> Self {
        Self {
            errcode: 0,
            errmsg: "ok",
            touser: recipient.touser.filter(|_| recipient.user.is_some()),
            user: recipient.user,
        }
    }
}

/// Whom a result is about.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Recipient {
    /// The team's id of the user. Absent when the request names openids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The recipient's openid. Absent when the user is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) touser: Option<String>,
}

impl Recipient {
    /// Adds the user to `problem`. A caller who named an openid knows it already.
    pub(crate) fn of(self, problem: Problem) -> Problem {
        match self.user {
            Some(user) => problem.of_user(user, self.touser),
            None => problem,
        }
    }
}

/// The result for one of several recipients.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) enum RecipientResult {
    /// WeChat accepted the message.
    Sent {
        /// The recipient.
        #[serde(flatten)]
        recipient: Recipient,
        /// WeChat's answer.
        #[serde(flatten)]
        sent: Sent,
    },
    /// WeChat did not accept the message, or may have accepted it: `detail` and `hint` say which.
    Failed {
        /// The recipient.
        #[serde(flatten)]
        recipient: Recipient,
        /// The failure.
        #[serde(flatten)]
        problem: Problem,
    },
    /// The result that an earlier request with the same `Idempotency-Key` got for this recipient.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    Known(Value),
}

impl RecipientResult {
    pub(crate) const fn failed(recipient: Recipient, problem: Problem) -> Self {
        Self::Failed { recipient, problem }
    }

    /// The recipient's openid, if this run knows it.
    pub(crate) fn touser(&self) -> Option<&str> {
        match self {
            Self::Sent { recipient, .. } | Self::Failed { recipient, .. } => recipient.touser.as_deref(),
            Self::Known(_) => None,
        }
    }

    /// Whether WeChat accepted the message.
    pub(crate) fn is_sent(&self) -> bool {
        match self {
            Self::Sent { .. } => true,
            Self::Failed { .. } => false,
            Self::Known(result) => result.get("msgid").is_some(),
        }
    }
}

/// Answers a request with one recipient.
pub(crate) fn to_one(results: Vec<RecipientResult>, findings: Option<Vec<Finding>>) -> Response<String> {
    match results.into_iter().next() {
        Some(RecipientResult::Sent { recipient, sent }) => {
            let touser = recipient.touser.filter(|_| recipient.user.is_some());
            let sent = Sent {
                user: recipient.user,
                touser,
                findings,
                ..sent
            };
            response::json(200, &sent)
        }
        Some(RecipientResult::Failed { recipient, problem }) => {
            let findings = findings.unwrap_or_default();
            let problem = if findings.is_empty() {
                problem
            } else {
                problem.with_findings(findings)
            };
            recipient.of(problem).into_response()
        }
        Some(RecipientResult::Known(result)) => {
            let status = result.get("status").and_then(Value::as_u64);
            response::json(status.and_then(|status| status.try_into().ok()).unwrap_or(200), &result)
        }
        None => Problem::bad_request("nobody to send to / 没有接收者").into_response(),
    }
}

/// Answers a request with several recipients. When all failed for the same reason, that failure is the answer, with its own
/// status.
pub(crate) fn to_many(
    results: Vec<RecipientResult>,
    refusal: Option<&Problem>,
    findings: Option<Vec<Finding>>,
) -> Response<String> {
    let failure = |result: &RecipientResult| match result {
        RecipientResult::Failed { problem, .. } => Some(problem.clone()),
        RecipientResult::Sent { .. } | RecipientResult::Known(_) => None,
    };
    if let Some(first) = results.first().and_then(failure) {
        let is_like_first = |result| failure(result).is_some_and(|problem| problem.is_like(&first));
        if results.iter().all(is_like_first) {
            let refusal = refusal.filter(|refusal| refusal.is_like(&first)).cloned();
            return refusal.unwrap_or(first).into_response();
        }
    }
    let all_sent = results.iter().all(RecipientResult::is_sent);
    response::json(if all_sent { 200 } else { 207 }, &Results { results, findings })
}

/// The record of one message.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Message {
    /// WeChat's id of the message. Null for a scheduled one that was not sent.
    pub(crate) msgid: Option<String>,
    /// The id of a scheduled message that was not sent. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scheduled: Option<String>,
    /// The errcode with which WeChat refused a scheduled message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) errcode: Option<i64>,
    /// The id of the campaign that the message belongs to. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) campaign: Option<String>,
    /// The recipient's openid. Null when only the receipt is known.
    pub(crate) touser: Option<String>,
    /// The template's id. Null when only the receipt is known.
    pub(crate) template_id: Option<String>,
    /// `sent`, `delivered`, `blocked` or `failed`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub(crate) status: MessageStatus,
    /// When WeChat accepted the message, in epoch seconds. Null when only the receipt is known.
    pub(crate) sent_at: Option<i64>,
    /// When the receipt arrived, in epoch seconds.
    pub(crate) finished_at: Option<i64>,
    /// The status in the receipt, in WeChat's words, such as `failed:user block`.
    pub(crate) receipt: Option<String>,
    /// `frequency-limit` when WeChat dropped the message because the user had received too many. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// The meaning of the status and what to do, in English and Chinese.
    pub(crate) meaning: &'static str,
}

/// A page of messages.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct MessagePage {
    pub(crate) messages: Vec<Message>,
    /// For the next page. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

/// The receipts of the last days.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct DeliveryDays {
    /// The oldest first, and today last.
    pub(crate) days: Vec<DeliveryDay>,
}

/// The receipts of one day.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct DeliveryDay {
    /// The day in Beijing, `YYYY-MM-DD`.
    pub(crate) day: String,
    pub(crate) delivered: u64,
    /// The recipients block the account's messages.
    pub(crate) blocked: u64,
    pub(crate) failed: u64,
}

/// The account's templates.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct TemplateList {
    pub(crate) templates: Vec<Template>,
}

/// One template.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Template {
    pub(crate) template_id: String,
    pub(crate) title: String,
    /// The text with placeholders, such as `时间:{{time2.DATA}}`.
    pub(crate) content: String,
    pub(crate) example: String,
    /// The names of the placeholders: the members of `data`.
    pub(crate) fields: Vec<String>,
}

impl From<wechat::api::Template> for Template {
    fn from(template: wechat::api::Template) -> Self {
        Self {
            fields: template.fields().into_iter().map(str::to_owned).collect(),
            template_id: template.template_id,
            title: template.title,
            content: template.content,
            example: template.example,
        }
    }
}
