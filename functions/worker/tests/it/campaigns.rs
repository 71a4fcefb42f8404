//! Campaigns: each person gets one message, and the totals say what became of it.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use serde_json::{Value, json};
use simulator::TEMPLATE_ID;
use testing::{Fault, Function, Service, Stage, account::APP_ID, now, now_millis};
use wechat::{
    api::FieldValue,
    campaign::{Audience, Campaign, CampaignState, Canary, Content, Plan, Recipient, Totals, WaitingFor, into_chunks},
    store::{MessageStatus, NewState, PartOutcome, Receipt, Table},
};

use crate::start;

const ID: &str = "c1";
const SEND: &str = "/cgi-bin/message/template/send";
const QUOTA: &str = "/cgi-bin/openapi/quota/get";
const TEN_MINUTES: i64 = 600;

/// A campaign on a stage, as `send-template` makes and changes it.
struct Bench {
    stage: Stage,
    table: Table,
}

fn plan() -> Plan {
    let text = |value: &str| FieldValue {
        value: value.to_owned(),
        color: None,
    };
    let data = [("thing1", "停水通知"), ("time2", "10:00"), ("const3", "通过")];
    Plan {
        name: "n".to_owned(),
        content: Content {
            template_id: TEMPLATE_ID.to_owned(),
            url: None,
            miniprogram: None,
            data: data.map(|(name, value)| (name.to_owned(), text(value))).into(),
        },
        audience: Audience::List,
        pace: 1_000,
        start_at: None,
        canary: None,
        keep_for_single_sends: None,
        only_warns: false,
    }
}

impl Bench {
    async fn new() -> Self {
        let stage = Stage::with_token().await.behind_proxies().await;
        let table = Table::new(stage.table.client(), "wechat", APP_ID);
        Self { stage, table }
    }

    /// A draft of `plan` with `parts` of recipients.
    async fn draft(&self, plan: Plan, parts: &[Vec<Recipient>]) {
        self.table.create_campaign(ID, &plan, now_millis()).await.unwrap();
        for (index, part) in parts.iter().enumerate() {
            let chunks = into_chunks(part.clone());
            let name = index.to_string();
            let put = self.table.put_part(ID, &name, &name, &chunks, now()).await.unwrap();
            assert!(matches!(put, PartOutcome::Complete(_)), "{put:?}");
        }
    }

    /// A campaign of `plan` to `openids` that is started.
    async fn started(&self, plan: Plan, openids: &[String]) {
        let part = openids.iter().cloned().map(Recipient::of).collect();
        self.draft(plan, &[part]).await;
        self.order(None).await;
    }

    /// Has the campaign go on, or sets its state.
    async fn order(&self, state: Option<CampaignState>) {
        let at = now();
        let ordered = self.table.change_campaign(ID, at, |campaign| {
            let state = NewState {
                started_at: Some(at),
                finished_at: state.filter(|state| state.has_ended()).map(|_| at),
                ..NewState::plain(state.unwrap_or_else(|| campaign.state_of_work(at)))
            };
            Ok::<_, ()>((state, campaign.progress.clone()))
        });
        ordered.await.unwrap().unwrap().unwrap();
    }

    /// Has those whose outcome is unknown sent to again.
    async fn resend(&self) {
        let again = self.table.change_campaign(ID, now(), |campaign| {
            let mut progress = campaign.progress.clone();
            progress.resending = Some(campaign.state);
            progress.is_requeueing = true;
            Ok::<_, ()>((NewState::plain(CampaignState::Running), progress))
        });
        again.await.unwrap().unwrap().unwrap();
    }

    async fn campaign(&self) -> Campaign {
        self.table.campaign(ID).await.unwrap().unwrap()
    }

    async fn totals(&self) -> Totals {
        let campaign = self.campaign().await;
        let totals = campaign.totals();
        assert_eq!(totals.all(), campaign.recipients(), "{campaign:?}");
        totals
    }

    async fn worker(&self) -> Function {
        start(&self.stage).await
    }

    /// How many messages are on the phone of each.
    async fn received(&self, openids: &[String]) -> Vec<usize> {
        let mut received = Vec::new();
        for openid in openids {
            received.push(self.stage.wechat.phone(openid).await.len());
        }
        received
    }

