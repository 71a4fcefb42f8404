//! How much of the day's quota a campaign may still use. WeChat is asked at least every 1,000 messages and every minute, and
//! the reserve for single sends is never used.

use std::time::Duration;

use wechat::{
    api::{
        Call as _,
        calls::{management::Quota as Today, template::SendTemplateMessage},
    },
    bilingual::both,
    campaign::{WaitingFor, reserve},
    lock::lock,
    sending::QuotaToday,
    token::CallError,
};

use super::{
    judge::{Ending, ending_of},
    run::{PhaseEnd, Run},
};

/// Messages after which WeChat is asked for the quota again.
const ASK_AFTER: u64 = 1_000;
/// Messages left of a grant at which WeChat is asked ahead, while they go out: this many, or a third of the grant if that is
/// less.
const ASK_AHEAD: u64 = 400;
/// Milliseconds. The first of several campaigns waits this long for the others to yield: by then a grant and a lease have
/// expired.
const STARVES_FOR: i64 = 90_000;
/// The fewest messages that are granted at once, while enough are left.
const LEAST_GRANT: u64 = 50;
/// Milliseconds after which WeChat is asked again.
const ASK_EVERY: i64 = 60_000;
/// Milliseconds after which WeChat is asked ahead, while messages go out.
const ASK_EARLY: i64 = 45_000;
/// Milliseconds after which WeChat is asked again when it gave no answer.
const ASK_AGAIN: i64 = 5_000;
/// After this many questions in a row without an answer, a campaign whose grant is used up waits.
const UNANSWERED: u32 = 3;

/// Budget of a question about the quota: as long as a slow answer to a message takes.
const ASK_BUDGET: Duration = Duration::from_secs(10);
/// The pause after an answer that leaves nothing while messages are in flight.
const COUNTED_WITHIN: Duration = Duration::from_millis(500);

/// Why a campaign waits when WeChat does not say how much of the quota is left: only the reserve may be left.
const NO_QUOTA: &str = "WeChat does not say how much of the quota is left (/cgi-bin/openapi/quota/get) \
                        / 微信未告知剩余额度（/cgi-bin/openapi/quota/get）";

/// What a run knows of the day's quota.
#[derive(Debug)]
pub(crate) struct Quota {
    /// Messages until WeChat has to be asked.
    left: u64,
    /// Messages that WeChat's last answer granted.
    granted: u64,
    /// When WeChat was last asked, in epoch milliseconds.
    asked_at: i64,
    /// Messages that have taken their turn and have no answer: WeChat may not have counted them.
    in_flight: u64,
    /// While WeChat is asked: the messages that have taken their turn since.
    taken_meanwhile: Option<u64>,
    /// The other campaigns that send too, as far as it is known.
    others: Others,
    /// Since when the others have what is left, in epoch milliseconds.
    starved_since: Option<i64>,
    /// Questions in a row without an answer.
    unanswered: u32,
    /// Whether WeChat has told the quota in this run.
    is_told: bool,
}

/// The other campaigns that send too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    /// Their number.
    count: u64,
    /// Whether this campaign comes before them all: it gets what is left when that does not suffice for everybody.
    is_first: bool,
}

impl Others {
    /// Returns the campaigns among `senders` other than `id`.
    pub(crate) fn of(id: &str, senders: &[String]) -> Self {
        let others = senders.iter().filter(|sender| *sender != id);
        Self {
            count: others.clone().count() as u64,
            is_first: others.clone().all(|other| id < other.as_str()),
        }
    }
}

impl Quota {
    pub(crate) const fn new() -> Self {
        Self {
            left: 0,
            granted: 0,
            asked_at: 0,
            in_flight: 0,
            taken_meanwhile: None,
            others: Others {
                count: 1,
                is_first: false,
            },
            starved_since: None,
            unanswered: 0,
            is_told: false,
        }
    }

