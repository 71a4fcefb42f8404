//! A fault of a JSON document: its place and an explanation.

use serde::Serialize;

use crate::bilingual::{both, halves};

/// The most faults in one report, so that the answer is not much larger than the request.
pub(crate) const LIMIT: usize = 100;
/// The most faults in one sentence.
const IN_WORDS: usize = 10;

/// One fault of a document, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the member at fault.
    pub pointer: String,
    /// The same member in dotted form, such as `data.thing1.value`. Absent in menus and rules documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong, and what would be right, in English and Chinese.
    pub detail: String,
}

impl Fault {
    /// Creates a fault at `pointer`.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            // Names of members come from others: a line break in a log line would forge the next.
            pointer: pointer.into().replace(char::is_control, "\u{fffd}"),
            field: None,
            detail: detail.into(),
        }
    }

    /// Returns a sentence about a request. Both halves begin with the name of the member.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (english, chinese) = halves(&self.detail);
        // `field` may name a member around the faulty one, which would make the sentence false.
        let member = self.pointer.trim_start_matches('/').replace('/', ".");
        let member = member.replace("~1", "/").replace("~0", "~");
        if member.is_empty() {
            return both(&format!("the body {english}"), &format!("请求体{chinese}"));
        }
        let Some(line) = member.strip_prefix("line ") else {
            return both(&format!("{member} {english}"), &format!("{member} {chinese}"));
        };
        match line.split_once('.') {
            Some((line, member)) => both(
                &format!("line {line}, {member}: {english}"),
                &format!("第 {line} 行，{member}：{chinese}"),
            ),
            None => both(&format!("line {line} {english}"), &format!("第 {line} 行{chinese}")),
        }
    }
}

/// Returns a sentence about a document: the first ten faults as `pointer: detail`, and the number of the others.
#[must_use]
pub fn in_words(faults: &[Fault]) -> String {
    let (mut english, mut chinese) = (Vec::new(), Vec::new());
    for Fault { pointer, detail, .. } in faults.iter().take(IN_WORDS) {
        let (detail_english, detail_chinese) = halves(detail);
        english.push(format!("{pointer}: {detail_english}"));
        chinese.push(format!("{pointer}：{detail_chinese}"));
    }
    if let Some(more) = faults.len().checked_sub(IN_WORDS).filter(|more| *more > 0) {
        english.push(format!("and {more} more"));
        chinese.push(format!("另有 {more} 处"));
    }
    both(&english.join("; "), &chinese.join("；"))
}

/// Asserts that both halves of a sentence hold the same names and numbers: the English words with a digit or `_`, and those
/// in `names`.
#[cfg(test)]
pub(crate) fn assert_each_half_says_all(fault: &Fault, names: &[&str]) {
    let words = |half: &str| {
        let words = half.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let words = words.filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let (english, chinese) = halves(&fault.detail);
    assert!(!chinese.is_ascii(), "{chinese}");
    let is_value = |word: &&String| word.contains(|c: char| c.is_ascii_digit() || c == '_');
    let (english, chinese) = (words(english), words(chinese));
    assert_eq!(chinese.difference(&english).next(), None, "in Chinese only: {fault:?}");
    let mut left_out = english.difference(&chinese);
    assert_eq!(
        left_out.find(|word| is_value(word) || names.contains(&word.as_str())),
        None,
        "in English only: {fault:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_forges_no_line() {
        let fault = Fault::new(
            "/reply/x\n2026-12-01T00:00:00Z ERROR forged\u{1b}[31m",
            "is unknown / 不是可用字段",
        );
        assert!(!fault.sentence().contains(char::is_control), "{fault:?}");
        assert!(!in_words(&[fault]).contains(char::is_control));
    }

    #[test]
    fn a_line_of_csv_reads_well_in_both_languages() {
        let fault = |pointer: &str| Fault::new(pointer, "is missing / 未填写").sentence();
        assert_eq!(fault("/line 3"), "line 3 is missing / 第 3 行未填写");
        assert_eq!(
            fault("/line 3/data/time2"),
            "line 3, data.time2: is missing / 第 3 行，data.time2：未填写"
        );
    }
}
