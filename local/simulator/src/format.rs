//! 数据格式: whether callbacks and their replies are XML or JSON.

use serde::{Deserialize, Serialize};

use crate::{
    json,
    xml::{self, Element, Field},
};

/// The format of the push channel. WeChat's pages contradict one another on whether Official Accounts can choose JSON;
/// accounts that did are pushed JSON, and may answer either.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Xml,
    Json,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Xml => "text/xml",
            Self::Json => "application/json",
        }
    }

    pub(crate) fn write(self, document: &[Field]) -> String {
        match self {
            Self::Xml => xml::write(document),
            Self::Json => json::write(document).to_string(),
        }
    }

    /// Reads the server's answer. Fails with why it is none.
    pub(crate) fn read(self, text: &str) -> Result<Element, String> {
        if self == Self::Json && text.starts_with('{') {
            json::read(text).map_err(|error| format!("not the JSON of a reply: {error}"))
        } else {
            xml::read(text).map_err(|error| error.to_string())
        }
    }
}
