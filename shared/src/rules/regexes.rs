//! The regular expressions of the rules, which are tried all at once, and may only do so much work for one text.

use std::{collections::HashMap, sync::Mutex};

use regex_automata::{
    Input, MatchKind,
    hybrid::{
        LazyStateID,
        dfa::{Cache, Config, DFA},
    },
    nfa::thompson::{self, Compiler, NFA, State, WhichCaptures},
};
use regex_syntax::hir::{Dot, Hir, Look, Repetition};

use super::document::RulesError;
use crate::{lock::lock, validate::Fault};

/// Bytes that all regular expressions may take together. 2,000 of them take 3 MB, and 1,000 `\w` take 17.
const SIZE_LIMIT: usize = 16 << 20;
/// Jumps between places in all regular expressions together: each alternative is one, and each copy that a counted repetition
/// makes. At worst every step of a text takes all of them.
const JUMPS_LIMIT: usize = 80_000;
/// Bytes. When more are kept than these, they are thrown away before the next text.
const KEPT: usize = 16 << 20;
/// Bytes of the longest text that is compared with regular expressions: what is longer matches none. In plain mode the body is
/// not signed, so that it may be anybody's.
const TEXT_LIMIT: usize = 2048;
/// What one text may cost, in bytes read and written to make new steps, each of which takes up to 20 ns of a whole CPU: 0.1 s,
/// and 0.7 s with the 256 MB that `template.yaml` gives the webhook. A usual text among 2,000 rules costs 600,000.
const WORK_LIMIT: usize = 5_000_000;
/// Jumps that take as long as one byte.
const JUMPS_A_BYTE: usize = 8;

/// An automaton of which the places that texts have passed are kept, and the steps between them.
#[derive(Debug)]
pub(super) struct Regexes {
    automaton: DFA,
    rules: Vec<usize>,
    jumps: usize,
    passed: Mutex<Passed>,
    /// Of how many that are tried for one text this is one.
    share: usize,
}

#[derive(Debug)]
struct Passed {
    cache: Cache,
    start: LazyStateID,
    /// Bytes of each place: at least one for each place in a regular expression that it stands for.
    sizes: HashMap<LazyStateID, usize>,
    /// What the text at hand has cost so far.
    work: usize,
}

/// A text costs more than [`WORK_LIMIT`].
struct TooCostly;

impl Regexes {
    /// Compiles regular expressions, each with the index of its rule. They get one `share`-th of all limits.
    pub(super) fn compile(patterns: Vec<(usize, Hir)>, share: usize) -> Result<Self, RulesError> {
        let (rules, patterns): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let patterns: Vec<Hir> = patterns.into_iter().map(to_the_end).collect();
        let config = Config::new().match_kind(MatchKind::All).cache_capacity(usize::MAX);
        let automaton = compile(&patterns, SIZE_LIMIT / share)
            .filter(|nfa| jumps(nfa) <= JUMPS_LIMIT / share)
            .and_then(|nfa| DFA::builder().configure(config).build_from_nfa(nfa).ok())
            .and_then(|automaton| Some((Passed::nothing(&automaton)?, automaton)));
        let (passed, automaton) = automaton.ok_or_else(|| too_much(&rules, &patterns, share))?;
        Ok(Self {
            jumps: jumps(automaton.get_nfa()),
            passed: Mutex::new(passed),
            rules,
            automaton,
            share,
        })
    }

