//! The token source of the senders: memory, table, refresher, and the replacement of a token that WeChat refuses.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testing::{ManualClock, TABLE_NAME, account::APP_ID};
use wechat::{
    api::{ApiError, Rejection, calls::management::GetCallbackAddresses},
    clock::{Clock, Deadline},
    digest::sha256_hex,
    jssdk::TicketSource,
    secret::Secret,
    store::Table,
    token::{Action, CallError, CallFailure, RefreshPort, RefreshRequestError, TokenError, TokenSource},
};

use super::WeChat;

/// A table with a clock, and a source of tokens over it.
struct Bench {
    embedded: testing::Table,
    clock: Arc<ManualClock>,
    refresher: Arc<Scripted>,
    source: TokenSource,
}

/// A refresher that follows its script and fails when the script is empty.
#[derive(Debug)]
struct Scripted {
    table: testing::Table,
    expires_at: i64,
    script: Mutex<Vec<Run>>,
    asked: Mutex<Vec<Action>>,
}

#[derive(Clone, Debug)]
enum Run {
    Stores(String),
    Fails(RefreshRequestError),
    /// Reports success without storing a token.
    Lies,
}

impl RefreshPort for Scripted {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        _: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Value, RefreshRequestError>> + Send + 'a>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(action.clone());
            tokio::time::sleep(Duration::from_millis(50)).await;
            let next = self.script.lock().unwrap().pop();
            match next.unwrap_or(Run::Fails(RefreshRequestError::Timeout)) {
                Run::Stores(token) => {
                    put(&self.table, &token, self.expires_at).await;
                    Ok(Value::Null)
                }
                Run::Fails(error) => Err(error),
                Run::Lies => Ok(Value::Null),
            }
        })
    }
}

/// Writes what another program would: the token and its end, no more.
async fn put(table: &testing::Table, token: &str, expires_at: i64) {
    let token = json!({"access_token": token, "expires_at": expires_at});
    table.set("token", &token).await;
}

impl Bench {
    async fn new(script: impl IntoIterator<Item = Run>) -> Self {
        let embedded = testing::Table::start().await;
        let clock = ManualClock::new();
        let mut script: Vec<Run> = script.into_iter().collect();
        script.reverse();
        let refresher = Arc::new(Scripted {
            table: embedded.clone(),
            expires_at: clock.now() + 7_200,
            script: Mutex::new(script),
            asked: Mutex::default(),
        });
        let table = Table::new(embedded.client(), TABLE_NAME, APP_ID);
        let source = TokenSource::new(&table, refresher.clone(), clock.clone());
        Self {
            embedded,
            clock,
            refresher,
            source,
        }
    }

    /// Stores a token that lives `life` seconds.
    async fn put(&self, token: &str, life: i64) {
        put(&self.embedded, token, self.clock.now() + life).await;
    }

    /// Makes a call for which WeChat refuses the token `dead`, and returns the token with which it succeeds.
    async fn call(&self, dead: &str) -> Result<String, CallError> {
        self.counted_call(dead, &AtomicUsize::new(0)).await
    }

    async fn counted_call(&self, dead: &str, calls: &AtomicUsize) -> Result<String, CallError> {
        let call = |token: Secret, _| async move {
            calls.fetch_add(1, Ordering::SeqCst);
            if token.expose() == dead {
                Err(refused(42001))
            } else {
                Ok(token.expose().to_owned())
            }
        };
        self.source.call(Deadline::NONE, call).await
    }

    fn asked(&self) -> Vec<Action> {
        self.refresher.asked.lock().unwrap().clone()
    }
}

fn refused(errcode: i64) -> ApiError {
    ApiError::Rejected {
        calls: 1,
        after_ambiguous: false,
        operation: "/cgi-bin/x",
        rejection: Rejection {
            errcode,
            errmsg: "no".to_owned(),
            at_token_endpoint: false,
        },
    }
}

#[tokio::test]
async fn a_token_is_kept_in_memory_until_a_minute_before_its_end() {
    let bench = Bench::new([]).await;
    bench.put("first", 100).await;
    assert_eq!(bench.call("").await.unwrap(), "first");
    bench.put("second", 7_200).await;
    bench.clock.advance(39);
    assert_eq!(bench.call("").await.unwrap(), "first");
    bench.clock.advance(1);
    assert_eq!(bench.call("").await.unwrap(), "second");
    assert_eq!(bench.asked(), []);
}

#[tokio::test]
async fn warming_reads_the_token_ahead() {
    let bench = Bench::new([]).await;
    bench.put("first", 7_200).await;
    bench.source.warm().await;
    bench.put("second", 7_200).await;
    assert_eq!(bench.call("").await.unwrap(), "first");
}

#[tokio::test]
async fn without_a_living_token_the_refresher_runs() {
    for life in [None, Some(0), Some(-5)] {
        let bench = Bench::new([Run::Stores("new".to_owned())]).await;
        if let Some(life) = life {
            bench.put("ended", life).await;
        }
        assert_eq!(bench.call("ended").await.unwrap(), "new");
        assert_eq!(bench.asked(), [Action::Refresh]);
    }
}

