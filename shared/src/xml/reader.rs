//! Parses XML into a [`Tree`].

use std::borrow::Cow;

use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};

use super::{CDATA_END, ESCAPED_CDATA_END, MAX_DEPTH, ParseError, Tree};

const CDATA_START: &str = "<![CDATA[";

/// Where a text that starts with a CDATA section ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextEnd {
    /// At the first `]]>`, as XML defines it.
    Section,
    /// At the end tag of its element: WeChat does not escape `]]>` in a text.
    Element,
}

/// Parses one root element and its content.
pub(super) fn parse(text: &str, text_end: TextEnd) -> Result<Tree, ParseError> {
    let mut reader = Reader::from_str(text);
    let mut builder = Builder::default();
    let mut resume = None;
    loop {
        let at_start = reader.buffer_position() == 0;
        match reader.read_event()? {
            Event::Start(tag) => {
                builder.open(tag.name().as_ref())?;
                let rest = &text[text.len() - reader.get_ref().len()..];
                let cdata = rest.trim_ascii_start().strip_prefix(CDATA_START);
                if let Some(cdata) = cdata.filter(|_| text_end == TextEnd::Element) {
                    let raw = RawText::read(cdata, builder.text_author(), tag.name().as_ref())?;
                    builder.cdata(&unescaped(raw.text))?;
                    resume = raw.resume;
                    *reader.get_mut() = raw.end_tag.as_bytes();
                }
            }
            Event::Empty(tag) => {
                builder.open(tag.name().as_ref())?;
                builder.close();
            }
            Event::End(_) => {
                builder.close();
                if let Some(rest) = resume.take() {
                    *reader.get_mut() = str::as_bytes(rest);
                }
            }
            Event::Text(text) => builder.text(&text)?,
            Event::CData(text) => builder.cdata(&text)?,
            Event::GeneralRef(reference) => builder.text(&resolve(&reference)?)?,
            Event::Comment(_) => {}
            Event::Decl(_) if at_start => {}
            Event::Decl(_) | Event::PI(_) => return Err(ParseError::ProcessingInstruction),
            Event::DocType(_) => return Err(ParseError::Dtd),
            Event::Eof => return builder.finish(),
        }
    }
}

/// Undoes the escape of `]]>` that XML writers use in a CDATA text. WeChat does not escape it.
fn unescaped(text: &str) -> Cow<'_, str> {
    if text.contains(ESCAPED_CDATA_END) {
        text.replace(ESCAPED_CDATA_END, CDATA_END).into()
    } else {
        text.into()
    }
}

/// Who can choose the text of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Author {
    /// WeChat or the account: the text does not contain its own end tag.
    Known,
    /// A follower, or the author of a page or code that a follower shares or scans: the text may imitate any element.
    Anyone,
}

/// The elements whose text [`Author::Anyone`] chooses. WeChat sends each at most once, after the envelope.
/// See [WeChat Docs/接收普通消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html).
const ANYONES_TEXTS: [&str; 12] = [
    "Content",
    "Recognition",
    "Title",
    "Description",
    "Url",
    "Label",
    "PagePath",
    "OuterStr",
    "SessionFrom",
    "ScanResult",
    "Poiname",
    "debug_str",
];

/// A CDATA text in which WeChat did not escape `]]>`.
struct RawText<'a> {
    text: &'a str,
    /// The rest of the document, starting with the end tag of the element.
    end_tag: &'a str,
    /// Where reading resumes after the end tag, when the part in between may be forged.
    resume: Option<&'a str>,
}

impl<'a> RawText<'a> {
    /// Reads the text of the element `name`. `cdata` starts after `<![CDATA[`.
    fn read(cdata: &'a str, author: Author, name: &str) -> Result<Self, ParseError> {
        let is_own = |tag: &EndTag<'_>| tag.name == name;
        let own_end = match author {
            Author::Known => ends(cdata).find(is_own),
            Author::Anyone => ends_from_last(cdata).find(is_own),
        };
        let end = own_end.ok_or(ParseError::Truncated)?;
        let text = &cdata[..end.text_ends];
        let is_anyones = |tag: &EndTag<'_>| ANYONES_TEXTS.contains(&tag.name);
        // When a follower's text contains such an end tag, nobody can tell where this text and the next ones end. So the
        // reader skips everything up to the last such end tag: it could be forged.
        let is_ambiguous = author == Author::Anyone && ends(text).any(|tag| is_anyones(&tag));
        let last_end = ends_from_last(cdata).filter(|_| is_ambiguous).find(is_anyones);
        Ok(Self {
            text,
            end_tag: &cdata[end.starts..],
            resume: last_end.map(|end| &cdata[end.ends..]),
        })
    }
}