    /// Whether WeChat has to be asked before the next message.
    pub(crate) const fn is_unknown(&self, now: i64) -> bool {
        self.left == 0 || now - self.asked_at >= ASK_EVERY
    }

    /// Whether WeChat should be asked soon, and is not being asked.
    pub(crate) const fn is_low(&self, now: i64) -> bool {
        self.taken_meanwhile.is_none()
            && self.left > 0
            && (self.left < self.ask_ahead() || now - self.asked_at >= ASK_EARLY)
    }

    const fn ask_ahead(&self) -> u64 {
        let third = self.granted / 3;
        if third < ASK_AHEAD { third } else { ASK_AHEAD }
    }

    /// Whether WeChat has to be asked, or soon has to be.
    pub(crate) const fn needs_an_answer(&self, now: i64) -> bool {
        self.is_unknown(now) || self.is_low(now)
    }

    /// Takes one message of what is left.
    pub(crate) fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.in_flight += 1;
        self.taken_meanwhile = self.taken_meanwhile.map(|taken| taken + 1);
    }

    /// WeChat has answered `messages` that had taken their turn.
    pub(crate) const fn answered(&mut self, messages: u64) {
        self.in_flight = self.in_flight.saturating_sub(messages);
    }

    /// Drops the grant: other campaigns may not have known of this one.
    pub(crate) const fn forget(&mut self) {
        self.left = 0;
    }

    /// Notes that WeChat is being asked. One request at a time: a second one would not know what the first grants.
    pub(crate) fn begin(&mut self) {
        debug_assert!(self.taken_meanwhile.is_none(), "WeChat is being asked already");
        // Those in flight count as taken since: WeChat may not have counted them.
        self.taken_meanwhile = Some(self.in_flight);
    }

    /// Processes WeChat's answer, and computes the next grant. Where WeChat does not tell the quota there is no reserve: the
    /// campaign sends until WeChat refuses. Without an answer nothing more is granted: the reserve might be used. `kept` are
    /// the calls that the campaign leaves to single sends. Each of the `others`, campaigns that send too, may hold as much
    /// as this one may be granted at once; `None` when they could not be read.
    pub(crate) fn learn(
        &mut self,
        today: &QuotaToday,
        kept: Option<u64>,
        others: Option<Others>,
        now: i64,
    ) -> Option<Ending> {
        let taken = self.taken_meanwhile.take().unwrap_or_default();
        self.asked_at = now;
        self.others = others.unwrap_or(self.others);
        let others = self.others;
        let today = match today {
            QuotaToday::Known(today) => today,
            QuotaToday::NotTold if !self.is_told => {
                self.left = ASK_AFTER;
                self.granted = self.left;
                return None;
            }
            QuotaToday::NotTold | QuotaToday::NoAnswer(_) => {
                self.asked_at = now - ASK_EARLY + ASK_AGAIN;
                self.unanswered += 1;
                let is_silent = self.left == 0 && self.unanswered >= UNANSWERED;
                return is_silent.then(|| Ending::Waits(WaitingFor::Platform, NO_QUOTA.to_owned()));
            }
        };
        self.unanswered = 0;
        self.is_told = true;
        let reserve = reserve(kept, today.daily_limit);
        let at_once = (today.daily_limit / 100).clamp(LEAST_GRANT, ASK_AFTER);
        let held = taken + others.count * at_once;
        let free = today.remain.saturating_sub(reserve);
        self.left = free.saturating_sub(held).min(at_once);
        self.granted = self.left;
        if self.left > 0 || (taken > 0 && free > 0) {
            self.starved_since = None;
            return None;
        }
        let starved_for = now - *self.starved_since.get_or_insert(now);
        let Today {
            daily_limit, remain, ..
        } = *today;
        let (english, chinese) = (
            format!("{remain} calls are left of today's {daily_limit}, and {reserve} are kept for single sends"),
            format!("今日额度 {daily_limit} 次剩余 {remain} 次，其中为单条发送保留 {reserve} 次"),
        );
        match free {
            0 => Some(Ending::Waits(WaitingFor::Quota, both(&english, &chinese))),
            // The others yield when they next ask, unless no run works on them.
            _ if others.is_first && starved_for < STARVES_FOR => None,
            _ => Some(Ending::Yields(both(
                &format!("{english}; another campaign may need the rest"),
                &format!("{chinese}，其余可能为另一个群发任务所需"),
            ))),
        }
    }
}

