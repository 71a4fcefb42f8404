//! `docs/reliability.md`: what the suite has observed, and the comparison with it.
//!
//! Each section is one test's, so that tests run side by side and a single one can be run or rewritten.

use std::{env, fs, future::Future, sync::Mutex, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use tokio::sync::Semaphore;
use wechat::lock::lock;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reliability.md");
/// Cases that run at the same time, in all tests. With more, the busy machine itself would cause outages.
static ROOM: Semaphore = Semaphore::const_new(10);
static DOCUMENT: Mutex<()> = Mutex::new(());

/// How long a callback may take: WeChat hangs up then.
pub(crate) const WECHAT_WAITS: Duration = Duration::from_secs(5);
/// How long a request to the API may take, from its arrival.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(25);

const PREAMBLE: &str = "\
# What breaks, and what comes of it

Written by the suite in `reliability/`, which runs the built functions and breaks each thing they touch, at each step, by
a proxy before it (`testing::FaultProxy`). `cargo test -p reliability` compares this file with what it observes;
`WRITE_RELIABILITY=1 cargo test -p reliability` writes it anew.

A fault lasts from the step named until it is mended, unless it says *once*. **Within** is a bound that the suite asserts,
not a measurement. **How service returns** is what the same process does once the fault is over, with no help from
anyone. The suite does not wait for the end of claims and leases that a run has left, 4 s of a callback's (17 s at
`worker`), 30 s of a login's, of a campaign's and of a scheduled message's, 35 s of a send's, 45 s of the token's and the
ticket's: it moves their end to now. The kinds of fault:

| a service that … | |
|---|---|
| refuses connections | nobody listens, and the connections that there were are gone |
| resets connections | takes the request, and breaks the connection |
| throttles | `ProvisionedThroughputExceededException` or `ThrottlingException`; AWS Lambda: `TooManyRequestsException` |
| freezes | takes the request, and never answers |
| is slow | answers after 300 ms |
| is very slow | answers after 1.2 s, when the table's client has given up the attempt |
| answers garbage | a page of HTML with status 200 |
| loses its answers | carries the request out, and breaks the connection instead of an answer |

What the rows do not say by themselves:

- **One message.** The simulated WeChat sends one message for one openid and one `client_msg_id` within 10 minutes, as
  WeChat's documentation says. Nobody has checked that on the real platform. Where an attempt's answer was lost, *one
  message* therefore holds as far as WeChat keeps its word: the functions, and the caller's repeat within 9 minutes, send
  the same `client_msg_id` again.
- **Sends without an `Idempotency-Key`.** Nothing is kept of such a request. A caller that hears nothing, because the answer
  is lost or the process was killed, does not learn the `client_msg_id` and cannot repeat it safely.
- **Long outages.** WeChat delivers a callback three times, about 5 s apart, and then never again. With `WORKER_FUNCTION` an
  effect that fails is handed to `worker`, which tries again for up to 14 days. Without it, or when Lambda cannot be reached
  either, what fails three times is lost, and a message whose receipt is lost stays `sent`.
- **Secrets Manager.** The functions of this suite get their secrets from the environment. When Secrets Manager cannot be
  reached, a running function goes on with the values that it read last, and one that starts answers 503 with the cause.
- **Codes that are good once.** WeChat exchanges a code once, and the back end redeems a one-time code once. When the answer
  is lost or the process is killed, the code is spent, and the visitor starts again from the link or the page. A link that
  has bound by then answers 410, and `GET /api/bindings/{binding}` says `bound`.
- **Rollbacks.** `POST /api/menu/rollback` swaps two menus, and here it is sent without `If-Match`: the same request would undo
  it. With the `ETag` of `GET /api/menu` a repeat is refused with 412. `POST /api/replies/rollback` can be repeated.
";

/// One line of a table.
#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) step: String,
    pub(crate) breaks: String,
    pub(crate) gets: String,
    pub(crate) within: &'static str,
    pub(crate) kept: String,
    pub(crate) returns: String,
}

