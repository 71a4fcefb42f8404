//! XML as a [`Document`].

use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};

use super::{Document, DocumentError, MAX_DEPTH};

const CDATA_START: &str = "<![CDATA[";
const CDATA_END: &str = "]]>";

/// Where a text that starts with a CDATA section ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextEnd {
    /// At the first `]]>`, as XML says.
    Section,
    /// At the end of its element, as WeChat writes: it puts a text into CDATA as it is, `]]>` included.
    Element,
}

/// Reads one root element with what is in it.
pub(super) fn parse(text: &str, text_end: TextEnd) -> Result<Document, DocumentError> {
    let mut reader = Reader::from_str(text);
    let mut tree = Tree::default();
    let mut resume = None;
    loop {
        let at_start = reader.buffer_position() == 0;
        match reader.read_event()? {
            Event::Start(tag) => {
                tree.open(tag.name().as_ref())?;
                let rest = &text[text.len() - reader.get_ref().len()..];
                let cdata = rest.trim_ascii_start().strip_prefix(CDATA_START);
                if let Some(cdata) = cdata.filter(|_| text_end == TextEnd::Element) {
                    let raw = RawText::read(cdata, tree.text_author(), tag.name().as_ref())?;
                    tree.cdata(raw.text)?;
                    resume = raw.resume;
                    *reader.get_mut() = raw.end_tag.as_bytes();
                }
            }
            Event::Empty(tag) => {
                tree.open(tag.name().as_ref())?;
                tree.close();
            }
            Event::End(_) => {
                tree.close();
                if let Some(rest) = resume.take() {
                    *reader.get_mut() = str::as_bytes(rest);
                }
            }
            Event::Text(text) => tree.text(&text)?,
            Event::CData(text) => tree.cdata(&text)?,
            Event::GeneralRef(reference) => tree.text(&resolve(&reference)?)?,
            Event::Comment(_) => {}
            Event::Decl(_) if at_start => {}
            Event::Decl(_) | Event::PI(_) => return Err(DocumentError::ProcessingInstruction),
            Event::DocType(_) => return Err(DocumentError::Dtd),
            Event::Eof => return tree.finish(),
        }
    }
}

/// Who chose the text of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Author {
    /// The platform or the account: the text does not hold its own end tag.
    Known,
    /// A follower, or whoever made what a follower shares or scans: the text may imitate any part of the document.
    Anyone,
}

/// The elements whose text [`Author::Anyone`] chooses. WeChat sends each at most once, after the envelope.
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

/// A text as WeChat writes it into CDATA: as it is.
struct RawText<'a> {
    text: &'a str,
    /// The document from the end tag of the element.
    end_tag: &'a str,
    /// Where reading goes on after the end tag, when what follows it may still be part of a text.
    resume: Option<&'a str>,
}

impl<'a> RawText<'a> {
    /// Reads the text of the element `name` from the start of its CDATA section.
    fn read(cdata: &'a str, author: Author, name: &str) -> Result<Self, DocumentError> {
        let is_own = |tag: &EndTag<'_>| tag.name == name;
        let own_end = match author {
            Author::Known => ends(cdata).find(is_own),
            Author::Anyone => ends_from_last(cdata).find(is_own),
        };
        let end = own_end.ok_or(DocumentError::Truncated)?;
        let text = &cdata[..end.text_ends];
        let is_anyones = |tag: &EndTag<'_>| ANYONES_TEXTS.contains(&tag.name);
        // A text with such an end in it leaves open where this one and the ones after it end. Nothing is read up to where
        // the last of them must have ended: it could be forged.
        let is_ambiguous = author == Author::Anyone && ends(text).any(|tag| is_anyones(&tag));
        let last_end = ends_from_last(cdata).filter(|_| is_ambiguous).find(is_anyones);
        Ok(Self {
            text,
            end_tag: &cdata[end.starts..],
            resume: last_end.map(|end| &cdata[end.ends..]),
        })
    }
}

/// `]]>` with an end tag after it.
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

/// The elements that are open, outermost first, and the root once it is closed.
#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    root: Option<Document>,
}

struct Open {
    element: Document,
    has_cdata: bool,
}

impl Tree {
    fn open(&mut self, name: &str) -> Result<(), DocumentError> {
        if self.root.is_some() {
            return Err(DocumentError::BesideRoot);
        }
        // Bounded while it grows: dropping a tree of any depth would overflow the stack.
        if self.open.len() == MAX_DEPTH {
            return Err(DocumentError::TooDeep);
        }
        self.open.push(Open {
            element: Document::leaf(name, ""),
            has_cdata: false,
        });
        Ok(())
    }

    /// Who chose the text of the innermost element. Deeper than in a group of the root are lists, which repeat names.
    fn text_author(&self) -> Author {
        match self.open.last() {
            Some(open) if self.open.len() <= 3 && ANYONES_TEXTS.contains(&open.element.name.as_str()) => Author::Anyone,
            _ => Author::Known,
        }
    }

    /// Closes the innermost element. The reader has checked that the end tag is its own.
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

    fn text(&mut self, text: &str) -> Result<(), DocumentError> {
        match self.open.last_mut() {
            // Layout around what is given as it is.
            Some(open) if open.has_cdata && text.trim_ascii().is_empty() => {}
            Some(open) => open.element.value.push_str(text),
            None if text.trim_ascii().is_empty() => {}
            None => return Err(DocumentError::BesideRoot),
        }
        Ok(())
    }

    fn cdata(&mut self, text: &str) -> Result<(), DocumentError> {
        let open = self.open.last_mut().ok_or(DocumentError::BesideRoot)?;
        if open.element.value.trim_ascii().is_empty() && !open.has_cdata {
            open.element.value.clear();
        }
        open.has_cdata = true;
        open.element.value.push_str(text);
        Ok(())
    }

    fn finish(self) -> Result<Document, DocumentError> {
        if !self.open.is_empty() {
            return Err(DocumentError::Truncated);
        }
        self.root.ok_or(DocumentError::Empty)
    }
}

/// What a reference stands for: nothing when XML forbids the character that it names.
fn resolve(reference: &str) -> Result<String, DocumentError> {
    let Some(number) = reference.strip_prefix('#') else {
        return resolve_xml_entity(reference)
            .map(str::to_owned)
            .ok_or(DocumentError::Entity);
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(DocumentError::Entity);
    }
    let character = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    Ok(character
        .filter(|&c| is_xml_character(c))
        .map(String::from)
        .unwrap_or_default())
}

/// Whether XML 1.0 allows the character (surrogates are no `char`s).
pub(crate) const fn is_xml_character(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}
