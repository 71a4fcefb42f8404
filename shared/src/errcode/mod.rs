//! WeChat's errcodes: what each means, who can fix it, and when a retry makes sense.
//!
//! WeChat answers every call with HTTP 200 and puts the result into `{"errcode":N,"errmsg":"…"}`. Only the code decides:
//! `errmsg` is for humans and its wording changes. This module reads only three details from it, which WeChat sends nowhere
//! else: [`rid`], [`denied_address`] and [`rejected_field`].
//!
//! See [WeChat Docs/全局返回码](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html).

mod errmsg;
mod table;
#[cfg(test)]
mod tests;

use std::{cmp::Ordering, time::Duration};

pub use self::errmsg::{denied_address, rejected_field, rid, without_rid};
use self::table::{Row, TABLE};
use crate::{bilingual::both, clock::until_midnight_in_beijing};

/// Codes of class [`Class::Caller`] that concern one recipient: a refused value may be this recipient's only, and so may an
/// openid of another account.
const ABOUT_ONE_RECIPIENT: [i64; 2] = [INVALID_ARGUMENT, 49003];

/// Codes that concern either the whole account (it is frozen) or one recipient (a user outside a whitelist).
const ABOUT_ACCOUNT_OR_RECIPIENT: [i64; 2] = [50002, 50003];

/// The errcode for a dead token, and at the token endpoint for a wrong AppSecret.
pub const DEAD_TOKEN: i64 = 40001;
/// The errcode for an unknown template.
pub const NO_SUCH_TEMPLATE: i64 = 40037;
/// The errcode for a wrong AppSecret.
pub const WRONG_SECRET: i64 = 40125;
/// The errcode for a missing or invalid value.
pub const INVALID_ARGUMENT: i64 = 47003;
/// The errcode for an API that the account may not use.
pub const UNAUTHORIZED: i64 = 48001;
/// The errcode of an account without a menu.
pub const NO_MENU: i64 = 46003;
/// The errcode for a recipient who does not follow the account.
pub const NOT_A_FOLLOWER: i64 = 43004;
/// The codes for such a recipient: WeChat has two.
const NOT_A_FOLLOWER_CODES: [i64; 2] = [NOT_A_FOLLOWER, 50005];
/// The errcode for a caller whose address is not in the account's IP whitelist.
/// See [WeChat Docs/IP白名单](https://developers.weixin.qq.com/doc/oplatform/developers/basic_func/ip_whitelist).
pub const NOT_WHITELISTED: i64 = 40164;
/// The codes for such an address: WeChat has several.
const WHITELIST_CODES: [i64; 3] = [NOT_WHITELISTED, 45035, 61004];

/// Who can fix a failure, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Not a failure: errcode 0.
    Success,
    /// The access_token is dead: a retry with a fresh one succeeds.
    Token,
    /// The request is wrong: the caller must change it.
    Caller,
    /// A quota or a rate limit is used up.
    Quota,
    /// The account, its permissions or this deployment is set up wrong: the operator must change it.
    SetUp,
    /// The recipient does not follow, refuses messages or cannot be reached now.
    Recipient,
    /// WeChat objects to the content, or has restricted the template.
    Content,
    /// WeChat itself has a fault.
    Platform,
    /// The code is not in the table.
    Unknown,
}

impl Class {
    /// The name as a metric's dimension, on which alarms are set.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Token => "Token",
            Self::Caller => "Caller",
            Self::Quota => "Quota",
            Self::SetUp => "SetUp",
            Self::Recipient => "Recipient",
            Self::Content => "Content",
            Self::Platform => "Platform",
            Self::Unknown => "Unknown",
        }
    }
}

/// Whether and when to retry the same call.
///
/// Retry a template send only with a `client_msg_id`, or the recipient may get the message twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Never: something must be changed first.
    Never,
    /// Once, with a fresh access_token; never in a loop.
    WithFreshToken,
    /// A few times with back-off, from half a second up.
    BackOff,
    /// After this time.
    After(Duration),
    /// When WeChat renews the daily quotas. See [`Retry::seconds`] for the hour.
    NextDay,
    /// When WeChat renews the monthly quota.
    NextMonth,
    /// When WeChat renews the quota; its pages do not say when.
    Later,
    /// When the recipient has acted towards the account again: written, tapped the menu, scanned a code or followed.
    AfterUserMessage,
    /// From the same address, when the account's administrator has confirmed the call in WeChat.
    AfterConfirmation,
}

/// One errcode, explained in English and in Chinese.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errcode {
    /// The code as WeChat sent it. It may be negative or exceed 32 bits.
    pub code: i64,
    /// The meaning in English: a phrase without a full stop.
    pub english: &'static str,
    /// The meaning in Chinese.
    pub chinese: &'static str,
    /// The remedy in English: one or more sentences.
    pub remedy_english: &'static str,
    /// The remedy in Chinese.
    pub remedy_chinese: &'static str,
    /// Who can fix the failure.
    pub class: Class,
    /// Whether and when to retry.
    pub retry: Retry,
}

