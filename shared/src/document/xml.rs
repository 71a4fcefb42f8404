//! XML as a [`Document`].

use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};

use super::{Document, DocumentError, MAX_DEPTH};

/// Reads one root element with what is in it.
pub(super) fn parse(text: &str) -> Result<Document, DocumentError> {
    let mut reader = Reader::from_str(text);
    let mut tree = Tree::default();
    loop {
        let at_start = reader.buffer_position() == 0;
        match reader.read_event()? {
            Event::Start(tag) => tree.open(tag.name().as_ref())?,
            Event::Empty(tag) => {
                tree.open(tag.name().as_ref())?;
                tree.close();
            }
            Event::End(_) => tree.close(),
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