#[tokio::test]
async fn a_refused_token_that_was_replaced_meanwhile_costs_no_run() {
    let bench = Bench::new([]).await;
    bench.put("dead", 7_200).await;
    bench.source.warm().await;
    bench.put("new", 7_200).await;
    let calls = AtomicUsize::new(0);
    assert_eq!(bench.counted_call("dead", &calls).await.unwrap(), "new");
    assert_eq!((bench.asked(), calls.into_inner()), (vec![], 2));
}

#[tokio::test]
async fn five_senders_with_one_dead_token_cause_one_replacement() {
    let bench = Bench::new([Run::Stores("new".to_owned())]).await;
    bench.put("dead", 7_200).await;
    let calls = AtomicUsize::new(0);
    let sends = join_all((0..5).map(|_| bench.counted_call("dead", &calls))).await;
    assert!(sends.iter().all(|sent| sent.as_ref().unwrap() == "new"), "{sends:?}");
    let replace = Action::Replace {
        stale_token_sha256: sha256_hex(b"dead"),
    };
    assert_eq!(bench.asked(), [replace]);
    // Five senders wait for one replacement: each fails at most once and then succeeds.
    assert!((6..=10).contains(&calls.into_inner()));
}

#[tokio::test]
async fn senders_that_wait_for_a_failing_refresher_do_not_each_run_it() {
    let failed = || {
        let message = "IP 198.51.100.7".to_owned();
        Run::Fails(RefreshRequestError::Failed {
            errcode: Some(40164),
            message,
        })
    };
    let bench = Bench::new([failed(), Run::Stores("new".to_owned())]).await;
    let sends = join_all((0..20).map(|_| bench.call(""))).await;
    for sent in sends {
        let error = sent.unwrap_err().to_string();
        assert!(error.contains("198.51.100.7"), "{error}");
    }
    assert_eq!(bench.asked().len(), 1);
    // A later request retries.
    assert_eq!(bench.call("").await.unwrap(), "new");
}

#[tokio::test]
async fn a_token_that_is_refused_after_its_replacement_too_ends_the_request() {
    for errcode in [40001, 40014, 42001] {
        let bench = Bench::new([Run::Stores("new".to_owned())]).await;
        bench.put("dead", 7_200).await;
        let calls = AtomicUsize::new(0);
        let refuse = |_, _| {
            calls.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Err::<(), _>(refused(errcode)))
        };
        let error = bench.source.call(Deadline::NONE, refuse).await.unwrap_err();
        assert!(matches!(error.cause, CallFailure::Api(error) if error.errcode() == Some(errcode)));
        assert_eq!((bench.asked().len(), calls.into_inner()), (1, 2));
    }
}

#[tokio::test]
async fn another_errcode_replaces_no_token() {
    for errcode in [-1, 40003, 40164, 41001, 45009, 48012] {
        let bench = Bench::new([]).await;
        bench.put("good", 7_200).await;
        let refuse = |_, _| std::future::ready(Err::<(), _>(refused(errcode)));
        bench.source.call(Deadline::NONE, refuse).await.unwrap_err();
        assert_eq!(bench.asked(), [], "{errcode}");
    }
}

#[tokio::test]
async fn a_request_makes_three_business_calls_at_most() {
    const PATH: &str = "/cgi-bin/getcallbackip";
    let wechat = WeChat::start().await;
    let dead = wechat.issue(false).await;
    let fresh = wechat.issue(true).await;
    let bench = Bench::new([Run::Stores(fresh.expose().to_owned())]).await;
    bench.put(dead.expose(), 7_200).await;
    wechat.control("faults", &json!({"path": PATH, "errcode": -1})).await;
    wechat
        .control("faults", &json!({"path": PATH, "errcode": 40001, "times": 50}))
        .await;
    let client = &wechat.client;
    let call = |token, attempts| async move {
        client
            .call(&GetCallbackAddresses, &token, attempts, Deadline::NONE)
            .await
    };
    let error = bench.source.call(Deadline::NONE, call).await.unwrap_err();
    assert!(matches!(error.cause, CallFailure::Api(error) if error.errcode() == Some(40001)));
    assert_eq!(wechat.calls(PATH).await, 3);
}