    async fn sends(&self) -> usize {
        self.stage.wechat.calls(SEND).await
    }

    /// Waits until WeChat has been asked for so many messages.
    async fn until_sends(&self, sends: usize) {
        while self.sends().await < sends {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills the token, and has token-refresher answer late with the next one.
    async fn lose_token_for(&self, seconds: u64) {
        let slow = Fault::Delay(Duration::from_secs(seconds));
        self.stage.proxy(Service::Lambda).fail(.., slow);
        self.stage.wechat.control("token/invalidate", &json!({})).await;
    }

    /// The receipts of all messages on the phones of `openids`, as the webhook records them.
    async fn receipts(&self, openids: &[String], status: MessageStatus) {
        for openid in openids {
            for message in self.stage.wechat.phone(openid).await {
                let receipt = Receipt {
                    msgid: message["msgid"].as_str().unwrap(),
                    openid,
                    status,
                    words: "success",
                    at: now(),
                };
                assert!(self.table.record_receipt(receipt).await.unwrap().is_recorded());
            }
        }
    }

    /// Moves what is in flight, or unknown, into the past by `seconds`, and ends all claims.
    async fn age(&self, seconds: i64) {
        for item in self.stage.table.items().await {
            let pk = item["pk"].as_str().unwrap();
            let Some(ledger) = item["ledger"].as_str() else {
                continue;
            };
            let mut ledger: Value = serde_json::from_str(ledger).unwrap();
            if let Some(at) = ledger["t"].as_i64() {
                ledger["t"] = (at - seconds).into();
            }
            let unknown = ledger.get_mut("u").and_then(Value::as_object_mut);
            for at in unknown.into_iter().flatten().map(|(_, at)| at) {
                *at = (at.as_i64().unwrap() - seconds).into();
            }
            self.stage.table.set(pk, &json!({"ledger": ledger.to_string()})).await;
        }
        self.stage.table.end_claims().await;
    }

    /// Lets a waiting campaign look again now.
    async fn wait_is_over(&self) {
        let name = format!("campaign#{ID}");
        self.stage.table.set(&name, &json!({"resumes_at": now()})).await;
        self.is_due().await;
    }

    async fn is_due(&self) {
        self.stage
            .table
            .set(&format!("campaign#{ID}#due"), &json!({"isk": now()}))
            .await;
    }
}

async fn run(worker: &mut Function) -> Value {
    worker.succeed(&json!({"action": "run"})).await
}

fn of(totals: Totals) -> BTreeMap<String, u64> {
    let totals: BTreeMap<String, u64> = serde_json::from_value(json!(totals)).unwrap();
    totals.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn expected<const N: usize>(totals: [(&str, u64); N]) -> BTreeMap<String, u64> {
    totals.map(|(state, count)| (state.to_owned(), count)).into()
}

#[tokio::test]
async fn each_person_in_a_list_gets_one_message_and_the_totals_say_what_became_of_it() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(230).await;
    bench.stage.table.bind("u-1", &openids[0]).await;
    bench.stage.table.bind("u-gone", "odhkKgone_gone_gone_gone_gone").await;
    bench.stage.table.set("user#u-gone", &json!({"followed": false})).await;
    let user = |user: &str| Recipient {
        user: Some(user.to_owned()),
        ..Recipient::default()
    };
    let own = Recipient {
        data: [(
            "thing1".to_owned(),
            FieldValue {
                value: "给你的".to_owned(),
                color: None,
            },
        )]
        .into(),
        ..Recipient::of(openids[1].clone())
    };
    let list = |openids: &[String]| openids.iter().cloned().map(Recipient::of).collect::<Vec<_>>();
    let first = [
        vec![user("u-1"), own],
        list(&openids[..150]),
        vec![user("nobody"), user("nobody"), user("u-gone")],
    ]
    .concat();
    let stranger = Recipient::of("odhkKstranger_stranger_strang".to_owned()[..28].to_owned());
    let second = [list(&openids[100..]), vec![stranger]].concat();
    bench.draft(plan(), &[first, second]).await;
    assert_eq!(bench.campaign().await.recipients(), 150 + 5 + 131);
    bench.order(None).await;

    let mut worker = bench.worker().await;
    assert_eq!(run(&mut worker).await, json!({"campaigns": 1}));
    let campaign = bench.campaign().await;
    assert_eq!(campaign.state, CampaignState::Done, "{campaign:?}");
    assert_eq!(campaign.recipients(), 233);
    assert_eq!(of(bench.totals().await), expected([("sent", 230), ("refused", 3)]));
    let refusals = [("43004".to_owned(), 2), ("unknown-user".to_owned(), 1)];
    assert_eq!(campaign.progress.refusals, BTreeMap::from(refusals));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
    let shown = bench.stage.wechat.phone(&openids[1]).await;
    assert_eq!(shown[0]["data"]["thing1"], "给你的", "own data, of the first entry");
    assert_eq!(shown[0]["data"]["time2"], "10:00");

    bench.receipts(&openids[..200], MessageStatus::Delivered).await;
    bench.receipts(&openids[200..210], MessageStatus::Blocked).await;
    bench.receipts(&openids[210..220], MessageStatus::Failed).await;
    bench
        .stage
        .table
        .set(&format!("campaign#{ID}"), &json!({"progress": looks_now(&campaign)}))
        .await;
    bench.is_due().await;
    run(&mut worker).await;
    let totals = [
        ("delivered", 200),
        ("blocked", 10),
        ("failed", 10),
        ("sent", 10),
        ("refused", 3),
    ];
    assert_eq!(of(bench.totals().await), expected(totals));
    assert_eq!(bench.sends().await, 231);
}

/// The progress of a campaign whose next look for receipts is due.
fn looks_now(campaign: &Campaign) -> String {
    let mut progress = json!(campaign.progress);
    progress["looks_at"] = now().into();
    progress.to_string()
}

#[tokio::test]
async fn followers_and_those_with_a_tag_are_read_page_by_page_when_the_campaign_is_due() {
    let bench = Bench::new().await;
    bench
        .stage
        .wechat
        .control("sizes", &json!({"followers_a_page": 40}))
        .await;
    let openids = bench.stage.wechat.followers(99).await;
    bench
        .draft(
            Plan {
                audience: Audience::Followers,
                ..plan()
            },
            &[],
        )
        .await;
    bench.order(None).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    // The platform has one follower from the start.
    assert_eq!(of(bench.totals().await), expected([("sent", 100)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));

    let tagged = json!({"openid": openids[5], "tags": ["134"]});
    bench.stage.wechat.control("user", &tagged).await;
    let tag = Plan {
        audience: Audience::Tag(134),
        ..plan()
    };
    bench.table.create_campaign("c2", &tag, now_millis()).await.unwrap();
    let start = |campaign: &Campaign| {
        Ok::<_, ()>((
            NewState::plain(campaign.state_of_work(now())),
            campaign.progress.clone(),
        ))
    };
    bench.table.change_campaign("c2", now(), start).await.unwrap();
    run(&mut worker).await;
    let campaign = bench.table.campaign("c2").await.unwrap().unwrap();
    assert_eq!(
        (campaign.state, campaign.recipients()),
        (CampaignState::Done, 1),
        "{campaign:?}"
    );
}

/// The contents are the caller's, so the campaign has to be mended or made anew; until then nobody else is bothered.
#[tokio::test]
async fn a_refusal_of_everybody_stops_it_and_after_a_resume_the_others_get_their_message() {
    for errcode in [40249, 43116, 40037, 48001] {
        let bench = Bench::new().await;
        let openids = bench.stage.wechat.followers(120).await;
        let fault = json!({"errcode": errcode, "after": 30, "times": 100});
        bench.stage.wechat.fault(SEND, &fault).await;
        let slow = Plan { pace: 200, ..plan() };
        bench.started(slow, &openids).await;
        let mut worker = bench.worker().await;
        run(&mut worker).await;
        let campaign = bench.campaign().await;
        assert_eq!(campaign.state, CampaignState::Stopped, "{errcode}: {campaign:?}");
        let reason = campaign.reason.clone().unwrap();
        assert!(
            reason.starts_with(&errcode.to_string()) && reason.contains(" / "),
            "{reason}"
        );
        let totals = bench.totals().await;
        assert_eq!((totals.sent, totals.refused, totals.queued), (30, 0, 90), "{errcode}");

        bench.stage.wechat.clear_faults().await;
        bench.order(None).await;
        run(&mut worker).await;
        assert_eq!(of(bench.totals().await), expected([("sent", 120)]), "{errcode}");
        assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
    }
}

#[tokio::test]
async fn when_the_first_fifty_are_refused_it_stops() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 43004, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    run(&mut bench.worker().await).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.state, CampaignState::Stopped);
    assert!(bench.sends().await <= 150);
    assert_eq!(bench.totals().await.refused, bench.sends().await as u64);
}

#[tokio::test]
async fn a_used_up_quota_is_waited_for_until_midnight_in_beijing() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 45009, "after": 20, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    let campaign = bench.campaign().await;
    assert_eq!(
        (campaign.state, campaign.waiting_for),
        (CampaignState::Waiting, Some(WaitingFor::Quota))
    );
    let resumes_at = campaign.resumes_at.unwrap();
    let to_midnight = (resumes_at + 8 * 3600) % 86_400;
    assert!(
        to_midnight < 900 || resumes_at - now() <= 300,
        "{to_midnight} s after midnight"
    );
    assert_eq!(of(bench.totals().await), expected([("sent", 20), ("queued", 40)]));
    assert_eq!(run(&mut worker).await, json!({}), "it is not due");

