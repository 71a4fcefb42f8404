//! The event bus of Amazon EventBridge, to which every verified callback is published. Teams attach their own functions to it
//! with rules.

use std::time::Duration;

use aws_sdk_eventbridge::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
    primitives::DateTime,
    types::PutEventsRequestEntry,
};
use aws_types::SdkConfig;

use crate::{aws, message::Callback};

/// The `source` of every event. Rules match on it.
const SOURCE: &str = "wechat.offiaccount";
/// Characters that EventBridge allows in a detail-type. WeChat's names are far shorter.
const MAX_DETAIL_TYPE: usize = 128;

/// The timeout of one call, independent of the effects' budget: a slow call that is cut short and retried publishes twice.
const PUBLISHING: Duration = Duration::from_secs(10);

/// A bus of Amazon EventBridge.
#[derive(Clone, Debug)]
pub struct EventBus {
    client: Client,
    name: String,
}

/// Why a callback was not published. Never holds a user's text.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The call failed, or EventBridge refused it.
    #[error(
        "EventBridge: {0}: check EVENT_BUS_NAME and events:PutEvents \
         / EventBridge 调用失败（{0}）：请检查 EVENT_BUS_NAME 与函数的 events:PutEvents 权限"
    )]
    Call(String),
    /// EventBridge did not answer within the effects' budget. The event may have been published.
    #[error(
        "EventBridge did not answer in time: check EVENT_BUS_NAME and the network \
         / EventBridge 未及时应答：请检查 EVENT_BUS_NAME 与网络"
    )]
    TooLate,
    /// EventBridge answered, but did not accept the event.
    #[error("EventBridge did not accept the event: {0} / EventBridge 未接收该事件：{0}")]
    Entry(String),
}

impl EventBus {
    /// Connects to the bus `name` (a name or an ARN) with the credentials and the region of `sdk`.
    #[must_use]
    pub fn new(sdk: &SdkConfig, name: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(PUBLISHING)
            .operation_timeout(PUBLISHING)
            .build();
        let config = Builder::from(sdk).timeout_config(timeouts).build();
        Self {
            client: Client::from_conf(config),
            name: name.into(),
        }
    }

    /// Publishes `callback` as one event with the time `received_at` (epoch seconds), whose detail is [`Callback::to_json`].
    pub(super) async fn publish(&self, callback: &Callback, received_at: i64) -> Result<(), PublishError> {
        let event = PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(SOURCE)
            .time(DateTime::from_secs(received_at))
            .detail_type(detail_type(callback))
            .detail(callback.to_json().to_string())
            .build();
        let output = self
            .client
            .put_events()
            .entries(event)
            .send()
            .await
            .map_err(|error| PublishError::Call(aws::describe(&error)))?;
        if output.failed_entry_count() == 0 {
            return Ok(());
        }
        let code = output.entries().iter().find_map(|entry| entry.error_code());
        Err(PublishError::Entry(code.unwrap_or("no error code").to_owned()))
    }
}

/// The detail-type of a callback: its type, as WeChat spells it.
fn detail_type(callback: &Callback) -> String {
    callback.type_name().chars().take(MAX_DETAIL_TYPE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Tree;

    #[test]
    fn the_detail_type_is_wechats_own_name() {
        let long = format!("<MsgType>event</MsgType><Event>{}</Event>", "长".repeat(200));
        for (fields, expected) in [
            ("<MsgType>text</MsgType><Content>hi</Content>", "text"),
            ("<MsgType>event</MsgType><Event>CLICK</Event>", "event.CLICK"),
            ("<Event>subscribe</Event>", "event.subscribe"),
            ("<MsgType>event</MsgType>", "event"),
            (
                "<InfoType>component_verify_ticket</InfoType>",
                "component_verify_ticket",
            ),
            (&long, &format!("event.{}", "长".repeat(122))),
        ] {
            let document = Tree::parse(format!("<xml>{fields}</xml>").as_bytes()).unwrap();
            assert_eq!(detail_type(&Callback::from_document(document).unwrap()), expected);
        }
    }
}