/// The attempts before and after the replacement of the token count together, also their possible effects.
#[tokio::test]
async fn a_refusal_after_the_replacement_does_not_hide_what_an_earlier_call_may_have_done() {
    const PATH: &str = "/cgi-bin/getcallbackip";
    for (errcodes, calls, may_have_landed) in [
        (vec![40001, -1, 40001, 40001], 3, true),
        (vec![-1, 40001, 45009, 45009], 3, true),
        (vec![40001, 45009, 45009], 2, false),
        (vec![40001, -1, -1, -1], 3, true),
    ] {
        let wechat = WeChat::start().await;
        let dead = wechat.issue(false).await;
        let fresh = wechat.issue(true).await;
        let bench = Bench::new([Run::Stores(fresh.expose().to_owned())]).await;
        bench.put(dead.expose(), 7_200).await;
        for errcode in &errcodes {
            wechat
                .control("faults", &json!({"path": PATH, "errcode": errcode}))
                .await;
        }
        let client = &wechat.client;
        let call = |token, attempts| async move {
            client
                .call(&GetCallbackAddresses, &token, attempts, Deadline::NONE)
                .await
        };
        let error = bench.source.call(Deadline::NONE, call).await.unwrap_err();
        assert_eq!(wechat.calls(PATH).await, calls, "{errcodes:?}");
        assert_eq!(error.may_have_landed, may_have_landed, "{errcodes:?}");
    }
    let bench = Bench::new([]).await;
    bench.put("dead", 7_200).await;
    let dead_after_ambiguous = |_, _| {
        let mut error = refused(42001);
        if let ApiError::Rejected { after_ambiguous, .. } = &mut error {
            *after_ambiguous = true;
        }
        std::future::ready(Err::<(), _>(error))
    };
    let error = bench
        .source
        .call(Deadline::NONE, dead_after_ambiguous)
        .await
        .unwrap_err();
    assert!(
        matches!(error.cause, CallFailure::Token(_)) && error.may_have_landed,
        "{error:?}"
    );
}

/// A send in flight when the search for a new token fails shares that failure and does not search again.
#[tokio::test]
async fn a_hundred_sends_with_one_dead_token_ask_a_failing_refresher_once() {
    let bench = Bench::new([
        Run::Fails(RefreshRequestError::Throttled),
        Run::Stores("new".to_owned()),
    ])
    .await;
    bench.put("dead", 7_200).await;
    bench.source.warm().await;
    let sends = join_all((0..100).map(|number| {
        let source = &bench.source;
        // The refresher fails after 50 ms, before some of WeChat's answers arrive.
        let call = move |_: Secret, _| async move {
            tokio::time::sleep(Duration::from_millis(2 * number)).await;
            Err::<(), _>(refused(40001))
        };
        source.call(Deadline::NONE, call)
    }));
    for sent in sends.await {
        assert!(sent.unwrap_err().to_string().contains("throttles"));
    }
    assert_eq!(bench.asked().len(), 1);
    // A later request asks the refresher again.
    assert_eq!(bench.call("dead").await.unwrap(), "new");
}

#[tokio::test]
async fn a_failed_run_is_reported_in_wechats_own_words() {
    let failed = RefreshRequestError::Failed {
        errcode: Some(40164),
        message: "the whole story".to_owned(),
    };
    let bench = Bench::new([Run::Fails(failed), Run::Fails(RefreshRequestError::Timeout), Run::Lies]).await;
    let failure = json!({
        "failed_at": bench.clock.now(),
        "failed_owner": "run",
        "failed_errcode": 40164,
        "failed_message": "invalid ip 198.51.100.7 rid: 1-2-3",
    });
    bench.embedded.set("token", &failure).await;
    let error = bench.source.token(Deadline::NONE).await.unwrap_err();
    assert!(matches!(&error, TokenError::Refused(rejection) if rejection.errcode == 40164));
    let words = error.to_string();
    assert!(words.contains("198.51.100.7") && words.contains("IP白名单"), "{words}");
    assert!(
        !words.contains("rid"),
        "WeChat shows the call to anyone who knows it: {words}"
    );

    // An old failure must not be reported as the reason for a new timeout.
    let error = bench.source.token(Deadline::NONE).await.unwrap_err();
    assert!(
        matches!(error, TokenError::Request(RefreshRequestError::Timeout)),
        "{error}"
    );

    let error = bench.source.token(Deadline::NONE).await.unwrap_err();
    assert!(matches!(error, TokenError::Missing), "{error}");
}

/// The ticket source shares the cache of the token source, whose other rules are tested above.
#[tokio::test]
async fn a_ticket_comes_from_memory_else_from_the_table_else_from_a_run() {
    let bench = Bench::new([Run::Lies]).await;
    let table = Table::new(bench.embedded.client(), TABLE_NAME, APP_ID);
    let source = TicketSource::new(&table, bench.refresher.clone(), bench.clock.clone());
    bench.put("token", 7_200).await;
    let asked = (0..8).map(|_| source.ticket(Deadline::NONE));
    for outcome in join_all(asked).await {
        let error = outcome.unwrap_err();
        assert!(matches!(error.0, TokenError::Missing), "{error}");
    }
    assert_eq!(bench.asked(), [Action::Ticket], "they share one search");

    let put = async |ticket: &str, life: i64| {
        let item = json!({"ticket": ticket, "expires_at": bench.clock.now() + life});
        bench.embedded.set("ticket", &item).await;
    };
    put("first", 100).await;
    for after in [0, 39] {
        bench.clock.advance(after);
        assert_eq!(source.ticket(Deadline::NONE).await.unwrap().value.expose(), "first");
        put("second", 7_200).await;
    }
    bench.clock.advance(1);
    assert_eq!(source.ticket(Deadline::NONE).await.unwrap().value.expose(), "second");
    assert_eq!(bench.asked(), [Action::Ticket]);
}
