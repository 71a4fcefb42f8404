//! The calls of a server to the platform: `/cgi-bin/…`.
//!
//! Everything here is synchronous work on [`Platform`]; what must be pushed afterwards waits in its outbox.

mod conditional;
mod custom;
mod error;
mod library;
mod menu;
mod openapi;
mod template;
mod token;

use std::net::IpAddr;

use axum::http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use self::{error::ApiError, library::Industries, menu::Menu, template::Sends};
use crate::{account_type::Needs, platform::Platform};

/// One HTTP request.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) body: &'a [u8],
    pub(crate) peer: IpAddr,
}

impl Call<'_> {
    /// The query parameter of that name; empty when it is missing.
    fn query(&self, name: &str) -> &str {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// The body: 44002 when there is none, 47001 when it is not the JSON that the API takes.
    fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        if self.body.is_empty() {
            return Err(ApiError::of(44002));
        }
        serde_json::from_slice(self.body).map_err(|_| ApiError::of(47001))
    }

    /// Whether the body writes any non-ASCII character as `\uXXXX`, which the platform shows or refuses as it stands.
    fn escapes_text(&self) -> bool {
        let mut rest = self.body;
        while let Some(backslash) = rest.iter().position(|byte| *byte == b'\\') {
            rest = &rest[backslash + 1..];
            if let [b'u', digits @ ..] = rest
                && let Some(digits) = digits.get(..4).and_then(|digits| std::str::from_utf8(digits).ok())
                && u32::from_str_radix(digits, 16).is_ok_and(|code| code > 0x7f)
            {
                return true;
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        false
    }

    fn must_be(&self, method: &Method) -> Result<(), ApiError> {
        if self.method == method {
            return Ok(());
        }
        Err(ApiError::of(if method == Method::GET { 43001 } else { 43002 }))
    }
}

type Handler = fn(&mut Platform, &Call<'_>) -> Result<Value, ApiError>;

/// The APIs that need an access token, and what they need of the account.
#[rustfmt::skip]
const ENDPOINTS: &[(Method, &str, Needs, Handler)] = &[
    (Method::POST, "/cgi-bin/message/template/send", Needs::VerifiedService, template::send),
    (Method::GET, "/cgi-bin/template/get_all_private_template", Needs::VerifiedService, template::list),
    (Method::POST, "/cgi-bin/template/api_add_template", Needs::VerifiedService, library::add),
    (Method::POST, "/cgi-bin/template/del_private_template", Needs::VerifiedService, library::delete),
    (Method::GET, "/cgi-bin/template/get_industry", Needs::VerifiedService, library::industry),
    (Method::POST, "/cgi-bin/template/api_set_industry", Needs::VerifiedService, library::set_industry),
    (Method::POST, "/cgi-bin/message/custom/send", Needs::Verification, custom::send),
    (Method::POST, "/cgi-bin/message/custom/typing", Needs::Verification, custom::typing),
    (Method::POST, "/cgi-bin/menu/create", Needs::Verification, menu::create),
    (Method::POST, "/cgi-bin/menu/addconditional", Needs::Verification, conditional::add),
    (Method::POST, "/cgi-bin/menu/delconditional", Needs::Verification, conditional::delete),
    (Method::POST, "/cgi-bin/menu/trymatch", Needs::Verification, conditional::try_match),
    (Method::GET, "/cgi-bin/menu/get", Needs::Verification, menu::get),
    (Method::GET, "/cgi-bin/menu/delete", Needs::Verification, menu::delete),
    (Method::GET, "/cgi-bin/get_current_selfmenu_info", Needs::Nothing, menu::current),
    (Method::POST, "/cgi-bin/openapi/quota/get", Needs::Nothing, openapi::quota),
    (Method::POST, "/cgi-bin/openapi/quota/clear", Needs::Nothing, openapi::clear_one_quota),
    (Method::POST, "/cgi-bin/openapi/rid/get", Needs::Nothing, openapi::request_by_rid),
    (Method::POST, "/cgi-bin/clear_quota", Needs::Nothing, openapi::clear_quota),
    (Method::GET, "/cgi-bin/get_api_domain_ip", Needs::Nothing, openapi::addresses),
    (Method::GET, "/cgi-bin/getcallbackip", Needs::Nothing, openapi::addresses),
    (Method::POST, "/cgi-bin/callback/check", Needs::Nothing, openapi::check_callback),
];

/// Answers a call as the platform does.
pub(crate) fn answer(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    match call.path {
        "/cgi-bin/token" => return token::ordinary(platform, call),
        "/cgi-bin/stable_token" => return token::stable(platform, call),
        "/cgi-bin/clear_quota/v2" => return openapi::clear_quota_by_secret(platform, call),
        _ => {}
    }
    let (method, _, needs, handler) = ENDPOINTS
        .iter()
        .find(|(_, path, ..)| *path == call.path)
        .ok_or_else(|| ApiError::of(40066))?;
    let now = platform.clock.now();
    match call.query("access_token") {
        "" => return Err(ApiError::of(41001)),
        access_token => platform.tokens.check(access_token, now)?,
    }
    call.must_be(method)?;
    if !platform.account_type.meets(*needs) {
        return Err(ApiError::of(48001));
    }
    platform.quotas.take(call.path, platform.account_type, now)?;
    handler(platform, call)
}

fn ok() -> Value {
    json!({"errcode": 0, "errmsg": "ok"})
}

/// AppIDs are `wx` and 16 hex digits.
fn is_app_id(text: &str) -> bool {
    text.strip_prefix("wx")
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn only_escapes_of_non_ascii_text_count() {
        let method = Method::POST;
        let escapes = |body: &str| {
            let peer = IpAddr::from([127, 0, 0, 1]);
            Call {
                method: &method,
                path: "",
                query: &[],
                body: body.as_bytes(),
                peer,
            }
            .escapes_text()
        };
        assert!(escapes(r#"{"a":"\u4f60"}"#));
        assert!(escapes(r#"{"a":"\\\u4f60"}"#));
        assert!(escapes(r#"{"a":"\u0026\u00e9"}"#));
        assert!(!escapes(r#"{"a":"\u0026 \n \" 你"}"#));
        assert!(!escapes(r#"{"a":"\\u4f60"}"#));
        assert!(!escapes(r#"{"a":"\u4"#));
        assert!(!escapes("\\"));
    }

    #[test]
    fn calls_without_a_living_token_get_nowhere() {
        let mut platform = testing::platform();
        let path = "/cgi-bin/menu/get";
        assert_eq!(testing::get(&mut platform, path, &[]).unwrap_err().errcode, 41001);
        assert_eq!(
            testing::get(&mut platform, path, &[("access_token", "")])
                .unwrap_err()
                .errcode,
            41001
        );
        assert_eq!(
            testing::get(&mut platform, path, &[("access_token", "abc")])
                .unwrap_err()
                .errcode,
            40014
        );
        assert_eq!(testing::get_with_token(&mut platform, path).unwrap_err().errcode, 46003);
        platform.clock.advance(7_200);
        let token = testing::token(&mut platform);
        platform.clock.advance(7_200);
        assert_eq!(
            testing::get(&mut platform, path, &[("access_token", &token)])
                .unwrap_err()
                .errcode,
            42001
        );
    }

    #[test]
    fn unknown_paths_and_wrong_methods_are_answered_with_errcodes() {
        let mut platform = testing::platform();
        assert_eq!(
            testing::get_with_token(&mut platform, "/cgi-bin/nothing/here")
                .unwrap_err()
                .errcode,
            40066
        );
        assert_eq!(
            testing::get_with_token(&mut platform, "/cgi-bin/menu/create")
                .unwrap_err()
                .errcode,
            43002
        );
        assert_eq!(
            testing::post_with_token(&mut platform, "/cgi-bin/menu/get", "{}")
                .unwrap_err()
                .errcode,
            43001
        );
    }

    #[test]
    fn a_used_up_quota_is_45009() {
        let mut platform = testing::platform();
        for _ in 0..1_000 {
            testing::get_with_token(&mut platform, "/cgi-bin/menu/delete").unwrap();
        }
        assert_eq!(
            testing::get_with_token(&mut platform, "/cgi-bin/menu/delete")
                .unwrap_err()
                .errcode,
            45009
        );
    }
}
