//! The kind of account, which decides on the APIs that it may call.

use serde::{Deserialize, Serialize};

/// A kind of account.
///
/// See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage)
/// and [WeChat Docs/发送客服消息](https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage),
/// which name the accounts that may call them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountType {
    /// 已认证服务号: may call everything.
    #[default]
    VerifiedService,
    /// 未认证服务号: menus, but no messages.
    UnverifiedService,
    /// 已认证订阅号: menus and customer-service messages, but no template messages.
    VerifiedSubscription,
    /// 未认证订阅号.
    UnverifiedSubscription,
    /// 接口测试号: may call everything, with smaller quotas and without a whitelist.
    Test,
}

/// What an API requires of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// A verified account, or any service account.
    Menu,
    Verification,
    VerifiedService,
}

impl AccountType {
    /// Whether an account of this kind may call an API with these needs; otherwise the answer is 48001.
    pub(crate) fn meets(self, needs: Needs) -> bool {
        match self {
            Self::VerifiedService | Self::Test => true,
            Self::VerifiedSubscription => needs != Needs::VerifiedService,
            Self::UnverifiedService => matches!(needs, Needs::Nothing | Needs::Menu),
            Self::UnverifiedSubscription => needs == Needs::Nothing,
        }
    }

    pub(crate) fn is_test(self) -> bool {
        self == Self::Test
    }
}
