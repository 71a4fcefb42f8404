//! Why a callback was not handed to own code.

use wechat::{
    bilingual::{both, caused, halves},
    forward::{AskError, GONE},
    store::StoreError,
};

/// Why WeChat has to deliver a callback again. Holds no text of users and no openid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardFailed {
    /// The callback could not be kept, and own code did not take it.
    #[error("{}", not_kept(table, own_code))]
    NotKept { table: StoreError, own_code: RefusedError },
    /// Own code is still at work on the first delivery, for longer than WeChat waits for this one.
    #[error("own code is still at work, and WeChat will deliver again / 自有服务仍在处理，等待微信重新推送")]
    StillAtWork,
}

fn not_kept(table: &StoreError, own_code: &RefusedError) -> String {
    let (table, own_code) = (table.to_string(), own_code.to_string());
    let (table, own_code) = (halves(&table), halves(&own_code));
    caused(
        "own code did not take the callback, which could not be kept",
        "自有服务未接收回调，且回调未能保存",
        &both(
            &format!("{}; {}", table.0, own_code.0),
            &format!("{}；{}", table.1, own_code.1),
        ),
    )
}

/// Why own code did not take a callback.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefusedError {
    #[error(transparent)]
    NotTaken(AskError),
    #[error("{GONE}")]
    Gone,
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use wechat::store::within;

    use super::*;

    #[tokio::test]
    async fn each_half_of_a_failure_says_both_causes() {
        let too_late = within::<()>(Duration::from_millis(1), pending()).await;
        let error = ForwardFailed::NotKept {
            table: too_late.unwrap_err(),
            own_code: RefusedError::NotTaken(AskError::Refused(500)),
        };
        assert_eq!(
            error.to_string(),
            "own code did not take the callback, which could not be kept: the table did not answer within 1ms; own code answered 500 \
             / 自有服务未接收回调，且回调未能保存：数据表未在 1ms 内应答；自有服务应答 500"
        );
    }
}
