//! Documents of the push channel in either format.

use super::{
    json,
    xml::{self, Element},
};
use crate::platform::{format::Format, notice::Field};

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Xml => "text/xml",
            Self::Json => "application/json",
        }
    }

    pub(super) fn write(self, document: &[Field]) -> String {
        match self {
            Self::Xml => xml::write(document),
            Self::Json => json::write(document).to_string(),
        }
    }

    /// Reads the server's answer, or says why it is not a reply. XML is accepted in either format.
    pub(super) fn read(self, text: &str) -> Result<Element, String> {
        if self == Self::Json && text.starts_with('{') {
            json::read(text).map_err(|error| format!("not the JSON of a reply: {error}"))
        } else {
            xml::read(text).map_err(|error| error.to_string())
        }
    }
}
