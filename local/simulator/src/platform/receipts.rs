//! The ordered results of the next template messages.
//!
//! See [WeChat Docs/模板消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html),
//! which lists the statuses of TEMPLATESENDJOBFINISH.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The result of accepted template messages, as `POST /sim/receipts` takes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receipt {
    /// The `Status` of TEMPLATESENDJOBFINISH, such as `failed: system failed` or `failed:freq limit`. The phone shows
    /// the message only with `success`, and with null: then it arrives, but its result is never pushed.
    pub(crate) status: Option<String>,
    /// How many messages have this result.
    #[serde(default = "once")]
    pub(crate) times: u32,
}

fn once() -> u32 {
    1
}

/// The ordered results, oldest first.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Receipts(VecDeque<Receipt>);

impl Receipts {
    pub(crate) fn add(&mut self, receipt: Receipt) {
        self.0.push_back(receipt);
    }

    /// The status of the next message; `None` when no result is ordered.
    pub(crate) fn next(&mut self) -> Option<Option<String>> {
        let receipt = self.0.front_mut()?;
        receipt.times -= 1;
        let status = receipt.status.clone();
        if receipt.times == 0 {
            self.0.pop_front();
        }
        Some(status)
    }
}
