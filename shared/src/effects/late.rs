//! Effects that could not happen before the answer, on their way to `worker`.

#[cfg(feature = "invoke")]
use std::sync::Arc;
use std::{fmt, future::Future, pin::Pin};

use serde_json::{Value, json};

#[cfg(feature = "invoke")]
use crate::aws::{InvokeError, LambdaFunction};
#[cfg(feature = "invoke")]
use crate::clock::Clock;
use crate::{
    message::{Callback, NotACallback},
    xml::{Document, DocumentError},
};

/// Bytes of an event that Lambda is sure to take for an asynchronous invocation, and a queue after it. The text of a
/// callback may be longer as JSON than it was; WeChat's own have a few KiB.
const LONGEST_EVENT: usize = 256 * 1024;

/// What `worker` is asked to do: the effects of one callback.
#[derive(Debug)]
pub struct LateEffects {
    /// The callback. Nothing of it is secret but what its sender wrote.
    pub callback: Callback,
    /// When it came in, in epoch seconds.
    pub received_at: i64,
    /// Whether it is to be published: a worker without a bus must not take it for done.
    pub publish: bool,
}

/// An event with the action `effects` that names none. Holds no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotLateEffects {
    /// A member is missing, or of another type.
    #[error("`{0}` is missing, or of another type")]
    Member(&'static str),
    /// The callback's document cannot be read.
    #[error("`callback` cannot be read: {0}")]
    Document(#[from] DocumentError),
    /// The document is no callback.
    #[error("`callback`: {0}")]
    NotACallback(#[from] NotACallback),
}

impl LateEffects {
    /// The event that asks for the effects of `callback`: the whole document that WeChat sent, from which all else follows.
    #[must_use]
    pub fn event(callback: &Callback, received_at: i64, publish: bool) -> Value {
        json!({
            "action": "effects",
            "received_at": received_at,
            "publish": publish,
            "callback": callback.document().to_json(),
        })
    }

    /// Reads such an event.
    ///
    /// # Errors
    /// [`NotLateEffects`] names what is wrong.
    pub fn from_event(event: &Value) -> Result<Self, NotLateEffects> {
        let member = |name: &'static str| event.get(name).ok_or(NotLateEffects::Member(name));
        let document = member("callback")?;
        let received_at = member("received_at")?.as_i64();
        let publish = member("publish")?.as_bool();
        Ok(Self {
            callback: Callback::from_document(Document::parse(document.to_string().as_bytes())?)?,
            received_at: received_at.ok_or(NotLateEffects::Member("received_at"))?,
            publish: publish.ok_or(NotLateEffects::Member("publish"))?,
        })
    }
}

/// Takes effects that are to happen later.
pub trait WorkerPort: fmt::Debug + Send + Sync {
    /// Has `worker` run with `event`, a [`LateEffects::event`], until its effects have happened. It may run more than once.
    fn hand_over(&self, event: Value) -> Pin<Box<dyn Future<Output = Result<(), HandOverError>> + Send + '_>>;
}

/// Why `worker` was not asked, as far as can be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// The event is longer than Lambda is sure to take.
    #[error("worker cannot be handed {0} bytes, at most {LONGEST_EVENT} / 内容过大，无法转交 worker")]
    TooLarge(usize),
    /// The invocation failed.
    #[cfg(feature = "invoke")]
    #[error(
        "worker cannot be invoked: {0}: check WORKER_FUNCTION and lambda:InvokeFunction \
         / 请检查 WORKER_FUNCTION 与函数的 lambda:InvokeFunction 权限"
    )]
    Invoke(#[from] InvokeError),
    /// Lambda did not take the event in time.
    #[error("AWS Lambda did not take the event for worker in time / 未能及时转交 worker")]
    TooLate,
    /// As many effects as this process can hold wait already.
    #[error("{0} callbacks wait for their effects already / 已有 {0} 条回调等待处理")]
    Full(usize),
}

/// The function `worker`, invoked asynchronously: Lambda keeps the event, and runs the function again when it fails.
#[cfg(feature = "invoke")]
#[derive(Debug)]
pub struct LambdaWorker(LambdaFunction);

#[cfg(feature = "invoke")]
impl LambdaWorker {
    /// The function called `function`, by name or ARN.
    #[must_use]
    pub fn new(client: aws_sdk_lambda::Client, function: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self(LambdaFunction::new(client, function, clock))
    }
}

#[cfg(feature = "invoke")]
impl WorkerPort for LambdaWorker {
    fn hand_over(&self, event: Value) -> Pin<Box<dyn Future<Output = Result<(), HandOverError>> + Send + '_>> {
        Box::pin(async move {
            let payload = event.to_string().into_bytes();
            if payload.len() > LONGEST_EVENT {
                return Err(HandOverError::TooLarge(payload.len()));
            }
            Ok(self.0.post(payload).await?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: &[&str] = &[
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1767225600</CreateTime>\
         <MsgType>text</MsgType><Content><![CDATA[ \"a\" \\ <b> & 中\n😀 ]]></Content><MsgId>24000000000000001</MsgId></xml>",
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1767225600</CreateTime>\
         <MsgType>event</MsgType><Event>pic_weixin</Event><EventKey>k</EventKey><SendPicsInfo><Count>2</Count><PicList>\
         <item><PicMd5Sum>a</PicMd5Sum></item><item><PicMd5Sum>b</PicMd5Sum></item></PicList></SendPicsInfo></xml>",
        "<xml><MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event><MsgID>3400000000893845440</MsgID>\
         <Status>failed:user block</Status></xml>",
        "{\"MsgType\":\"event\",\"Event\":\"subscribe_msg_popup_event\",\"List\":[{\"a\":1},{\"a\":null},{\"a\":true}]}",
    ];

    /// Under another id the effects would happen twice.
    #[test]
    fn a_callback_is_the_same_at_the_worker() {
        for sample in SAMPLES {
            let callback = Callback::from_document(Document::parse(sample.as_bytes()).unwrap()).unwrap();
            let event = LateEffects::event(&callback, 1_767_225_601, true);
            let event: Value = serde_json::from_str(&event.to_string()).unwrap();
            let late = LateEffects::from_event(&event).unwrap();
            assert_eq!(late.callback.to_json(), callback.to_json());
            assert_eq!(late.callback.dedup_key(), callback.dedup_key());
            assert_eq!((late.received_at, late.publish), (1_767_225_601, true));
        }
    }

    #[test]
    fn each_fault_of_an_event_is_named_and_no_text_is_told() {
        let whole = json!({"callback": {"MsgType": "text", "Content": "told"}, "received_at": 1, "publish": false});
        LateEffects::from_event(&whole).unwrap();
        for (name, wrong) in [
            ("callback", json!({"Content": "told"})),
            ("callback", json!("told")),
            ("received_at", json!("told")),
            ("received_at", json!(null)),
            ("publish", json!("told")),
        ] {
            let mut event = whole.clone();
            event[name] = wrong.clone();
            let error = LateEffects::from_event(&event).unwrap_err().to_string();
            assert!(
                error.contains(name) && !error.contains("told"),
                "{name} {wrong}: {error}"
            );
            event.as_object_mut().unwrap().remove(name);
            let error = LateEffects::from_event(&event).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }
}
