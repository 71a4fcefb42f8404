//! The XML of the push channel: a writer of documents, and a strict reader into a small tree.

use quick_xml::{Reader, escape::resolve_predefined_entity, events::Event};
use serde_json::{Map, Value};

use crate::platform::notice::{Content, Field};

/// No reply nests deeper than `Articles/item/Title`.
const MAX_DEPTH: usize = 8;

/// Writes `<xml>` with the fields as its children.
pub(crate) fn write(fields: &[Field]) -> String {
    format!("<xml>\n{}</xml>", write_fields(fields))
}

fn write_fields(fields: &[Field]) -> String {
    fields
        .iter()
        .map(|(name, content)| match content {
            // The platform does not escape text, not even the end of a section.
            Content::Text(text) => format!("<{name}><![CDATA[{text}]]></{name}>\n"),
            Content::Number(number) => format!("<{name}>{number}</{name}>\n"),
            Content::Group(fields) => format!("<{name}>\n{}</{name}>\n", write_fields(fields)),
        })
        .collect()
}

/// An element that was read.
#[derive(Debug)]
pub struct Element {
    name: String,
    text: String,
    children: Vec<Self>,
}

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
#[error("not the XML of a reply: {0}")]
pub struct XmlError(String);

impl Element {
    pub(crate) fn new(name: &str, text: String, children: Vec<Self>) -> Self {
        Self {
            name: name.to_owned(),
            text,
            children,
        }
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the child of that name; empty without one.
    #[must_use]
    pub fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.as_str())
    }

    /// All children, in order.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        &self.children
    }

    /// Drops all but the first `count` children of the child of that name.
    pub(crate) fn keep_children(&mut self, name: &str, count: usize) {
        if let Some(list) = self.children.iter_mut().find(|child| child.name == name) {
            list.children.truncate(count);
        }
    }

    /// The element as JSON under WeChat's own names: `CreateTime` and `ArticleCount` as numbers, `item` always as a
    /// list, everything else as strings and objects.
    pub(crate) fn to_json(&self) -> Value {
        if self.children.is_empty() {
            let number = self
                .text
                .parse::<i64>()
                .ok()
                .filter(|_| matches!(&*self.name, "CreateTime" | "ArticleCount"));
            return number.map_or_else(|| Value::from(self.text.as_str()), Value::from);
        }
        let mut object = Map::new();
        for child in &self.children {
            let value = child.to_json();
            if child.name != "item" {
                // The first of a name counts, as in `child`.
                object.entry(child.name.as_str()).or_insert(value);
                continue;
            }
            let list = object.entry("item").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = list {
                items.push(value);
            }
        }
        Value::Object(object)
    }

    /// Ends the element. Between child elements only white space may stand.
    fn close(mut self) -> Result<Self, XmlError> {
        if !self.children.is_empty() {
            if !self.text.trim().is_empty() {
                return Err(XmlError(format!("text between the elements of <{}>", self.name)));
            }
            self.text.clear();
        }
        Ok(self)
    }
}

/// Reads one document whose root is `<xml>`.
///
/// # Errors
///
/// A DTD, an entity that XML does not predefine, or anything before or after the root, as WeChat refuses them too.
pub fn read(document: &str) -> Result<Element, XmlError> {
    let mut reader = Reader::from_str(document);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let event = reader.read_event().map_err(|error| XmlError(error.to_string()))?;
        let text = match &event {
            Event::Start(start) => {
                if root.is_some() || open.len() == MAX_DEPTH {
                    return Err(XmlError("more than one root, or nested too deeply".to_owned()));
                }
                open.push(Element::new(start.name().into_inner(), String::new(), Vec::new()));
                continue;
            }
            Event::Empty(empty) => {
                let element = Element::new(empty.name().into_inner(), String::new(), Vec::new());
                attach(element, &mut open, &mut root)?;
                continue;
            }
            Event::End(_) => {
                let element = open
                    .pop()
                    .ok_or_else(|| XmlError("an end tag without a start".to_owned()))?;
                attach(element.close()?, &mut open, &mut root)?;
                continue;
            }
            Event::Text(text) => text.xml10_content().into_owned(),
            Event::CData(text) => text.xml10_content().into_owned(),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => character.to_string(),
                Ok(None) => resolve_predefined_entity(reference)
                    .ok_or_else(|| XmlError("an entity that XML does not predefine".to_owned()))?
                    .to_owned(),
                Err(error) => return Err(XmlError(error.to_string())),
            },
            Event::Decl(_) if root.is_none() && open.is_empty() => continue,
            Event::Comment(_) => continue,
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                return Err(XmlError(
                    "a DTD, a processing instruction or a late declaration".to_owned(),
                ));
            }
            Event::Eof => break,
        };
        match open.last_mut() {
            Some(element) => element.text.push_str(&text),
            None if text.trim().is_empty() => {}
            None => return Err(XmlError("text outside of the root element".to_owned())),
        }
    }
    root.filter(|root| open.is_empty() && root.name == "xml")
        .ok_or_else(|| XmlError("no whole <xml> element".to_owned()))
}

fn attach(element: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), XmlError> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => return Err(XmlError("more than one root element".to_owned())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::platform::notice::fields;

    #[test]
    fn writes_texts_as_they_are() {
        let document = write(&fields([("Content", Content::text("a[b[0]]>1 ]]></Content> & <c>"))]));
        assert!(document.contains("<Content><![CDATA[a[b[0]]>1 ]]></Content> & <c>]]></Content>"));
    }

    #[test]
    fn reads_back_what_it_writes() {
        let text = "a ]] > b & <c> 你好\n第二行";
        let document = write(&fields([
            ("Content", Content::text(text)),
            ("CreateTime", Content::Number("12".to_owned())),
        ]));
        assert!(document.contains("<CreateTime>12</CreateTime>"));
        let root = read(&document).unwrap();
        assert_eq!(root.text_of("Content"), text);
        assert_eq!(root.to_json(), json!({"Content": text, "CreateTime": 12}));
    }

    #[test]
    fn lists_stay_lists_with_one_item() {
        let root = read(
            "<?xml version=\"1.0\"?>\n<xml><Articles><item><Title>a &amp; &#98;</Title><Url/></item></Articles></xml>\n",
        );
        assert_eq!(
            root.unwrap().to_json(),
            json!({"Articles": {"item": [{"Title": "a & b", "Url": ""}]}})
        );
    }

    #[test]
    fn refuses_what_is_not_one_plain_document() {
        for document in [
            "",
            "success",
            "<xml><Content>a</xml>",
            "<xml><Content>a</Content>",
            "<html></html>",
            "<xml></xml><xml></xml>",
            "<xml></xml>trailing",
            "leading<xml></xml>",
            "<xml>stray<Content>a</Content></xml>",
            "<!DOCTYPE xml [<!ENTITY a \"b\">]><xml><Content>&a;</Content></xml>",
            "<xml><Content>&a;</Content></xml>",
        ] {
            assert!(read(document).is_err(), "{document}");
        }
        let deep = format!("{}{}", "<xml>".repeat(100), "</xml>".repeat(100));
        assert!(read(&deep).is_err());
    }
}
