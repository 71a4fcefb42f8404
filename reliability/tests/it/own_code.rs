//! What WeChat gets while the team's own code or the table is broken, and whether own code gets every callback all the same.

use std::collections::HashSet;

use serde_json::json;
use testing::{Fault, FaultProxy, Function, OwnAnswer, OwnCode, Service, event::Request, now};

use crate::{
    report::{self, Cases, Row, WECHAT_WAITS},
    stage::{Program, Seen, Stage, ask, service_faults, table_faults},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What own code and the rules reply.
const OWN: &str = "from own code";
const RULES: &str = "from the rules";
/// What a message makes the webhook ask of the table, in order.
const STEPS: [(usize, &str); 2] = [
    (1, "a message: keeping it for own code"),
    (2, "a message: noting own code's answer"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_code() {
    let faults = service_faults().into_iter();
    let unavailable = ("answers 503", Fault::json(503, json!({"reply": null})));
    let mut cases = Cases::default();
    cases.add(faults.chain([unavailable]).map(|(breaks, fault)| asking(breaks, fault)));
    let keeping = STEPS.into_iter().flat_map(|(step, name)| {
        let faults = table_faults().into_iter();
        faults.map(move |(breaks, fault)| keep(step, name, breaks, fault))
    });
    cases.add(keeping);
    report::section(
        report::TITLES[12],
        "A message is kept in the table, own code is asked, and its answer is noted. What own code does not take waits for \
         `worker`, and the rules reply. Without the table own code is asked all the same. WeChat delivers again 5 s after \
         whatever it takes for a failure; the suite delivers again in any case.",
        cases.run().await,
    );
}

/// Messages during the outage.
const MESSAGES: u32 = 20;

/// For an hour own code refuses connections; the attempts of 1, 6, 21 and 81 minutes are made to be due now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_hour_without_own_code_it_gets_every_message_once() {
    let mut bench = Bench::start().await;
    bench.proxy.fail(1.., Fault::Refuse);
    for number in 1..=MESSAGES {
        let event = bench.message(number);
        let seen = ask(&mut bench.webhook, &event).await;
        assert_eq!(reply(&seen), RULES, "{seen:?}");
    }
    let url = format!("{}/wechat", bench.proxy.endpoint());
    let variables = [("FORWARD_URL", url.as_str()), ("FORWARD_SECRET", SECRET)];
    let mut worker = bench.stage.serving_with(Program::Worker, &variables).await;
    for _ in 0..4 {
        bench.make_due().await;
        assert_eq!(ask(&mut worker, &json!({"action": "run"})).await.status, 200);
        assert_eq!(bench.waiting().await.len(), MESSAGES as usize, "none is lost or dead");
    }
    assert!(bench.own_code.requests().is_empty());

    bench.proxy.mend().await;
    while !bench.waiting().await.is_empty() {
        bench.make_due().await;
        assert_eq!(ask(&mut worker, &json!({"action": "run"})).await.status, 200);
    }
    let requests = bench.own_code.requests();
    let ids: HashSet<&str> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!((requests.len(), ids.len()), (MESSAGES as usize, MESSAGES as usize));
}

/// The webhook with own code behind a proxy.
struct Bench {
    stage: Stage,
    own_code: OwnCode,
    proxy: FaultProxy,
    webhook: Function,
}

impl Bench {
    async fn start() -> Self {
        let (stage, own_code) = (Stage::new().await, OwnCode::start().await);
        own_code.answer(OwnAnswer::reply(OWN));
        let rules = json!({"default": {"type": "text", "content": RULES}});
        stage.table.save_rules(&rules).await;
        let proxy = FaultProxy::start(&own_code.endpoint()).await;
        let url = format!("{}/wechat", proxy.endpoint());
        let variables = [
            ("FORWARD_URL", url.as_str()),
            ("FORWARD_SECRET", SECRET),
            ("EVENT_BUS_NAME", ""),
        ];
        let webhook = stage.serving_with(Program::Webhook, &variables).await;
        Self {
            stage,
            own_code,
            proxy,
            webhook,
        }
    }

    /// The message `number`, the same at each delivery.
    fn message(&self, number: u32) -> Request {
        let fields = format!("<Content>hello</Content><MsgId>{number}</MsgId>");
        self.stage.callback("text", &fields, 0)
    }

    /// The names of the messages that wait for own code.
    async fn waiting(&self) -> Vec<String> {
        let items = self.stage.table.items().await;
        let waiting = items.iter().filter(|item| item["state"] == "waiting");
        let names = waiting.filter_map(|item| item["pk"].as_str()?.strip_prefix("forward#")?.split_once('#'));
        names.map(|(_, key)| format!("forward#{key}")).collect()
    }

    /// Moves the next attempts to now.
    async fn make_due(&self) {
        self.stage.table.end_claims().await;
        for name in self.waiting().await {
            self.stage.table.set(&name, &json!({"isk": now() - 1})).await;
        }
    }

    /// What the table keeps of the only message so far.
    async fn kept(&self) -> &'static str {
        let items = self.stage.table.items().await;
        let forward = items
            .iter()
            .find(|item| item["pk"].as_str().unwrap().starts_with("forward#"));
        match forward.map(|item| (&item["state"], item["ipk"].is_string())) {
            None => "nothing",
            Some((state, false)) if state == "done" => "own code's answer, for an hour",
            Some((state, true)) if state == "waiting" => "the message, for `worker`",
            other => panic!("{other:?}"),
        }
    }

    /// Delivers again what was broken, and then another message: own code has both.
    async fn finish(mut self, name: &str, breaks: String, first: &Seen, event: &Request) -> Row {
        self.stage.mend().await;
        self.proxy.mend().await;
        assert!(first.took < WECHAT_WAITS, "{name}, {breaks}: {first:?}");
        let kept = self.kept().await;
        let own_code_has_it = !self.own_code.requests().is_empty();
        assert!(
            first.status != 200 || own_code_has_it || kept != "nothing",
            "{name}, {breaks}: it is lost"
        );
        self.stage.table.end_claims().await;
        let again = ask(&mut self.webhook, event).await;
        assert_eq!(again.status, 200, "{name}, {breaks}: {again:?}");
        let other = self.message(2);
        let other = ask(&mut self.webhook, &other).await;
        assert_eq!(reply(&other), OWN, "{name}, {breaks}: {other:?}");
        let requests = self.own_code.requests();
        let ids: HashSet<&str> = requests.iter().map(|request| request.header("webhook-id")).collect();
        assert!(
            ids.len() <= 2,
            "{name}, {breaks}: a message has two names: {requests:?}"
        );
        let asked = match (ids.len(), requests.len()) {
            (2, 2) => "own code was asked once",
            (2, _) => "own code was asked twice, with the same `webhook-id`",
            // The proxy answered in its place.
            _ if kept.starts_with("own code's answer") => "own code was asked once",
            _ => "own code was not reached",
        };
        Row {
            step: name.to_owned(),
            breaks,
            gets: match first.status {
                200 => format!("200, the reply {}", reply(first)),
                status => format!("{status}: WeChat delivers again"),
            },
            within: "5 s",
            kept: format!("{kept}; {asked}"),
            returns: format!("the redelivery: 200, the reply {}", reply(&again)),
        }
    }
}

fn reply(seen: &Seen) -> &'static str {
    let body = seen.body.as_str().unwrap_or_default();
    let reply = [OWN, RULES].into_iter().find(|reply| body.contains(reply));
    reply.unwrap_or_else(|| panic!("another reply: {seen:?}"))
}

async fn asking(breaks: &'static str, fault: Fault) -> Row {
    let mut bench = Bench::start().await;
    bench.proxy.fail(1.., fault);
    let event = bench.message(1);
    let first = ask(&mut bench.webhook, &event).await;
    let breaks = format!("own code {breaks}");
    bench.finish("a message: asking own code", breaks, &first, &event).await
}

async fn keep(step: usize, name: &'static str, breaks: &'static str, fault: Fault) -> Row {
    let mut bench = Bench::start().await;
    bench.stage.proxy(Service::Table).fail(step.., fault);
    let event = bench.message(1);
    let first = ask(&mut bench.webhook, &event).await;
    bench.finish(name, format!("the table {breaks}"), &first, &event).await
}
