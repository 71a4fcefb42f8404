//! WeChat's API. Each call is a value ([`calls`]); one client ([`Client`]) sends it, bounds its time and reads the answer.
//! Functions call through [`crate::account::Account`], which has the access_token.
//!
//! WeChat answers every call with 200, an `errcode` in the body and any content type. The access_token and the AppSecret
//! travel in URLs and bodies, so no error holds a URL or a body.
//! See [WeChat Docs/全局返回码](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html).

mod answer;
mod call;
pub mod calls;
mod client;
mod error;
#[cfg(feature = "relay")]
mod raw;
mod token;

pub(crate) use self::client::{parse_base, parse_proxy};
#[cfg(feature = "relay")]
pub use self::raw::{HiddenTokens, RawAnswer, RawCall};
pub use self::{
    answer::{Rejection, read as read_answer, read_errcode},
    call::{Call, Unexpected},
    calls::template::{CLIENT_MSG_ID_LENGTH, FieldValue, MiniProgram, Template, TemplateContent, TemplateMessage},
    client::{Client, ClientError, DEFAULT_API_BASE},
    error::ApiError,
    token::{IssuedToken, TokenApi, TokenEndpoint, TokenIssuer},
};
