//! The bodies that WeChat posts, XML or JSON, as one ordered tree of text.
//!
//! Accepts what WeChat sends: elements in any order and number, CDATA or plain text, a byte order mark, a declaration,
//! control characters, whitespace. Refuses what is unsafe: a DTD, entities other than XML's five, a body over the limits
//! of size, depth and number of elements.
//!
//! See [WeChat Docs/消息推送](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/message-push.html).

mod json;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::str::{FromStr, Utf8Error};

use serde_json::{Map, Value, map::Entry};

use self::reader::TextEnd;
pub(crate) use self::{reader::is_xml_character, writer::XmlWriter};

const CDATA_END: &str = "]]>";
/// How XML writes [`CDATA_END`] in a CDATA text: in two sections.
const ESCAPED_CDATA_END: &str = "]]]]><![CDATA[>";
/// Bytes that a body may have. WeChat sends a few KiB.
pub const MAX_SIZE: usize = 256 * 1024;
/// Levels of nested elements, the root included. WeChat sends up to five.
pub const MAX_DEPTH: usize = 16;
/// Elements in a body, the root included. Bounds the memory that a hostile body takes.
pub const MAX_ELEMENTS: usize = 10_000;

/// Removes a byte order mark and the whitespace around a body.
fn trim(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim_ascii()
}

fn is_json(trimmed: &str) -> bool {
    trimmed.starts_with('{')
}

const fn check_size(body: &[u8]) -> Result<(), ParseError> {
    if body.len() > MAX_SIZE {
        return Err(ParseError::TooLarge(body.len()));
    }
    Ok(())
}

