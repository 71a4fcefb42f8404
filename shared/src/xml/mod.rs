//! The bodies that WeChat posts, XML or JSON, as one ordered tree of text.
//!
//! Lenient where WeChat is: elements in any order and any number, CDATA or plain text, a byte order mark, a declaration,
//! control characters, whitespace. Strict where it is safety: no DTD, no entities beyond the five, bounded size, depth and
//! number of elements.

mod json;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::str::{FromStr, Utf8Error};

use serde_json::{Map, Value, map::Entry};

use self::reader::TextEnd;
pub(crate) use self::{reader::is_xml_character, writer::XmlWriter};

/// Bytes that a body may have. WeChat's own stay under a few KiB.
pub const MAX_SIZE: usize = 256 * 1024;
/// Levels that elements may be nested, the root included. WeChat's own have five.
pub const MAX_DEPTH: usize = 16;
/// Elements that a body may have, the root included.
pub const MAX_ELEMENTS: usize = 10_000;

/// Takes a byte order mark and the whitespace around a body away.
fn trim(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim_ascii()
}

fn is_json(trimmed: &str) -> bool {
    trimmed.starts_with('{')
}

const fn check_size(body: &[u8]) -> Result<(), DocumentError> {
    if body.len() > MAX_SIZE {
        return Err(DocumentError::TooLarge(body.len()));
    }
    Ok(())
}

/// The texts that can be the `Encrypt` of a body: the first and the last `Encrypt` element in it, or the member of that name.
///
/// The envelope is not read as a document: beside the ciphertext, compat mode's holds clear text that can be malformed or
/// forged. WeChat writes one `Encrypt`, before or after that text, and `msg_signature` tells which it is.
#[must_use]
pub fn ciphertexts(body: &[u8]) -> Vec<String> {
    const START: &str = "<Encrypt>";
    let text = String::from_utf8_lossy(body);
    if is_json(trim(&text)) {
        let document = Document::parse_callback(body).ok();
        let encrypt = document.as_ref().and_then(|document| document.text("Encrypt"));
        return encrypt.map(str::to_owned).into_iter().collect();
    }
    let (first, last) = (text.find(START), text.rfind(START));
    let starts = first.into_iter().chain(last.filter(|_| first != last));
    starts
        .filter_map(|start| {
            let (inside, _) = text[start + START.len()..].split_once("</Encrypt>")?;
            let cdata = inside.trim_ascii().strip_prefix("<![CDATA[");
            let encrypt = cdata.and_then(|cdata| cdata.strip_suffix("]]>")).unwrap_or(inside);
            (!encrypt.trim_ascii().is_empty()).then(|| encrypt.to_owned())
        })
        .collect()
}

/// An element of XML or a member of JSON: a name, with either text or children. The root is one too.
///
/// XML and JSON give the same tree: a JSON array is a repeated member, numbers and booleans are their text, `null` is
/// empty text. Attributes and comments are ignored, and so is text that stands beside child elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    name: String,
    value: String,
    children: Vec<Self>,
}

