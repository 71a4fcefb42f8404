//! Why a call to WeChat failed, and whether it may have taken effect.

use super::answer::Rejection;
use crate::{
    errcode::{self, Retry},
    error_chain::chain,
};

/// Characters. A longer errmsg is cut. WeChat's have up to 200.
const ERRMSG_LIMIT: usize = 1_000;

/// Why a call failed. Never holds the URL or the body.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// WeChat answered with an errcode.
    #[error("{operation}: {rejection}")]
    Rejected {
        /// The path that was called.
        operation: &'static str,
        /// The refusal.
        rejection: Rejection,
        /// Attempts made.
        calls: u8,
        /// Whether an earlier attempt may have taken effect, which the refusal of a retry does not rule out.
        after_ambiguous: bool,
    },
    /// WeChat did not answer in time. The call may have taken effect.
    #[error("{operation}: WeChat did not answer in time / 微信未在限定时间内应答")]
    Timeout {
        /// The path that was called.
        operation: &'static str,
    },
    /// There was no connection, so the call had no effect.
    #[error("{operation}: no connection to WeChat ({cause}) / 无法连接微信服务器（{cause}）")]
    Connection {
        /// The path that was called.
        operation: &'static str,
        /// The texts of the transport's error chain, without the URL.
        cause: String,
    },
    /// The connection broke before the answer. The call may have taken effect.
    #[error(
        "{operation}: the connection broke before WeChat's answer came ({cause}) / 连接在收到微信应答之前中断（{cause}）"
    )]
    Interrupted {
        /// The path that was called.
        operation: &'static str,
        /// The texts of the transport's error chain, without the URL.
        cause: String,
    },
    /// An HTTP status that WeChat does not use. Most likely a proxy answered.
    #[error("{operation}: HTTP status {status} instead of WeChat's answer / 返回了 HTTP {status}，并非微信的应答")]
    Status {
        /// The path that was called.
        operation: &'static str,
        /// The status.
        status: u16,
    },
    /// An answer that is not JSON, is cut off, or lacks a member that WeChat always sends.
    #[error("{operation}: an answer that is not WeChat's ({detail}) / 应答不是微信的格式（{detail}）")]
    Unreadable {
        /// The path that was called.
        operation: &'static str,
        /// What is wrong with the answer. Never quotes it.
        detail: String,
    },
    /// The invocation ends too soon: the call was not made.
    #[error("{operation}: not called, since this invocation is about to end / 本次调用即将超时，未发起请求")]
    OutOfTime {
        /// The path that was not called.
        operation: &'static str,
    },
}

impl ApiError {
    /// Returns WeChat's errcode, if WeChat refused.
    #[must_use]
    pub const fn errcode(&self) -> Option<i64> {
        match self {
            Self::Rejected { rejection, .. } => Some(rejection.errcode),
            _ => None,
        }
    }

    /// Whether WeChat refused the access_token, so that the call may succeed with another one.
    #[must_use]
    pub fn is_dead_token(&self) -> bool {
        self.errcode().is_some_and(errcode::is_dead_token)
    }

    /// Returns the attempts made; 1 unless WeChat refused.
    #[must_use]
    pub const fn calls(&self) -> u8 {
        match self {
            Self::Rejected { calls, .. } => *calls,
            _ => 1,
        }
    }