/// The candidates for the ciphertext of a body: its first and its last `Encrypt` element, or its JSON member `Encrypt`.
///
/// Searches the text and does not parse the XML: in compat mode the clear part of the body can be malformed, or forge an
/// `Encrypt`. WeChat writes its own before or after that part, and `msg_signature` tells which candidate it is.
#[must_use]
pub fn ciphertexts(body: &[u8]) -> Vec<String> {
    const START: &str = "<Encrypt>";
    let text = String::from_utf8_lossy(body);
    if is_json(trim(&text)) {
        let document = Tree::parse_callback(body).ok();
        let encrypt = document.as_ref().and_then(|document| document.text("Encrypt"));
        return encrypt.map(str::to_owned).into_iter().collect();
    }
    if has_dtd(&text) {
        return Vec::new();
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

/// Whether a DTD precedes the root element.
fn has_dtd(text: &str) -> bool {
    let is_element = |(at, _): &(usize, &str)| text[at + 1..].starts_with(|first: char| first.is_alphabetic());
    let root = text
        .match_indices('<')
        .find(is_element)
        .map_or(text.len(), |(at, _)| at);
    text[..root].to_ascii_uppercase().contains("<!DOCTYPE")
}

/// An XML element or a JSON member: a name, with either text or children. A whole body is the root element.
///
/// XML and JSON give the same tree: an array becomes repeated members, numbers and booleans become their text, and `null`
/// becomes empty text. Attributes, comments and text next to child elements are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    name: String,
    value: String,
    children: Vec<Self>,
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// More than [`MAX_SIZE`] bytes.
    #[error("the body has {0} bytes, the limit is {MAX_SIZE} / 内容为 {0} 字节，上限为 {MAX_SIZE} 字节")]
    TooLarge(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("elements are nested deeper than {MAX_DEPTH} levels / 元素嵌套超过 {MAX_DEPTH} 层")]
    TooDeep,
    /// More than [`MAX_ELEMENTS`] elements.
    #[error("the body has more than {MAX_ELEMENTS} elements / 元素超过 {MAX_ELEMENTS} 个")]
    TooManyElements,
    /// Not UTF-8, the only encoding that WeChat uses.
    #[error("the body is not UTF-8 / 内容不是 UTF-8 编码")]
    NotUtf8(#[source] Utf8Error),
    /// Only whitespace and comments.
    #[error(
        "the body is empty: send XML with one root element, or a JSON object \
         / 内容为空：应为只有一个根元素的 XML，或 JSON 对象"
    )]
    Empty,
    /// The text ends inside the root element.
    #[error("the XML ends before its root element is closed / XML 不完整：根元素未结束")]
    Truncated,
    /// Text or an element before or after the root element.
    #[error("the XML has content outside its root element / XML 的根元素之外还有内容")]
    OutsideRoot,
    /// A DTD. WeChat never sends one, and reading one is unsafe.
    #[error("the XML has a DTD (DOCTYPE), which is not allowed / XML 不得包含 DTD（DOCTYPE）")]
    Dtd,
    /// A processing instruction other than the XML declaration at the start.
    #[error("the XML has a processing instruction, which is not allowed / XML 不得包含处理指令")]
    ProcessingInstruction,
    /// A reference that is neither one of XML's five entities nor a character reference.
    #[error(
        "the XML has an entity other than &lt; &gt; &amp; &quot; &apos; and character references \
         / XML 只能使用 &lt; &gt; &amp; &quot; &apos; 与字符引用"
    )]
    Entity,
    /// XML that is not well-formed.
    #[error("the XML is malformed / XML 格式错误")]
    Xml(#[from] quick_xml::Error),
    /// Malformed JSON, or a number that does not fit into 64 bits.
    #[error("the JSON is malformed / JSON 格式错误")]
    Json(#[from] serde_json::Error),
}

impl Tree {
    /// Parses a body: as JSON when it starts with `{` after a byte order mark and whitespace, else as XML with a root
    /// element of any name. The root of a JSON body is named `xml`.
    ///
    /// # Errors
    /// [`ParseError`] when the body is malformed, has an unsafe part or exceeds a limit.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        check_size(body)?;
        let text = std::str::from_utf8(body).map_err(ParseError::NotUtf8)?;
        Self::read(text, TextEnd::Section)
    }

    /// Parses the clear body of a callback like [`Tree::parse`], with two differences.
    ///
    /// 1. WeChat does not escape `]]>` in a text, so a CDATA text ends at the end tag of its element. A text that a follower
    ///    chose could contain that tag, so it ends at the last one: it cannot forge the elements after it. When one of
    ///    several such texts contains end tags of the others, the rest of these texts is skipped.
    /// 2. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`ParseError`] when the body is malformed, has an unsafe part or exceeds a limit.
    pub fn parse_callback(body: &[u8]) -> Result<Self, ParseError> {
        check_size(body)?;
        Self::read(&String::from_utf8_lossy(body), TextEnd::Element)
    }

    fn read(text: &str, text_end: TextEnd) -> Result<Self, ParseError> {
        let text = trim(text);
        let document = if is_json(text) {
            json::parse(text)?
        } else {
            reader::parse(text, text_end)?
        };
        if document.depth() > MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        if document.count() > MAX_ELEMENTS {
            return Err(ParseError::TooManyElements);
        }
        Ok(document)
    }

    /// The name of the element or member.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The element's text, exactly as sent; empty when it has children.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// All children in document order.
    pub fn members(&self) -> impl Iterator<Item = &Self> {
        self.children.iter()
    }

    /// The children named exactly `name`, in document order.
    pub fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.members().filter(move |child| child.name == name)
    }

    /// The first child named exactly `name`.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.members().find(|child| child.name == name)
    }

    /// The text of the first child named exactly `name`, as sent. `None` for empty text: WeChat sends an empty `EventKey`
    /// when there is no key.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.child(name).map(Self::value).filter(|text| !text.is_empty())
    }

    /// Like [`Tree::text`] without the whitespace around it: for ids, type names and numbers.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&str> {
        self.text(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The first child named exactly `name` as a number; `None` when it is absent, empty or not a `T`.
    #[must_use]
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.word(name)?.parse().ok()
    }

    /// The tree as JSON: children become the members of an object, repeated children an array, and every text a string.
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

    /// All descendants without children.
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