/// Why a body is not a document that WeChat sends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// More than [`MAX_SIZE`] bytes.
    #[error("{0} bytes; at most {MAX_SIZE} are read")]
    TooLarge(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("elements are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More than [`MAX_ELEMENTS`] elements.
    #[error("more than {MAX_ELEMENTS} elements")]
    TooManyElements,
    /// Not UTF-8, the only encoding that WeChat uses.
    #[error("not UTF-8")]
    NotUtf8(#[source] Utf8Error),
    /// Nothing but whitespace and comments.
    #[error("no document: send XML with one root element, or a JSON object")]
    Empty,
    /// The end comes before the root element is closed.
    #[error("the XML ends before its root element is closed")]
    Truncated,
    /// Text or an element before or after the root element.
    #[error("the XML has something beside its root element")]
    BesideRoot,
    /// A DTD, which WeChat never sends and which is never read.
    #[error("a DTD (DOCTYPE) is refused")]
    Dtd,
    /// A processing instruction other than the XML declaration at the start.
    #[error("a processing instruction is refused")]
    ProcessingInstruction,
    /// A reference that is neither one of the five entities of XML nor a character's number.
    #[error("an entity other than &lt; &gt; &amp; &quot; &apos; and character references is refused")]
    Entity,
    /// XML that is not well-formed.
    #[error("malformed XML")]
    Xml(#[from] quick_xml::Error),
    /// Malformed JSON, or a number that 64 bits cannot hold.
    #[error("malformed JSON")]
    Json(#[from] serde_json::Error),
}

impl Document {
    /// Reads a body: JSON when, after a byte order mark and whitespace, it starts with `{`; else XML with a root
    /// element of any name. The root of a JSON body is named `xml`.
    ///
    /// # Errors
    /// [`DocumentError`] when the body is malformed, uses what is refused, or exceeds a limit.
    pub fn parse(body: &[u8]) -> Result<Self, DocumentError> {
        check_size(body)?;
        let text = std::str::from_utf8(body).map_err(DocumentError::NotUtf8)?;
        Self::read(text, TextEnd::Section)
    }

    /// Reads the clear body of a callback as WeChat writes it: as [`Document::parse`] does, but for two things.
    ///
    /// A text in CDATA ends where its element ends, since WeChat puts a text there as it is, `]]>` included. A text that a
    /// follower chose ends at the last end tag that can be its own, so that it cannot forge the elements after it; where
    /// several such texts follow one another and one of them imitates their end tags, the rest of them is not read. Bytes
    /// that are not UTF-8 are read as U+FFFD.
    ///
    /// # Errors
    /// [`DocumentError`] when the body is malformed, uses what is refused, or exceeds a limit.
    pub fn parse_callback(body: &[u8]) -> Result<Self, DocumentError> {
        check_size(body)?;
        Self::read(&String::from_utf8_lossy(body), TextEnd::Element)
    }

    fn read(text: &str, text_end: TextEnd) -> Result<Self, DocumentError> {
        let text = trim(text);
        let document = if is_json(text) {
            json::parse(text)?
        } else {
            reader::parse(text, text_end)?
        };
        if document.depth() > MAX_DEPTH {
            return Err(DocumentError::TooDeep);
        }
        if document.count() > MAX_ELEMENTS {
            return Err(DocumentError::TooManyElements);
        }
        Ok(document)
    }

    /// The name of the element or member.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The element's own text, exactly as sent; empty when it has children.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// All children, in their order.
    pub fn members(&self) -> impl Iterator<Item = &Self> {
        self.children.iter()
    }

    /// The children named exactly `name`, in their order.
    pub fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.members().filter(move |child| child.name == name)
    }

    /// The first child named exactly `name`.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.members().find(|child| child.name == name)
    }

    /// The text of the first child named exactly `name`, as sent. Empty text counts as none: WeChat sends an empty
    /// `EventKey` where there is no key.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.child(name).map(Self::value).filter(|text| !text.is_empty())
    }

    /// As [`Document::text`], without whitespace around it: for ids, type names and numbers.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&str> {
        self.text(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The first child named exactly `name` as a number; none when it is absent, empty or not a `T`.
    #[must_use]
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.word(name)?.parse().ok()
    }

    /// The whole as JSON: children are an object's members, repeated ones an array, and every text a string.
    #[must_use]
    pub fn to_json(&self) -> Value {
        if self.children.is_empty() {
            return Value::String(self.value.clone());
        }
        let mut object = Map::new();
        for child in &self.children {
            match object.entry(child.name.as_str()) {
                Entry::Vacant(entry) => {
                    entry.insert(child.to_json());
                }
                Entry::Occupied(mut entry) => match entry.get_mut() {
                    Value::Array(items) => items.push(child.to_json()),
                    first => *first = Value::Array(vec![first.take(), child.to_json()]),
                },
            }
        }
        Value::Object(object)
    }

    /// The descendants that have no children.
    pub(crate) fn leaves(&self) -> Vec<&Self> {
        if self.children.is_empty() {
            return vec![self];
        }
        self.children.iter().flat_map(Self::leaves).collect()
    }

    fn leaf(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: value.into(),
            children: Vec::new(),
        }
    }

    fn depth(&self) -> usize {
        1 + self.children.iter().map(Self::depth).max().unwrap_or(0)
    }

    fn count(&self) -> usize {
        1 + self.children.iter().map(Self::count).sum::<usize>()
    }
}