    /// The index of the first rule that matches; none when the text is too long or costs too much.
    pub(super) fn first_match(&self, text: &str) -> Option<usize> {
        if text.len() > TEXT_LIMIT {
            return None;
        }
        let mut passed = lock(&self.passed);
        if passed.cache.memory_usage() > KEPT / self.share {
            self.forget(&mut passed);
        }
        passed.work = 0;
        match self.end(&mut passed, text) {
            Ok(end) if end.is_match() => {
                let cache = &passed.cache;
                let met = 0..self.automaton.match_len(cache, end);
                let met = met.map(|index| self.automaton.match_pattern(cache, end, index));
                met.map(|pattern| self.rules[pattern.as_usize()]).min()
            }
            Ok(_) => None,
            Err(TooCostly) => {
                tracing::warn!(
                    "a text costs too much to compare with the regular expressions of the reply rules, it matches none"
                );
                // Steps that are kept would make a redelivery cheaper, and its reply another one.
                self.forget(&mut passed);
                None
            }
        }
    }

    fn forget(&self, passed: &mut Passed) {
        if let Some(nothing) = Passed::nothing(&self.automaton) {
            *passed = nothing;
        }
    }

    /// The place at the end of the text.
    fn end(&self, passed: &mut Passed, text: &str) -> Result<LazyStateID, TooCostly> {
        let mut place = passed.start;
        for &byte in text.as_bytes() {
            if place.is_dead() {
                return Ok(place);
            }
            let known = self.automaton.next_state_untagged(&passed.cache, place, byte);
            place = if known.is_unknown() {
                self.step(passed, place, byte)?
            } else {
                known
            };
        }
        let end = self.automaton.next_eoi_state(&mut passed.cache, place);
        end.map_err(|_| TooCostly)
    }

    /// Makes a step. It costs as much as the place that it starts at, the jumps that may follow, and the place that is new.
    fn step(&self, passed: &mut Passed, place: LazyStateID, byte: u8) -> Result<LazyStateID, TooCostly> {
        let Passed { cache, sizes, work, .. } = passed;
        *work += sizes.get(&place).copied().unwrap_or_default() + self.jumps / JUMPS_A_BYTE;
        if *work > WORK_LIMIT / self.share {
            return Err(TooCostly);
        }
        let before = cache.memory_usage();
        let next = self.automaton.next_state(cache, place, byte).map_err(|_| TooCostly)?;
        let grown = cache.memory_usage() - before;
        *work += grown;
        sizes.entry(next).or_insert(grown);
        Ok(next)
    }
}

impl Passed {
    /// Nothing but the place at which every text starts.
    fn nothing(automaton: &DFA) -> Option<Self> {
        let mut cache = automaton.create_cache();
        let before = cache.memory_usage();
        let start = automaton.start_state_forward(&mut cache, &Input::new("")).ok()?;
        let sizes = HashMap::from([(start, cache.memory_usage() - before)]);
        Some(Self {
            cache,
            start,
            sizes,
            work: 0,
        })
    }
}

/// What has matched goes on to the end of the text, so that the last place alone tells all that has: no other one is a match.
fn to_the_end(pattern: Hir) -> Hir {
    let rest = Repetition {
        min: 0,
        max: None,
        greedy: true,
        sub: Box::new(Hir::dot(Dot::AnyByte)),
    };
    Hir::concat(vec![pattern, Hir::repetition(rest), Hir::look(Look::End)])
}

fn compile(patterns: &[Hir], size_limit: usize) -> Option<NFA> {
    let config = thompson::Config::new()
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(size_limit));
    Compiler::new().configure(config).build_many_from_hir(patterns).ok()
}

fn jumps(nfa: &NFA) -> usize {
    let jumps = nfa.states().iter().map(|state| match state {
        State::Union { alternates } => alternates.len(),
        State::BinaryUnion { .. } => 2,
        State::Look { .. } | State::Capture { .. } => 1,
        State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Fail | State::Match { .. } => 0,
    });
    jumps.sum()
}

