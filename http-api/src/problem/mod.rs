//! Failures of `/api/*` as `application/problem+json` (RFC 9457), with the same members for all functions.

#[cfg(feature = "aws")]
mod from_store;
#[cfg(feature = "aws")]
mod from_token;
mod from_wechat;

use http::{HeaderValue, Response, header};
use serde::Serialize;
use wechat::{
    api_key::Scope,
    bilingual::caused,
    config::ConfigError,
    errcode::{self, NO_SUCH_TEMPLATE},
    validate::{Fault, template::Finding},
};

use crate::response::respond;

/// A kind of failure: its status, its `type` and its `title`.
#[derive(Clone, Copy)]
struct Kind {
    status: u16,
    urn: &'static str,
    title: &'static str,
}

/// Creates a [`Kind`] with the `type` `urn:wechat-bundle:<name>`.
macro_rules! kind {
    ($status:literal, $name:literal, $title:literal) => {
        Kind {
            status: $status,
            urn: concat!("urn:wechat-bundle:", $name),
            title: $title,
        }
    };
}

const BAD_REQUEST: Kind = kind!(400, "bad-request", "Bad request / 请求有误");
const NOT_A_FOLLOWER: Kind = kind!(400, "not-a-follower", "Not a follower / 未关注");
const TEMPLATE_MISMATCH: Kind = kind!(400, "template-mismatch", "Not what the template takes / 与模板不符");
const UNAUTHORIZED: Kind = kind!(401, "unauthorized", "Unauthorized / 未授权");
const FORBIDDEN: Kind = kind!(403, "forbidden", "Forbidden / 无权限");
const NOT_FOUND: Kind = kind!(404, "not-found", "Not found / 未找到");
const UNKNOWN_USER: Kind = kind!(404, "unknown-user", "Unknown user / 用户未绑定");
const METHOD_NOT_ALLOWED: Kind = kind!(405, "method-not-allowed", "Method not allowed / 方法不支持");
const IN_PROGRESS: Kind = kind!(409, "in-progress", "In progress / 处理中");
const CONFLICT: Kind = kind!(409, "conflict", "Not in this state / 当前状态不允许");
const TOO_MANY: Kind = kind!(409, "too-many", "Too many / 数量已达上限");
const CHANGED: Kind = kind!(412, "changed", "Changed meanwhile / 内容已被修改");
const TOO_LARGE: Kind = kind!(413, "too-large", "Content too large / 请求体过大");
const KEY_REUSED: Kind = kind!(422, "key-reused", "Idempotency-Key reused / 幂等键重复使用");
/// The errcode decides the status.
const WECHAT_REFUSED: Kind = kind!(400, "wechat-refused", "WeChat refused / 微信拒绝了请求");
const BAD_ANSWER: Kind = kind!(502, "bad-answer", "Not an answer of WeChat's / 应答异常");
const BUSY: Kind = kind!(503, "busy", "Busy / 繁忙");
const SET_UP: Kind = kind!(503, "set-up", "Set-up at fault / 配置有误");
const TIMEOUT: Kind = kind!(504, "timeout", "No answer in time / 上游超时");
const NOT_SENT: Kind = kind!(504, "not-sent", "Not sent / 未发送");
const MAY_HAVE_BEEN_SENT: Kind = kind!(504, "may-have-been-sent", "May have been sent / 可能已发送");

/// A failure of the API.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem(#[cfg_attr(feature = "openapi", schema(inline))] Box<Members>);

/// The members of RFC 9457, and this API's own.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Members {
    /// The kind of failure, for programs. Never `about:blank`.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    /// The HTTP status, also where it stands for one of several recipients.
    status: u16,
    detail: String,
    /// The errcode with which WeChat refused, or would have refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<i64>,
    /// WeChat's errmsg.
    #[serde(skip_serializing_if = "Option::is_none")]
    errmsg: Option<String>,
    /// WeChat's id of the request, for its API diagnosis (API 诊断) within 7 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
    /// The member of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// JSON pointer (RFC 6901) to the first member of the body that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Seconds, as in the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// Present and true when WeChat may have accepted the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    may_have_been_sent: Option<bool>,
    /// The id by which WeChat recognises a retry of the message, within 10 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_msg_id: Option<String>,
    /// The team's id of the user who is the recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The openid of this user, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    touser: Option<String>,
    /// The value of the header `Allow`.
    #[serde(skip)]
    allow: Option<String>,
    /// Replaces `detail` and `hint` for an unknown caller, when these name addresses, roles or tables.
    #[serde(skip)]
    public: Option<Public>,
    /// Every fault of the body, at most 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
    /// All findings about a template message that does not fit its template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// What anybody may see of a problem.
