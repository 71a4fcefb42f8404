//! 数据格式: whether callbacks and their replies are XML or JSON.

use serde::{Deserialize, Serialize};

/// The format of the push channel. WeChat's pages contradict one another on whether Official Accounts can choose JSON.
/// Accounts that did are pushed JSON, and may answer in either format.
///
/// See [WeChat Docs/消息推送](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/message-push.html).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Xml,
    Json,
}
