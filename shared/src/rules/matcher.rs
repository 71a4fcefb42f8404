//! Finds the first keyword rule that matches a text, in a time that hardly depends on how many rules there are.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;
use regex_automata::{Input, MatchKind, PatternSet, meta, nfa::thompson::WhichCaptures};

use super::document::{KeywordRule, Match, RulesError};
use crate::fault::Fault;

/// Bytes that all regular expressions may take together: 2,000 of them, unless they are full of `\w`.
const REGEX_LIMIT: usize = 32 << 20;
/// Bytes of the automaton that is built of them as texts come in. With less it is thrown away and built again for each.
const REGEX_CACHE: usize = 32 << 20;

/// Bytes of the longest text that is compared with regular expressions, whose time grows with it: what is longer matches none.
/// In plain mode the body is not signed, so that it may be anybody's.
const REGEX_TEXT_LIMIT: usize = 2048;

/// The keyword rules, compiled. Every table maps to the index of the rule in the document.
#[derive(Debug, Default)]
pub(super) struct KeywordMatcher {
    exact: HashMap<String, usize>,
    prefixes: HashMap<String, usize>,
    /// The lengths, in bytes, that prefixes have: one look-up each.
    prefix_lengths: Vec<usize>,
    contains: Option<(AhoCorasick, Vec<usize>)>,
    regexes: Option<Regexes>,
}

/// The regular expressions, which are tried all at once.
#[derive(Debug)]
struct Regexes {
    automaton: meta::Regex,
    rules: Vec<usize>,
    /// Those that match. Kept, because it has room for all of them: the set of the crate `regex` makes one for each text.
    met: Mutex<PatternSet>,
}

impl KeywordMatcher {
    pub(super) fn compile(rules: &[KeywordRule]) -> Result<Self, RulesError> {
        let of = |kind: Match| rules.iter().enumerate().filter(move |(_, rule)| rule.kind == kind);
        let first_of = |kind| {
            let mut table = HashMap::new();
            for (index, rule) in of(kind) {
                table.entry(rule.value.clone()).or_insert(index);
            }
            table
        };
        let prefixes: HashMap<String, usize> = first_of(Match::Prefix);
        let mut prefix_lengths: Vec<usize> = prefixes.keys().map(String::len).collect();
        prefix_lengths.sort_unstable();
        prefix_lengths.dedup();
        let (contains_rules, needles): (Vec<_>, Vec<_>) = of(Match::Contains)
            .map(|(index, rule)| (index, rule.value.as_str()))
            .unzip();
        let contains = match needles.is_empty() {
            true => None,
            false => Some((find_any(&needles)?, contains_rules)),
        };
        let (regex_rules, patterns): (Vec<_>, Vec<_>) = of(Match::Regex)
            .map(|(index, rule)| (index, rule.value.as_str()))
            .unzip();
        let regexes = match patterns.is_empty() {
            true => None,
            false => Some(Regexes::compile(regex_rules, &patterns)?),
        };
        Ok(Self {
            exact: first_of(Match::Exact),
            prefixes,
            prefix_lengths,
            contains,
            regexes,
        })
    }

    /// The index of the first rule that matches `text`.
    pub(super) fn first_match(&self, text: &str) -> Option<usize> {
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
        let regexes = self.regexes.as_ref().filter(|_| text.len() <= REGEX_TEXT_LIMIT);
        let regex = regexes.and_then(|regexes| regexes.first_match(text));
        [exact, prefix, contains, regex].into_iter().flatten().min()
    }
}

impl Regexes {
    fn compile(rules: Vec<usize>, patterns: &[&str]) -> Result<Self, RulesError> {
        let config = meta::Config::new()
            .match_kind(MatchKind::All)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(REGEX_LIMIT))
            .hybrid_cache_capacity(REGEX_CACHE);
        let automaton = meta::Builder::new().configure(config).build_many(patterns);
        let automaton = automaton.map_err(|error| refused(&rules, patterns, error))?;
        let met = Mutex::new(PatternSet::new(patterns.len()));
        Ok(Self { automaton, rules, met })
    }

    fn first_match(&self, text: &str) -> Option<usize> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.clear();
        self.automaton.which_overlapping_matches(&Input::new(text), &mut met);
        met.iter().next().map(|pattern| self.rules[pattern.as_usize()])
    }
}