/// Why a question about the quota failed, if the same reason stops messages too.
fn obstacle(error: CallError, now: i64) -> Option<Ending> {
    let judged = ending_of(error, now);
    judged.filter(|ending| !matches!(ending, Ending::Waits(WaitingFor::Platform, _)))
}

impl Run<'_> {
    /// Asks WeChat how much of the quota is left, and waits for another day when nothing is left. Single-flight: a message
    /// that comes while WeChat is being asked waits for that answer.
    pub(super) async fn ask_quota(&self) {
        let _one_at_a_time = self.asking.lock().await;
        let now = self.now_millis();
        if !lock(&self.quota).needs_an_answer(now) {
            return;
        }
        lock(&self.quota).begin();
        let path = SendTemplateMessage::PATH;
        let today = QuotaToday::ask(self.account, path, ASK_BUDGET, self.limit.deadline).await;
        let senders = self.account.table.sending_campaigns(self.now()).await;
        let senders = senders.inspect_err(|error| {
            tracing::warn!(campaign = self.id, %error, "the other campaigns that send could not be counted / 无法统计其他正在发送的群发任务");
        });
        let others = senders.ok().map(|senders| Others::of(&self.id, &senders));
        let kept = self.campaign().plan.keep_for_single_sends;
        let silence = lock(&self.quota).learn(&today, kept, others, self.now_millis());
        let obstacle = match today {
            QuotaToday::NoAnswer(Some(error)) => obstacle(error, self.now_millis()),
            _ => None,
        };
        if let Some(ending) = obstacle.or(silence) {
            self.end_phase(PhaseEnd::Ending(ending));
        }
        // The messages in flight may be all that was left: WeChat counts them in a moment.
        if lock(&self.quota).is_unknown(self.now_millis()) {
            self.account.clock.sleep(COUNTED_WITHIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;
    const ALONE: Option<Others> = Some(Others {
        count: 0,
        is_first: true,
    });

    fn today(remain: u64) -> QuotaToday {
        QuotaToday::Known(Today {
            daily_limit: 100_000,
            used: 100_000 - remain,
            remain,
        })
    }

    /// Takes what is left, as if WeChat counted each message when it is answered. Returns how many went out.
    fn drain(quota: &mut Quota, mut remain: u64, latency: usize) -> u64 {
        let (mut sent, mut in_flight) = (0, 0);
        loop {
            if quota.is_unknown(NOW) {
                quota.begin();
                if matches!(
                    quota.learn(&today(remain), Some(1_000), ALONE, NOW),
                    Some(Ending::Waits(..))
                ) {
                    return sent;
                }
            }
            if quota.left > 0 {
                quota.take();
                (sent, in_flight) = (sent + 1, in_flight + 1);
            }
            if in_flight > latency || quota.left == 0 {
                while in_flight > 0 {
                    quota.answered(1);
                    (remain, in_flight) = (remain - 1, in_flight - 1);
                }
            }
        }
    }

    #[test]
    fn what_is_kept_is_never_taken_whatever_is_in_flight() {
        for latency in [0, 1, 150, 600] {
            let sent = drain(&mut Quota::new(), 4_321, latency);
            assert_eq!(sent, 3_321, "{latency} in flight");
        }
    }

    #[test]
    fn of_several_campaigns_the_first_gets_what_does_not_suffice_for_all() {
        let ids = ["a", "b", "c"].map(str::to_owned);
        for (id, is_first) in [("a", true), ("b", false), ("c", false)] {
            let mut one_of_three = Quota::new();
            one_of_three.learn(&today(4_000), Some(1_000), Some(Others::of(id, &ids)), NOW);
            assert_eq!(one_of_three.left, 1_000, "the others may hold 1,000 each");
            let verdict = one_of_three.learn(&today(3_000), Some(1_000), None, NOW);
            assert_eq!(
                matches!(verdict, Some(Ending::Yields(_))),
                !is_first,
                "{id}: all that is left may be theirs"
            );
            assert_eq!(one_of_three.left, 0);
            let verdict = one_of_three.learn(&today(3_000), Some(1_000), None, NOW + STARVES_FOR);
            assert!(
                matches!(verdict, Some(Ending::Yields(_))),
                "{id}: nobody waits for ever"
            );
            // The others have yielded.
            one_of_three.learn(&today(3_000), Some(1_000), Some(Others::of(id, &ids[..0])), NOW);
            assert_eq!(one_of_three.left, 1_000);
        }
        let waits = Quota::new().learn(&today(1_000), Some(1_000), Some(Others::of("a", &ids)), NOW);
        assert!(matches!(waits, Some(Ending::Waits(..))), "only what is kept is left");
    }

    #[test]
    fn a_small_grant_is_not_asked_for_anew_at_each_message() {
        let mut quota = Quota::new();
        quota.learn(&today(1_300), Some(1_000), ALONE, NOW);
        assert_eq!(quota.left, 300);
        for _ in 0..200 {
            assert!(!quota.is_low(NOW));
            quota.take();
        }
        quota.take();
        assert!(quota.is_low(NOW));
    }

    #[test]
    fn without_an_answer_nothing_more_is_granted() {
        let mut quota = Quota::new();
        quota.learn(&today(1_100), Some(1_000), ALONE, NOW);
        quota.take();
        let verdict = quota.learn(&QuotaToday::NoAnswer(None), Some(1_000), ALONE, NOW);
        assert_eq!((verdict, quota.left), (None, 99));
        assert!(!quota.is_low(NOW + 4_999) && quota.is_low(NOW + 5_000));
        quota.forget();
        let mut ask = || quota.learn(&QuotaToday::NoAnswer(None), Some(1_000), ALONE, NOW);
        assert_eq!(ask(), None);
        assert!(matches!(ask(), Some(Ending::Waits(WaitingFor::Platform, _))));
    }

    #[test]
    fn what_goes_out_while_wechat_is_asked_is_counted() {
        let mut quota = Quota::new();
        quota.begin();
        quota.learn(&today(5_000), None, ALONE, NOW);
        assert_eq!(quota.left, 1_000);
        for _ in 0..700 {
            quota.take();
        }
        assert!(quota.is_low(NOW));
        quota.begin();
        assert!(!quota.is_low(NOW), "it is being asked");
        for _ in 0..50 {
            quota.take();
        }
        quota.learn(&today(1_800), None, ALONE, NOW);
        assert_eq!(quota.left, 50, "800 above the reserve, of which 750 are under way");
    }

    #[test]
    fn wechat_is_asked_every_minute_and_an_account_that_may_not_ask_goes_on() {
        let mut quota = Quota::new();
        assert!(quota.is_unknown(NOW));
        assert_eq!(quota.learn(&QuotaToday::NotTold, None, ALONE, NOW), None);
        assert!(!quota.is_unknown(NOW + 59_999) && quota.is_unknown(NOW + 60_000));
        assert!(quota.is_low(NOW + 45_000));
    }

    /// Such an answer after others is a fault of WeChat's, and must not use up the reserve.
    #[test]
    fn an_account_that_was_told_its_quota_has_a_reserve() {
        let mut quota = Quota::new();
        quota.learn(&today(1_000), Some(1_000), ALONE, NOW);
        quota.learn(&QuotaToday::NotTold, Some(1_000), ALONE, NOW);
        assert_eq!(quota.left, 0);
    }
}
