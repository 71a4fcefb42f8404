//! Tries all regular expressions of the rules at once, with a limit on the work for one text.
//!
//! A lazy DFA of the `regex-automata` crate matches them together; the cache keeps its states between texts.

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

/// Bytes of the NFA of all regular expressions. 2,000 usual ones take 3 MB, 1,000 `\w` take 17 MB.
const SIZE_LIMIT: usize = 16 << 20;
/// Epsilon transitions in the NFA: one for each alternative and for each copy that a counted repetition makes. In the worst
/// case a new DFA state costs a walk over all of them.
const EPSILONS_LIMIT: usize = 80_000;
/// Bytes of the cache. A larger cache is emptied before the next text.
const CACHE_LIMIT: usize = 16 << 20;
/// Bytes of a text. Longer texts match no regular expression: in plain mode bodies are not signed, so a stranger can send
/// one of any length.
const TEXT_LIMIT: usize = 2048;
/// Work that one text may cause, in bytes read and written to make new DFA states. A byte takes up to 20 ns of a whole CPU, so
/// the limit is 0.1 s, or 0.7 s with the 256 MB that `template.yaml` gives the webhook. A usual text with 2,000 rules costs
/// 600,000.
const WORK_LIMIT: usize = 5_000_000;
/// Epsilon transitions that take as long as one byte of work.
const EPSILONS_A_BYTE: usize = 8;

/// The regular expressions as one lazy DFA, whose states are made when a text first needs them and then cached.
#[derive(Debug)]
pub(super) struct Regexes {
    automaton: DFA,
    rules: Vec<usize>,
    epsilons: usize,
    states: Mutex<States>,
    /// The number of automata (strict, folded) that are tried for one text. Each gets this part of the limits.
    share: usize,
}

#[derive(Debug)]
struct States {
    cache: Cache,
    start: LazyStateID,
    /// Bytes of each DFA state: at least one for each NFA state in it.
    sizes: HashMap<LazyStateID, usize>,
    /// The work for the current text so far.
    work: usize,
}

/// A text needs more work than [`WORK_LIMIT`].
struct TooCostly;

impl Regexes {
    /// Compiles regular expressions, each with the index of its rule. They get 1/`share` of all limits.
    pub(super) fn compile(patterns: Vec<(usize, Hir)>, share: usize) -> Result<Self, RulesError> {
        let (rules, patterns): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let patterns: Vec<Hir> = patterns.into_iter().map(to_the_end).collect();
        let config = Config::new().match_kind(MatchKind::All).cache_capacity(usize::MAX);
        let automaton = compile(&patterns, SIZE_LIMIT / share)
            .filter(|nfa| epsilons(nfa) <= EPSILONS_LIMIT / share)
            .and_then(|nfa| DFA::builder().configure(config).build_from_nfa(nfa).ok())
            .and_then(|automaton| Some((States::start_only(&automaton)?, automaton)));
        let (states, automaton) = automaton.ok_or_else(|| too_much(&rules, &patterns, share))?;
        Ok(Self {
            epsilons: epsilons(automaton.get_nfa()),
            states: Mutex::new(states),
            rules,
            automaton,
            share,
        })
    }

    /// The index of the first rule that matches; `None` also when the text is too long or needs too much work.
    pub(super) fn first_match(&self, text: &str) -> Option<usize> {
        if text.len() > TEXT_LIMIT {
            return None;
        }
        let mut states = lock(&self.states);
        if states.cache.memory_usage() > CACHE_LIMIT / self.share {
            self.clear(&mut states);
        }
        states.work = 0;
        match self.run(&mut states, text) {
            Ok(end) if end.is_match() => {
                let cache = &states.cache;
                let matched = 0..self.automaton.match_len(cache, end);
                let matched = matched.map(|index| self.automaton.match_pattern(cache, end, index));
                matched.map(|pattern| self.rules[pattern.as_usize()]).min()
            }
            Ok(_) => None,
            Err(TooCostly) => {
                tracing::warn!(
                    "a text would take too long to compare with the regular expressions of the reply rules: none matches \
                     / 该文本与回复规则的正则表达式比较耗时过长，按均不匹配处理"
                );
                // With these states in the cache a redelivery would cost less and could get another reply.
                self.clear(&mut states);
                None
            }
        }
    }

    fn clear(&self, states: &mut States) {
        if let Some(emptied) = States::start_only(&self.automaton) {
            *states = emptied;
        }
    }

    /// The DFA state after the whole text.
    fn run(&self, states: &mut States, text: &str) -> Result<LazyStateID, TooCostly> {
        let mut state = states.start;
        for &byte in text.as_bytes() {
            if state.is_dead() {
                return Ok(state);
            }
            let known = self.automaton.next_state_untagged(&states.cache, state, byte);
            state = if known.is_unknown() {
                self.make_state(states, state, byte)?
            } else {
                known
            };
        }
        let end = self.automaton.next_eoi_state(&mut states.cache, state);
        end.map_err(|_| TooCostly)
    }

    /// Makes the DFA state that follows `state` on `byte`. Counts the work: the size of `state`, the epsilon transitions and
    /// the size of the new state.
    fn make_state(&self, states: &mut States, state: LazyStateID, byte: u8) -> Result<LazyStateID, TooCostly> {
        let States { cache, sizes, work, .. } = states;
        *work += sizes.get(&state).copied().unwrap_or_default() + self.epsilons / EPSILONS_A_BYTE;
        if *work > WORK_LIMIT / self.share {
            return Err(TooCostly);
        }
        let before = cache.memory_usage();
        let next = self.automaton.next_state(cache, state, byte).map_err(|_| TooCostly)?;
        let grown = cache.memory_usage() - before;
        *work += grown;
        sizes.entry(next).or_insert(grown);
        Ok(next)
    }
}

impl States {
    /// An empty cache with only the start state.
    fn start_only(automaton: &DFA) -> Option<Self> {
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

/// Appends "then anything up to the end", so that the last DFA state alone tells which patterns match.
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

fn epsilons(nfa: &NFA) -> usize {
    let epsilons = nfa.states().iter().map(|state| match state {
        State::Union { alternates } => alternates.len(),
        State::BinaryUnion { .. } => 2,
        State::Look { .. } | State::Capture { .. } => 1,
        State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Fail | State::Match { .. } => 0,
    });
    epsilons.sum()
}

/// Names the first regular expression with which the limits are exceeded.
fn too_much(rules: &[usize], patterns: &[Hir], share: usize) -> RulesError {
    let (mut size, mut epsilons_left) = (SIZE_LIMIT / share, EPSILONS_LIMIT / share);
    let fits = patterns.iter().take_while(|pattern| {
        let left = compile(std::slice::from_ref(*pattern), size).and_then(|nfa| {
            Some((
                size.checked_sub(nfa.memory_usage())?,
                epsilons_left.checked_sub(epsilons(&nfa))?,
            ))
        });
        left.map(|left| (size, epsilons_left) = left).is_some()
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

    /// Pseudo-random digits 1 and 2.
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
                let mut states = States::start_only(&regexes.automaton).unwrap();
                let outcome = regexes.run(&mut states, &text);
                assert_eq!(outcome.is_err(), states.work > WORK_LIMIT, "{}", patterns[0]);
                assert!(states.work < WORK_LIMIT * 11 / 10, "{}: {}", patterns[0], states.work);
                assert!(states.cache.memory_usage() < CACHE_LIMIT, "{}", patterns[0]);
            }
        }
    }

    #[test]
    fn a_costly_text_gets_the_same_result_when_repeated_and_spoils_no_other() {
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
