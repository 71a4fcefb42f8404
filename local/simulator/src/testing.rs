//! Helpers of this package's tests: calls to a platform without a network.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::Method;
use serde_json::Value;

use crate::{
    api::{self, ApiError, Call},
    platform::Platform,
    random::Random,
};

pub(crate) fn platform() -> Platform {
    Platform::new(Random::from_seed(42), None)
}

/// A living token, fetched as a server does in the background.
pub(crate) fn token(platform: &mut Platform) -> String {
    let now = platform.clock.now();
    platform.tokens.stable(now, &mut platform.random).access_token
}

pub(crate) fn get(platform: &mut Platform, path: &str, query: &[(&str, &str)]) -> Result<Value, ApiError> {
    request(platform, &Method::GET, path, query, "")
}

pub(crate) fn post(platform: &mut Platform, path: &str, query: &[(&str, &str)], body: &str) -> Result<Value, ApiError> {
    request(platform, &Method::POST, path, query, body)
}

pub(crate) fn get_with_token(platform: &mut Platform, path: &str) -> Result<Value, ApiError> {
    let token = token(platform);
    get(platform, path, &[("access_token", &token)])
}

pub(crate) fn post_with_token(platform: &mut Platform, path: &str, body: &str) -> Result<Value, ApiError> {
    let token = token(platform);
    post(platform, path, &[("access_token", &token)], body)
}

fn request(
    platform: &mut Platform,
    method: &Method,
    path: &str,
    query: &[(&str, &str)],
    body: &str,
) -> Result<Value, ApiError> {
    let query: Vec<_> = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    api::answer(
        platform,
        &Call {
            method,
            path,
            query: &query,
            body: body.as_bytes(),
            peer,
        },
    )
}
