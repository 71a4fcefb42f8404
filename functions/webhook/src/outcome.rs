//! The outcome of a request, and the HTTP answer to it.

use http::Response;
use http_api::response::respond;
use wechat::{
    callback::{OpenError, VerifyError},
    message::NotACallback,
};

use crate::{binding::ScanError, effects::EffectsFailed, forward::ForwardFailed};

/// The body that means "received, no reply". It is never encrypted. See [WeChat Docs/被动回复](https://developers.weixin.qq.com/doc/service/guide/product/message/Passive_user_reply_message).
const ACKNOWLEDGED: &str = "success";

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// WeChat's console checked the URL: its `echostr` goes back unchanged.
    Echoed(String),
    /// A passive reply, as XML.
    Replied(String),
    /// Received; there is no reply.
    Acknowledged,
    /// The signature does not prove that WeChat sent the request.
    Forbidden(OpenError),
    /// The body is not what WeChat sends in this message mode, or not encrypted with our key.
    Refused(OpenError),
    /// The body was decrypted, but cannot be parsed. It is acknowledged: a refusal would make WeChat show the follower an
    /// error.
    Unreadable(OpenError),
    /// The body is neither a message nor an event. It is acknowledged for the same reason.
    NotACallback(NotACallback),
    /// The rules are needed, and no read of them has succeeded yet: WeChat has to deliver again.
    RulesUnknown,
    /// The scan of a code that binds failed: WeChat has to deliver again.
    ScanFailed(ScanError),
    /// An effect failed, and `worker` did not take it over: WeChat has to deliver again.
    EffectFailed(EffectsFailed),
    /// Own code has not taken the callback, or not answered it yet: WeChat has to deliver again.
    ForwardFailed(ForwardFailed),
    /// Neither GET nor POST.
    MethodNotAllowed,
}

impl From<OpenError> for Outcome {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Verify(_) => Self::Forbidden(error),
            OpenError::Document(_) => Self::Unreadable(error),
            OpenError::Envelope(_) | OpenError::NotEncrypted | OpenError::Encrypted | OpenError::Decrypt(_) => {
                Self::Refused(error)
            }
        }
    }
}

impl Outcome {
    /// Whether the request might pass with another token, key or mode. No effect has run then.
    pub(crate) const fn doubts_the_settings(&self) -> bool {
        matches!(
            self,
            Self::Forbidden(OpenError::Verify(VerifyError::Signature(_) | VerifyError::PlainMode))
                | Self::Refused(OpenError::NotEncrypted | OpenError::Encrypted | OpenError::Decrypt(_))
        )
    }

    /// The name of the outcome in the log.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Echoed(_) => "echoed",
            Self::Replied(_) => "replied",
            Self::Acknowledged => "acknowledged",
            Self::Forbidden(_) => "forbidden",
            Self::Refused(_) => "refused",
            Self::Unreadable(_) | Self::NotACallback(_) => "unreadable",
            Self::RulesUnknown | Self::ScanFailed(_) | Self::EffectFailed(_) | Self::ForwardFailed(_) => "failed",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }

    /// The HTTP status.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Echoed(_) | Self::Replied(_) | Self::Acknowledged | Self::Unreadable(_) | Self::NotACallback(_) => {
                200
            }
            Self::Forbidden(_) => 403,
            Self::Refused(_) => 400,
            Self::RulesUnknown | Self::ScanFailed(_) | Self::EffectFailed(_) | Self::ForwardFailed(_) => 500,
            Self::MethodNotAllowed => 405,
        }
    }

    /// Whether the callback was decrypted, but cannot be read.
    pub(crate) const fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::NotACallback(_))
    }

    /// The cause, for the log only: the sender of a refused request does not learn it.
    pub(crate) fn error(&self) -> Option<String> {
        match self {
            Self::Forbidden(error) | Self::Refused(error) | Self::Unreadable(error) => Some(error.to_string()),
            Self::NotACallback(error) => Some(error.to_string()),
            Self::RulesUnknown => Some(
                "the reply rules have not been read yet, and WeChat will deliver again / 尚未读到回复规则，等待微信重新推送"
                    .to_owned(),
            ),
            Self::ScanFailed(error) => Some(error.to_string()),
            Self::EffectFailed(error) => Some(error.to_string()),
            Self::ForwardFailed(error) => Some(error.to_string()),
            Self::Echoed(_) | Self::Replied(_) | Self::Acknowledged | Self::MethodNotAllowed => None,
        }
    }

    /// Builds the HTTP answer. Everything but a reply is plain text: a browser must never show an `echostr` as a page.
    pub(crate) fn into_response(self) -> Response<String> {
        let status = self.status();
        let (content_type, body) = match self {
            Self::Replied(xml) => ("application/xml; charset=utf-8", xml),
            other => ("text/plain; charset=utf-8", other.into_text()),
        };
        respond(status, content_type, body)
    }

    fn into_text(self) -> String {
        let text = match self {
            Self::Echoed(text) | Self::Replied(text) => return text,
            Self::Acknowledged | Self::Unreadable(_) | Self::NotACallback(_) => ACKNOWLEDGED,
            Self::Forbidden(_) => "signature verification failed",
            Self::Refused(_) => "not a body that WeChat sends in this mode",
            Self::RulesUnknown | Self::ScanFailed(_) | Self::EffectFailed(_) | Self::ForwardFailed(_) => "try again",
            Self::MethodNotAllowed => "method not allowed",
        };
        text.to_owned()
    }
}
