//! Judges WeChat's answers: which are about one recipient, which about the campaign, and when there are too many refusals.

use wechat::{
    api::{ApiError, Rejection},
    campaign::{Change, FirstAnswers, LAST_ANSWERS, LastAnswers, WaitingFor},
    clock::until_midnight_in_beijing,
    errcode::{Class, is_about_the_whitelist},
    sending::{Doubt, Obstacle, refusal},
    token::{CallError, CallFailure, TokenError},
};

/// Refusals. A campaign stops after this many if WeChat has accepted no message yet.
const FIRST: u32 = 50;
/// Refusals. After this many with the same unknown errcode, and no accepted message between them, the errcode counts as a
/// refusal of everybody.
const ALIKE: u32 = 50;
/// Attempts in a row without a clear answer after which WeChat counts as down.
const SILENT: u32 = 30;
/// Milliseconds without a clear answer after which a few such attempts are enough.
const SILENT_FOR: i64 = 20_000;
/// The number of such attempts that are enough then.
const SILENT_FEW: u32 = 3;
/// The errcode for a message that WeChat has just accepted, or just refused, for this recipient.
const DUPLICATE: i64 = 40241;

/// Why a campaign waits for WeChat.
pub(crate) const NO_CLEAR_ANSWER: &str = "WeChat gives no clear answer / 微信没有给出明确应答";

/// What an answer means for the campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The campaign goes on.
    GoesOn,
    /// The campaign goes on, slower.
    Slower,
    /// The campaign sends no more for now.
    Ends(Ending),
}

/// Why a campaign sends no more for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Something outside has to change.
    Waits(WaitingFor, String),
    /// Another campaign may need what is left of the quota.
    Yields(String),
    /// A person has to look.
    Stops(String),
}

impl From<Ending> for Verdict {
    fn from(ending: Ending) -> Self {
        Self::Ends(ending)
    }
}

/// What WeChat's answer to one attempt means for the recipient and for the campaign.
pub(crate) struct Judgement {
    pub(crate) change: Change,
    pub(crate) verdict: Verdict,
}

/// The answers of a campaign.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) first_answers: FirstAnswers,
    /// Answers that say what became of a message.
    pub(crate) clear_answers: u64,
    pub(crate) last_answers: LastAnswers,
    doubt: Doubt,
    /// The last unknown errcode, and how many recipients had it since a message was accepted.
    alike: (i64, u32),
    silent: u32,
    silent_since: i64,
}

impl Judge {
    /// Goes on from the answers of earlier runs.
    pub(crate) fn new(first_answers: FirstAnswers, last_answers: LastAnswers) -> Self {
        Self {
            first_answers,
            last_answers,
            clear_answers: 0,
            doubt: Doubt::default(),
            alike: (0, 0),
            silent: 0,
            silent_since: 0,
        }
    }

    /// Judges the answer to an attempt. WeChat was first asked for the recipient at `asked_at` (epoch seconds); `is_repeat` says
    /// whether an earlier attempt may have been accepted. `now` is in epoch milliseconds.
    pub(crate) fn judge(
        &mut self,
        sent: Result<String, CallError>,
        asked_at: i64,
        is_repeat: bool,
        now: i64,
    ) -> Judgement {
        let error = match sent {
            Ok(msgid) => {
                self.alike = (0, 0);
                return Judgement {
                    change: Change::Sent(msgid),
                    verdict: self.answered(false),
                };
            }
            Err(error) => error,
        };
        let rejection = refusal(&error);
        let errcode = rejection.map(|rejection| rejection.errcode.to_string());
        if error.may_have_landed {
            return Judgement {
                change: Change::Unknown(asked_at, errcode),
                verdict: self.no_clear_answer(now),
            };
        }
        let (change, verdict) = match rejection {
            None => (Change::Requeued, self.not_asked(&error, now)),
            Some(rejection) => {
                let verdict = self.about_the_campaign(rejection, is_repeat, now);
                let refused = Change::Refused(rejection.errcode.to_string());
                match verdict {
                    Verdict::GoesOn if is_repeat => (refused, self.repeat_refused()),
                    Verdict::GoesOn => (refused, self.answered(true)),
                    verdict if rejection.errcode == DUPLICATE => (refused, verdict),
                    verdict => (Change::Requeued, verdict),
                }
            }
        };
        // A refusal of a repeat does not say what became of the first attempt.
        let change = if is_repeat {
            Change::Unknown(asked_at, errcode)
        } else {
            change
        };
        Judgement { change, verdict }
    }