    // One probe, which finds that there is no quota yet.
    bench.wait_is_over().await;
    let before = bench.sends().await;
    run(&mut worker).await;
    assert_eq!(bench.sends().await, before + 1);
    assert_eq!(bench.campaign().await.state, CampaignState::Waiting);

    bench.stage.wechat.clear_faults().await;
    bench.wait_is_over().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 60)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn what_is_kept_for_single_sends_is_never_taken() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench
        .stage
        .wechat
        .control("quotas", &json!({"path": SEND, "daily_limit": 120}))
        .await;
    let reserved = Plan {
        keep_for_single_sends: Some(33),
        ..plan()
    };
    bench.started(reserved, &openids).await;
    run(&mut bench.worker().await).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.waiting_for, Some(WaitingFor::Quota));
    let reason = campaign.reason.unwrap();
    assert!(reason.contains("33") && reason.contains("120"), "{reason}");
    assert_eq!(bench.sends().await, 120 - 33);
    assert_eq!(of(bench.totals().await), expected([("sent", 87), ("queued", 63)]));
}

#[tokio::test]
async fn two_campaigns_at_once_leave_what_is_kept() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench
        .stage
        .wechat
        .control("quotas", &json!({"path": SEND, "daily_limit": 120}))
        .await;
    let reserved = || Plan {
        keep_for_single_sends: Some(33),
        pace: 50,
        ..plan()
    };
    let other = Plan {
        audience: Audience::Followers,
        ..reserved()
    };
    bench.table.create_campaign("c2", &other, now_millis()).await.unwrap();
    let start = |campaign: &Campaign| {
        let state = NewState::plain(campaign.state_of_work(now()));
        Ok::<_, ()>((state, campaign.progress.clone()))
    };
    bench.table.change_campaign("c2", now(), start).await.unwrap();
    bench.started(reserved(), &openids).await;
    run(&mut bench.worker().await).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Quota));
    let sends = bench.sends().await;
    assert!((120 - 33 - 2..=120 - 33).contains(&sends), "{sends}");
}