impl Errcode {
    /// Returns the meaning in both languages.
    #[must_use]
    pub fn meaning(&self) -> String {
        both(self.english, self.chinese)
    }

    /// Returns the remedy in both languages.
    #[must_use]
    pub fn remedy(&self) -> String {
        both(self.remedy_english, self.remedy_chinese)
    }

    /// Whether the code may concern one recipient although [`Self::refuses_everybody`] is true. If WeChat refuses another
    /// recipient too, it concerns everybody.
    #[must_use]
    pub fn may_be_about_one_recipient(&self) -> bool {
        ABOUT_ACCOUNT_OR_RECIPIENT.contains(&self.code)
    }

    /// Whether WeChat would refuse the same message to every recipient, so that a batch can stop: the fault is the token, a
    /// quota, the set-up, the content or the request, not one recipient.
    #[must_use]
    pub fn refuses_everybody(&self) -> bool {
        match self.class {
            Class::Token | Class::Quota | Class::SetUp | Class::Content => true,
            Class::Caller => !ABOUT_ONE_RECIPIENT.contains(&self.code),
            Class::Success | Class::Recipient | Class::Platform | Class::Unknown => false,
        }
    }
}

/// Explains an errcode. A code that is not in the table has [`Class::Unknown`] and [`Retry::Never`].
#[must_use]
pub fn lookup(code: i64) -> Errcode {
    let known = find(code).map_or(table::UNKNOWN, |row| row.errcode);
    Errcode { code, ..known }
}

/// Explains an errcode that `/cgi-bin/token` or `/cgi-bin/stable_token` answered.
///
/// There 40001 means that the AppSecret is wrong, so a retry is useless; all other codes have their usual meaning.
/// See [WeChat Docs/获取 access_token](https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html).
#[must_use]
pub fn lookup_at_token_endpoint(code: i64) -> Errcode {
    if code == table::WRONG_APP_SECRET.code {
        table::WRONG_APP_SECRET
    } else {
        lookup(code)
    }
}

/// Whether the code, from a token endpoint, means that the AppID or the AppSecret is wrong.
#[must_use]
pub fn is_about_the_app_secret(code: i64) -> bool {
    matches!(code, DEAD_TOKEN | 40013 | WRONG_SECRET | 40243 | 41004)
}

/// Whether the code means that the caller's address is not in the account's IP whitelist.
#[must_use]
pub fn is_about_the_whitelist(code: i64) -> bool {
    WHITELIST_CODES.contains(&code)
}

/// Whether the code means that the recipient does not follow the account.
#[must_use]
pub fn is_about_following(code: i64) -> bool {
    NOT_A_FOLLOWER_CODES.contains(&code)
}

/// The HTTP status with which our own API reports the errcode.
///
/// A [`Class::Token`] failure is 503: it is reported only after the retry with a fresh token has failed too.
#[must_use]
pub fn http_status(code: i64) -> u16 {
    if code == NO_MENU {
        return 404;
    }
    let Errcode { class, retry, .. } = lookup(code);
    match class {
        Class::Success => 200,
        // A rate limit for one recipient, which ends by itself.
        Class::Recipient if matches!(retry, Retry::After(_) | Retry::Later) => 429,
        Class::Caller | Class::Recipient | Class::Content => 400,
        Class::Quota => 429,
        Class::Token | Class::SetUp => 503,
        Class::Platform | Class::Unknown => 502,
    }
}

/// Whether WeChat rejected the access_token, so that a retry with a fresh one may succeed: 40001, 40014 and 42001.
///
/// Not for answers of the token endpoints, where 40001 means a wrong AppSecret. Two related codes are left out: 41001 means
/// that no token arrived, but the client always sends one; 48012 has no documented meaning.
#[must_use]
pub fn is_dead_token(code: i64) -> bool {
    lookup(code).retry == Retry::WithFreshToken
}

/// Seconds. token-refresher replaces a token that WeChat refuses at most once in this time.
pub const BETWEEN_REPLACEMENTS: u64 = 30;

impl Retry {
    /// Seconds until a retry makes sense, with `now` in epoch seconds. `None` when the time is unknown.
    ///
    /// Assumes that WeChat renews daily quotas at midnight in China (UTC+8), as the field believes; WeChat does not document
    /// the hour. It does not document either whether a month is a calendar month, so monthly quotas give `None`.
    #[must_use]
    pub fn seconds(self, now: i64) -> Option<u64> {
        match self {
            Self::After(pause) => Some(pause.as_secs()),
            Self::WithFreshToken => Some(BETWEEN_REPLACEMENTS),
            Self::NextDay => Some(until_midnight_in_beijing(now).unsigned_abs()),
            _ => None,
        }
    }
}

fn find(code: i64) -> Option<&'static Row> {
    let position = TABLE.binary_search_by(|row| {
        if row.last < code {
            Ordering::Less
        } else if row.errcode.code > code {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    });
    position.ok().and_then(|index| TABLE.get(index))
}
