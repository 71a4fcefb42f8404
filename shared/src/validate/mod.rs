//! Checks JSON before WeChat is asked, and names every fault at once: where it is, and what is wrong in English and Chinese.
//!
//! | to check … | see |
//! |---|---|
//! | a menu, or to compare two | [`menu`] |
//! | a request to send a template message | `send` (feature `client`) |
//! | what the account's own templates ask of a message | [`template`] |
//! | anything else | [`Reader`] |

mod fault;
pub mod menu;
mod place;
mod reader;
#[cfg(feature = "client")]
pub mod send;
pub mod template;

#[cfg(test)]
pub(crate) use self::fault::assert_each_half_says_all;
pub(crate) use self::{fault::LIMIT, place::escape_pointer};
pub use self::{
    fault::{Fault, in_words},
    place::Place,
    reader::{EMPTY, Object, Reader, did_you_mean},
};
