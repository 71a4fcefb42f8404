//! Checks JSON before WeChat is called, and reports all faults at once: each with its place and a bilingual explanation.
//!
//! | to check | see |
//! |---|---|
//! | a menu, or the difference between two | [`menu`] |
//! | a request to send a template message | `send` (feature `client`) |
//! | a campaign, and a part of its audience | `campaign`, `recipients` (feature `client`) |
//! | a request to send a customer-service message | `custom` (feature `client`) |
//! | a message against the account's templates | [`template`] |
//! | a team's id of a user | [`user_id`] |
//! | anything else | [`Reader`] |

#[cfg(feature = "client")]
pub mod campaign;
#[cfg(feature = "client")]
pub mod custom;
mod fault;
pub mod menu;
mod place;
mod reader;
#[cfg(feature = "client")]
pub mod recipients;
#[cfg(feature = "client")]
pub mod send;
pub mod template;
mod user;

#[cfg(test)]
pub(crate) use self::fault::assert_each_half_says_all;
pub(crate) use self::{fault::LIMIT, place::escape_pointer};
pub use self::{
    fault::{Fault, in_words},
    place::Place,
    reader::{EMPTY, Object, Reader, did_you_mean},
    user::{OPENID_LIMIT, USER_ID_LIMIT, is_user_id, user_id},
};
