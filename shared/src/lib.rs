//! What the functions of the bundle share: WeChat's protocol, its API, the token service and the table.
//!
//! | to … | see |
//! |---|---|
//! | verify, open and seal callbacks | [`callback`], over [`xml`] |
//! | read what a callback says | [`message`] |
//! | decide on a passive reply and write it | [`rules`], [`reply`] |
//! | check a send, a menu, what a template message must hold | [`validate`] |
//! | call WeChat for an account | `account` (features `client` and `aws`), over `api` and `token`; [`errcode`] |
//! | have a working access_token | `token` (features `client` and `aws`) |
//! | keep things | `store` (feature `aws`) |
//! | do what a callback changes, or have `worker` do it | `effects` (feature `effects`) |
//! | start a function | [`config`], [`live`], [`telemetry`], `aws` (feature `aws`) |
//! | do small things one way | [`digest`], [`hex`], [`json`], [`random`], [`lock`], [`in_flight`] |
//!
//! Tests marked T1 to T25 stand for the traps of this field: each is a bug that a well-known SDK has or had.
//!
//! Domain code takes time ([`clock`]), randomness and I/O as arguments. Secrets are [`secret::Secret`]s.

#[cfg(all(feature = "client", feature = "aws"))]
pub mod account;
#[cfg(feature = "client")]
pub mod api;
#[cfg(feature = "aws")]
pub mod aws;
pub mod callback;
pub mod clock;
pub mod config;
pub mod digest;
#[cfg(feature = "effects")]
pub mod effects;
pub mod errcode;
#[cfg(any(feature = "aws", feature = "client"))]
mod error_chain;
pub mod hex;
pub mod in_flight;
pub mod json;
pub mod live;
pub mod lock;
pub mod message;
pub mod random;
pub mod reply;
pub mod rules;
pub mod secret;
#[cfg(feature = "aws")]
pub mod store;
pub mod telemetry;
#[cfg(all(feature = "client", feature = "aws"))]
pub mod token;
#[cfg(feature = "transport")]
mod transport;
pub mod validate;
pub mod xml;
