//! Turning the result of a call into an HTTP answer, with the fault that is due on it.

use std::borrow::Cow;

use axum::body::Bytes;

use super::Reply;
use crate::platform::{Platform, call::Call, errcode::ApiError, faults::Fault, media::File};

/// One in this many successful answers is `text/plain`: a client must not judge by the content type.
const TEXT_EVERY: u64 = 4;

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Cow<'static, str>,
    /// The `Content-Disposition` of a file.
    pub(crate) content_disposition: Option<String>,
    pub(crate) body: Bytes,
    errcode: Option<i64>,
}

/// Answers a call and logs it. Delay and drop of the returned fault are left to the caller.
pub(crate) fn serve(platform: &mut Platform, call: &Call<'_>) -> (Answer, Option<Fault>) {
    let fault = platform.faults.take(call.path);
    let mut answer = match fault.as_ref().and_then(|fault| faulty_answer(platform, fault, call)) {
        Some(answer) => answer,
        None => {
            let result = super::answer(platform, call);
            render(platform, call, result)
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
        let body = String::from_utf8_lossy(&answer.body);
        platform.calls.record_refused(call, now, &body);
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
        render(platform, call, Err(error))
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
fn render(platform: &mut Platform, call: &Call<'_>, result: Result<Reply, ApiError>) -> Answer {
    let (json, errcode) = match result {
        Ok(Reply::File(file)) => return download(file),
        Ok(Reply::Json(json)) => (json, 0),
        Err(error) => (error.to_json(&rid(platform)), error.errcode),
    };
    platform.answered += 1;
    let is_text = errcode != 0 || platform.answered.is_multiple_of(TEXT_EVERY);
    let content_type = match is_text {
        false => "application/json; encoding=utf-8",
        // SDKs tell a refused download from a file by the whole header.
        true if super::is_download(call.path) => "text/plain",
        true => "text/plain; charset=utf-8",
    };
    Answer {
        status: 200,
        content_type: content_type.into(),
        content_disposition: None,
        body: json.to_string().into(),
        errcode: Some(errcode),
    }
}

/// Answers with the bytes of a file.
fn download(file: File) -> Answer {
    Answer {
        status: 200,
        content_type: file.content_type.into(),
        content_disposition: Some(format!("attachment; filename=\"{}\"", file.name)),
        body: file.bytes,
        errcode: None,
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
        let middle = answer.body.len() / 2;
        let text = str::from_utf8(&answer.body);
        let middle = text.map_or(middle, |text| text.floor_char_boundary(middle));
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
        content_disposition: None,
        body: body.into(),
        errcode: None,
    }
}
