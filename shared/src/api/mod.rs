//! WeChat's API: each call is a value ([`calls`]), and one client ([`Client`]) makes it, bounds it in time and reads the
//! answer. Functions call through [`crate::account::Account`], which has the access_token.
//!
//! WeChat answers 200 to everything, with `errcode` inside and any content type. The access_token and the AppSecret
//! travel in URLs and bodies, so no error here ever holds either.

mod answer;
mod call;
pub mod calls;
mod client;
mod error;
mod token;

pub(crate) use self::client::{parse_base, parse_proxy};
pub use self::{
    answer::{Rejection, read as read_answer},
    call::{Call, Unexpected},
    calls::template::{FieldValue, MiniProgram, Template, TemplateMessage},
    client::{Client, ClientError, DEFAULT_API_BASE},
    error::ApiError,
    token::{IssuedToken, TokenApi, TokenEndpoint, TokenIssuer},
};
