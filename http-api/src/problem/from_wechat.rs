//! Problems from failed calls to WeChat.

use wechat::{
    api::{ApiError, Rejection},
    errcode,
};

use super::{BAD_ANSWER, Kind, Problem, WECHAT_REFUSED};

/// The hint when something between the bundle and WeChat may be at fault.
const ON_THE_WAY: &str = "Check WECHAT_API_BASE and the proxy on the way. / 请检查 WECHAT_API_BASE 与途经的代理。";

impl Problem {
    /// Creates the problem of a refusal by WeChat. `now` is in epoch seconds.
    #[must_use]
    pub fn from_rejection(rejection: &Rejection, now: i64) -> Self {
        let Rejection { errcode, errmsg, .. } = rejection;
        let entry = rejection.entry();
        let address = errcode::denied_address(errmsg)
            .map(|address| format!("IP {address}: "))
            .unwrap_or_default();
        let kind = Kind {
            status: errcode::http_status(*errcode),
            ..WECHAT_REFUSED
        };
        let (detail, remedy) = (entry.meaning(), entry.remedy());
        let mut problem = Self::new(kind, &*detail)
            .with_hint(format!("{address}{remedy}"))
            .with_public(detail, Some(remedy));
        problem.0.errcode = Some(*errcode);
        problem.0.errmsg = Some(errmsg.clone());
        problem.0.rid = errcode::rid(errmsg).map(str::to_owned);
        problem.0.field = errcode::rejected_field(errmsg).map(str::to_owned);
        problem.0.retry_after = entry.retry.seconds(now);
        problem
    }

    /// Creates the problem of a failed call. `now` is in epoch seconds.
    #[must_use]
    pub fn from_api(error: &ApiError, now: i64) -> Self {
        let problem = match error {
            ApiError::Rejected { rejection, .. } => Self::from_rejection(rejection, now),
            ApiError::Connection { .. } => Self::timeout(error.to_string()).with_hint(
                "Check WECHAT_API_BASE and the way out: NAT, security group, proxy. \
                 / 请检查 WECHAT_API_BASE 与出口网络（NAT、安全组、代理）。",
            ),
            ApiError::Interrupted { .. } => Self::timeout(error.to_string()).with_hint(ON_THE_WAY),
            ApiError::Timeout { .. } | ApiError::OutOfTime { .. } => Self::timeout(error.to_string()),
            ApiError::Status { .. } | ApiError::Unreadable { .. } => Self::bad_answer(error.to_string()),
        };
        problem.for_operators()
    }

    /// 502: the answer is not WeChat's.
    #[must_use]
    pub fn bad_answer(detail: impl Into<String>) -> Self {
        Self::new(BAD_ANSWER, detail).with_hint(ON_THE_WAY)
    }
}