    fn about_the_campaign(&mut self, rejection: &Rejection, is_repeat: bool, now: i64) -> Verdict {
        let reason = || rejection.to_string();
        match Obstacle::of(rejection.errcode) {
            Some(Obstacle::Whitelist) => Ending::Waits(WaitingFor::Whitelist, reason()).into(),
            Some(Obstacle::Token) => Ending::Waits(WaitingFor::Token, reason()).into(),
            Some(Obstacle::Quota) => Ending::Waits(WaitingFor::Quota, reason()).into(),
            Some(Obstacle::Rate) => Verdict::Slower,
            Some(Obstacle::Platform) => self.no_clear_answer(now),
            // The repeats of one message are about one recipient.
            None if is_repeat && rejection.entry().may_be_about_one_recipient() => Verdict::GoesOn,
            None if self.doubt.is_about_everybody(rejection) || self.is_alike(rejection) => {
                Ending::Stops(reason()).into()
            }
            None => Verdict::GoesOn,
        }
    }

    /// Whether this unknown errcode counts as a refusal of everybody: see [`ALIKE`].
    fn is_alike(&mut self, rejection: &Rejection) -> bool {
        let Rejection { errcode, .. } = *rejection;
        if rejection.entry().class != Class::Unknown {
            return false;
        }
        self.alike = match self.alike {
            (last, times) if last == errcode => (errcode, times + 1),
            _ => (errcode, 1),
        };
        self.alike.1 >= ALIKE
    }

    /// Counts the refusal of a repeat. The recipient's first attempt may have been accepted, and counts neither way.
    fn repeat_refused(&mut self) -> Verdict {
        self.silent = 0;
        self.clear_answers += 1;
        Verdict::GoesOn
    }

    /// Counts a clear answer about one recipient.
    fn answered(&mut self, is_refusal: bool) -> Verdict {
        self.silent = 0;
        self.clear_answers += 1;
        self.last_answers.push(is_refusal);
        if !is_refusal {
            self.first_answers = FirstAnswers::Accepted;
            return Verdict::GoesOn;
        }
        if let FirstAnswers::Refused(refused) = &mut self.first_answers {
            *refused += 1;
            if *refused >= FIRST {
                return Verdict::from(Ending::Stops(format!(
                    "WeChat refused all of the first {FIRST} recipients: see the refusals / 前 {FIRST} 位接收者均被微信拒绝，请查看拒绝原因"
                )));
            }
        }
        match self.last_answers.refused() {
            Some(refused) if refused * 2 >= LAST_ANSWERS => Ending::Stops(format!(
                "WeChat refused {refused} of {LAST_ANSWERS} recipients in a row: see the refusals \
                 / 连续 {LAST_ANSWERS} 位接收者中有 {refused} 位被微信拒绝，请查看拒绝原因"
            ))
            .into(),
            _ => Verdict::GoesOn,
        }
    }

    fn not_asked(&mut self, error: &CallError, now: i64) -> Verdict {
        match &error.cause {
            CallFailure::Token(error) => {
                let waiting = if is_whitelist(error) {
                    WaitingFor::Whitelist
                } else {
                    WaitingFor::Token
                };
                let reason = match error {
                    TokenError::Refused(rejection) => rejection.to_string(),
                    error => error.to_string(),
                };
                Ending::Waits(waiting, reason).into()
            }
            // The run is about to end.
            CallFailure::Api(ApiError::OutOfTime { .. }) => Verdict::GoesOn,
            CallFailure::Api(_) => self.no_clear_answer(now),
        }
    }

    fn no_clear_answer(&mut self, now: i64) -> Verdict {
        if self.silent == 0 {
            self.silent_since = now;
        }
        self.silent += 1;
        let is_down = self.silent >= SILENT || (self.silent >= SILENT_FEW && now - self.silent_since >= SILENT_FOR);
        if is_down {
            return Ending::Waits(WaitingFor::Platform, NO_CLEAR_ANSWER.to_owned()).into();
        }
        Verdict::Slower
    }
}

/// What a failed call that is not about a recipient, such as one for a list of followers, means for the campaign. `None` when the
/// run is about to end.
pub(crate) fn ending_of(error: CallError, now: i64) -> Option<Ending> {
    let (words, is_refusal) = (error.to_string(), refusal(&error).is_some());
    // The counts of refusals are about recipients.
    let mut judge = Judge::new(FirstAnswers::Accepted, LastAnswers::default());
    match judge.judge(Err(error), 0, false, now).verdict {
        Verdict::GoesOn => is_refusal.then_some(Ending::Stops(words)),
        Verdict::Slower => Some(Ending::Waits(WaitingFor::Platform, words)),
        Verdict::Ends(ending) => Some(ending),
    }
}

/// Whether this errcode says what WeChat thinks of the message, so a repeat would be refused again.
pub(crate) fn is_clear_refusal(errcode: &str) -> bool {
    errcode.parse().is_ok_and(|errcode| Obstacle::of(errcode).is_none())
}

