//! All interleavings of two runs of the refresher, with and without crashes, lost writes and slow answers.

use std::time::Duration;

use super::script::{Loss, Outcome, Plan, World, a_minute_later, behind_a_dead_run, explore};
use crate::{api::TokenApi, secret::Secret, token::RefreshError};

const DEAD: &str = "token-dead";

fn replacing() -> Plan {
    Plan {
        stale: Some(Secret::new(DEAD).sha256_hex()),
        stored: Some((DEAD, 3_000)),
        current: Some(DEAD),
        ..Plan::default()
    }
}

/// Asserts that the table has the last token that WeChat issued, that it works, and that the lease is free.
#[track_caller]
fn assert_good_end(world: &World, outcomes: &[Option<Outcome>]) {
    let trace = &world.trace;
    assert_eq!(
        world.working_token(),
        world.issued.last().map(String::as_str),
        "{trace:?}"
    );
    assert!(
        outcomes.iter().flatten().all(Result::is_ok),
        "{outcomes:?} after {trace:?}"
    );
    let lease_is_free = world.item.lease_expires_at.is_none_or(|end| end <= world.now());
    assert!(lease_is_free, "{trace:?}");
}

#[test]
fn two_runs_make_one_call_and_both_end_with_its_token() {
    for api in [TokenApi::Stable, TokenApi::Classic] {
        for stored in [None, Some(("token-ended", -5)), Some(("token-ending", 300))] {
            let plan = Plan {
                api,
                stored,
                ..Plan::default()
            };
            let schedules = explore(&plan, |world, outcomes| {
                assert_eq!(world.calls, [false], "{:?}", world.trace);
                assert_good_end(&world, &outcomes);
                let refreshed = outcomes
                    .iter()
                    .flatten()
                    .flatten()
                    .filter(|done| done.refreshed)
                    .count();
                assert_eq!(refreshed, 1, "{outcomes:?}");
                assert_eq!(world.item.generation, if stored.is_some() { 8 } else { 1 });
            });
            assert!(schedules > 20, "{schedules}");
        }
    }
}

#[test]
fn a_token_with_little_life_left_serves_the_run_that_waited_for_it() {
    let plan = Plan {
        expires_in: 400,
        ..Plan::default()
    };
    explore(&plan, |world, outcomes| {
        let overlapped = world.comes_before(("second", "load"), ("first", "save"))
            && world.comes_before(("first", "load"), ("second", "save"));
        if overlapped {
            assert_eq!(world.calls.len(), 1, "{:?}", world.trace);
        }
        assert_good_end(&world, &outcomes);
    });
}

#[test]
fn a_refusal_costs_one_call_and_reaches_both() {
    let plan = Plan {
        refusal: Some(40164),
        ..Plan::default()
    };
    explore(&plan, |world, outcomes| {
        let overlapped = world.comes_before(("second", "load"), ("first", "release"))
            && world.comes_before(("first", "load"), ("second", "release"));
        if overlapped {
            assert_eq!(world.calls.len(), 1, "{:?}", world.trace);
        }
        for outcome in outcomes.iter().flatten() {
            let error = outcome.as_ref().unwrap_err();
            assert_eq!(error.error_type().to_string(), "WeChat40164");
            let text = error.to_string();
            assert!(
                text.contains("40164") && text.contains("whitelist") && text.contains("白名单"),
                "{text}"
            );
        }
        assert_eq!(world.item.lease_owner, None, "{:?}", world.trace);
    });
}

#[test]
fn two_replacements_force_once() {
    explore(&replacing(), |world, outcomes| {
        assert_eq!(world.calls, [false, true], "{:?}", world.trace);
        assert_good_end(&world, &outcomes);
        assert_eq!((world.item.generation, world.item.forced_at.len()), (8, 1));
    });
}

/// Each call of this interface replaces the token. WeChat allows 2,000 a day.
#[test]
fn two_replacements_at_the_classic_interface_make_one_call_that_the_ledger_knows() {
    let plan = Plan {
        api: TokenApi::Classic,
        ..replacing()
    };
    explore(&plan, |world, outcomes| {
        assert_eq!(world.calls, [true], "{:?}", world.trace);
        assert_good_end(&world, &outcomes);
        assert_eq!((world.item.generation, world.item.forced_at.len()), (8, 1));
    });
}

/// A run tries to take the lease only when the item says that it is free.
#[test]
fn a_run_that_waits_for_anothers_lease_writes_nothing() {
    for plan in [
        Plan::default(),
        replacing(),
        Plan {
            dies_after: Some(3),
            ..Plan::default()
        },
    ] {
        explore(&plan, |world, _| {
            for run in ["first", "second"] {
                let writes = world.trace.iter().filter(|step| **step == (run, "lease")).count();
                assert!(writes <= 1, "{:?}", world.trace);
            }
        });
    }
}