/// An account may lack the permission for `quota/get`: WeChat's own refusal ends the day then.
#[tokio::test]
async fn without_an_answer_about_the_quota_it_goes_on() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(30).await;
    bench
        .stage
        .wechat
        .fault(QUOTA, &json!({"errcode": 48001, "times": 1000}))
        .await;
    bench.started(plan(), &openids).await;
    run(&mut bench.worker().await).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 30)]));
}

#[tokio::test]
async fn a_whitelist_or_a_dead_token_is_waited_for_and_nobody_is_refused_for_it() {
    for (errcode, waits_for) in [(40164, WaitingFor::Whitelist), (42001, WaitingFor::Token)] {
        let bench = Bench::new().await;
        let openids = bench.stage.wechat.followers(40).await;
        bench
            .stage
            .wechat
            .fault(SEND, &json!({"errcode": errcode, "after": 10, "times": 1000}))
            .await;
        bench.started(Plan { pace: 100, ..plan() }, &openids).await;
        let mut worker = bench.worker().await;
        run(&mut worker).await;
        let campaign = bench.campaign().await;
        assert_eq!(campaign.waiting_for, Some(waits_for), "{campaign:?}");
        assert_eq!(of(bench.totals().await), expected([("sent", 10), ("queued", 30)]));
        let resumes_at = campaign.resumes_at.unwrap();
        assert!((20..=60).contains(&(resumes_at - now())));

        bench.stage.wechat.clear_faults().await;
        bench.wait_is_over().await;
        run(&mut worker).await;
        assert_eq!(of(bench.totals().await), expected([("sent", 40)]), "{errcode}");
        assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
    }
}

