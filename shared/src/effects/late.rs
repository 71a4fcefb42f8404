//! Hands effects over to `worker` when they could not happen before the webhook's answer.

#[cfg(feature = "invoke")]
use std::sync::Arc;
use std::{fmt, future::Future, pin::Pin};

use serde_json::{Value, json};

#[cfg(feature = "invoke")]
use crate::aws::{InvokeError, LambdaFunction};
#[cfg(feature = "invoke")]
use crate::clock::Clock;
use crate::{
    bilingual::caused,
    message::{Callback, NotACallback},
    xml::{ParseError, Tree},
};

/// Bytes of an event. Both an asynchronous invocation of Lambda and a dead-letter queue accept this size. JSON can make a
/// callback longer than it was, but WeChat's callbacks have only a few KiB.
const LONGEST_EVENT: usize = 256 * 1024;

/// The effects of one callback, as `worker` receives them.
#[derive(Debug)]
pub struct LateEffects {
    /// The callback, with the user's text.
    pub callback: Callback,
    /// When the webhook received the callback, in epoch seconds.
    pub received_at: i64,
    /// Whether the callback must be published. A worker without a bus then fails instead of reporting success.
    pub publish: bool,
}

/// Why an event with the action `effects` cannot be read. Holds no text of users.
#[derive(Debug, thiserror::Error)]
pub enum NotLateEffects {
    /// A member is missing or has the wrong type.
    #[error("`{0}` is missing or has the wrong type / 缺少 `{0}`，或其类型有误")]
    Member(&'static str),
    /// The member `callback` cannot be read.
    #[error("{}", caused("`callback` cannot be read", "`callback` 无法解析", .0))]
    Document(#[from] ParseError),
    /// The member `callback` is not a message or event of WeChat.
    #[error("`callback`: {0}")]
    NotACallback(#[from] NotACallback),
}

impl LateEffects {
    /// The event that asks `worker` for the effects of `callback`. It holds everything that WeChat sent.
    #[must_use]
    pub fn event(callback: &Callback, received_at: i64, publish: bool) -> Value {
        json!({
            "action": "effects",
            "received_at": received_at,
            "publish": publish,
            "callback": callback.document().to_json(),
        })
    }

    /// Reads an event that [`Self::event`] made.
    ///
    /// # Errors
    /// [`NotLateEffects`] when a member is missing or wrong.
    pub fn from_event(event: &Value) -> Result<Self, NotLateEffects> {
        let member = |name: &'static str| event.get(name).ok_or(NotLateEffects::Member(name));
        let document = member("callback")?;
        let received_at = member("received_at")?.as_i64();
        let publish = member("publish")?.as_bool();
        Ok(Self {
            callback: Callback::from_document(Tree::parse(document.to_string().as_bytes())?)?,
            received_at: received_at.ok_or(NotLateEffects::Member("received_at"))?,
            publish: publish.ok_or(NotLateEffects::Member("publish"))?,
        })
    }
}

/// Hands work over to `worker`.
pub trait WorkerPort: fmt::Debug + Send + Sync {
    /// Makes `worker` run with `event`, a [`LateEffects::event`] or a
    /// [`FurtherReplies::event`](super::FurtherReplies::event), with retries until a run has succeeded.
    fn hand_over(&self, event: Value) -> Pin<Box<dyn Future<Output = Result<(), HandOverError>> + Send + '_>>;
}

/// Why the hand-over to `worker` failed. Lambda may have accepted the event all the same.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// The event has this many bytes, more than Lambda accepts.
    #[error(
        "the event for worker has {0} bytes, the limit is {LONGEST_EVENT} \
         / 转交 worker 的内容为 {0} 字节，上限为 {LONGEST_EVENT} 字节"
    )]
    TooLarge(usize),
    /// The invocation failed.
    #[cfg(feature = "invoke")]
    #[error(
        "worker cannot be invoked: {0}: check WORKER_FUNCTION and lambda:InvokeFunction \
         / 无法调用 worker（{0}）：请检查 WORKER_FUNCTION 与函数的 lambda:InvokeFunction 权限"
    )]
    Invoke(#[from] InvokeError),
    /// Lambda did not answer in time.
    #[error("AWS Lambda did not accept the event for worker in time / AWS Lambda 未及时接收转交 worker 的事件")]
    TooLate,
    /// The queue of this process is full.
    #[error("{0} callbacks are already waiting for their effects / 已有 {0} 条回调等待处理")]
    Full(usize),
}

/// The function `worker`, invoked asynchronously: Lambda queues the event and retries when the function fails.
#[cfg(feature = "invoke")]
#[derive(Debug)]
pub struct LambdaWorker(LambdaFunction);

#[cfg(feature = "invoke")]
impl LambdaWorker {
    /// Creates the port to `function`, a name or an ARN.
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

    /// With another id at the worker the effects would happen twice.
    #[test]
    fn a_callback_is_the_same_at_the_worker() {
        for sample in SAMPLES {
            let callback = Callback::from_document(Tree::parse(sample.as_bytes()).unwrap()).unwrap();
            let event = LateEffects::event(&callback, 1_767_225_601, true);
            let event: Value = serde_json::from_str(&event.to_string()).unwrap();
            let late = LateEffects::from_event(&event).unwrap();
            assert_eq!(late.callback.to_json(), callback.to_json());
            assert_eq!(late.callback.dedup_key(), callback.dedup_key());
            assert_eq!((late.received_at, late.publish), (1_767_225_601, true));
        }
    }

    #[test]
    fn each_fault_of_an_event_is_named_and_no_text_is_quoted() {
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
