//! The answers: WeChat's own as they came, refusals in WeChat's form, and failures of the bundle.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_api::{Problem, response};
use serde_json::{Value, json};
use wechat::{
    api::{ApiError, RawAnswer},
    errcode::{DEAD_TOKEN, NOT_WHITELISTED, WRONG_SECRET, is_about_the_whitelist},
    token::CallError,
};

use crate::log::CallLog;

/// Bytes. The longest answer that fits into the 6 MB of a Lambda function's answer, in base64.
const LONGEST_IN_LAMBDA: usize = 4_500_000;

/// Keeps a browser from running an answer as a page, on the origin that the console has too, and caches from keeping a token.
const INERT: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// A successful answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// JSON of the bundle's own.
    Own(Value),
    /// WeChat's answer.
    WeChats(Box<RawAnswer>),
}

/// Why a call is refused or fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller is refused, as WeChat does it: HTTP 200 and an errcode.
    Refused { errcode: i64, errmsg: String },
    /// The bundle or WeChat cannot answer, or the request's body did not arrive. The status is the errcode too, a number
    /// that WeChat does not use: many SDKs read only the errcode, and without one would take a lost answer for a success.
    Outage { status: u16, errmsg: String },
}

impl Failure {
    pub(crate) fn refused(errcode: i64, errmsg: impl Into<String>) -> Self {
        let errmsg = errmsg.into();
        Self::Refused { errcode, errmsg }
    }

    /// Whether the reason is a key or a token that is unknown here.
    pub(crate) const fn is_unknown_key(&self) -> bool {
        matches!(self.errcode(), DEAD_TOKEN | WRONG_SECRET)
    }

    const fn errcode(&self) -> i64 {
        match self {
            Self::Refused { errcode, .. } => *errcode,
            Self::Outage { status, .. } => *status as i64,
        }
    }

    /// Adds that WeChat may have carried out the call: it has the call, and its answer is lost.
    fn of_a_call_made(mut self) -> Self {
        if let Self::Outage { errmsg, .. } = &mut self {
            errmsg.push_str(
                ". The call may have been carried out: look before you repeat it / 该次调用可能已经生效，重试之前请先查询",
            );
        }
        self
    }

    pub(crate) fn into_response(self) -> Response<String> {
        let errcode = self.errcode();
        let (status, errmsg) = match self {
            Self::Refused { errmsg, .. } => (200, errmsg),
            Self::Outage { status, errmsg } => (status, errmsg),
        };
        response::json(status, &json!({"errcode": errcode, "errmsg": errmsg}))
    }
}

impl From<Problem> for Failure {
    /// Passes on one errcode that WeChat gives the bundle: 40164, whose message names the address to put on the whitelist.
    /// At any other an SDK would renew its token, or look for the fault in its own settings.
    fn from(problem: Problem) -> Self {
        let is_denied = problem.errcode().is_some_and(is_about_the_whitelist);
        if let Some(errmsg) = problem.errmsg().filter(|_| is_denied) {
            return Self::refused(NOT_WHITELISTED, errmsg);
        }
        let problem = problem.not_the_callers();
        let hint = problem.hint().map(|hint| format!(". {hint}")).unwrap_or_default();
        Self::Outage {
            status: problem.status(),
            errmsg: format!("{}{hint}", problem.detail()),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let may_have_landed = error.may_have_landed;
        let failure = Self::from(Problem::from(error));
        if may_have_landed {
            failure.of_a_call_made()
        } else {
            failure
        }
    }
}

/// The body of an answer, read in chunks. The call is logged when it is dropped.
#[derive(Debug)]
pub struct Body {
    source: Source,
    log: CallLog,
}

#[derive(Debug)]
enum Source {
    Whole(Vec<u8>),
    WeChats(Box<RawAnswer>),
}

impl Body {
    /// Whether the next chunk is the last.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        match &self.source {
            Source::Whole(_) => true,
            Source::WeChats(answer) => answer.is_whole(),
        }
    }

    /// Returns the next chunk, `None` after the last.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat's answer breaks off, or does not end in time.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let chunk = match &mut self.source {
            Source::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Source::WeChats(answer) => {
                let chunk = answer.chunk().await;
                if let Err(error) = &chunk {
                    self.log.errcode = Some(Problem::from_api(error, 0).status().into());
                }
                chunk?
            }
        };
        self.log.response_bytes += chunk.as_ref().map_or(0, Vec::len);
        Ok(chunk)
    }
}

/// Creates the answer to a call. Its body logs the call when it is dropped.
pub(crate) fn respond(answer: Result<Answer, Failure>, mut log: CallLog) -> Response<Body> {
    let (status, headers, source) = match answer {
        Ok(Answer::WeChats(answer)) => {
            log.errcode = answer.errcode;
            (answer.status, answer.headers.clone(), Source::WeChats(answer))
        }
        Ok(Answer::Own(json)) => {
            log.errcode = Some(0);
            parts(response::json(200, &json))
        }
        Err(failure) => {
            log.errcode = Some(failure.errcode());
            parts(failure.into_response())
        }
    };
    log.status = status.as_u16();
    let mut response = Response::new(Body { source, log });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().extend(INERT);
    response
}

fn parts(response: Response<String>) -> (StatusCode, HeaderMap, Source) {
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, Source::Whole(body.into_bytes()))
}

/// Reads the whole body, for a platform that cannot stream. An answer that is too long, breaks off or does not end is 502 or
/// 504.
pub(crate) async fn collected(response: Response<Body>) -> Response<Vec<u8>> {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let problem = loop {
        match body.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > LONGEST_IN_LAMBDA => break too_long(),
            Ok(Some(chunk)) if bytes.is_empty() => bytes = chunk,
            Ok(Some(chunk)) => bytes.extend(chunk),
            Ok(None) => return Response::from_parts(parts, bytes),
            Err(error) => break Problem::from_api(&error, 0),
        }
    };
    let failure = Failure::from(problem).of_a_call_made();
    body.log.errcode = Some(failure.errcode());
    let response = failure.into_response();
    body.log.status = response.status().as_u16();
    response.map(String::into_bytes)
}

fn too_long() -> Problem {
    Problem::bad_answer(format!(
        "WeChat's answer has more than {LONGEST_IN_LAMBDA} bytes, which AWS Lambda cannot answer with \
         / 微信的应答超过 {LONGEST_IN_LAMBDA} 字节，AWS Lambda 无法返回"
    ))
    .with_hint(
        "Ask for less at once, or run the relay on one machine (cargo run -p local), which has no such limit. \
         / 请减少单次请求的数据量，或在单机上运行（cargo run -p local），单机没有此限制。",
    )
}
