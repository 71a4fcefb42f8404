//! QR codes with a parameter (带参数二维码), whose scans WeChat reports to the account.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Call, Unexpected, call::decoded};

/// Creates a temporary QR code. Needs a verified service account; errcode 48001 otherwise. 100,000 a day. `Debug` does not
/// show the parameter: anyone who knows it might pass for its owner.
/// See [WeChat Docs/生成带参数的二维码](https://developers.weixin.qq.com/doc/offiaccount/Account_Management/Generating_a_Parametric_QR_Code.html).
#[derive(Clone, Copy)]
pub struct CreateQrCode<'a> {
    /// The parameter that a scan's event carries: 1 to 64 characters.
    pub scene: &'a str,
    /// Seconds for which the code is good, at most 2,592,000.
    pub expire_seconds: u32,
}

impl fmt::Debug for CreateQrCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CreateQrCode(expire_seconds: {})", self.expire_seconds)
    }
}

/// A QR code as WeChat made it. `Debug` does not show it, so that no log can be scanned.
#[derive(Clone, Deserialize, PartialEq, Eq)]
pub struct QrCode {
    /// WeChat's name of the code. It fetches the picture, and the event of a scan carries it.
    pub ticket: String,
    /// The text that the code shows.
    pub url: String,
    /// Seconds for which the code is good.
    pub expire_seconds: u32,
}

impl fmt::Debug for QrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QrCode(expire_seconds: {})", self.expire_seconds)
    }
}

impl Call for CreateQrCode<'_> {
    type Answer = QrCode;
    const PATH: &'static str = "/cgi-bin/qrcode/create";

    fn body(&self) -> Option<Value> {
        Some(json!({
            "expire_seconds": self.expire_seconds,
            "action_name": "QR_STR_SCENE",
            "action_info": {"scene": {"scene_str": self.scene}},
        }))
    }

    fn read(answer: Value) -> Result<QrCode, Unexpected> {
        decoded(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_and_the_answer_are_as_documented() {
        let call = CreateQrCode {
            scene: "order_42",
            expire_seconds: 604_800,
        };
        let expected = json!({
            "expire_seconds": 604_800,
            "action_name": "QR_STR_SCENE",
            "action_info": {"scene": {"scene_str": "order_42"}},
        });
        assert_eq!(call.body(), Some(expected));
        let answer =
            json!({"ticket": "gQ==", "expire_seconds": 604_800, "url": "http://weixin.qq.com/q/x", "newer": 1});
        let code = CreateQrCode::read(answer).unwrap();
        let shown = format!("{call:?} {code:?}");
        assert!(!shown.contains("order_42") && !shown.contains("gQ=="), "{shown}");
        assert_eq!((code.ticket.as_str(), code.expire_seconds), ("gQ==", 604_800));
        assert!(CreateQrCode::read(json!({"errcode": 0})).is_err());
    }
}