    /// Masks `secrets` in the errmsg and replaces control characters: a relay may echo the request, and a line break could
    /// forge a log line.
    pub(super) fn without(mut self, secrets: &[&str]) -> Self {
        if let Self::Rejected { rejection, .. } = &mut self {
            for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
                let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                rejection.errmsg = rejection.errmsg.replace(secret, "***").replace(&encoded, "***");
            }
            rejection.errmsg = rejection.errmsg.replace(char::is_control, " ");
            // Cut last: the masking would miss a secret that was cut in two.
            let end = rejection.errmsg.char_indices().nth(ERRMSG_LIMIT);
            rejection
                .errmsg
                .truncate(end.map_or(rejection.errmsg.len(), |(end, _)| end));
        }
        self
    }

    /// Marks this as the failure of attempt number `attempt`. `earlier_ambiguous`: an earlier one may have taken effect.
    pub(super) fn after(mut self, attempt: u8, earlier_ambiguous: bool) -> Self {
        if let Self::Rejected {
            calls, after_ambiguous, ..
        } = &mut self
        {
            *calls = attempt;
            *after_ambiguous = earlier_ambiguous;
        }
        self
    }

    /// Whether any attempt may have taken effect although the call failed.
    #[must_use]
    pub const fn may_have_landed(&self) -> bool {
        let after_ambiguous = matches!(
            self,
            Self::Rejected {
                after_ambiguous: true,
                ..
            }
        );
        after_ambiguous || self.is_ambiguous()
    }

    /// Whether the last attempt may have taken effect although it failed.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        match self {
            // System errors of WeChat and of its customer service.
            Self::Rejected { rejection, .. } => matches!(rejection.errcode, -1 | 61450),
            Self::Timeout { .. } | Self::Interrupted { .. } | Self::Status { .. } | Self::Unreadable { .. } => true,
            Self::Connection { .. } | Self::OutOfTime { .. } => false,
        }
    }

    /// Whether a retry may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Rejected { rejection, .. } => matches!(rejection.entry().retry, Retry::BackOff),
            Self::Connection { .. } | Self::Interrupted { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// Returns the failure to report after a retry: WeChat's refusal, else one that leaves open whether the call took effect.
pub(super) fn worse(earlier: ApiError, later: ApiError) -> ApiError {
    let is_verdict = matches!(later, ApiError::Rejected { .. });
    if earlier.is_ambiguous() && !later.is_ambiguous() && !is_verdict {
        earlier
    } else {
        later
    }
}

pub(super) fn transport_error(operation: &'static str, error: reqwest::Error) -> ApiError {
    let error = error.without_url();
    // reqwest calls a slow connection a timeout too, but then the request was not sent.
    if error.is_timeout() && !error.is_connect() {
        return ApiError::Timeout { operation };
    }
    let cause = chain(&error);
    if error.is_connect() {
        ApiError::Connection { operation, cause }
    } else {
        ApiError::Interrupted { operation, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::client::Request, *};

    #[test]
    fn an_echoed_request_shows_no_secret_and_forges_no_line() {
        let body = serde_json::json!({"appid": "wx1", "secret": "s3cr+t"});
        let request = Request {
            operation: "/cgi-bin/stable_token",
            issues_tokens: true,
            query: &[("access_token", "t0k/en"), ("code", "c0de"), ("lang", "zh")],
            body: Some(body),
        };
        let echo = "bad request ?access_token=t0k%2Fen {\"secret\":\"s3cr+t\"} t0k/en c0de zh\n2026 ERROR forged";
        let error = ApiError::Rejected {
            operation: request.operation,
            rejection: Rejection {
                errcode: 40001,
                errmsg: echo.to_owned(),
                at_token_endpoint: true,
            },
            calls: 1,
            after_ambiguous: false,
        };
        let shown = format!("{0} {0:?}", error.without(&request.secrets()));
        for secret in ["s3cr+t", "t0k/en", "c0de", "t0k%2Fen", "\n2026"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(shown.contains(" zh "), "other words stay: {shown}");
    }

    #[test]
    fn a_long_answer_is_cut_and_never_in_a_secret() {
        let error = ApiError::Rejected {
            operation: "/cgi-bin/x",
            rejection: Rejection {
                errcode: 1,
                errmsg: format!("{}0123456789abcdef", "长".repeat(ERRMSG_LIMIT - 8)),
                at_token_endpoint: false,
            },
            calls: 1,
            after_ambiguous: false,
        };
        let shown = error.without(&["0123456789abcdef"]).to_string();
        assert!(shown.contains("长***)") && !shown.contains("0123"), "{shown}");
    }
}
