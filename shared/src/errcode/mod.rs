//! WeChat's errcodes: what each means, who can mend it, and when the same call may be made again.
//!
//! WeChat answers HTTP 200 to everything and puts the outcome into `{"errcode":N,"errmsg":"…"}`. The code decides;
//! `errmsg` is for humans and changes, and is read only for the three details it alone carries: [`rid`],
//! [`denied_address`] and [`rejected_field`].

mod errmsg;
mod table;
#[cfg(test)]
mod tests;

use std::{cmp::Ordering, time::Duration};

pub use errmsg::{denied_address, rejected_field, rid};
use table::{Row, TABLE};

/// Refusals of a request that are about the one recipient, by what it says of them: a value that was refused may be theirs
/// alone, and so may an openid of another account.
const ABOUT_ONE_RECIPIENT: [i64; 2] = [47003, 49003];

/// Refusals of the account, or of the one recipient: a frozen account, or a user outside of a whitelist.
const ABOUT_ACCOUNT_OR_RECIPIENT: [i64; 2] = [50002, 50003];

/// There is no menu.
pub const NO_MENU: i64 = 46003;

const SECONDS_A_DAY: i64 = 86_400;
/// China keeps UTC+8 all year.
const UTC_PLUS_8: i64 = 8 * 3600;

/// Who can mend a failure, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Not a failure: errcode 0.
    Success,
    /// The access_token: a fresh one mends the call.
    Token,
    /// The request: whoever made it must change it.
    Caller,
    /// A quota, a rate or a count is used up.
    Quota,
    /// The account, its permissions or this deployment: whoever runs it must change the set-up.
    SetUp,
    /// The recipient does not follow, refuses messages or cannot be reached now.
    Recipient,
    /// WeChat objects to the content, or has restricted the template.
    Content,
    /// WeChat itself is in trouble.
    Platform,
    /// The code is not known.
    Unknown,
}

impl Class {
    /// Its name as a dimension of metrics, which alarms are set on.
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

/// Whether and when the same call may be made again.
///
/// Repeat a template send only with a `client_msg_id`, or the recipient may get it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// Not until something has been changed.
    Never,
    /// Once, with a fresh access_token; never in a loop.
    WithFreshToken,
    /// A few times, with growing pauses from half a second up.
    BackOff,
    /// Not before this time has passed.
    After(Duration),
    /// When the daily quotas are renewed. See [`retry_after`] for the hour.
    NextDay,
    /// When the monthly quota is renewed.
    NextMonth,
    /// When the quota is renewed; WeChat does not say when that is.
    Later,
    /// When the recipient has written to the account again.
    AfterUserMessage,
    /// When the account's administrator has confirmed the call in WeChat, from the same address.
    AfterConfirmation,
}

/// One errcode, explained in English and in Chinese.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errcode {
    /// The code as WeChat sent it. It may be negative, and may exceed 32 bits.
    pub code: i64,
    /// What it means, in English: a phrase without a full stop.
    pub english: &'static str,
    /// What it means, in Chinese.
    pub chinese: &'static str,
    /// What to do about it, in English: one or more sentences.
    pub remedy_english: &'static str,
    /// What to do about it, in Chinese.
    pub remedy_chinese: &'static str,
    /// Who can mend it.
    pub class: Class,
    /// Whether and when to try again.
    pub retry: Retry,
}

impl Errcode {
    /// Whether the refusal may be about the one recipient after all, although [`Self::refuses_everybody`]: a second one tells.
    #[must_use]
    pub fn may_be_about_one_recipient(&self) -> bool {
        ABOUT_ACCOUNT_OR_RECIPIENT.contains(&self.code)
    }

    /// Whether the same message would be refused to every recipient, so that a batch need not go on: the token, a quota, the
    /// set-up, the content or the request itself is at fault, and not one recipient.
    #[must_use]
    pub fn refuses_everybody(&self) -> bool {
        match self.class {
            Class::Token | Class::Quota | Class::SetUp | Class::Content => true,
            Class::Caller => !ABOUT_ONE_RECIPIENT.contains(&self.code),
            Class::Success | Class::Recipient | Class::Platform | Class::Unknown => false,
        }
    }
}

/// Explains an errcode. A code that is not in the table gives an entry of class [`Class::Unknown`], not to be retried.
#[must_use]
pub fn lookup(code: i64) -> Errcode {
    let known = find(code).map_or(table::UNKNOWN, |row| row.errcode);
    Errcode { code, ..known }
}

/// Explains an errcode that `/cgi-bin/token` or `/cgi-bin/stable_token` answered.
///
/// There 40001 means that the AppSecret is wrong, which no retry mends; all other codes mean what they do elsewhere.
#[must_use]
pub fn lookup_at_token_endpoint(code: i64) -> Errcode {
    if code == table::WRONG_APP_SECRET.code {
        table::WRONG_APP_SECRET
    } else {
        lookup(code)
    }
}

/// Whether a token endpoint refused the AppID or the AppSecret, so that the right one mends the call.
#[must_use]
pub fn is_about_the_app_secret(code: i64) -> bool {
    matches!(code, 40001 | 40013 | 40125 | 40243 | 41004)
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
        // One recipient's frequency, which time mends.
        Class::Recipient if matches!(retry, Retry::After(_) | Retry::Later) => 429,
        Class::Caller | Class::Recipient | Class::Content => 400,
        Class::Quota => 429,
        Class::Token | Class::SetUp => 503,
        Class::Platform | Class::Unknown => 502,
    }
}

/// Whether WeChat rejected the token it was given, so that a fresh one may mend the call: 40001, 40014 and 42001.
///
/// Not for answers of the token endpoints, where 40001 means a wrong AppSecret. Two neighbours are not among them: 41001
/// says that no token arrived, and the client always sends one; 48012 has no documented meaning.
#[must_use]
pub fn is_dead_token(code: i64) -> bool {
    lookup(code).retry == Retry::WithFreshToken
}

/// Seconds until it is sensible to make the same call again, `now` being epoch seconds. None when no time is known.
///
/// Daily quotas are taken to be renewed at midnight in China (UTC+8), as is the usual belief; WeChat does not document
/// the hour, nor whether its months are those of the calendar, so monthly quotas give None.
#[must_use]
pub fn retry_after(code: i64, now: i64) -> Option<u64> {
    match lookup(code).retry {
        Retry::After(pause) => Some(pause.as_secs()),
        Retry::NextDay => Some(seconds_to_midnight_in_china(now)),
        _ => None,
    }
}

/// From 1 to 86,400: at midnight the next one is meant.
const fn seconds_to_midnight_in_china(now: i64) -> u64 {
    let since_midnight = (now.rem_euclid(SECONDS_A_DAY) + UTC_PLUS_8) % SECONDS_A_DAY;
    (SECONDS_A_DAY - since_midnight).unsigned_abs()
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