/// Names the regular expression with which all up to it are too much.
fn too_much(rules: &[usize], patterns: &[Hir], share: usize) -> RulesError {
    let (mut size, mut jumps_left) = (SIZE_LIMIT / share, JUMPS_LIMIT / share);
    let fits = patterns.iter().take_while(|pattern| {
        let left = compile(std::slice::from_ref(*pattern), size).and_then(|nfa| {
            Some((
                size.checked_sub(nfa.memory_usage())?,
                jumps_left.checked_sub(jumps(&nfa))?,
            ))
        });
        left.map(|left| (size, jumps_left) = left).is_some()
    });
    let at_fault = rules.get(fits.count()).or(rules.last());
    RulesError::Faults(vec![Fault::new(
        at_fault.map_or_else(String::new, |index| format!("/keywords/{index}/value")),
        "is too much together with the regular expressions before it: count fewer repetitions, above all of \\w, \\d and . \
         / 与前面的正则表达式合计过大，请减少计数重复，尤其是 \\w、\\d 与 .",
    )])
}

#[cfg(test)]
mod tests {
    use super::{super::fold, *};

    fn compile_all(patterns: &[String]) -> Result<Regexes, RulesError> {
        let parse = |pattern: &String| fold::pattern(pattern, false).unwrap();
        Regexes::compile(patterns.iter().map(parse).enumerate().collect(), 1)
    }

    fn repeated(count: usize, pattern: impl Fn(usize) -> String) -> Vec<String> {
        (0..count).map(pattern).collect()
    }

    /// Digits in no order.
    fn noise(length: usize) -> String {
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let states = std::iter::successors(Some(1), next).take(length);
        states.map(|state| if state >> 31 == 0 { '1' } else { '2' }).collect()
    }

    #[test]
    fn a_text_costs_no_more_than_its_limit_however_the_patterns_are_spelt() {
        for patterns in [
            repeated(100, |_| format!("1{}x", r"\d".repeat(100))),
            repeated(60, |i| format!("1.{{{}}}x", i * 3)),
            repeated(1, |_| "1(?:[01]?){1000}x".to_owned()),
            repeated(40, |i| format!("[0-9a]*1[0-9b]{{{}}}x", i * 3)),
        ] {
            let regexes = compile_all(&patterns).unwrap();
            for text in ["1".repeat(2048), noise(2048)] {
                let mut passed = Passed::nothing(&regexes.automaton).unwrap();
                let outcome = regexes.end(&mut passed, &text);
                assert_eq!(outcome.is_err(), passed.work > WORK_LIMIT, "{}", patterns[0]);
                assert!(passed.work < WORK_LIMIT * 11 / 10, "{}: {}", patterns[0], passed.work);
                assert!(passed.cache.memory_usage() < KEPT, "{}", patterns[0]);
            }
        }
    }

    #[test]
    fn a_text_that_costs_too_much_fares_no_better_when_it_is_repeated_and_spoils_no_other() {
        let mut patterns = repeated(100, |_| format!("1{}x", r"\d".repeat(100)));
        patterns.push(r"^订单\d+$".to_owned());
        patterns.push("^[0-9]+$".to_owned());
        let regexes = compile_all(&patterns).unwrap();
        let costly = noise(2048);
        for _ in 0..3 {
            assert_eq!(regexes.first_match(&costly), None);
            assert_eq!(regexes.first_match("订单1234567890"), Some(100));
        }
        assert_eq!(
            regexes.first_match(&costly[..200]),
            Some(101),
            "a shorter one costs less"
        );
    }

    #[test]
    fn the_first_of_all_that_match_anywhere_is_found() {
        let patterns = ["^a$", "b+", "^ab", "", "(?m)^x$", "b$"].map(str::to_owned);
        let regexes = compile_all(&patterns).unwrap();
        for (text, expected) in [("a", 0), ("cabbage", 1), ("abc", 1), ("ac", 3), ("", 3), ("c\nx\nd", 3)] {
            assert_eq!(regexes.first_match(text), Some(expected), "{text}");
        }
        let anchored = compile_all(&["^ab".to_owned(), r"\bvip\b".to_owned()]).unwrap();
        assert_eq!(anchored.first_match("cab"), None);
        assert_eq!(anchored.first_match("我要VIP服务"), Some(1));
    }
}
