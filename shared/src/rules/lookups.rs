//! The cost of reading a regular expression that ignores case.
//!
//! `regex_syntax` folds a class by looking up, one by one, all characters of each of its ranges that holds a letter with a
//! case. `[\s\S]` takes 6 ms, however small its automaton is: 250 of them took 2 s at each cold start.

use std::sync::LazyLock;

use regex_syntax::{
    Parser,
    ast::{self, Ast, ClassSetItem},
    hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind},
};

/// Look-ups, up to 25 ns each, that all regular expressions of a document may take: 0.25 s, as long as 40 times `[\s\S]`.
pub(super) const LIMIT: usize = 10_000_000;
/// The last character that has a case. The look-ups skip those after it eight times as fast.
const LAST_WITH_CASE: u32 = 0x1E943;
/// Characters after [`LAST_WITH_CASE`] that cost as much as one look-up.
const AFTER_LAST: usize = 8;
/// Look-ups. The fixed cost of a range.
const RANGE: usize = 4;

/// The look-ups that `pattern` takes, or more than [`LIMIT`] of them. A pattern that cannot be read takes none.
pub(super) fn of(pattern: &str) -> usize {
    let Ok(parsed) = ast::parse::Parser::new().parse(pattern) else {
        return 0;
    };
    match ast::visit(&parsed, Lookups { pattern, count: 0 }) {
        Ok(count) | Err(TooMany(count)) => count,
    }
}

struct Lookups<'a> {
    pattern: &'a str,
    count: usize,
}

/// More than [`LIMIT`]: the rest of the pattern is not counted.
struct TooMany(usize);

impl Lookups<'_> {
    /// Adds the look-ups of a class, as it is written.
    fn add(&mut self, class: &str) -> Result<(), TooMany> {
        if let Ok(parsed) = Parser::new().parse(&format!("[{class}]"))
            && let HirKind::Class(Class::Unicode(class)) = parsed.kind()
        {
            self.count += class.iter().map(lookups).sum::<usize>();
        }
        if self.count > LIMIT {
            return Err(TooMany(self.count));
        }
        Ok(())
    }

    /// Adds the look-ups of a class by name, which is folded before it is negated.
    fn add_named(&mut self, class: &ast::ClassUnicode) -> Result<(), TooMany> {
        self.add(&self.pattern[class.span.start.offset..class.span.end.offset].replacen("\\P", "\\p", 1))
    }
}

impl ast::Visitor for Lookups<'_> {
    type Output = usize;
    type Err = TooMany;

    fn finish(self) -> Result<usize, TooMany> {
        Ok(self.count)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), TooMany> {
        match ast {
            Ast::ClassUnicode(class) => self.add_named(class),
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), TooMany> {
        match item {
            ClassSetItem::Unicode(class) => self.add_named(class),
            ClassSetItem::Range(_) | ClassSetItem::Perl(_) | ClassSetItem::Bracketed(_) => {
                let span = item.span();
                self.add(&self.pattern[span.start.offset..span.end.offset])
            }
            ClassSetItem::Empty(_) | ClassSetItem::Literal(_) | ClassSetItem::Ascii(_) | ClassSetItem::Union(_) => {
                Ok(())
            }
        }
    }
}

fn lookups(range: &ClassUnicodeRange) -> usize {
    if !has_case(range) {
        return RANGE;
    }
    let (start, end) = (u32::from(range.start()), u32::from(range.end()));
    let with_case = (end.min(LAST_WITH_CASE) + 1).saturating_sub(start);
    let after = (end + 1).saturating_sub(start.max(LAST_WITH_CASE + 1));
    RANGE + with_case as usize + after as usize / AFTER_LAST
}

/// Whether any character of `range` has a case.
fn has_case(range: &ClassUnicodeRange) -> bool {
    static WITH_CASE: LazyLock<Option<ClassUnicode>> = LazyLock::new(|| {
        let parsed = Parser::new().parse(r"[\p{Changes_When_Casemapped}\p{Changes_When_Casefolded}]");
        match parsed.ok()?.into_kind() {
            HirKind::Class(Class::Unicode(class)) => Some(class),
            _ => None,
        }
    });
    WITH_CASE.as_ref().is_none_or(|with_case| {
        let ranges = with_case.ranges();
        let next = ranges.partition_point(|known| known.end() < range.start());
        ranges.get(next).is_some_and(|known| known.start() <= range.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_nearly_all_characters_are_costly_and_usual_patterns_are_not() {
        for costly in [
            r"[\s\S]",
            r"[^a]{0,90}[\s\S]",
            r"\p{Any}",
            r"[[^a]b]",
            r"[\x{80}-\x{10ffff}]",
            r"[a&&\S]",
        ] {
            assert!((200_000..300_000).contains(&of(costly)), "{costly}: {}", of(costly));
        }
        assert!(of(&r"[\s\S]".repeat(100)) > LIMIT);
        for cheap in [
            r"[^a]",
            r"[^\s,，]",
            ".",
            r"\w+\d{4}\S",
            "[一-龥]",
            r"[\p{Han}a-zA-Z0-9_]",
            "(?s:.)",
            "[[:^alpha:]",
            "(",
        ] {
            assert!(of(cheap) < 1_000, "{cheap}: {}", of(cheap));
        }
        assert!(
            of(r"[\w.-]+@[\w-]+") < 20_000 && of(r"\pL{2,20}") < 10_000,
            "letters only"
        );
    }
}
