//! Folds texts, so that a message matches a keyword in another case, width or with outer spaces.

use regex_syntax::{
    Error, ParserBuilder,
    ast::{self, AssertionKind, Ast, ClassSetItem, Literal, Span, parse::Parser},
    hir::Hir,
};

/// Removes outer spaces and turns full-width forms of ASCII and of currency signs into half width.
pub(super) fn width(text: &str) -> String {
    text.trim().chars().map(half_width).collect()
}

/// Turns the result of [`width`] into lower case.
pub(super) fn case(text: &str) -> String {
    let mut lower = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'A'..='Z' => lower.push(character.to_ascii_lowercase()),
            // The rest of ASCII, Chinese and Japanese have no case. Most texts consist of them, so this branch saves time.
            '\0'..='\x7f' | '\u{2e80}'..='\u{9fff}' => lower.push(character),
            _ => lower.extend(character.to_lowercase()),
        }
    }
    lower
}

/// Turns the full-width `Ａ`, `１`, `？`, `￥` and space of a Chinese input method into `A`, `1`, `?`, `¥` and an ASCII space.
fn half_width(character: char) -> char {
    match character {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character),
        '￠' => '¢',
        '￡' => '£',
        '￢' => '¬',
        '￣' => '¯',
        '￤' => '¦',
        '￥' => '¥',
        '￦' => '₩',
        _ => character,
    }
}

/// Parses a regular expression. Unless it is `strict`, it ignores case, and its literals are turned into half width.
///
/// `\b` means the boundary of an ASCII word. With a Unicode boundary `\bvip\b` would not match `我要VIP服务`, because Chinese
/// puts no spaces between words, and the automaton does not support it on text beyond ASCII.
pub(super) fn pattern(pattern: &str, strict: bool) -> Result<Hir, Box<Error>> {
    let parsed = Parser::new().parse(pattern).map_err(|error| Box::new(error.into()))?;
    let edits = ast::visit(
        &parsed,
        Edits {
            pattern,
            strict,
            edits: Vec::new(),
        },
    )
    .unwrap_or_default();
    let (mut edited, mut copied) = (String::with_capacity(pattern.len()), 0);
    for (span, replacement) in edits {
        edited.push_str(&pattern[copied..span.start.offset]);
        edited.push_str(&replacement);
        copied = span.end.offset;
    }
    edited.push_str(&pattern[copied..]);
    let mut parser = ParserBuilder::new().case_insensitive(!strict).utf8(false).build();
    parser.parse(&edited).map_err(Box::new)
}

/// The replacements to make in a pattern, in the order of their spans.
struct Edits<'a> {
    pattern: &'a str,
    strict: bool,
    edits: Vec<(Span, String)>,
}

impl Edits<'_> {
    fn literal(&mut self, literal: &Literal) {
        let folded = half_width(literal.c);
        if !self.strict && folded != literal.c {
            self.edits
                .push((literal.span, format!("\\x{{{:X}}}", u32::from(folded))));
        }
    }
}

impl ast::Visitor for Edits<'_> {
    type Output = Vec<(Span, String)>;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.edits)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::Literal(literal) => self.literal(literal),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => {}
                _ => {
                    let written = &self.pattern[assertion.span.start.offset..assertion.span.end.offset];
                    self.edits.push((assertion.span, format!("(?-u:{written})")));
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Literal(literal) => self.literal(literal),
            // A range with one full-width end is left alone: folding one end could turn the range round.
            ClassSetItem::Range(range)
                if half_width(range.start.c) != range.start.c && half_width(range.end.c) != range.end.c =>
            {
                self.literal(&range.start);
                self.literal(&range.end);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        case(&width(text))
    }

    fn is_match(written: &str, strict: bool, text: &str) -> bool {
        let hir = pattern(written, strict).unwrap();
        regex::Regex::new(&hir.to_string()).unwrap().is_match(&width(text))
    }

    #[test]
    fn case_width_and_outer_spaces_fold() {
        assert_eq!(folded("\u{3000} ＶＩＰ会员　１２～？ \n"), "vip会员 12~?");
        assert_eq!(folded("￥１００"), "¥100");
        assert_eq!(folded("ÄÖÜ ÉΣß"), "äöü éσß");
        assert_eq!(folded("退 货"), "退 货", "inner spaces stay");
    }

    #[test]
    fn a_pattern_folds_without_a_change_of_its_syntax() {
        for (written, text) in [
            ("^vip$", "ＶＩＰ"),
            ("^ＶＩＰ$", "vip"),
            ("^怎么退款？$", "怎么退款?"),
            ("^（退款）$", "(退款)"),
            ("^[０-９Ａ]+$", "12a"),
            ("^[？！]$", "?"),
            ("(?x) ^ 你\u{3000}好 $", "你好"),
            (r"\bvip\b", "我要VIP服务"),
            (r"^\d+$", "１２"),
            ("^￥[０-９]+$", "¥100"),
        ] {
            assert!(is_match(written, false, text), "{written} {text}");
        }
        for (written, text) in [
            ("^怎么退款？$", "怎么退"),
            ("^[^？]$", "？"),
            ("(?-i)VIP", "vip"),
            (r"\bvip\b", "vips"),
            (r"\Bvip", "我要vip"),
        ] {
            assert!(!is_match(written, false, text), "{written} {text}");
        }
        assert!(!is_match("^vip$", true, "VIP"));
        assert!(pattern("(", false).is_err() && pattern(r"\p{Nothing}", false).is_err());
    }
}
