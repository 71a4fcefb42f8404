//! What the function answers when it succeeds. Failures are `http_api::Problem`s.

use http_api::Problem;
use serde::Serialize;
use serde_json::Value;
use wechat::{store::MessageStatus, validate::template::Finding};

/// One message was sent: WeChat's own answer, with the msgid as text because it exceeds 2^53.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Sent {
    /// 0.
    pub(crate) errcode: i64,
    /// `ok`.
    pub(crate) errmsg: &'static str,
    /// Names the message in `GET /api/messages/{msgid}`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9]+$"))]
    pub(crate) msgid: String,
    /// What WeChat may drop or show otherwise; with `"validate": "warn"` also what it would have refused. Absent when there
    /// is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) findings: Option<Vec<Finding>>,
}

impl Sent {
    pub(crate) const fn new(msgid: String, findings: Option<Vec<Finding>>) -> Self {
        Self {
            errcode: 0,
            errmsg: "ok",
            msgid,
            findings,
        }
    }
}

/// What happened to each of several recipients.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Results {
    /// In the order of `touser`.
    pub(crate) results: Vec<RecipientResult>,
    /// What WeChat may drop or show otherwise; with `"validate": "warn"` also what it would have refused. Absent when there
    /// is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) findings: Option<Vec<Finding>>,
}

/// One recipient of several.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) enum RecipientResult {
    /// WeChat took the message.
    Sent {
        /// The recipient's openid.
        touser: String,
        /// What WeChat answered.
        #[serde(flatten)]
        sent: Sent,
    },
    /// It did not, or it is not known whether it did: `detail` and `hint` say.
    Failed {
        /// The recipient's openid.
        touser: String,
        /// Why.
        #[serde(flatten)]
        problem: Problem,
    },
    /// What an earlier request with the same `Idempotency-Key` was told of this recipient.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    Known(Value),
}

impl RecipientResult {
    pub(crate) fn failed(touser: &str, problem: Problem) -> Self {
        Self::Failed {
            touser: touser.to_owned(),
            problem,
        }
    }

    /// Whether WeChat took the message.
    pub(crate) fn is_sent(&self) -> bool {
        match self {
            Self::Sent { .. } => true,
            Self::Failed { .. } => false,
            Self::Known(result) => result.get("msgid").is_some(),
        }
    }
}

/// What became of one message.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Message {
    pub(crate) msgid: String,
    /// The recipient's openid. Like the two after it null while only the receipt is known.
    pub(crate) touser: Option<String>,
    pub(crate) template_id: Option<String>,
    /// `sent`, `delivered`, `blocked` or `failed`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub(crate) status: MessageStatus,
    /// When WeChat accepted it, in epoch seconds.
    pub(crate) sent_at: Option<i64>,
    /// When its receipt came, in epoch seconds.
    pub(crate) finished_at: Option<i64>,
    /// WeChat's own words, such as `failed:user block`.
    pub(crate) receipt: Option<String>,
    /// `frequency-limit` when WeChat dropped it because the user had been sent too many. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// What the status means and what to do, in English and Chinese.
    pub(crate) meaning: &'static str,
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
    /// The text with its placeholders, such as `时间:{{time2.DATA}}`.
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
