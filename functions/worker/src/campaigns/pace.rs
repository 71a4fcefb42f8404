//! The pace of a campaign: when the next message may go out.

/// Milliseconds of the schedule that may be caught up: timers are late by a millisecond or two, and that must not slow the pace.
const CATCH_UP: f64 = 100.0;
/// The least rate, in messages a second, to which trouble slows a campaign.
const SLOWEST: f64 = 1.0;
/// Milliseconds between two slow-downs: the answers in flight are about the same trouble.
const BETWEEN_SLOWING: i64 = 2_000;
/// Milliseconds without trouble after which the rate grows again.
const BETWEEN_GROWING: i64 = 10_000;
/// The factor by which it grows.
const GROWTH: f64 = 1.5;

/// Spaces messages evenly, and slows down when WeChat asks for it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Messages a second that the campaign wants.
    wanted: f64,
    /// Messages a second now.
    rate: f64,
    /// When the next message may go out, in epoch milliseconds with a fraction.
    next: f64,
    /// When the rate last changed, or trouble last came, in epoch milliseconds.
    changed_at: i64,
}

impl Pace {
    pub(crate) fn new(wanted: u32, now: i64) -> Self {
        let wanted = f64::from(wanted.max(1));
        Self {
            wanted,
            rate: wanted,
            next: now as f64,
            changed_at: i64::MIN / 2,
        }
    }

    /// Takes the next turn. Returns how long to wait for it, in milliseconds. Turns that nobody took are lost.
    pub(crate) fn take(&mut self, now: i64) -> u64 {
        if self.rate < self.wanted && now - self.changed_at >= BETWEEN_GROWING {
            self.rate = (self.rate * GROWTH).min(self.wanted);
            self.changed_at = now;
        }
        let now = now as f64;
        let at = self.next.max(now - CATCH_UP);
        self.next = at + 1000.0 / self.rate;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "never negative, and short"
        )]
        let wait = (at - now).max(0.0).round() as u64;
        wait
    }

    /// Halves the rate, once for all answers about the same trouble.
    pub(crate) fn slow_down(&mut self, now: i64) {
        if now - self.changed_at >= BETWEEN_SLOWING {
            self.rate = (self.rate / 2.0).max(SLOWEST.min(self.wanted));
            self.changed_at = now;
        }
    }

    #[cfg(test)]
    pub(crate) const fn rate(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;

    /// Returns when messages go out in `seconds`, in milliseconds, if every timer is `late`.
    fn sent(pace: &mut Pace, seconds: i64, late: i64) -> Vec<i64> {
        let (mut now, mut sent) = (NOW, Vec::new());
        while now < NOW + seconds * 1000 {
            let wait = pace.take(now);
            now += i64::try_from(wait).unwrap() + if wait > 0 { late } else { 0 };
            sent.push(now - NOW);
        }
        sent
    }

    #[test]
    fn late_timers_do_not_slow_the_pace() {
        for wanted in [1, 7, 50, 300, 1_000] {
            let sent = sent(&mut Pace::new(wanted, NOW), 10, 2);
            let expected = 10 * i64::from(wanted);
            let count = i64::try_from(sent.len()).unwrap();
            assert!((count - expected).abs() <= expected / 20 + 1, "{wanted}: {count}");
        }
    }

    #[test]
    fn what_a_stall_has_missed_is_not_caught_up() {
        let mut pace = Pace::new(100, NOW);
        for _ in 0..10 {
            pace.take(NOW);
        }
        let after = NOW + 5_000;
        let at_once = (0..100).take_while(|_| pace.take(after) == 0).count();
        assert!(at_once <= 12, "{at_once}");
    }

    #[test]
    fn trouble_halves_the_rate_once_and_quiet_brings_it_back() {
        let mut pace = Pace::new(100, NOW);
        for millis in 0..100 {
            pace.slow_down(NOW + millis);
        }
        assert!((pace.rate() - 50.0).abs() < f64::EPSILON);
        for second in 1..=40 {
            pace.slow_down(NOW + second * 2_000);
        }
        assert!((pace.rate() - SLOWEST).abs() < f64::EPSILON);
        for minute in 0..20 {
            pace.take(NOW + 100_000 + minute * 60_000);
        }
        assert!((pace.rate() - 100.0).abs() < f64::EPSILON);
    }
}
