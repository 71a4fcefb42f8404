//! A browser in which a person opens the pages of `users`.

use serde_json::json;

use crate::{
    Function, Response,
    event::{Request, get},
};

/// The `PUBLIC_URL` of a function whose pages a [`Browser`] opens.
pub const PUBLIC_URL: &str = "https://wechat.example.com";

/// A browser, which keeps the cookies of answers.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    cookies: Vec<String>,
}

impl Browser {
    /// Opens an address of the bundle, and keeps the cookies of the answer.
    pub async fn open(&mut self, function: &mut Function, address: &str) -> Response {
        let response = function.send(&self.request(address)).await;
        let set = response
            .cookies
            .iter()
            .map(|cookie| cookie.split(';').next().unwrap().to_owned());
        self.cookies.extend(set);
        response
    }

    /// Returns the request with which the browser opens an address of the bundle.
    #[must_use]
    pub fn request(&self, address: &str) -> Request {
        let path = address.strip_prefix(PUBLIC_URL).unwrap_or(address);
        get(path).keyless().with("/cookies", json!(self.cookies))
    }
}

/// The value of a parameter of an address.
#[must_use]
pub fn parameter(address: &str, name: &str) -> String {
    let (_, query) = address.split_once('?').unwrap();
    let query = query.split('#').next().unwrap();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| *found == name).unwrap().1.to_owned()
}