#[tokio::test]
async fn an_answer_that_leaves_open_what_happened_is_asked_for_again_and_sent_once() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench.started(Plan { pace: 100, ..plan() }, &openids).await;
    let proxy = bench.stage.proxy(Service::WeChat);
    let mut worker = bench.worker().await;
    // The first is the question about the quota.
    proxy.fail(5..=12, Fault::LoseAnswer);
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 60)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
    assert!(bench.sends().await > 60);
}

#[tokio::test]
async fn a_message_that_was_refused_as_a_repeat_may_have_been_sent() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(3).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": -1, "times": 1}))
        .await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 40241, "after": 2, "times": 100}))
        .await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    let totals = bench.totals().await;
    assert_eq!((totals.sent, totals.unknown), (2, 1), "{totals:?}");
}

#[tokio::test]
async fn receipts_are_taken_in_while_another_outcome_is_asked_for_again() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(20).await;
    let fault = json!({"errcode": -1, "after": 19, "times": 1000});
    bench.stage.wechat.fault(SEND, &fault).await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    let mut worker = bench.worker().await;
    let receipts = async {
        bench.until_sends(20).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        bench.receipts(&openids, MessageStatus::Delivered).await;
        // A look at what the run has written so far, before it ends.
        for _ in 0..100 {
            if bench.totals().await.delivered == 19 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?}", bench.totals().await);
    };
    let event = json!({"action": "run"});
    tokio::join!(worker.invoke_within(&event, 22_000), receipts);
    let totals = bench.totals().await;
    assert_eq!(
        (totals.delivered, totals.queued + totals.unknown),
        (19, 1),
        "{totals:?}"
    );
}

#[tokio::test]
async fn a_probe_without_a_clear_answer_is_no_success() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(30).await;
    let fault = json!({"errcode": 42001, "after": 10, "times": 1000});
    bench.stage.wechat.fault(SEND, &fault).await;
    bench.started(Plan { pace: 100, ..plan() }, &openids).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.waiting_for, Some(WaitingFor::Token));

    bench.stage.wechat.clear_faults().await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": -1, "times": 1000}))
        .await;
    let before = bench.sends().await;
    bench.wait_is_over().await;
    run(&mut worker).await;
    let campaign = bench.campaign().await;
    assert_eq!(campaign.state, CampaignState::Waiting, "{campaign:?}");
    assert_eq!(campaign.progress.probes, 1);
    assert_eq!(bench.sends().await, before + 1, "one message for one probe");

    bench.stage.wechat.clear_faults().await;
    bench.wait_is_over().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 30)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn a_stopped_campaign_that_resends_loses_nobody() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(120).await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 40249, "after": 40, "times": 1000}))
        .await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    kill_while_it_sends(&bench, 20).await;
    for openid in &openids {
        for message in bench.stage.wechat.phone(openid).await {
            let msgid = message["msgid"].as_str().unwrap();
            bench.stage.table.delete(&format!("message#{msgid}")).await;
        }
    }
    bench.age(TEN_MINUTES).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    let stopped = bench.totals().await;
    assert_eq!(bench.campaign().await.state, CampaignState::Stopped);
    assert!(stopped.unknown > 0 && stopped.queued > 0, "{stopped:?}");

    // WeChat refuses those of whom a message may have arrived: that stays open.
    bench.stage.wechat.clear_faults().await;
    bench
        .stage
        .wechat
        .fault(SEND, &json!({"errcode": 43004, "times": 1}))
        .await;
    bench.resend().await;
    run(&mut worker).await;
    let resent = bench.totals().await;
    assert_eq!(bench.campaign().await.state, CampaignState::Stopped);
    assert_eq!(
        (resent.unknown, resent.refused, resent.queued),
        (1, 0, stopped.queued),
        "{resent:?}"
    );
    assert_eq!(resent.sent, stopped.sent + stopped.unknown - 1);

    bench.order(None).await;
    run(&mut worker).await;
    let totals = bench.totals().await;
    assert_eq!((totals.sent, totals.unknown, totals.queued), (119, 1, 0), "{totals:?}");
}

