//! Finds the first keyword rule that matches a text. The time hardly depends on the number of rules.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex_syntax::hir::Hir;

use super::{
    document::{Match, RulesError},
    fold,
    regexes::Regexes,
};
use crate::validate::Fault;

/// The compiled keyword rules.
#[derive(Debug, Default)]
pub(super) struct KeywordMatcher {
    /// The rules that compare a text as it was sent.
    strict: Keywords,
    /// The rules that ignore case, width and outer spaces.
    folded: Keywords,
}

/// Lookup tables from a keyword to the index of its rule in the document.
#[derive(Debug, Default)]
struct Keywords {
    exact: HashMap<String, usize>,
    prefixes: HashMap<String, usize>,
    /// The different lengths of the prefixes, in bytes. A text needs one lookup for each.
    prefix_lengths: Vec<usize>,
    contains: Option<(AhoCorasick, Vec<usize>)>,
    regexes: Option<Regexes>,
}

/// The rules by type, in their order, from which [`Keywords`] are compiled.
#[derive(Default)]
struct Sorted {
    exact: Vec<(usize, String)>,
    prefixes: Vec<(usize, String)>,
    contains: Vec<(usize, String)>,
    regexes: Vec<(usize, Hir)>,
}

impl KeywordMatcher {
    /// Compiles the rules: for each the match, already folded unless the rule is strict, and whether it is strict.
    pub(super) fn compile(rules: Vec<(Match, bool)>) -> Result<Self, RulesError> {
        let (mut strict, mut folded) = (Sorted::default(), Sorted::default());
        for (index, (matches, is_strict)) in rules.into_iter().enumerate() {
            let sorted = if is_strict { &mut strict } else { &mut folded };
            match matches {
                Match::Exact(value) => sorted.exact.push((index, value)),
                Match::Prefix(value) => sorted.prefixes.push((index, value)),
                Match::Contains(value) => sorted.contains.push((index, value)),
                Match::Regex(pattern) => sorted.regexes.push((index, pattern)),
            }
        }
        let share = if strict.regexes.is_empty() || folded.regexes.is_empty() {
            1
        } else {
            2
        };
        Ok(Self {
            strict: Keywords::compile(strict, share)?,
            folded: Keywords::compile(folded, share)?,
        })
    }

    /// The index of the first rule that matches `text`.
    pub(super) fn first_match(&self, text: &str) -> Option<usize> {
        let half_width = fold::width(text);
        let folded = self.folded.first_match(&fold::case(&half_width), &half_width);
        let strict = self.strict.first_match(text, text);
        folded.into_iter().chain(strict).min()
    }
}

impl Keywords {
    fn compile(sorted: Sorted, share: usize) -> Result<Self, RulesError> {
        let prefixes = first_of(sorted.prefixes);
        let mut prefix_lengths: Vec<usize> = prefixes.keys().map(String::len).collect();
        prefix_lengths.sort_unstable();
        prefix_lengths.dedup();
        let (rules, needles): (Vec<_>, Vec<_>) = sorted.contains.into_iter().unzip();
        let contains = match needles.is_empty() {
            true => None,
            false => Some((find_any(&needles)?, rules)),
        };
        let regexes = match sorted.regexes.is_empty() {
            true => None,
            false => Some(Regexes::compile(sorted.regexes, share)?),
        };
        Ok(Self {
            exact: first_of(sorted.exact),
            prefixes,
            prefix_lengths,
            contains,
            regexes,
        })
    }

    /// The index of the first rule that matches `text`. Regular expressions handle case themselves and get `cased`.
    fn first_match(&self, text: &str, cased: &str) -> Option<usize> {
        let exact = self.exact.get(text).copied();
        let prefix = self
            .prefix_lengths
            .iter()
            .map_while(|&length| (length <= text.len()).then(|| text.get(..length)))
            .filter_map(|beginning| self.prefixes.get(beginning?).copied())
            .min();
        let contains = self.contains.as_ref().and_then(|(needles, rules)| {
            needles
                .find_overlapping_iter(text)
                .map(|found| rules[found.pattern().as_usize()])
                .min()
        });
        let regex = self.regexes.as_ref().and_then(|regexes| regexes.first_match(cased));
        [exact, prefix, contains, regex].into_iter().flatten().min()
    }
}