/// The regular expressions that cannot be compiled by themselves; if there are none, their sum is too large.
fn refused(rules: &[usize], patterns: &[&str], error: meta::BuildError) -> RulesError {
    let faults: Vec<Fault> = rules
        .iter()
        .zip(patterns)
        .filter_map(|(index, pattern)| {
            let error = Regex::new(pattern).err()?;
            Some(Fault {
                pointer: format!("/keywords/{index}/value"),
                detail: format!("is no usable regular expression: {error}"),
            })
        })
        .collect();
    if faults.is_empty() {
        too_large(error)
    } else {
        RulesError::Faults(faults)
    }
}

/// Without the automaton of all states at once, which takes half a kilobyte for each byte of a needle.
fn find_any(needles: &[&str]) -> Result<AhoCorasick, RulesError> {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(needles)
        .map_err(too_large)
}

fn too_large(error: impl std::fmt::Display) -> RulesError {
    RulesError::Faults(vec![Fault::new("/keywords", format!("too large together: {error}"))])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::reply::Reply;

    fn rule(kind: Match, value: &str) -> KeywordRule {
        KeywordRule {
            kind,
            value: value.to_owned(),
            reply: Reply::text("r"),
        }
    }

    fn matches(rule: &KeywordRule, text: &str) -> bool {
        match rule.kind {
            Match::Exact => rule.value == text,
            Match::Prefix => text.starts_with(&rule.value),
            Match::Contains => text.contains(&rule.value),
            Match::Regex => regex::Regex::new(&rule.value).unwrap().is_match(text),
        }
    }

    fn any_rule() -> impl Strategy<Value = KeywordRule> {
        let kind = prop_oneof![
            Just(Match::Exact),
            Just(Match::Prefix),
            Just(Match::Contains),
            Just(Match::Regex)
        ];
        (kind, "[ab好]{1,4}").prop_map(|(kind, value)| rule(kind, &value))
    }

    proptest! {
        #[test]
        fn agrees_with_trying_the_rules_one_by_one(
            rules in prop::collection::vec(any_rule(), 0..12),
            text in "[ab好]{0,8}",
        ) {
            let matcher = KeywordMatcher::compile(&rules).unwrap();
            prop_assert_eq!(matcher.first_match(&text), rules.iter().position(|rule| matches(rule, &text)));
        }
    }

    /// Rules of every kind, none of which matches the texts of [`cost`].
    fn many(count: usize) -> Vec<KeywordRule> {
        (0..count)
            .map(|i| match i % 4 {
                0 => rule(Match::Exact, &format!("订单{i}")),
                1 => rule(Match::Prefix, &format!("查询{i}号")),
                2 => rule(Match::Contains, &format!("退货{i}单")),
                _ => rule(Match::Regex, &format!("^(快递|物流){i}\\d+(哪|何)$")),
            })
            .collect()
    }

    /// What one text costs: the best of several rounds, since other programs only ever make a round slower.
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
        let few = cost(&KeywordMatcher::compile(&many(10)).unwrap());
        let many = cost(&KeywordMatcher::compile(&many(2000)).unwrap());
        // Trying one by one would cost 200 times as much.
        assert!(many < few * 20, "{many:?} instead of {few:?}");
    }

    #[test]
    fn two_thousand_regular_expressions_fit() {
        let rules: Vec<KeywordRule> = (0..2000)
            .map(|i| rule(Match::Regex, &format!("^订单{i}\\d+$")))
            .collect();
        let matcher = KeywordMatcher::compile(&rules).unwrap();
        assert_eq!(
            matcher.first_match("订单19990"),
            Some(1),
            "the first of 1, 19, 199 and 1999"
        );
        assert_eq!(matcher.first_match("订单"), None);
    }

    #[test]
    fn a_regular_expression_that_is_too_large_is_named() {
        let rules = [rule(Match::Regex, "a"), rule(Match::Regex, "\\w{5000}")];
        let Err(RulesError::Faults(faults)) = KeywordMatcher::compile(&rules) else {
            panic!()
        };
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].pointer, "/keywords/1/value");
    }

    #[test]
    fn a_prefix_length_inside_a_character_matches_nothing() {
        let matcher = KeywordMatcher::compile(&[rule(Match::Prefix, "ab")]).unwrap();
        assert_eq!(matcher.first_match("好"), None);
    }
}
