//! Short keys that stand for long texts (短key托管).
//!
//! See [WeChat Docs/长信息转短链](https://developers.weixin.qq.com/doc/service/api/qrcode/shorten/api_genshortkey).

use std::collections::HashMap;

use super::{errcode::ApiError, random::Random};

/// Bytes.
const LONGEST_DATA: usize = 4096;
/// Seconds. 30 days.
pub(crate) const LONGEST_LIFETIME: i64 = 2_592_000;
const KEY_LENGTH: usize = 15;

/// The text behind a key. Times are seconds since the epoch, by the simulator's clock.
pub(crate) struct LongData {
    pub(crate) text: String,
    pub(crate) created_at: i64,
    pub(crate) ends_at: i64,
}

/// All keys.
#[derive(Default)]
pub(crate) struct ShortKeys(HashMap<String, LongData>);

impl ShortKeys {
    /// A new key for a text: 47003 for an empty text, 9410010 for one that is too long, 9410011 for too long a time.
    pub(crate) fn make(
        &mut self,
        text: String,
        lifetime: i64,
        now: i64,
        random: &mut Random,
    ) -> Result<String, ApiError> {
        let errcode = if text.is_empty() {
            47003
        } else if text.len() > LONGEST_DATA {
            9_410_010
        } else if !(1..=LONGEST_LIFETIME).contains(&lifetime) {
            9_410_011
        } else {
            let key = random.alphanumeric(KEY_LENGTH);
            let data = LongData {
                text,
                created_at: now,
                ends_at: now + lifetime,
            };
            self.0.insert(key.clone(), data);
            return Ok(key);
        };
        Err(ApiError::of(errcode))
    }

    /// The text behind a key: 9410012 when the key is unknown or has ended.
    pub(crate) fn get(&self, key: &str, now: i64) -> Result<&LongData, ApiError> {
        let data = self.0.get(key).filter(|data| now < data.ends_at);
        data.ok_or_else(|| ApiError::of(9_410_012))
    }
}