#[test]
fn a_run_that_waits_reads_after_ever_longer_pauses_and_not_in_step_with_others() {
    let (world, outcome) = behind_a_dead_run("second");
    assert!(matches!(outcome, Err(RefreshError::Busy { .. })), "{outcome:?}");
    assert!(world.trace.iter().all(|(_, step)| *step == "load"), "{:?}", world.trace);
    let pauses = world.pauses;
    assert!(pauses[..4].is_sorted() && pauses[3] >= 4 * pauses[0], "{pauses:?}");
    let within = |pause: &Duration| (Duration::from_millis(125)..=Duration::from_secs(2)).contains(pause);
    assert!(pauses.iter().all(within), "{pauses:?}");
    assert!(pauses.len() <= 24, "{pauses:?}");
    assert_ne!(pauses, behind_a_dead_run("third").0.pauses);
}

#[test]
fn wherever_a_run_dies_the_token_is_there_within_a_minute() {
    for plan in [
        Plan::default(),
        Plan {
            api: TokenApi::Classic,
            ..Plan::default()
        },
        replacing(),
        Plan {
            api: TokenApi::Classic,
            ..replacing()
        },
    ] {
        for step in 1..=8 {
            let plan = Plan {
                dies_after: Some(step),
                ..plan.clone()
            };
            explore(&plan, |world, outcomes| {
                let is_patient = matches!(outcomes[1], Some(Ok(_) | Err(RefreshError::Busy { .. })));
                assert!(is_patient, "{outcomes:?} after {:?}", world.trace);
                let before = world.calls.len();
                let forced = world.calls.iter().filter(|force| **force).count();
                let (world, outcome) = a_minute_later(world, &plan);
                assert_good_end(&world, &[Some(outcome)]);
                assert!(world.calls.len() <= before + 2);
                // The ledger counts every forced call, also that of a crashed run.
                let forced = forced.max(world.calls.iter().filter(|force| **force).count());
                assert!(world.item.forced_at.len() >= forced, "{:?}", world.trace);
            });
        }
    }
}

#[test]
fn one_lost_write_or_lost_answer_is_no_error() {
    for plan in [
        Plan::default(),
        Plan {
            api: TokenApi::Classic,
            stored: Some(("token-ending", 300)),
            ..Plan::default()
        },
        replacing(),
    ] {
        // A run makes at most three writes: lease, ledger, token.
        for write in 0..3 {
            for loss in [Loss::Request, Loss::Answer] {
                let plan = Plan {
                    lost: Some((write, loss, 1)),
                    ..plan.clone()
                };
                explore(&plan, |world, outcomes| {
                    let ordinary = world.calls.iter().filter(|force| !**force).count();
                    assert_eq!(ordinary, 1, "{:?}", world.trace);
                    assert_good_end(&world, &outcomes);
                });
            }
        }
    }
}

#[test]
fn a_store_that_goes_on_losing_writes_delays_the_token_by_less_than_a_minute() {
    for write in 0..4 {
        for loss in [Loss::Request, Loss::Answer] {
            let plan = Plan {
                lost: Some((write, loss, 10)),
                ..Plan::default()
            };
            explore(&plan, |world, _| {
                let (world, outcome) = a_minute_later(world, &plan);
                assert_good_end(&world, &[Some(outcome)]);
            });
        }
    }
}

#[test]
fn a_lease_that_ends_while_wechat_is_slow_leaves_the_last_token_in_the_table() {
    for api in [TokenApi::Stable, TokenApi::Classic] {
        for stored in [None, Some(("token-ending", 300))] {
            let plan = Plan {
                api,
                stored,
                first_answer_takes: 50,
                ..Plan::default()
            };
            explore(&plan, |world, outcomes| {
                assert!(world.calls.len() <= 2, "{:?}", world.trace);
                assert_good_end(&world, &outcomes);
            });
        }
    }
}

#[test]
fn a_replacement_whose_lease_ends_while_wechat_is_slow_is_forced_once_and_done_within_a_minute() {
    let plan = Plan {
        first_answer_takes: 50,
        ..replacing()
    };
    explore(&plan, |world, _| {
        let (world, outcome) = a_minute_later(world, &plan);
        assert_good_end(&world, &[Some(outcome)]);
        let forced = world.calls.iter().filter(|force| **force).count();
        assert_eq!(forced, 1, "{:?}", world.trace);
    });
}
