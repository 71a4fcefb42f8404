//! Web authorisation (网页授权): identifies the person whose browser has brought a code. Only `token-refresher` can ask WeChat,
//! because the exchange takes the AppSecret.
//! See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).

pub use crate::api::calls::oauth::{Code, Identity};
use crate::{
    clock::Deadline,
    token::{Action, RefreshPort, RefreshRequestError},
};

/// Has `token-refresher` exchange `code`, once: when the answer is lost the code is spent, and the person must log in again.
///
/// # Errors
/// [`RefreshRequestError`], with the errcode when WeChat refuses: 40029, 40163 and 42003 are about the code itself.
/// `BadAnswer` when WeChat does not say who the person is.
pub async fn exchange(
    refresher: &dyn RefreshPort,
    code: Code,
    deadline: Deadline,
) -> Result<Identity, RefreshRequestError> {
    let answer = refresher.run(&Action::ExchangeCode { code }, deadline).await?;
    Identity::from_answer(&answer).ok_or_else(|| {
        RefreshRequestError::BadAnswer(
            "token-refresher answered an exchange without an openid: deploy it in the same version \
             / token-refresher 的应答中没有 openid，请部署相同版本"
                .to_owned(),
        )
    })
}