/// Maps each value to its first rule.
fn first_of(rules: Vec<(usize, String)>) -> HashMap<String, usize> {
    let mut table = HashMap::new();
    for (index, value) in rules {
        table.entry(value).or_insert(index);
    }
    table
}

/// Compiles the needles into an NFA: a DFA would take half a kilobyte for each byte of a needle.
fn find_any(needles: &[String]) -> Result<AhoCorasick, RulesError> {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(needles)
        .map_err(|error| {
            let message = format!("are too large together: {error} / 关键词合计过大：{error}");
            RulesError::Faults(vec![Fault::new("/keywords", message)])
        })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn rule(kind: &str, value: &str) -> (Match, bool) {
        let matches = match kind {
            "exact" => Match::Exact(value.to_owned()),
            "prefix" => Match::Prefix(value.to_owned()),
            "contains" => Match::Contains(value.to_owned()),
            _ => Match::Regex(fold::pattern(value, false).unwrap()),
        };
        (matches, false)
    }

    fn matches(kind: &str, value: &str, text: &str) -> bool {
        match kind {
            "exact" => value == text,
            "prefix" => text.starts_with(value),
            "contains" => text.contains(value),
            _ => regex::Regex::new(value).unwrap().is_match(text),
        }
    }

    fn any_rule() -> impl Strategy<Value = (&'static str, String)> {
        (
            prop::sample::select(vec!["exact", "prefix", "contains", "regex"]),
            "[ab好]{1,4}",
        )
    }

    proptest! {
        #[test]
        fn agrees_with_trying_the_rules_one_by_one(
            rules in prop::collection::vec(any_rule(), 0..12),
            text in "[ab好]{0,8}",
        ) {
            let compiled = rules.iter().map(|(kind, value)| rule(kind, value)).collect();
            let matcher = KeywordMatcher::compile(compiled).unwrap();
            let first = rules.iter().position(|(kind, value)| matches(kind, value, &text));
            prop_assert_eq!(matcher.first_match(&text), first);
        }
    }

    /// Rules of every type that do not match the texts of [`cost`].
    fn many(count: usize) -> Vec<(Match, bool)> {
        (0..count)
            .map(|i| match i % 4 {
                0 => rule("exact", &format!("订单{i}")),
                1 => rule("prefix", &format!("查询{i}号")),
                2 => rule("contains", &format!("退货{i}单")),
                _ => rule("regex", &format!("^(快递|物流){i}\\d+(哪|何)$")),
            })
            .collect()
    }

    /// The time for one text: the fastest of several rounds, because other programs can only slow a round down.
    fn cost(matcher: &KeywordMatcher) -> Duration {
        let round = || {
            let started = Instant::now();
            for i in 0..200 {
                let text = format!("你好，我的订单{i}什么时候到？快递{i}到哪了，退货{i}怎么办");
                assert_eq!(matcher.first_match(&text), None);
            }
            started.elapsed() / 200
        };
        (0..5).map(|_| round()).min().unwrap()
    }

    #[test]
    fn two_thousand_rules_cost_about_as_much_as_ten() {
        let few = cost(&KeywordMatcher::compile(many(10)).unwrap());
        let many = cost(&KeywordMatcher::compile(many(2000)).unwrap());
        // Trying one by one would cost 200 times as much.
        assert!(many < few * 20, "{many:?} instead of {few:?}");
    }

    #[test]
    fn two_thousand_regular_expressions_fit() {
        let rules = (0..2000).map(|i| rule("regex", &format!("^订单{i}\\d+$"))).collect();
        let matcher = KeywordMatcher::compile(rules).unwrap();
        assert_eq!(
            matcher.first_match("订单19990"),
            Some(1),
            "the first of 1, 19, 199 and 1999"
        );
        assert_eq!(matcher.first_match("订单"), None);
    }

    #[test]
    fn a_regular_expression_that_is_too_large_is_named() {
        let rules = vec![rule("regex", "a"), rule("regex", "\\w{5000}")];
        let Err(RulesError::Faults(faults)) = KeywordMatcher::compile(rules) else {
            panic!()
        };
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].pointer, "/keywords/1/value");
    }

    #[test]
    fn a_prefix_length_inside_a_character_matches_nothing() {
        let matcher = KeywordMatcher::compile(vec![rule("prefix", "ab")]).unwrap();
        assert_eq!(matcher.first_match("好"), None);
    }
}
