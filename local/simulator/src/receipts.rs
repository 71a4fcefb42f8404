//! What the results of the next template messages say: mostly success.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What becomes of template messages that were accepted, as `POST /sim/receipts` takes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receipt {
    /// The `Status` of TEMPLATESENDJOBFINISH, such as `failed: system failed` or `failed:freq limit`: anything but `success` is not shown on
    /// the phone. With null the message arrives, but its result is never pushed.
    pub(crate) status: Option<String>,
    /// For this many messages.
    #[serde(default = "once")]
    pub(crate) times: u32,
}

fn once() -> u32 {
    1
}

/// The results that were ordered.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Receipts(VecDeque<Receipt>);

impl Receipts {
    pub(crate) fn add(&mut self, receipt: Receipt) {
        self.0.push_back(receipt);
    }

    /// The status of the next message. `None` when nothing was ordered.
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
