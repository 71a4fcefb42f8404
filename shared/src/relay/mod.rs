//! What the relay needs to hand WeChat's API to programs that hold a key of ours in place of the AppSecret: which paths it
//! relays ([`path`]), where the access_token stands in a query ([`query`]), and the opaque tokens in its place ([`token`]).

pub mod path;
pub mod query;
#[cfg(feature = "relay")]
pub mod token;
