//! Counts of a day: exact for a few, together for many.

use std::{sync::Arc, time::Duration};

use testing::ManualClock;
use wechat::{
    clock::Clock,
    counts::DailyCounts,
    store::{Counted, Table},
};

use super::Bench;

/// Waits until `expected` are counted, and returns what was counted.
async fn delivered(table: &Table, clock: &ManualClock, expected: u64) -> u64 {
    for _ in 0..500 {
        let days = table.deliveries(2, clock.now()).await.unwrap();
        let counted = days.iter().map(|day| day.delivered).sum();
        if counted >= expected {
            return counted;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{expected} were not counted");
}

#[tokio::test]
async fn a_burst_is_counted_at_once_and_what_follows_once_a_second() {
    let Bench { table, .. } = &Bench::start().await;
    let clock = ManualClock::new();
    let counts = DailyCounts::new(Counted::Deliveries, 3, table.clone(), Arc::clone(&clock) as _);
    for number in 1..=5 {
        if let Some(writing) = counts.count("delivered") {
            writing.ended().await;
        }
        assert_eq!(delivered(table, &clock, number).await, number);
    }
    let mut pauses = clock.sleeps();
    pauses.retain(|pause| !pause.is_zero());
    assert_eq!(pauses, [Duration::from_secs(1); 2]);
    clock.advance(60);
    for _ in 0..100 {
        let _ = counts.count("delivered");
    }
    assert_eq!(delivered(table, &clock, 105).await, 105, "none is lost, none twice");
}
