//! The answer of a function behind API Gateway.

use serde_json::Value;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Value,
    /// The cookies that it sets.
    pub cookies: Vec<String>,
    /// The JSON of the body, or its text when it is not JSON.
    pub body: Value,
}

impl Response {
    /// Reads the answer of a function behind API Gateway. JSON is a problem (RFC 9457) exactly when the status is one, unless it
    /// has WeChat's form.
    pub(crate) fn read(answer: &Value) -> Self {
        let headers = answer["headers"].clone();
        let text = answer["body"].as_str().unwrap_or_default();
        let content_type = headers["content-type"].as_str().unwrap_or_default();
        let cookies = answer["cookies"].as_array().into_iter().flatten();
        let response = Self {
            cookies: cookies.map(|cookie| cookie.as_str().unwrap().to_owned()).collect(),
            status: answer["statusCode"].as_u64().unwrap().try_into().unwrap(),
            body: if content_type.contains("json") {
                serde_json::from_str(text).unwrap()
            } else {
                text.into()
            },
            headers,
        };
        match response.content_type() {
            "application/json" => {
                let has_errcode = response.body.get("errcode").is_some();
                assert!(response.status < 400 || has_errcode, "{response:?}");
            }
            "application/problem+json" => {
                assert_eq!(response.body["status"], response.status, "{response:?}");
                for member in ["type", "title", "detail"] {
                    let has_text = response.body[member].as_str().is_some_and(|text| !text.is_empty());
                    assert!(has_text, "{response:?}");
                }
            }
            _ => {}
        }
        response
    }

    /// The status and the body.
    #[must_use]
    pub fn parts(self) -> (u16, Value) {
        (self.status, self.body)
    }

    /// Where a redirect leads.
    #[must_use]
    pub fn location(&self) -> &str {
        self.headers["location"].as_str().unwrap()
    }

    /// The `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.headers["content-type"].as_str().unwrap_or_default()
    }

    /// The text of a body that is not JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        self.body.as_str().unwrap()
    }

    /// The last part of a problem's `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap().rsplit(':').next().unwrap()
    }
}
