//! MarkFail 自动屏蔽: a server that keeps failing gets no pushes for a minute.
//!
//! See [WeChat Docs/接口报警和排查指引](https://developers.weixin.qq.com/doc/service/guide/dev/api/warn_guide.md).

/// Failed deliveries in a row before a block. WeChat does not publish its number; this one is an assumption.
const MOST_FAILURES: u32 = 30;
const BLOCK_SECONDS: i64 = 60;

/// The server's recent failures. Times are by the simulator's clock.
#[derive(Default)]
pub(crate) struct MarkFail {
    failures: u32,
    blocked_until: i64,
}

impl MarkFail {
    pub(crate) fn record_success(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn record_failure(&mut self, now: i64) {
        self.failures += 1;
        if self.failures >= MOST_FAILURES {
            self.failures = 0;
            self.blocked_until = now + BLOCK_SECONDS;
        }
    }

    /// The end of the current block, if there is one.
    pub(crate) fn blocked_until(&self, now: i64) -> Option<i64> {
        Some(self.blocked_until).filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn failing(times: u32) -> MarkFail {
        let mut mark_fail = MarkFail::default();
        for _ in 0..times {
            mark_fail.record_failure(NOW);
        }
        mark_fail
    }

    #[test]
    fn failures_in_a_row_block_for_a_minute() {
        let blocked = failing(30);
        assert_eq!(blocked.blocked_until(NOW + 59), Some(NOW + 60));
        assert_eq!(blocked.blocked_until(NOW + 60), None);
    }

    #[test]
    fn one_good_answer_starts_the_count_anew() {
        let mut mark_fail = failing(29);
        mark_fail.record_success();
        mark_fail.record_failure(NOW);
        assert_eq!(mark_fail.blocked_until(NOW), None);
    }
}