/// `]]>` followed by an end tag, with byte positions in the text.
struct EndTag<'a> {
    name: &'a str,
    text_ends: usize,
    starts: usize,
    ends: usize,
}

fn ends(cdata: &str) -> impl Iterator<Item = EndTag<'_>> {
    cdata
        .match_indices(CDATA_END)
        .filter_map(|(at, _)| EndTag::read(cdata, at))
}

fn ends_from_last(cdata: &str) -> impl Iterator<Item = EndTag<'_>> {
    cdata
        .rmatch_indices(CDATA_END)
        .filter_map(|(at, _)| EndTag::read(cdata, at))
}

impl<'a> EndTag<'a> {
    fn read(cdata: &'a str, text_ends: usize) -> Option<Self> {
        let after = cdata[text_ends + CDATA_END.len()..].trim_ascii_start();
        let (name, rest) = after.strip_prefix("</")?.split_once('>')?;
        Some(Self {
            name: name.trim_ascii_end(),
            text_ends,
            starts: cdata.len() - after.len(),
            ends: cdata.len() - rest.len(),
        })
    }
}

/// The open elements, outermost first, and the root once it is closed.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Tree>,
}

struct Open {
    element: Tree,
    has_cdata: bool,
}

impl Builder {
    fn open(&mut self, name: &str) -> Result<(), ParseError> {
        if self.root.is_some() {
            return Err(ParseError::OutsideRoot);
        }
        // Checked while the tree grows: dropping a very deep tree would overflow the stack.
        if self.open.len() == MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        self.open.push(Open {
            element: Tree::leaf(name, ""),
            has_cdata: false,
        });
        Ok(())
    }

    /// Who can choose the text of the innermost element. A follower's texts stand at most in a group below the root; deeper
    /// elements are items of lists, whose names repeat.
    fn text_author(&self) -> Author {
        match self.open.last() {
            Some(open) if self.open.len() <= 3 && ANYONES_TEXTS.contains(&open.element.name.as_str()) => Author::Anyone,
            _ => Author::Known,
        }
    }

    /// Closes the innermost element. `quick_xml` has checked that the end tag matches.
    fn close(&mut self) {
        let Some(Open { mut element, .. }) = self.open.pop() else {
            return;
        };
        if !element.children.is_empty() {
            element.value.clear();
        }
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), ParseError> {
        match self.open.last_mut() {
            // Whitespace around a CDATA section is layout.
            Some(open) if open.has_cdata && text.trim_ascii().is_empty() => {}
            Some(open) => open.element.value.push_str(text),
            None if text.trim_ascii().is_empty() => {}
            None => return Err(ParseError::OutsideRoot),
        }
        Ok(())
    }

    fn cdata(&mut self, text: &str) -> Result<(), ParseError> {
        let open = self.open.last_mut().ok_or(ParseError::OutsideRoot)?;
        if open.element.value.trim_ascii().is_empty() && !open.has_cdata {
            open.element.value.clear();
        }
        open.has_cdata = true;
        open.element.value.push_str(text);
        Ok(())
    }

    fn finish(self) -> Result<Tree, ParseError> {
        if !self.open.is_empty() {
            return Err(ParseError::Truncated);
        }
        self.root.ok_or(ParseError::Empty)
    }
}

/// The text that a reference stands for; empty when XML forbids the character.
fn resolve(reference: &str) -> Result<String, ParseError> {
    let Some(number) = reference.strip_prefix('#') else {
        return resolve_xml_entity(reference)
            .map(str::to_owned)
            .ok_or(ParseError::Entity);
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(ParseError::Entity);
    }
    let character = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    Ok(character
        .filter(|&c| is_xml_character(c))
        .map(String::from)
        .unwrap_or_default())
}

/// Whether XML 1.0 allows the character. (A `char` cannot be a surrogate.)
pub(crate) const fn is_xml_character(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}