#[tokio::test]
async fn what_was_in_flight_when_a_campaign_was_cancelled_is_counted_in_the_end() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench.started(Plan { pace: 30, ..plan() }, &openids).await;
    kill_while_it_sends(&bench, 30).await;
    bench.order(Some(CampaignState::Cancelled)).await;
    bench.age(TEN_MINUTES).await;
    bench.is_due().await;
    run(&mut bench.worker().await).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Cancelled);
    let totals = bench.totals().await;
    let received: usize = bench.received(&openids).await.iter().sum();
    assert!(totals.sent + totals.unknown >= received as u64, "{totals:?}");
    assert_eq!(received, bench.sends().await, "nothing goes out after the order");
}

/// Kills the worker while it sends, and returns when it is dead.
async fn kill_while_it_sends(bench: &Bench, sends: usize) {
    let mut worker = bench.worker().await;
    tokio::select! {
        done = run(&mut worker) => panic!("it was not killed: {done}"),
        () = async {
            bench.until_sends(sends).await;
        } => {}
    }
    worker.kill().await;
}

#[tokio::test]
async fn a_run_that_dies_loses_nothing_and_doubles_nothing() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(250).await;
    bench.started(Plan { pace: 100, ..plan() }, &openids).await;
    for sends in [20, 90, 170] {
        kill_while_it_sends(&bench, sends).await;
        bench.stage.table.end_claims().await;
    }
    run(&mut bench.worker().await).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 250)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn what_a_dead_run_sent_long_ago_is_counted_by_its_records_and_receipts_or_unknown() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(60).await;
    bench.started(Plan { pace: 30, ..plan() }, &openids).await;
    kill_while_it_sends(&bench, 30).await;
    let received = bench.received(&openids).await;
    let sent: Vec<String> = openids
        .iter()
        .zip(&received)
        .filter(|(_, count)| **count > 0)
        .map(|(openid, _)| openid.clone())
        .collect();
    // Of these the run could not record the message, and their receipts come.
    for openid in &sent[..10] {
        for message in bench.stage.wechat.phone(openid).await {
            bench
                .stage
                .table
                .delete(&format!("message#{}", message["msgid"].as_str().unwrap()))
                .await;
        }
    }
    bench.receipts(&sent[..10], MessageStatus::Delivered).await;
    // Of these nothing is known.
    for openid in &sent[10..15] {
        for message in bench.stage.wechat.phone(openid).await {
            bench
                .stage
                .table
                .delete(&format!("message#{}", message["msgid"].as_str().unwrap()))
                .await;
        }
    }
    bench.age(TEN_MINUTES).await;
    let mut other = bench.worker().await;
    run(&mut other).await;
    let totals = bench.totals().await;
    assert_eq!(totals.delivered, 10, "{totals:?} {}", other.logs());
    assert!(totals.unknown >= 5 && totals.queued == 0, "{totals:?}");
    assert!(bench.received(&openids).await.iter().all(|count| *count <= 1));

    // By choice they are sent again.
    bench.resend().await;
    run(&mut bench.worker().await).await;
    let campaign = bench.campaign().await;
    assert_eq!(
        (campaign.state, bench.totals().await.unknown),
        (CampaignState::Done, 0),
        "{campaign:?}"
    );
    assert!(
        bench
            .received(&openids)
            .await
            .iter()
            .all(|count| (1..=2).contains(count))
    );
}

#[tokio::test]
async fn of_two_runs_at_once_one_works_and_the_other_takes_over_when_it_ends() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(300).await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    let (mut one, mut two) = (bench.worker().await, bench.worker().await);
    let event = json!({"action": "run"});
    let first = async { one.invoke_within(&event, 12_000).await };
    let second = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        two.invoke_within(&event, 20_000).await
    };
    tokio::join!(first, second);
    let times = send_times(&bench).await;
    assert!(times.len() > 150, "{}", times.len());
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest <= 5, "{longest} s without a message");
    let distinct: HashSet<String> = clients(&bench).await.into_iter().collect();
    assert_eq!(distinct.len(), times.len(), "nobody was asked for twice");
}

