//! What kind of account the made one is, which decides on the APIs that it may call.

use serde::{Deserialize, Serialize};

/// The kinds of accounts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountType {
    /// 已认证服务号: may call everything.
    #[default]
    VerifiedService,
    /// 未认证服务号.
    UnverifiedService,
    /// 已认证订阅号: menus and customer-service messages, but no template messages.
    VerifiedSubscription,
    /// 未认证订阅号.
    UnverifiedSubscription,
    /// 接口测试号: may call everything, with smaller quotas and without a whitelist.
    Test,
}

/// What an API asks of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Verification,
    VerifiedService,
}

impl AccountType {
    /// Whether an account of this kind may call an API with these needs; else the answer is 48001.
    pub(crate) fn meets(self, needs: Needs) -> bool {
        match self {
            Self::VerifiedService | Self::Test => true,
            Self::VerifiedSubscription => needs != Needs::VerifiedService,
            Self::UnverifiedService | Self::UnverifiedSubscription => needs == Needs::Nothing,
        }
    }

    pub(crate) fn is_test(self) -> bool {
        self == Self::Test
    }
}