/// Cases of several kinds, in the order of the report. They all share the rooms: while one takes long, others go on.
#[derive(Default)]
pub(crate) struct Cases(Vec<BoxFuture<'static, Row>>);

impl Cases {
    pub(crate) fn add<F>(&mut self, cases: impl IntoIterator<Item = F>)
    where
        F: Future<Output = Row> + Send + 'static,
    {
        self.0.extend(cases.into_iter().map(FutureExt::boxed));
    }

    pub(crate) async fn run(self) -> Vec<Row> {
        run(self.0).await
    }
}

/// Runs the cases side by side. All of them run to their end, and the test fails when any has failed.
pub(crate) async fn run<T, F>(cases: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let cases = cases.into_iter().map(|case| async move {
        let _room = ROOM.acquire().await;
        tokio::spawn(case).await
    });
    let outcomes = join_all(cases).await;
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!(failed, 0, "so many cases failed; what each says stands above");
    outcomes.into_iter().filter_map(Result::ok).collect()
}

/// Compares a section of the document with `rows`, or writes it. Cases with the same outcome share a line.
pub(crate) fn section(title: &str, introduction: &str, rows: Vec<Row>) {
    let mut lines: Vec<Row> = Vec::new();
    for row in rows {
        let same = lines.iter_mut().find(|line| {
            (&line.step, &line.gets, line.within, &line.kept, &line.returns)
                == (&row.step, &row.gets, row.within, &row.kept, &row.returns)
        });
        match same {
            Some(line) if line.breaks.split("; ").any(|breaks| breaks == row.breaks) => {}
            Some(line) => line.breaks = format!("{}; {}", line.breaks, row.breaks),
            None => lines.push(row),
        }
    }
    let mut text = format!(
        "{introduction}\n\n| at | what breaks | the caller gets | within | what is kept | how service returns |\n\
         |---|---|---|---|---|---|\n"
    );
    for line in lines {
        let Row {
            step,
            breaks,
            gets,
            within,
            kept,
            returns,
        } = line;
        text += &format!("| {step} | {breaks} | {gets} | {within} | {kept} | {returns} |\n");
    }
    compare(title, &text);
}

fn compare(title: &str, text: &str) {
    let _one_at_a_time = lock(&DOCUMENT);
    let stored = fs::read_to_string(FILE).unwrap_or_default();
    let sections = sections_of(&stored);
    if env::var_os("WRITE_RELIABILITY").is_some() {
        let mut sections: Vec<(String, String)> = sections
            .into_iter()
            .filter(|(stored, _)| *stored != title && TITLES.contains(stored))
            .map(|(title, text)| (title.to_owned(), text.to_owned()))
            .collect();
        sections.push((title.to_owned(), text.to_owned()));
        sections.sort_by_key(|(title, _)| TITLES.iter().position(|known| known == title));
        let sections: Vec<String> = sections
            .iter()
            .map(|(title, text)| format!("\n## {title}\n\n{}\n", text.trim()))
            .collect();
        fs::write(FILE, format!("{PREAMBLE}{}", sections.concat())).unwrap();
        return;
    }
    let stored = sections.iter().find(|(stored, _)| *stored == title);
    let stored = stored.map_or("", |(_, text)| text.trim());
    let (old, new): (Vec<&str>, Vec<&str>) = (stored.lines().collect(), text.trim().lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line));
    let come = new.iter().filter(|line| !old.contains(line));
    let difference: Vec<String> = gone
        .map(|line| format!("- {line}"))
        .chain(come.map(|line| format!("+ {line}")))
        .collect();
    assert!(
        old == new,
        "docs/reliability.md, section \"{title}\", says something else; WRITE_RELIABILITY=1 writes it anew:\n{}",
        difference.join("\n")
    );
}

/// The sections, in their order.
pub(crate) const TITLES: [&str; 15] = [
    "Callbacks, when the table or the event bus breaks",
    "Sending, when the table breaks",
    "Sending, when WeChat breaks",
    "Sending, when the token is gone and the refresher breaks",
    "Refreshing the token",
    "Menu, replies and doctor",
    "Who an openid is",
    "A process that is killed",
    "A clock that is an hour off",
    "Malformed events",
    "Outages longer than WeChat's three deliveries",
    "Sending without an Idempotency-Key",
    "Callbacks, when own code breaks",
    "Campaigns",
    "Programs behind the relay",
];

fn sections_of(document: &str) -> Vec<(&str, &str)> {
    let sections = document.split("\n## ").skip(1);
    sections.filter_map(|section| section.split_once('\n')).collect()
}

#[test]
fn the_document_has_each_section_once_and_nothing_else() {
    if env::var_os("WRITE_RELIABILITY").is_some() {
        return;
    }
    let document = fs::read_to_string(FILE).unwrap();
    assert!(document.starts_with(PREAMBLE));
    let titles: Vec<&str> = sections_of(&document).into_iter().map(|(title, _)| title).collect();
    assert_eq!(titles, TITLES);
}
