//! How a simulator is set up.

use std::time::Duration;

use serde::Serialize;

use crate::{
    observe::{Observation, Observer},
    platform::account::Account,
};

/// 消息加解密方式: how callbacks and their replies are protected.
///
/// See [WeChat Docs/消息推送](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/message-push.html).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// 明文: clear text.
    Plain,
    /// 兼容: the clear fields and the ciphertext; replies may be either.
    Compat,
    /// 安全: ciphertext only, both ways.
    #[default]
    Safe,
}

/// How the platform treats the account's server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An account made earlier. Default: none, and a new one is made.
    pub account: Option<Account>,
    /// The message mode. Default: safe.
    pub mode: Mode,
    /// Where callbacks go, such as `http://127.0.0.1:8000/webhook`. Default: none, and nothing is pushed.
    pub callback_url: Option<String>,
    /// How long the server may take to answer a callback. Default: WeChat's 5 seconds.
    pub callback_timeout: Duration,
    /// The time between the starts of two deliveries of one callback. Default: WeChat's 5 seconds.
    pub redelivery_interval: Duration,
    /// The time between the answer to a template message and the callback with its result. Default: 100 ms; with zero
    /// the callback may overtake the answer.
    pub receipt_delay: Duration,
    /// Hears what the platform does. Default: none.
    pub observer: Option<Observer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: None,
            mode: Mode::default(),
            callback_url: None,
            callback_timeout: Duration::from_secs(5),
            redelivery_interval: Duration::from_secs(5),
            receipt_delay: Duration::from_millis(100),
            observer: None,
        }
    }
}

impl Settings {
    /// Hands an observation to the observer, if there is one.
    pub(crate) fn observe(&self, observation: impl FnOnce() -> Observation) {
        if let Some(observer) = &self.observer {
            observer.tell(observation());
        }
    }
}
