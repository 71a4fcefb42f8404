//! Turning the result of a call into an HTTP answer, with the fault that is due on it.

use std::borrow::Cow;

use serde_json::Value;

use crate::platform::{Platform, call::Call, errcode::ApiError, faults::Fault};

/// One in this many successful answers is `text/plain`: a client must not judge by the content type.
const TEXT_EVERY: u64 = 4;

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Cow<'static, str>,
    pub(crate) body: String,
    errcode: Option<i64>,
}

/// Answers a call and logs it. Delay and drop of the returned fault are left to the caller.
pub(crate) fn serve(platform: &mut Platform, call: &Call<'_>) -> (Answer, Option<Fault>) {
    let fault = platform.faults.take(call.path);
    let mut answer = match fault.as_ref().and_then(|fault| faulty_answer(platform, fault, call)) {
        Some(answer) => answer,
        None => {
            let result = super::answer(platform, call);
            render(platform, result)
        }
    };
    if let Some(fault) = &fault {
        distort(&mut answer, fault);
    }
    let is_dropped = fault.as_ref().is_some_and(|fault| fault.drop);
    let (status, errcode) = if is_dropped {
        (None, None)
    } else {
        (Some(answer.status), answer.errcode)
    };
    let now = platform.clock.now();
    platform.calls.record(call, now, status, errcode);
    if errcode.is_some_and(|errcode| errcode != 0) {
        platform.calls.record_refused(call, now, &answer.body);
    }
    (answer, fault)
}

/// The answer that a fault gives in place of the API.
fn faulty_answer(platform: &mut Platform, fault: &Fault, call: &Call<'_>) -> Option<Answer> {
    let mut answer = if let Some(errcode) = fault.errcode {
        let error = match &fault.errmsg {
            Some(errmsg) => ApiError::new(errcode, errmsg.as_str()),
            None if errcode == 40164 => ApiError::not_whitelisted(call.peer),
            None => ApiError::of(errcode),
        };
        render(platform, Err(error))
    } else if let Some(body) = &fault.body {
        html(200, body.clone())
    } else {
        let status = fault.http_status?;
        html(status, format!("<html><body><h1>{status}</h1></body></html>"))
    };
    answer.status = fault.http_status.unwrap_or(answer.status);
    Some(answer)
}

/// Renders a result as HTTP 200: errors as `text/plain`, and some of the other answers too.
fn render(platform: &mut Platform, result: Result<Value, ApiError>) -> Answer {
    let (json, errcode) = match result {
        Ok(json) => (json, 0),
        Err(error) => (error.to_json(&rid(platform)), error.errcode),
    };
    platform.answered += 1;
    let is_text = errcode != 0 || platform.answered.is_multiple_of(TEXT_EVERY);
    let content_type = if is_text {
        "text/plain"
    } else {
        "application/json; encoding=utf-8"
    };
    Answer {
        status: 200,
        content_type: content_type.into(),
        body: json.to_string(),
        errcode: Some(errcode),
    }
}

/// The id of a request; it begins with the time in hex.
fn rid(platform: &mut Platform) -> String {
    let random = &mut platform.random;
    format!("{:08x}-{}-{}", platform.clock.now(), random.hex(8), random.hex(8))
}

/// Applies a fault to an answer that the platform has given.
fn distort(answer: &mut Answer, fault: &Fault) {
    if fault.truncated {
        let middle = answer.body.floor_char_boundary(answer.body.len() / 2);
        answer.body.truncate(middle);
        answer.errcode = None;
    }
    if let Some(content_type) = &fault.content_type {
        answer.content_type = content_type.clone().into();
    }
}

fn html(status: u16, body: String) -> Answer {
    Answer {
        status,
        content_type: "text/html".into(),
        body,
        errcode: None,
    }
}