/// Whether the token cannot be had because of the IP whitelist.
fn is_whitelist(error: &TokenError) -> bool {
    use wechat::token::RefreshRequestError::Failed;
    match error {
        TokenError::Refused(rejection) => is_about_the_whitelist(rejection.errcode),
        TokenError::Request(Failed { errcode, .. }) => errcode.is_some_and(is_about_the_whitelist),
        _ => false,
    }
}

/// Seconds from one probe of a waiting campaign to the next: 30 s, and twice as long each time up to 5 minutes.
pub(crate) fn until_next_probe(probes: u32) -> i64 {
    const LONGEST: i64 = 300;
    (30_i64 << probes.min(4)).min(LONGEST)
}

/// Epoch seconds at which a campaign that waits for quota goes on: soon after midnight in Beijing. WeChat does not document the
/// hour at which it renews quotas, so in the first hour of a day it is asked again sooner.
pub(crate) fn quota_returns_at(now: i64) -> i64 {
    const SOON: i64 = 5 * 60;
    /// Seconds to midnight. With more left, the day is in its first hour.
    const LEFT_AFTER_FIRST_HOUR: i64 = 23 * 3600;
    let to_midnight = until_midnight_in_beijing(now);
    if to_midnight > LEFT_AFTER_FIRST_HOUR {
        now + SOON
    } else {
        now + to_midnight + 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;
    const ASKED: i64 = NOW / 1000;

    fn refused(errcode: i64) -> Result<String, CallError> {
        let rejection = Rejection {
            errcode,
            errmsg: String::new(),
            at_token_endpoint: false,
        };
        let error = ApiError::Rejected {
            operation: "/send",
            rejection,
            calls: 1,
            after_ambiguous: false,
        };
        let may_have_landed = error.may_have_landed();
        Err(CallError {
            cause: error.into(),
            may_have_landed,
            at: ASKED,
        })
    }

    fn judge() -> Judge {
        Judge::new(FirstAnswers::default(), LastAnswers::default())
    }

    #[test]
    fn an_errcode_that_nobody_knows_stops_the_campaign_when_all_get_it() {
        let mut judge = judge();
        for answer in [Ok("1".to_owned()), refused(99_999), Ok("2".to_owned())] {
            assert_eq!(judge.judge(answer, ASKED, false, NOW).verdict, Verdict::GoesOn);
        }
        for _ in 1..ALIKE {
            for errcode in [99_999, 43_004] {
                assert_eq!(
                    judge.judge(refused(errcode), ASKED, false, NOW).verdict,
                    Verdict::GoesOn
                );
            }
        }
        assert!(matches!(
            judge.judge(refused(99_999), ASKED, false, NOW).verdict,
            Verdict::Ends(Ending::Stops(_))
        ));
    }

    #[test]
    fn each_errcode_is_about_one_recipient_or_about_all() {
        for (errcode, change, waits) in [
            (43004, Change::Refused("43004".to_owned()), None),
            (47003, Change::Refused("47003".to_owned()), None),
            (40003, Change::Refused("40003".to_owned()), None),
            (43117, Change::Refused("43117".to_owned()), None),
            (40241, Change::Refused("40241".to_owned()), None),
            (45009, Change::Requeued, Some(WaitingFor::Quota)),
            (40164, Change::Requeued, Some(WaitingFor::Whitelist)),
            (61004, Change::Requeued, Some(WaitingFor::Whitelist)),
            (45035, Change::Requeued, Some(WaitingFor::Whitelist)),
            (40001, Change::Requeued, Some(WaitingFor::Token)),
        ] {
            let judged = judge().judge(refused(errcode), ASKED, false, NOW);
            assert_eq!(judged.change, change, "{errcode}");
            match (judged.verdict, waits) {
                (Verdict::Ends(Ending::Waits(waiting, _)), Some(expected)) => {
                    assert_eq!(waiting, expected, "{errcode}")
                }
                (verdict, None) => assert_eq!(verdict, Verdict::GoesOn, "{errcode}"),
                (verdict, _) => panic!("{errcode}: {verdict:?}"),
            }
        }
        for errcode in [40249, 43116, 40037, 48001, 43106] {
            let judged = judge().judge(refused(errcode), ASKED, false, NOW);
            assert_eq!(judged.change, Change::Requeued, "{errcode}");
            let Verdict::Ends(Ending::Stops(reason)) = judged.verdict else {
                panic!("{errcode} goes on");
            };
            assert!(
                reason.starts_with(&format!("errcode {errcode} (")) && reason.contains(" / "),
                "{reason}"
            );
        }
        for errcode in [45011, 44990, -1] {
            assert_eq!(
                judge().judge(refused(errcode), ASKED, false, NOW).verdict,
                Verdict::Slower
            );
        }
    }

    #[test]
    fn what_may_have_been_accepted_stays_unknown_whatever_a_repeat_brings() {
        let first = judge().judge(refused(-1), ASKED, false, NOW);
        assert_eq!(first.change, Change::Unknown(ASKED, Some("-1".to_owned())));
        for errcode in [40241, 43004, 45009, 40164] {
            let repeat = judge().judge(refused(errcode), ASKED, true, NOW);
            assert_eq!(repeat.change, Change::Unknown(ASKED, Some(errcode.to_string())));
        }
        let accepted = judge().judge(Ok("7".to_owned()), ASKED, true, NOW);
        assert_eq!(accepted.change, Change::Sent("7".to_owned()));
    }

    #[test]
    fn fifty_refusals_from_the_start_or_half_of_two_hundred_stop_it() {
        let mut all = judge();
        let stopped = (1..=60).find(|_| {
            let judged = all.judge(refused(43004), ASKED, false, NOW);
            matches!(judged.verdict, Verdict::Ends(Ending::Stops(_)))
        });
        assert_eq!(stopped, Some(50));

        let mut half = judge();
        let stopped = (0..400).find(|turn| {
            let sent = if turn % 2 == 0 {
                Ok("7".to_owned())
            } else {
                refused(43004)
            };
            matches!(
                half.judge(sent, ASKED, false, NOW).verdict,
                Verdict::Ends(Ending::Stops(_))
            )
        });
        assert_eq!(stopped, Some(199));

        let mut fewer = judge();
        for turn in 0..1_000 {
            let sent = if turn % 5 > 1 {
                Ok("7".to_owned())
            } else {
                refused(43004)
            };
            assert_eq!(fewer.judge(sent, ASKED, false, NOW).verdict, Verdict::GoesOn);
        }
    }

    #[test]
    fn a_code_about_the_account_or_one_recipient_counts_from_the_second_on() {
        let mut judge = judge();
        assert_eq!(judge.judge(refused(50002), ASKED, false, NOW).verdict, Verdict::GoesOn);
        // Another code, or repeats for one recipient, say nothing about a second recipient.
        for (errcode, is_repeat) in [(50003, false), (50002, false), (50002, true), (50002, true)] {
            let judged = judge.judge(refused(errcode), ASKED, is_repeat, NOW);
            assert_eq!(judged.verdict, Verdict::GoesOn, "{errcode}");
        }
        let second = judge.judge(refused(50002), ASKED, false, NOW);
        assert!(matches!(second.verdict, Verdict::Ends(Ending::Stops(_))));
    }

    #[test]
    fn refused_repeats_are_not_refusals_of_many() {
        let mut judge = judge();
        for _ in 0..300 {
            let judged = judge.judge(refused(40241), ASKED, true, NOW);
            assert_eq!(judged.verdict, Verdict::GoesOn);
        }
        assert_eq!(
            (judge.first_answers, judge.clear_answers),
            (FirstAnswers::Refused(0), 300)
        );
    }

    #[test]
    fn only_a_refusal_of_the_message_ends_its_repeats() {
        for (errcode, is_clear) in [
            ("40241", true),
            ("43004", true),
            ("47003", true),
            ("-1", false),
            ("45009", false),
            ("40164", false),
            ("42001", false),
            ("unknown-user", false),
        ] {
            assert_eq!(is_clear_refusal(errcode), is_clear, "{errcode}");
        }
    }

    #[test]
    fn silence_waits_for_the_platform() {
        let mut judge = judge();
        for _ in 1..SILENT {
            assert_eq!(judge.judge(refused(-1), ASKED, false, NOW).verdict, Verdict::Slower);
        }
        let verdict = judge.judge(refused(-1), ASKED, false, NOW).verdict;
        assert!(matches!(verdict, Verdict::Ends(Ending::Waits(WaitingFor::Platform, _))));
        let mut slow = Judge::new(FirstAnswers::Accepted, LastAnswers::default());
        assert_eq!(slow.judge(refused(-1), ASKED, false, NOW).verdict, Verdict::Slower);
        assert_eq!(slow.judge(refused(-1), ASKED, false, NOW).verdict, Verdict::Slower);
        let verdict = slow.judge(refused(-1), ASKED, false, NOW + SILENT_FOR).verdict;
        assert!(matches!(verdict, Verdict::Ends(Ending::Waits(WaitingFor::Platform, _))));
    }

    #[test]
    fn quota_comes_back_soon_after_midnight_in_beijing() {
        // 2025-12-31 16:00 UTC is midnight in Beijing.
        let midnight = 1_767_196_800;
        assert_eq!(quota_returns_at(midnight - 60), midnight + 10);
        assert_eq!(quota_returns_at(midnight - 20 * 3600), midnight + 10);
        assert_eq!(quota_returns_at(midnight + 10), midnight + 310);
    }
}
