//! The account's industries (所属行业), which limit the templates it may choose from the library.

use time::Month;

use super::{
    clock::{self, Counter},
    errcode::ApiError,
};

/// The codes of the primary and the secondary industry, once they were set.
#[derive(Default)]
pub(crate) struct Industries {
    pub(crate) codes: Option<[u8; 2]>,
    set: Counter<(i32, Month)>,
}

impl Industries {
    /// Sets both industries: 43100 the second time in a month.
    ///
    /// See [WeChat Docs/设置所属行业](https://developers.weixin.qq.com/doc/service/en/api/notify/template/api_setindustry).
    pub(crate) fn set(&mut self, codes: [u8; 2], now: i64) -> Result<(), ApiError> {
        if !self.set.count(clock::month(now), 1) {
            return Err(ApiError::of(43100));
        }
        self.codes = Some(codes);
        Ok(())
    }
}
