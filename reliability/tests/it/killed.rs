//! A process that is killed between any two steps; a fresh one gets the same request again.
//!
//! For every n, the process is killed once when a service has received its n-th request, and once when the service has carried
//! it out but not answered.

use std::{collections::HashSet, future::Future, ops::RangeInclusive, pin::Pin};

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{
    Fault, Function, Service,
    event::{Request, api, post},
    message, now,
};

use crate::{
    callbacks, campaigns,
    managing::{kept_menu, menu_name, put_replies, replies, rollback_again, set_menu},
    refreshing::{TICKET_PATH, TOKEN_PATH, issue_tickets, refresh, ticket},
    report::{self, Row},
    sending,
    stage::{Program, Stage, ask, called, send, ties},
    users,
};

type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A request, and what must hold after it was made twice.
#[derive(Clone, Copy)]
struct Story {
    name: &'static str,
    program: Program,
    /// Makes what comes before, and returns the event of the request.
    event: for<'a> fn(&'a Stage) -> Work<'a, Value>,
    /// Makes the request again, to a fresh process; returns how service returned and what is kept.
    after: for<'a> fn(&'a Stage, &'a mut Function, &'a Value) -> Work<'a, (String, String)>,
}

impl Story {
    /// Whether the process makes its requests in a fixed order. A run of the schedule does several things at once.
    fn is_in_order(self) -> bool {
        !self.name.starts_with("a run that ")
    }
}

const MSGID: &str = "3400000000893845440";

