//! Problems from calls with a token.

use wechat::{
    api::Rejection,
    errcode,
    token::{CallError, CallFailure, RefreshRequestError, TokenError},
};

use super::Problem;

/// WeChat's errcode for an access_token that it refuses.
const DEAD_TOKEN: i64 = 40001;

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self::from(&error)
    }
}

impl From<&CallError> for Problem {
    fn from(error: &CallError) -> Self {
        match &error.cause {
            CallFailure::Api(cause) => Self::from_api(cause, error.at),
            CallFailure::Token(cause) => Self::from_token(cause, error.at),
        }
    }
}

impl Problem {
    /// Creates the problem of a missing token. `now` is in epoch seconds.
    #[must_use]
    pub fn from_token(error: &TokenError, now: i64) -> Self {
        match error {
            TokenError::Store(error) => error.into(),
            TokenError::Refused(rejection) => Self::from_rejection(rejection, now),
            TokenError::Request(RefreshRequestError::Failed {
                errcode: Some(errcode),
                message,
            }) => Self::from_rejection(&Rejection::at_token_endpoint(*errcode, message.as_str()), now),
            TokenError::Request(RefreshRequestError::ForcedTooOften { retry_after, .. }) => {
                let entry = errcode::lookup(DEAD_TOKEN);
                let remedy = format!("{} / {}", entry.remedy_english, entry.remedy_chinese);
                let mut problem = Self::set_up(error.to_string()).with_hint(remedy);
                problem.0.errcode = Some(DEAD_TOKEN);
                problem.0.retry_after = Some(*retry_after);
                problem
            }
            TokenError::Request(RefreshRequestError::Timeout | RefreshRequestError::NoAnswer(_)) => {
                Self::timeout(error.to_string())
            }
            TokenError::Request(RefreshRequestError::Lost(_)) => Self::timeout(error.to_string()).with_hint(
                "Ask again; if it stays so, check TOKEN_REFRESHER_FUNCTION, AWS_REGION and the way to AWS Lambda. \
                 / 请稍后重试；若一直如此，请检查 TOKEN_REFRESHER_FUNCTION、AWS_REGION 以及到 AWS Lambda 的网络。",
            ),
            TokenError::Request(RefreshRequestError::BadAnswer(_)) => Self::bad_answer(error.to_string()),
            error => Self::set_up(error.to_string()).with_hint(
                "Look at the log of token-refresher, or ask GET /api/doctor. \
                 / 请查看 token-refresher 的日志，或访问 GET /api/doctor。",
            ),
        }
    }
}
