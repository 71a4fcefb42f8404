//! The code that the functions share: WeChat's protocol, the client of its API, the token service and the DynamoDB table.
//!
//! | to … | see |
//! |---|---|
//! | verify and decrypt callbacks, encrypt replies | [`callback`], over [`xml`] |
//! | read the message or event in a callback | [`message`] |
//! | choose a passive reply and write it | [`rules`], [`reply`] |
//! | check a send, a menu, the values of a template message | [`validate`] |
//! | call WeChat for an account | `account` (features `client` and `aws`), over `api` and `token`; [`errcode`] |
//! | say what a campaign is and how far it has come | `campaign` (feature `client`) |
//! | send a message and say how it fared | `sending` (features `client` and `aws`) |
//! | get an access_token | `token` (features `client` and `aws`) |
//! | check the address of a team's own page | [`page`] |
//! | say what a caller of `/api` may do | [`api_key`] |
//! | hand WeChat's API to programs with a key of ours | [`relay`] (its tokens: feature `relay`) |
//! | exchange an OAuth code, sign a page for the JS-SDK | `oauth` (features `client` and `aws`), [`jssdk`] |
//! | store and load records | `store` (feature `aws`) |
//! | run the effects of a callback, or hand them over to `worker` | `effects` (feature `effects`) |
//! | hand callbacks to the team's own code | `forward` (feature `aws`, to ask it `forward`) |
//! | start a function | [`config`], [`live`], [`telemetry`], `aws` (feature `aws`) |
//! | do small things one way | [`digest`], [`hex`], [`json`], [`random`], [`lock`], [`in_flight`] |
//!
//! Domain code takes time ([`clock`]), randomness and I/O as arguments. Secrets are [`secret::Secret`]s.

#[cfg(all(feature = "client", feature = "aws"))]
pub mod account;
#[cfg(feature = "client")]
pub mod api;
pub mod api_key;
#[cfg(feature = "aws")]
pub mod aws;
pub mod bilingual;
pub mod callback;
#[cfg(feature = "client")]
pub mod campaign;
pub mod clock;
pub mod config;
#[cfg(feature = "aws")]
pub mod counts;
pub mod digest;
#[cfg(feature = "effects")]
pub mod effects;
pub mod errcode;
#[cfg(any(feature = "aws", feature = "client"))]
mod error_chain;
#[cfg(feature = "aws")]
pub mod forward;
pub mod hex;
pub mod in_flight;
pub mod json;
pub mod jssdk;
pub mod live;
pub mod lock;
pub mod message;
mod names;
#[cfg(all(feature = "client", feature = "aws"))]
pub mod oauth;
pub mod page;
pub mod random;
pub mod relay;
pub mod reply;
pub mod rules;
pub mod secret;
#[cfg(all(feature = "client", feature = "aws"))]
pub mod sending;
#[cfg(feature = "aws")]
pub mod store;
pub mod telemetry;
#[cfg(all(feature = "client", feature = "aws"))]
pub mod token;
#[cfg(feature = "transport")]
mod transport;
pub mod validate;
pub mod xml;