#[derive(Clone, Debug)]
struct Public {
    detail: String,
    hint: Option<String>,
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Members {
            kind: kind.urn,
            title: kind.title,
            status: kind.status,
            detail: detail.into(),
            errcode: None,
            errmsg: None,
            rid: None,
            field: None,
            pointer: None,
            hint: None,
            retry_after: None,
            may_have_been_sent: None,
            client_msg_id: None,
            user: None,
            touser: None,
            allow: None,
            public: None,
            faults: Vec::new(),
            findings: Vec::new(),
        }))
    }

    /// 400: the request cannot be used as it is.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(BAD_REQUEST, detail)
    }

    /// 400: the body has `faults`. `field`, `pointer` and `detail` describe the first one.
    #[must_use]
    pub fn faulty_request(faults: Vec<Fault>) -> Self {
        let detail = faults.first().map(Fault::sentence).unwrap_or_default();
        let field = faults.first().and_then(|fault| fault.field.clone());
        let mut problem = Self::bad_request(detail).with_faults(faults);
        problem.0.field = field;
        problem
    }

    /// 400: the message does not fit its template. `field`, `pointer` and `detail` describe the first finding, `findings` has
    /// all of them, warnings included, and `errcode` is the one with which WeChat would refuse.
    #[must_use]
    pub fn template_mismatch(findings: Vec<Finding>) -> Self {
        let detail = findings.first().map(ToString::to_string).unwrap_or_default();
        let field = findings.first().map(|finding| finding.field.clone());
        let pointer = findings.first().map(|finding| finding.pointer.clone());
        let errcode = findings.iter().find_map(|finding| finding.errcode);
        let hint = if errcode == Some(NO_SUCH_TEMPLATE) {
            "Use a template_id that GET /api/templates lists. / 请使用 GET /api/templates 列出的 template_id。"
        } else {
            "Correct the request, or send all the same with \"validate\": \"warn\", as for a test account (测试号), whose templates are \
             free-form. GET /api/templates lists the templates. \
             / 请修改请求，或加上 \"validate\": \"warn\" 照常发送（测试号的模板不限格式）；模板见 GET /api/templates。"
        };
        let mut problem = Self::new(TEMPLATE_MISMATCH, detail)
            .with_findings(findings)
            .with_hint(hint);
        problem.0.field = field;
        problem.0.pointer = pointer;
        problem.0.errcode = errcode;
        problem
    }

    /// 401: no key, or a wrong one. `has_keys` is whether `API_KEYS` is set.
    #[must_use]
    pub fn unauthorized(has_keys: bool) -> Self {
        if !has_keys {
            let detail = "API_KEYS is not set, and this is not a key of /api/keys \
                          / 未设置 API_KEYS，且请求未携带 /api/keys 中的有效密钥";
            return Self::new(UNAUTHORIZED, detail).with_hint(
                "Set API_KEYS in the secret that WECHAT_SECRET_ID names, or in the function's environment. \
                 / 请在 WECHAT_SECRET_ID 指向的密钥或函数的环境变量中设置 API_KEYS。",
            );
        }
        let detail = "send one of API_KEYS, or a key made by POST /api/keys, as \"Authorization: Bearer KEY\" \
                      / 请携带 API_KEYS 之一或由 POST /api/keys 创建的密钥：Authorization: Bearer KEY";
        Self::new(UNAUTHORIZED, detail)
    }

    /// 403: the caller may not do this.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(FORBIDDEN, detail)
    }

    /// 403: the caller has none of the scopes `needed`.
    #[must_use]
    pub fn missing_scope(needed: &[Scope]) -> Self {
        let names: Vec<_> = needed.iter().map(|scope| scope.as_str()).collect();
        let (names, named) = (names.join(" or "), names.join(" 或 "));
        Self::forbidden(format!("the key lacks the scope {names} / 该密钥没有 {named} 权限")).with_hint(
            "Use a key with that scope, or make one by POST /api/keys. / 请使用具有该权限的密钥，或通过 POST /api/keys 创建。",
        )
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(NOT_FOUND, detail)
    }

    /// 404: no openid is bound to the user.
    #[must_use]
    pub fn unknown_user() -> Self {
        let detail = "no openid is bound to this user / 该用户未绑定 openid";
        Self::new(UNKNOWN_USER, detail).with_hint(
            "Bind the user: POST /api/bindings makes a QR code and a link for that, PUT /api/users/{user} takes an openid that \
             you know. / 请先绑定该用户：POST /api/bindings 生成绑定二维码与链接，已知 openid 时用 PUT /api/users/{user} 写入。",
        )
    }

    /// 400: the user has unfollowed the account. WeChat was not asked: it refuses such recipients with 43004.
    #[must_use]
    pub fn not_a_follower() -> Self {
        let detail = "this user has unfollowed the account, so WeChat was not asked / 该用户已取消关注，未请求微信";
        let mut problem = Self::new(NOT_A_FOLLOWER, detail).with_hint(
            "Nothing reaches this user until they follow the account again. \
             / 该用户重新关注公众号之前，任何消息都无法送达。",
        );
        problem.0.errcode = Some(errcode::NOT_A_FOLLOWER);
        problem
    }

    /// 405: the path serves only the methods `allowed`.
    #[must_use]
    pub fn method_not_allowed(allowed: &[&str]) -> Self {
        let allow = allowed.join(", ");
        let detail = format!("this path takes {allow} / 该路径只支持 {allow}");
        let mut problem = Self::new(METHOD_NOT_ALLOWED, detail);
        problem.0.allow = Some(allow);
        problem
    }

    /// 409: another request is doing the same, for at most `retry_after` seconds.
    #[must_use]
    pub fn in_progress(detail: impl Into<String>, retry_after: u64) -> Self {
        Self::new(IN_PROGRESS, detail).with_retry_after(retry_after)
    }

    /// 409: the current state of the target does not allow the request.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(CONFLICT, detail)
    }

    /// 409: the limit is reached.
    #[must_use]
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(TOO_MANY, detail)
    }

    /// 412: the content has changed since the caller read it.
    #[must_use]
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(CHANGED, detail)
    }

    /// 413: the body is larger than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body has more than {limit} bytes / 请求体超过 {limit} 字节");
        Self::new(TOO_LARGE, detail)
    }

    /// 422: the `Idempotency-Key` was used with another body.
    #[must_use]
    pub fn key_reused() -> Self {
        let detail = "this Idempotency-Key was used with another body: use a new key for a new message \
                      / 该 Idempotency-Key 已用于不同的请求体，请为新消息使用新的键";
        Self::new(KEY_REUSED, detail)
    }

    /// 503: too much is asked for at once. The caller may ask again after `retry_after` seconds.
    #[must_use]
    pub fn busy(detail: impl Into<String>, retry_after: u64) -> Self {
        Self::new(BUSY, detail).with_retry_after(retry_after)
    }

    /// 503: the set-up is wrong.
    #[must_use]
    pub fn set_up(detail: impl Into<String>) -> Self {
        Self::new(SET_UP, detail)
    }

    /// 503: the configuration is missing or invalid. Unauthorized callers see this too, so it reveals nothing private.
    #[must_use]
    pub fn not_configured(error: &ConfigError) -> Self {
        let hint = if error.awaits_secret() && !error.has_malformed_secret() {
            "Check WECHAT_SECRET_ID, that the function's role allows secretsmanager:GetSecretValue on that secret (and \
             kms:Decrypt with a key of your own), and the way to Secrets Manager: NAT or a VPC endpoint. The log says more. \
             / 请检查 WECHAT_SECRET_ID、函数角色的 secretsmanager:GetSecretValue 权限（自有密钥加密时还需 kms:Decrypt）， \
             以及到 Secrets Manager 的网络（NAT 或 VPC 端点），详见函数日志。"
        } else {
            "Mend the secret that WECHAT_SECRET_ID names, as said here; it is read again within 10 s. \
             / 请按以上说明修正 WECHAT_SECRET_ID 指向的密钥，函数会在 10 秒内重新读取。"
        };
        Self::set_up(error.public()).with_hint(hint)
    }

    /// 504: a service behind this function did not answer in time.
    #[must_use]
    pub fn timeout(detail: impl Into<String>) -> Self {
        Self::new(TIMEOUT, detail)
    }

    /// 504: WeChat was not asked, because the invocation is about to end.
    #[must_use]
    pub fn not_sent() -> Self {
        let detail =
            "not sent, since this invocation is about to end: WeChat was not asked / 本次调用即将超时，尚未发送";
        Self::new(NOT_SENT, detail).with_hint("Send it again. / 请重新发送。")
    }

    /// 504: WeChat may have accepted the message, although the last attempt failed with `last`. Has no `Retry-After` and no
    /// errcode, because a program that acts on either would send the message again.
    #[must_use]
    pub fn may_have_been_sent(client_msg_id: &str, last: &Self) -> Self {
        let detail = caused(
            "WeChat may have taken the message: no clear answer came to the first attempt. The last one",
            "微信可能已受理该消息：首次请求未得到明确应答。最后一次",
            last.detail(),
        );
        Self::new(MAY_HAVE_BEEN_SENT, detail)
            .of_message(client_msg_id)
            .with_hint(
                "Within 9 minutes of the first request a retry sends no second message: the same request with the same \
             Idempotency-Key, or with this client_msg_id. \
             / 自首次请求起 9 分钟内重试不会重复发送：使用相同的 Idempotency-Key，或在请求中带上此 client_msg_id。",
            )
    }

    /// 504: WeChat may have accepted the message, and cannot recognise a retry of it. `why` is a sentence in English and
    /// Chinese. Has no `Retry-After` and no errcode, as [`Self::may_have_been_sent`].
    #[must_use]
    pub fn may_have_been_sent_once(why: &str) -> Self {
        let detail = caused("WeChat may have taken the message", "微信可能已受理该消息", why);
        let mut problem = Self::new(MAY_HAVE_BEEN_SENT, detail).with_hint(
            "WeChat does not recognise a retry of a customer-service message, so it is never retried, and a request with the same \
             Idempotency-Key gets this answer again. Check whether it has arrived; if not, send it with a new Idempotency-Key. \
             / 微信无法识别重复的客服消息，因此不会自动重发；相同 Idempotency-Key 的请求会再次得到此应答。请先确认用户是否已收到，未收到再换\
             新的 Idempotency-Key 重发。",
        );
        problem.0.may_have_been_sent = Some(true);
        problem
    }

    /// 504: WeChat may have accepted the message, and it is too late for a safe retry.
    #[must_use]
    pub fn outcome_unknown(client_msg_id: &str) -> Self {
        let detail = "an earlier request with this Idempotency-Key ended without an answer from WeChat, too long ago to \
                      retry it without the risk of a second message / 该幂等键的上一次请求结果未知，且已超过微信的去重时限";
        let hint = "Ask the recipient, then send with a new Idempotency-Key if no message arrived. \
                    / 请先确认用户是否已收到，未收到再换新的 Idempotency-Key 重发。";
        Self::new(MAY_HAVE_BEEN_SENT, detail)
            .of_message(client_msg_id)
            .with_hint(hint)
    }

    /// Sets the text that an unknown caller sees instead of `detail` and `hint`.
    fn with_public(mut self, detail: impl Into<String>, hint: Option<String>) -> Self {
        let detail = detail.into();
        self.0.public = Some(Public { detail, hint });
        self
    }

    /// Hides `detail` and `hint` from unknown callers, since they name what is behind the bundle. A problem that already has
    /// a public text keeps it.
    fn for_operators(self) -> Self {
        if self.0.public.is_some() {
            return self;
        }
        self.with_public(
            "a service behind this one cannot be used: the function's log says why / 后端服务不可用，原因见函数日志",
            None,
        )
    }

    /// Returns what an unknown caller may see: status, errcode and its meaning. The address to whitelist, WeChat's errmsg,
    /// and the names of roles and tables are logged instead.
    #[must_use]
    pub fn public(mut self) -> Self {
        if let Some(Public { detail, hint }) = self.0.public.take() {
            tracing::warn!(
                error = self.0.detail,
                hint = self.0.hint,
                errcode = self.0.errcode,
                errmsg = self.0.errmsg,
                "hidden from an unknown caller / 未向未知调用方显示的详情"
            );
            self.0.detail = detail;
            self.0.hint = hint;
            self.0.errmsg = None;
            self.0.rid = None;
            self.0.field = None;
        }
        self
    }

    fn of_message(mut self, client_msg_id: &str) -> Self {
        self.0.may_have_been_sent = Some(true);
        self.0.client_msg_id = Some(client_msg_id.to_owned());
        self
    }

    /// Sets `user` and `touser`: the recipient, a user, and the openid, where it is known.
    #[must_use]
    pub fn of_user(mut self, user: String, touser: Option<String>) -> Self {
        self.0.user = Some(user);
        self.0.touser = touser;
        self
    }

    /// Sets `field`, the faulty member of the request.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Blames the caller's member `field`: sets `field` and the status 400.
    #[must_use]
    pub fn blaming(mut self, field: impl Into<String>) -> Self {
        self.0.status = 400;
        self.with_field(field)
    }

    /// Asks the caller to wait for `seconds` at least.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = self.0.retry_after.max(Some(seconds));
        self
    }

    /// Sets `hint`: what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Appends `more` to `hint`.
    #[must_use]
    pub fn and_hint(self, more: &str) -> Self {
        let hint = self
            .hint()
            .map_or_else(|| more.to_owned(), |hint| format!("{hint} {more}"));
        self.with_hint(hint)
    }

    /// Sets `findings`.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.0.findings = findings;
        self
    }

    /// Sets `faults`, and `pointer` to the first one.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.0.pointer = faults.first().map(|fault| fault.pointer.clone());
        self.0.faults = faults;
        self
    }

    /// Returns `detail`: what went wrong.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.0.status
    }

    /// Returns the errcode with which WeChat refused or would have refused.
    #[must_use]
    pub fn errcode(&self) -> Option<i64> {
        self.0.errcode
    }

    /// Returns WeChat's errmsg.
    #[must_use]
    pub fn errmsg(&self) -> Option<&str> {
        self.0.errmsg.as_deref()
    }

    /// Makes this a failure of the bundle, for a caller who is not at fault: without WeChat's code, on which an SDK would act, and
    /// with a status of 500 or more.
    #[must_use]
    pub fn not_the_callers(mut self) -> Self {
        if let Some(errcode) = self.0.errcode.take() {
            self.0.detail = format!("errcode {errcode}: {}", self.0.detail);
        }
        self.0.errmsg = None;
        self.0.field = None;
        if self.0.status < 500 {
            self.0.status = SET_UP.status;
        }
        self
    }

    /// Whether both are the same kind of failure, so that one can represent both.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        (self.0.kind, self.0.status, self.0.errcode) == (other.0.kind, other.0.status, other.0.errcode)
    }

    /// Returns `hint`: what to do.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Converts to the HTTP answer, with its headers.
    #[must_use]
    pub fn into_response(self) -> Response<String> {
        let (status, retry_after) = (self.0.status, self.0.retry_after);
        let allow = self
            .0
            .allow
            .as_deref()
            .and_then(|methods| HeaderValue::from_str(methods).ok());
        let mut response = respond(status, "application/problem+json", wechat::json::write(&self));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(methods) = allow {
            response.headers_mut().insert(header::ALLOW, methods);
        }
        if status == 401 {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
