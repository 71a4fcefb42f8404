//! What is wrong with a JSON document: every fault at once, each with a pointer to where it is.

use serde::Serialize;

/// Faults that are reported at once: the answer must not be larger than what was sent by much.
pub(crate) const LIMIT: usize = 100;
/// Faults that a sentence names.
const IN_WORDS: usize = 10;

/// One fault of a document, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the member at fault.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl Fault {
    /// A fault at `pointer`.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

/// One line for people: the first ten faults as `pointer: detail`, and how many more there are.
#[must_use]
pub fn in_words(faults: &[Fault]) -> String {
    let told = faults.iter().take(IN_WORDS);
    let mut words: Vec<String> = told
        .map(|fault| format!("{}: {}", fault.pointer, fault.detail))
        .collect();
    if let Some(more) = faults.len().checked_sub(IN_WORDS).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

/// Escapes one token of a JSON pointer.
#[must_use]
pub(crate) fn escape_pointer(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
