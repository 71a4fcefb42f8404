//! The push channel: how notices reach the account's server, and how its replies are read.
//!
//! This room imports [`platform`](crate::platform), and neither [`api`](crate::api) nor [`control`](crate::control).

mod channel;
pub mod crypto;
mod delivery;
mod document;
pub(crate) mod json;
mod reply;
pub(crate) mod tap;
mod url_check;
pub mod xml;

use self::channel::Target;
pub(crate) use self::{channel::Channel, delivery::Delivery, url_check::UrlCheck};