const STORIES: [Story; 20] = [
    Story {
        name: "a delivery receipt",
        program: Program::Webhook,
        event: |stage| Box::pin(async { stage.receipt(MSGID).into() }),
        after: |stage, function, event| {
            Box::pin(async move {
                stage.table.end_claims().await;
                let again = ask(function, event).await;
                assert_eq!(again.status, 200, "{again:?}");
                // Both effects run at once, so the one may or may not have happened when the process dies in the other.
                callbacks::kept(stage).await;
                let kept = "the receipt once; the event at least once, with the same `id`";
                ("the redelivery after 5 s: 200".to_owned(), kept.to_owned())
            })
        },
    },
    Story {
        name: "a part of a campaign's audience",
        program: Program::SendTemplate,
        event: |stage| {
            Box::pin(async {
                campaigns::draft(stage).await;
                campaigns::part()
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                let again = ask(function, event).await;
                assert_eq!(again.body["total"], campaigns::PEOPLE, "{again:?}");
                campaigns::assert_loaded(stage).await;
                ("the same request: 200".to_owned(), "the part, once".to_owned())
            })
        },
    },
    Story {
        name: "the start of a campaign",
        program: Program::SendTemplate,
        event: |stage| {
            Box::pin(async {
                campaigns::loaded(stage).await;
                campaigns::order("start")
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                let again = ask(function, event).await;
                assert!(matches!(again.status, 200 | 409), "{again:?}");
                campaigns::finish(stage).await;
                campaigns::assert_sent_once(stage).await;
                let returns = "the same request: 200, or 409 when it was started";
                (returns.to_owned(), "each person gets one message".to_owned())
            })
        },
    },
    Story {
        name: "a run that sends a scheduled message",
        program: Program::Worker,
        event: |stage| {
            Box::pin(async {
                campaigns::schedule(stage).await;
                json!({"action": "run"})
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                campaigns::end_scheduled_claim(stage).await;
                assert_eq!(ask(function, event).await.status, 200);
                let state = campaigns::scheduled_state(stage).await;
                assert_eq!((stage.phone().await.len(), state), (1, json!("sent")));
                let returns = "the next run, once a claim has ended (30 s)";
                (returns.to_owned(), "one message".to_owned())
            })
        },
    },
    Story {
        name: "a scan that binds",
        program: Program::Webhook,
        event: |stage| {
            Box::pin(async {
                stage.begin_binding().await;
                stage.scan().into()
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                stage.table.end_claims().await;
                let again = ask(function, event).await;
                assert!(callbacks::is_bound(&again), "{again:?}");
                stage.assert_bound().await;
                assert!(!stage.bus.entries().is_empty(), "the event is lost");
                let kept = "the user is bound, once; the event at least once, with the same `id`";
                ("the redelivery after 5 s: 200, `bound`".to_owned(), kept.to_owned())
            })
        },
    },
    Story {
        name: "effects that were handed over",
        program: Program::Worker,
        event: |stage| Box::pin(async { stage.late_receipt(MSGID) }),
        after: |stage, function, event| {
            Box::pin(async move {
                stage.table.end_claims().await;
                let again = ask(function, event).await;
                assert_eq!(again.status, 200, "{again:?}");
                callbacks::kept(stage).await;
                let kept = "the receipt once; the event at least once, with the same `id`";
                ("Lambda's next attempt, after a minute: 200".to_owned(), kept.to_owned())
            })
        },
    },
    Story {
        name: "a run that asks own code again",
        program: Program::Worker,
        event: |stage| {
            Box::pin(async {
                stage.table.keep_forward("c1", &json!({})).await;
                json!({"action": "run"})
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                stage.end_forward_claim("c1").await;
                let again = ask(function, event).await;
                assert_eq!(again.status, 200, "{again:?}");
                assert_eq!(stage.table.item("forward#c1").await["state"], "done");
                let asked = match stage.own_code.requests().len() {
                    1 => "own code was asked once",
                    2 => "own code was asked twice, with the same `webhook-id`",
                    more => panic!("own code was asked {more} times"),
                };
                (
                    "the next run, once a claim has ended (25 s): 200".to_owned(),
                    asked.to_owned(),
                )
            })
        },
    },
    Story {
        name: "replies that follow a passive one",
        program: Program::Worker,
        event: |stage| {
            Box::pin(async {
                stage.follower_writes().await;
                further_replies()
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                let again = ask(function, event).await;
                assert_eq!(again.status, 200, "{again:?}");
                let mut shown = stage.phone().await;
                shown.retain(|item| item["type"] == "custom");
                let texts: HashSet<&str> = shown
                    .iter()
                    .filter_map(|item| item["message"]["content"].as_str())
                    .collect();
                assert_eq!(texts.len(), shown.len(), "a message came twice: {shown:?}");
                let kept = format!("{} of 2 messages, none twice", shown.len());
                ("Lambda's next attempt, after a minute: 200".to_owned(), kept)
            })
        },
    },
    Story {
        name: "a send with an `Idempotency-Key`",
        program: Program::SendTemplate,
        event: |_| Box::pin(async { send(Some("order-1")).into() }),
        after: |stage, function, _| {
            Box::pin(async move {
                let returns = sending::repeat(stage, function).await;
                (returns, sending::kept(stage, function).await)
            })
        },
    },
    Story {
        name: "a send with a `client_msg_id`",
        program: Program::SendTemplate,
        event: |_| Box::pin(async { with_client_msg_id().into() }),
        after: |stage, function, event| {
            Box::pin(async move {
                let again = ask(function, event).await;
                assert_eq!(again.status, 200, "{again:?}");
                ("the same request: 200".to_owned(), sending::kept(stage, function).await)
            })
        },
    },
    Story {
        name: "a run of token-refresher without a token",
        program: Program::TokenRefresher,
        event: |_| Box::pin(async { refresh() }),
        after: |stage, function, event| {
            Box::pin(async move {
                stage.table.end_claims().await;
                let again = ask(function, event).await;
                assert_eq!(again.status, 200, "{again:?}");
                let calls = stage.wechat.calls(TOKEN_PATH).await;
                assert!(calls <= 2, "{calls} calls of WeChat");
                let token = stage.table.item("token").await;
                assert!(
                    token["generation"] == 1 && token.get("lease_expires_at").is_none(),
                    "{token}"
                );
                (
                    "the next run, once a lease has ended (45 s): 200".to_owned(),
                    "one token, no lease".to_owned(),
                )
            })
        },
    },
    Story {
        name: "a run of token-refresher for the first ticket",
        program: Program::TokenRefresher,
        event: |stage| {
            Box::pin(async {
                issue_tickets(stage).await;
                let mut function = stage.serving(Program::TokenRefresher).await;
                let seen = ask(&mut function, &refresh()).await;
                assert_eq!(seen.status, 200, "{seen:?}");
                // The next process is waited for by its first request.
                stage.mend().await;
                ticket()
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                stage.table.end_claims().await;
                let again = ask(function, event).await;
                assert_eq!(again.status, 200, "{again:?}");
                let calls = stage.wechat.calls(TICKET_PATH).await;
                assert!(calls <= 2, "{calls} calls of WeChat");
                let ticket = stage.table.item("ticket").await;
                assert!(
                    ticket["generation"] == 1 && ticket.get("lease_expires_at").is_none(),
                    "{ticket}"
                );
                (
                    "the next run, once a lease has ended (45 s): 200".to_owned(),
                    "one ticket, no lease".to_owned(),
                )
            })
        },
    },
    Story {
        name: "`PUT /api/replies`",
        program: Program::Admin,
        event: |stage| {
            Box::pin(async {
                first(stage, put_replies("old")).await;
                put_replies("new").into()
            })
        },
        after: |_, function, event| {
            Box::pin(async move {
                let again = ask(function, event).await;
                assert_eq!((again.status, &again.body), (200, &replies("new")), "{again:?}");
                (
                    "the same request: 200".to_owned(),
                    "the new rules, and the earlier versions".to_owned(),
                )
            })
        },
    },
    Story {
        name: "`POST /api/menu`",
        program: Program::Admin,
        event: |stage| {
            Box::pin(async {
                first(stage, set_menu("old")).await;
                set_menu("new").into()
            })
        },
        after: |_, function, event| {
            Box::pin(async move {
                assert_eq!(ask(function, event).await.status, 200);
                assert_eq!(menu_name(function).await, "new");
                assert_eq!(kept_menu(function).await, "old", "the old menu is lost");
                (
                    "the same request: 200".to_owned(),
                    "the new menu; the old one to roll back to".to_owned(),
                )
            })
        },
    },
    Story {
        name: "`DELETE /api/menu`",
        program: Program::Admin,
        event: |stage| {
            Box::pin(async {
                first(stage, set_menu("old")).await;
                api("DELETE", "/api/menu").into()
            })
        },
        after: |_, function, event| {
            Box::pin(async move {
                let again = ask(function, event).await;
                assert_eq!(again.status, 200, "{again:?}");
                assert_eq!(menu_name(function).await, "(none)");
                assert_eq!(kept_menu(function).await, "old", "the old menu is lost");
                (
                    "the same request: 200".to_owned(),
                    "no menu; the old one to roll back to".to_owned(),
                )
            })
        },
    },
    Story {
        name: "`POST /api/menu/rollback`",
        program: Program::Admin,
        event: |stage| {
            Box::pin(async {
                first(stage, set_menu("old")).await;
                first(stage, set_menu("new")).await;
                post("/api/menu/rollback", &Value::Null).into()
            })
        },
        after: |stage, function, _| {
            Box::pin(async move {
                (
                    rollback_again(stage, function).await.to_owned(),
                    "both menus".to_owned(),
                )
            })
        },
    },
    Story {
        name: "a link's way back",
        program: Program::Users,
        event: |stage| {
            Box::pin(async {
                let mut function = stage.serving(Program::Users).await;
                users::open_link(stage, &mut function).await
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                let returns = users::bind_again(stage, function, event).await;
                (returns, "the user is bound, once".to_owned())
            })
        },
    },
    Story {
        name: "`POST /api/logins/{login}`",
        program: Program::Users,
        event: |stage| {
            Box::pin(async {
                stage.tie().await;
                users::begin_code(stage).await;
                users::redemption()
            })
        },
        after: |_, function, _| {
            Box::pin(async move {
                let (kept, returns) = users::redeem_again(function, None).await;
                (returns.to_owned(), kept.to_owned())
            })
        },
    },
    Story {
        name: "`POST /api/users`, of two users with one openid",
        program: Program::Users,
        event: |_| {
            Box::pin(async {
                let users = ["u-1", "u-2"].map(|user| json!({"user": user, "openid": FOLLOWER}));
                post("/api/users", &json!({"users": users})).into()
            })
        },
        after: |stage, function, event| {
            Box::pin(async move {
                let before = stage.ties().await;
                assert!(before.len() <= 1, "{before:?}");
                assert_eq!(ask(function, event).await.status, 200);
                assert_eq!(stage.ties().await, ties([("u-2", FOLLOWER)]));
                ("the same request: 200".to_owned(), "the later tie".to_owned())
            })
        },
    },
    Story {
        name: "`DELETE /api/users/{user}`",
        program: Program::Users,
        event: |stage| {
            Box::pin(async {
                stage.tie().await;
                users::record_message(stage, "1").await;
                users::deletion()
            })
        },
        after: |stage, function, _| {
            Box::pin(async move {
                stage.ties().await;
                let returns = users::delete_again(stage, function).await;
                (
                    returns.to_owned(),
                    "the message, without the openid; nothing else".to_owned(),
                )
            })
        },
    },
];

