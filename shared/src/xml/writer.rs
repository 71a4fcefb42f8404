//! Writes XML as WeChat reads it, with every text in a CDATA section.

use std::borrow::Cow;

use super::{CDATA_END, ESCAPED_CDATA_END, is_xml_character};

/// Bytes to allocate at first: most replies are shorter.
const CAPACITY: usize = 1024;

/// Writes one XML document.
pub(crate) struct XmlWriter(String);

impl XmlWriter {
    /// Returns a document whose root `<xml>` contains what `write` writes.
    pub(crate) fn document(write: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(String::with_capacity(CAPACITY));
        xml.parent("xml", write);
        xml.0
    }

    /// Writes an element that contains what `write` writes.
    pub(crate) fn parent(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.push(&["<", name, ">"]);
        write(self);
        self.push(&["</", name, ">"]);
    }

    /// Writes an element with `text` in a CDATA section. Splits `]]>` over two sections and drops characters that XML 1.0
    /// forbids, so no text can end the section or make the document unreadable.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.push(&["<", name, "><![CDATA[", &within_a_section(text), "]]></", name, ">"]);
    }

    /// Writes an element with `number`.
    pub(crate) fn number(&mut self, name: &str, number: i64) {
        self.push(&["<", name, ">", &number.to_string(), "</", name, ">"]);
    }

    fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.0.push_str(part);
        }
    }
}

/// Escapes `text` for the inside of a CDATA section.
fn within_a_section(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if !text.bytes().any(may_need_care) {
        return text;
    }
    if !text.chars().all(is_xml_character) {
        text = text.chars().filter(|&character| is_xml_character(character)).collect();
    }
    if text.contains(CDATA_END) {
        text = text.replace(CDATA_END, ESCAPED_CDATA_END).into();
    }
    text
}

/// Whether a UTF-8 byte may belong to a character that XML forbids, or to the end of a section.
const fn may_need_care(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b']' | 0xef)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_nest() {
        let document = XmlWriter::document(|xml| {
            xml.number("CreateTime", -1);
            xml.parent("Image", |xml| xml.text("MediaId", "<m>"));
        });
        assert_eq!(
            document,
            "<xml><CreateTime>-1</CreateTime><Image><MediaId><![CDATA[<m>]]></MediaId></Image></xml>"
        );
    }

    #[test]
    fn no_text_ends_the_section_it_stands_in() {
        assert_eq!(within_a_section("a]]>b]]>"), "a]]]]><![CDATA[>b]]]]><![CDATA[>");
        assert_eq!(
            within_a_section("]]\u{1}>"),
            "]]]]><![CDATA[>",
            "removing a character makes no terminator"
        );
        assert_eq!(within_a_section("a\u{1d}\u{0}\tb\n"), "a\tb\n");
    }
}
