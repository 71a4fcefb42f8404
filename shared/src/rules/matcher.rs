//! Finds the first keyword rule that matches a text, in a time that hardly depends on how many rules there are.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;
use regex::RegexSet;

use super::document::{KeywordRule, Match, RulesError};
use crate::fault::Fault;

/// The keyword rules, compiled. Every table maps to the index of the rule in the document.
#[derive(Debug, Default)]
pub(super) struct KeywordMatcher {
    exact: HashMap<String, usize>,
    prefixes: HashMap<String, usize>,
    /// The lengths, in bytes, that prefixes have: one look-up each.
    prefix_lengths: Vec<usize>,
    contains: Option<(AhoCorasick, Vec<usize>)>,
    regexes: RegexSet,
    regex_rules: Vec<usize>,
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
            false => Some((AhoCorasick::new(needles).map_err(too_large)?, contains_rules)),
        };
        let (regex_rules, patterns): (Vec<_>, Vec<_>) = of(Match::Regex)
            .map(|(index, rule)| (index, rule.value.as_str()))
            .unzip();
        let regexes = RegexSet::new(patterns).map_err(too_large)?;
        Ok(Self {
            exact: first_of(Match::Exact),
            prefixes,
            prefix_lengths,
            contains,
            regexes,
            regex_rules,
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
        let regex = self
            .regexes
            .matches(text)
            .iter()
            .next()
            .map(|index| self.regex_rules[index]);
        [exact, prefix, contains, regex].into_iter().flatten().min()
    }
}

/// Each pattern was accepted by itself, so only their sum can be too large.
fn too_large(error: impl std::fmt::Display) -> RulesError {
    RulesError::Faults(vec![Fault::new("/keywords", format!("too large together: {error}"))])
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_prefix_length_inside_a_character_matches_nothing() {
        let matcher = KeywordMatcher::compile(&[rule(Match::Prefix, "ab")]).unwrap();
        assert_eq!(matcher.first_match("好"), None);
    }
}