fn further_replies() -> Value {
    let text = |content: &str| json!({"msgtype": "text", "text": {"content": content}});
    json!({"action": "then", "openid": FOLLOWER, "key": "c1", "messages": [text("one"), text("two")], "at": now()})
}

/// Makes a request to another process beforehand.
async fn first(stage: &Stage, event: Request) {
    let mut function = stage.serving(Program::Admin).await;
    let seen = ask(&mut function, &event).await;
    assert_eq!(seen.status, 200, "{seen:?}");
}

fn with_client_msg_id() -> Request {
    let mut message = message();
    message["client_msg_id"] = json!("order-1");
    post("/api/sendTemplateMessage", &message)
}

async fn stage_of(story: Story) -> (Stage, Value) {
    let stage = match story.program {
        Program::TokenRefresher => Stage::without_token().await,
        _ => Stage::new().await,
    };
    let event = (story.event)(&stage).await;
    (stage, event)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed() {
    let mut cases = Vec::new();
    let stories = STORIES.into_iter();
    let stories = stories.map(|story| async move { (story, requests_of(story).await) });
    for (story, requests) in report::run(stories).await {
        for (service, requests) in requests {
            for (index, request) in requests.into_iter().enumerate() {
                for (fault, words) in [
                    (Fault::Freeze, "has received it"),
                    (Fault::WithholdAnswer, "has carried it out"),
                ] {
                    let number = index + 1;
                    let step = match story.is_in_order() {
                        true => format!("{}: no. {number} to {}, {request}", story.name, called(service)),
                        false => format!("{}: a request to {}", story.name, called(service)),
                    };
                    cases.push(kill(story, service, number..=number, step, fault, words));
                }
            }
        }
    }
    report::section(
        report::TITLES[7],
        "The process is killed when a service has received a request of its, and, in another run, when the service has \
         carried it out. The caller hears nothing, and sends the same request again to a process that has just started.",
        report::run(cases).await,
    );
}

/// The requests that the story's process makes to each service when it is not killed.
async fn requests_of(story: Story) -> Vec<(Service, Vec<String>)> {
    let (stage, event) = stage_of(story).await;
    let mut function = stage.serving(story.program).await;
    let seen = ask(&mut function, &event).await;
    assert!((200..300).contains(&seen.status), "{}: {seen:?}", story.name);
    let requests = Service::ALL.map(|service| (service, stage.proxy(service).requests()));
    requests
        .into_iter()
        .filter(|(_, requests)| !requests.is_empty())
        .collect()
}

async fn kill(
    story: Story,
    service: Service,
    which: RangeInclusive<usize>,
    step: String,
    fault: Fault,
    words: &'static str,
) -> Row {
    let (stage, event) = stage_of(story).await;
    let mut function = stage.serving(story.program).await;
    stage.proxy(service).fail(which, fault);
    tokio::select! {
        outcome = function.invoke(&event) => panic!("{step}: it was not held up: {outcome:?}"),
        () = stage.proxy(service).struck() => {}
    }
    function.kill().await;
    drop(function);
    stage.mend().await;
    let mut fresh = stage.serving(story.program).await;
    let (returns, kept) = (story.after)(&stage, &mut fresh, &event).await;
    Row {
        step,
        breaks: format!("the process is killed once {} {words}", called(service)),
        gets: "nothing".to_owned(),
        within: "at once",
        kept,
        returns,
    }
}