/// When messages were sent, in epoch seconds.
async fn send_times(bench: &Bench) -> Vec<i64> {
    let calls = bench.stage.wechat.all_calls().await;
    let sends = calls.iter().filter(|call| call["path"] == SEND);
    sends.map(|call| call["at"].as_i64().unwrap()).collect()
}

async fn sends_by_second(bench: &Bench) -> BTreeMap<i64, i64> {
    let mut by_second = BTreeMap::new();
    for at in send_times(bench).await {
        *by_second.entry(at).or_default() += 1;
    }
    by_second
}

async fn clients(bench: &Bench) -> Vec<String> {
    let calls = bench.stage.wechat.all_calls().await;
    let sends = calls.iter().filter(|call| call["path"] == SEND);
    sends
        .map(|call| call["body"]["client_msg_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_pace_is_kept_in_every_second_of_a_run() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(700).await;
    bench.started(Plan { pace: 40, ..plan() }, &openids).await;
    let mut worker = bench.worker().await;
    worker.invoke_within(&json!({"action": "run"}), 22_000).await;
    let by_second = sends_by_second(&bench).await;
    assert!(by_second.values().all(|count| *count <= 60), "{by_second:?}");
    let whole: Vec<i64> = by_second.values().copied().skip(1).take(10).collect();
    let sum: i64 = whole.iter().sum();
    assert!((380..=420).contains(&sum), "{whole:?}");
}

#[tokio::test]
async fn after_a_pause_no_message_goes_out_and_after_a_resume_the_rest_does() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench.started(Plan { pace: 20, ..plan() }, &openids).await;
    let mut worker = bench.worker().await;
    let pause = async {
        bench.until_sends(20).await;
        bench.order(Some(CampaignState::Paused)).await;
        now()
    };
    let (_, paused_at) = tokio::join!(run(&mut worker), pause);
    let last = send_times(&bench).await.into_iter().max().unwrap();
    assert!(last - paused_at <= 5, "{} s after the pause", last - paused_at);
    let campaign = bench.campaign().await;
    assert_eq!(campaign.state, CampaignState::Paused);
    let totals = bench.totals().await;
    assert_eq!(totals.sent as usize, bench.sends().await);
    assert!(totals.queued > 0);
    bench.order(None).await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 150)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

/// Messages that WeChat refused for the token wait for the next one, which may take longer than a pause may.
#[tokio::test]
async fn a_message_that_waits_for_a_token_does_not_go_out_after_a_pause() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench.started(Plan { pace: 50, ..plan() }, &openids).await;
    let mut worker = bench.worker().await;
    let pause = async {
        bench.until_sends(20).await;
        bench.lose_token_for(8).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.order(Some(CampaignState::Paused)).await;
        now()
    };
    let event = json!({"action": "run"});
    let (_, paused_at) = tokio::join!(worker.invoke_within(&event, 20_000), pause);
    let last = send_times(&bench).await.into_iter().max().unwrap();
    assert!(last - paused_at <= 5, "{} s after the pause", last - paused_at);
    assert_eq!(bench.campaign().await.state, CampaignState::Paused);
    bench.stage.mend().await;
    bench.order(None).await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 150)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn those_who_waited_for_a_token_go_out_at_the_pace() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(150).await;
    bench.started(Plan { pace: 30, ..plan() }, &openids).await;
    let mut worker = bench.worker().await;
    let lose_token = async {
        bench.until_sends(20).await;
        bench.lose_token_for(4).await;
    };
    let event = json!({"action": "run"});
    tokio::join!(worker.invoke_within(&event, 22_000), lose_token);
    assert_eq!(of(bench.totals().await), expected([("sent", 150)]));
    let by_second = sends_by_second(&bench).await;
    assert!(by_second.values().all(|count| *count <= 36), "{by_second:?}");
}

