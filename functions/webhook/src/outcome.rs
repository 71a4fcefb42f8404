//! What a request comes to, and how WeChat is told.

use http::Response;
use http_api::response::respond;
use wechat::{
    callback::{OpenError, VerifyError},
    message::NotACallback,
};

use crate::effects::NotSettled;

/// What WeChat takes as "received, nothing to say". Never encrypted.
const ACKNOWLEDGED: &str = "success";

/// What a request came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The console's check: its `echostr` goes back as it came.
    Echoed(String),
    /// The XML of a passive reply.
    Replied(String),
    /// Received, and nothing to say.
    Acknowledged,
    /// Not from WeChat.
    Forbidden(OpenError),
    /// Not what WeChat sends in this mode.
    Refused(OpenError),
    /// Opened, but not a document. WeChat would show the follower an error if it were refused, so it is acknowledged.
    Unreadable(OpenError),
    /// A document that is neither a message nor an event: likewise.
    NotACallback(NotACallback),
    /// The rules that would reply were never read: WeChat has to deliver again.
    RulesUnknown,
    /// An effect failed, and nobody else has it: WeChat has to deliver again.
    EffectFailed(NotSettled),
    /// Neither GET nor POST.
    MethodNotAllowed,
}

impl From<OpenError> for Outcome {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Verify(_) => Self::Forbidden(error),
            OpenError::Document(_) => Self::Unreadable(error),
            _ => Self::Refused(error),
        }
    }
}

impl Outcome {
    /// Whether the request would pass with another token, key or mode. Nothing has been done for it then.
    pub(crate) const fn doubts_the_settings(&self) -> bool {
        matches!(
            self,
            Self::Forbidden(OpenError::Verify(VerifyError::Signature(_) | VerifyError::PlainMode))
                | Self::Refused(OpenError::NotEncrypted | OpenError::Encrypted | OpenError::Decrypt(_))
        )
    }

    /// Its name in the log.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Echoed(_) => "echoed",
            Self::Replied(_) => "replied",
            Self::Acknowledged => "acknowledged",
            Self::Forbidden(_) => "forbidden",
            Self::Refused(_) => "refused",
            Self::Unreadable(_) | Self::NotACallback(_) => "unreadable",
            Self::RulesUnknown | Self::EffectFailed(_) => "failed",
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
            Self::RulesUnknown | Self::EffectFailed(_) => 500,
            Self::MethodNotAllowed => 405,
        }
    }

    /// Whether a callback was opened that cannot be read.
    pub(crate) const fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::NotACallback(_))
    }

    /// The cause, for the log alone: the sender of a request that was refused learns only that it was.
    pub(crate) fn error(&self) -> Option<String> {
        match self {
            Self::Forbidden(error) | Self::Refused(error) | Self::Unreadable(error) => Some(error.to_string()),
            Self::NotACallback(error) => Some(error.to_string()),
            Self::RulesUnknown => Some(
                "the reply rules have not been read yet, and WeChat will deliver again / 尚未读到回复规则，等待微信重新推送"
                    .to_owned(),
            ),
            Self::EffectFailed(error) => Some(error.to_string()),
            Self::Echoed(_) | Self::Replied(_) | Self::Acknowledged | Self::MethodNotAllowed => None,
        }
    }

    /// The answer. All but a reply is plain text: an `echostr` must never be taken for a page.
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
            Self::RulesUnknown | Self::EffectFailed(_) => "try again",
            Self::MethodNotAllowed => "method not allowed",
        };
        text.to_owned()
    }
}
