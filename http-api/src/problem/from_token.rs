//! Problems from calls with a token.

use wechat::{
    api::Rejection,
    errcode::{self, DEAD_TOKEN},
    jssdk::TicketError,
    token::{CallError, CallFailure, RefreshRequestError, TokenError},
};

use super::Problem;

/// The errcodes for a mini program that does not exist or is not linked to the account.
const NO_SUCH_APPID: [i64; 2] = [40013, 40166];
/// The errcode for a page that the mini program does not have.
const NO_SUCH_PAGE: i64 = 40165;

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
        Self::from_search(error, error.to_string(), now)
    }

    /// Creates the problem of a missing jsapi_ticket. `now` is in epoch seconds.
    #[must_use]
    pub fn from_ticket(error: &TicketError, now: i64) -> Self {
        Self::from_search(&error.0, error.to_string(), now)
    }

    /// Blames the caller's member `name`, a mini program, when `error` is WeChat's refusal of one: its errcodes otherwise blame the
    /// set-up.
    #[must_use]
    pub fn blaming_mini_program(self, error: &CallError, name: &str) -> Self {
        let errcode = match &error.cause {
            CallFailure::Api(error) => error.errcode(),
            CallFailure::Token(_) => None,
        };
        match errcode {
            Some(errcode) if NO_SUCH_APPID.contains(&errcode) => self.blaming(format!("{name}.appid")),
            Some(NO_SUCH_PAGE) => self.blaming(format!("{name}.pagepath")),
            _ => self,
        }
    }

    fn from_search(error: &TokenError, detail: String, now: i64) -> Self {
        let problem = match error {
            TokenError::Store(error) => error.into(),
            TokenError::Refused(rejection) => Self::from_rejection(rejection, now),
            TokenError::Request(error) => Self::from_run(error, detail, now),
            TokenError::Missing => Self::refresher_is_set_up_wrong(detail),
        };
        problem.for_operators()
    }

    /// Creates the problem of a run of token-refresher that brought no token. `now` is in epoch seconds.
    fn from_run(error: &RefreshRequestError, detail: String, now: i64) -> Self {
        match error {
            RefreshRequestError::Failed {
                errcode: Some(errcode),
                message,
            } => Self::from_rejection(&Rejection::at_token_endpoint(*errcode, message.as_str()), now),
            RefreshRequestError::ForcedTooOften { retry_after, .. } => {
                let remedy = errcode::lookup(DEAD_TOKEN).remedy();
                let mut problem = Self::set_up(detail).with_hint(remedy);
                problem.0.errcode = Some(DEAD_TOKEN);
                problem.0.retry_after = Some(*retry_after);
                problem
            }
            RefreshRequestError::Timeout | RefreshRequestError::NoAnswer(_) => Self::timeout(detail),
            RefreshRequestError::Lost(_) => Self::timeout(detail).with_hint(
                "Retry; if the failure persists, check TOKEN_REFRESHER_FUNCTION, AWS_REGION and the network to AWS Lambda. \
                 / 请稍后重试；若一直如此，请检查 TOKEN_REFRESHER_FUNCTION、AWS_REGION 以及到 AWS Lambda 的网络。",
            ),
            RefreshRequestError::BadAnswer(_) => Self::bad_answer(detail),
            RefreshRequestError::Failed { errcode: None, .. }
            | RefreshRequestError::Throttled
            | RefreshRequestError::Unreachable(_) => Self::refresher_is_set_up_wrong(detail),
        }
    }

    fn refresher_is_set_up_wrong(detail: String) -> Self {
        Self::set_up(detail).with_hint(
            "Look at the log of token-refresher, or ask GET /api/doctor. \
             / 请查看 token-refresher 的日志，或访问 GET /api/doctor。",
        )
    }
}