#[tokio::test]
async fn a_canary_whose_receipts_say_failed_stops_it_and_a_good_one_goes_on() {
    for (status, state) in [
        (MessageStatus::Failed, CampaignState::Stopped),
        (MessageStatus::Delivered, CampaignState::Done),
    ] {
        let bench = Bench::new().await;
        let openids = bench.stage.wechat.followers(50).await;
        let canary = Plan {
            canary: Some(Canary { count: 10, wait: 3 }),
            ..plan()
        };
        bench.started(canary, &openids).await;
        let mut worker = bench.worker().await;
        let receipts = async {
            bench.until_sends(10).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(bench.sends().await, 10);
            bench.receipts(&openids, status).await;
        };
        tokio::join!(run(&mut worker), receipts);
        let campaign = bench.campaign().await;
        assert_eq!(campaign.state, state, "{campaign:?}");
        let sends = if state == CampaignState::Stopped { 10 } else { 50 };
        assert_eq!(bench.sends().await, sends);
    }
}

#[tokio::test]
async fn the_canary_goes_to_as_many_as_was_said_whoever_is_refused_before() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(30).await;
    let nobody = (0..20).map(|number| Recipient {
        user: Some(format!("nobody-{number}")),
        ..Recipient::default()
    });
    let part: Vec<Recipient> = nobody.chain(openids.iter().cloned().map(Recipient::of)).collect();
    let canary = Plan {
        canary: Some(Canary { count: 10, wait: 600 }),
        ..plan()
    };
    bench.draft(canary, &[part]).await;
    bench.order(None).await;
    run(&mut bench.worker().await).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Canary);
    let totals = [("sent", 10), ("refused", 20), ("queued", 20)];
    assert_eq!(of(bench.totals().await), expected(totals));
}

#[tokio::test]
async fn a_start_in_the_future_is_waited_for() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(5).await;
    let later = Plan {
        start_at: Some(now() + 3600),
        ..plan()
    };
    bench.started(later, &openids).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    assert_eq!(bench.campaign().await.state, CampaignState::Scheduled);
    assert_eq!(bench.sends().await, 0);
    bench
        .stage
        .table
        .set(&format!("campaign#{ID}"), &json!({"start_at": now()}))
        .await;
    bench.is_due().await;
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 5)]));
}

#[tokio::test]
async fn a_run_with_nothing_due_asks_the_table_a_few_times_and_wechat_never() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    bench.stage.mend().await;
    let began = now_millis();
    assert_eq!(run(&mut worker).await, json!({}));
    assert!(now_millis() - began < 1_000);
    assert!(bench.stage.proxy(Service::Table).requests().len() <= 10);
    assert!(bench.stage.proxy(Service::WeChat).requests().is_empty());
}

#[tokio::test]
async fn a_table_that_fails_now_and_then_neither_loses_nor_doubles_a_message() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(120).await;
    bench.started(Plan { pace: 60, ..plan() }, &openids).await;
    let mut worker = bench.worker().await;
    let throttled =
        json!({"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "m"});
    let fault = Fault::json(400, throttled);
    for requests in [20..60, 100..140, 10..15] {
        bench.stage.proxy(Service::Table).fail(requests, fault.clone());
        let _ = worker.invoke(&json!({"action": "run"})).await;
        bench.stage.mend().await;
        bench.stage.table.end_claims().await;
        bench.is_due().await;
    }
    run(&mut worker).await;
    assert_eq!(of(bench.totals().await), expected([("sent", 120)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn of_a_deleted_campaign_nothing_stays_but_the_records_of_its_messages() {
    let bench = Bench::new().await;
    let openids = bench.stage.wechat.followers(120).await;
    bench.started(plan(), &openids).await;
    let mut worker = bench.worker().await;
    run(&mut worker).await;
    assert!(
        bench
            .table
            .delete_campaign(ID, now(), |campaign| campaign.state.has_ended())
            .await
            .unwrap()
            .unwrap()
            .is_ok()
    );
    assert_eq!(bench.table.campaign(ID).await.unwrap(), None);
    run(&mut worker).await;
    let items = bench.stage.table.items().await;
    let left: Vec<&str> = items
        .iter()
        .filter_map(|item| item["pk"].as_str())
        .filter(|pk| pk.starts_with("campaign#") && !pk.contains("#part#"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(items.iter().filter(|item| item["campaign"] == ID).count(), 120);
}
