//! Import and export of bindings: a list of users comes in, pages of all users go out, as JSON or CSV.

use std::{collections::HashSet, fmt::Write as _};

use futures_util::{StreamExt, stream};
use http::{Response, header};
use http_api::{
    ApiRequest, Problem,
    response::{self, csv_cell},
};
use serde::Serialize;
use serde_json::Value;
use wechat::{
    store::{List, Page, Replaced, USERS_LIMIT, User},
    validate::{Fault, Place, Reader},
};

use crate::{
    App,
    users::{Shown, ShownReplaced, WantedPerson, read_user},
};

/// Changes in flight at the same time, when no two of them are about the same user or openid.
const CONCURRENT_CHANGES: usize = 10;

struct Entry {
    user: String,
    person: WantedPerson,
}

/// The result for one entry.
#[derive(Serialize)]
struct ImportResult<'a> {
    /// As given, if it is a text.
    user: Option<&'a str>,
    openid: Option<&'a str>,
    /// 200. Absent for a failure, which has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<ShownReplaced<'a>>,
    #[serde(flatten)]
    problem: Option<&'a Problem>,
}

#[derive(Serialize)]
struct ImportResults<'a> {
    results: Vec<ImportResult<'a>>,
}

/// Serves `POST /api/users`. A faulty entry fails alone.
pub(crate) async fn import(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let body = request.json()?;
    let values = read(&body).map_err(Problem::faulty_request)?;
    let entries: Vec<_> = values
        .iter()
        .map(|value| read_entry(value).map_err(Problem::faulty_request))
        .collect();
    let now = app.now();
    // One after the other if entries overlap, so that later entries win.
    let at_once = if are_apart(&entries) { CONCURRENT_CHANGES } else { 1 };
    let changes = entries.into_iter().map(|entry| async move {
        let Entry { user, person } = entry?;
        if request.is_late(app.account.clock.now_millis()) {
            return Err(Problem::timeout(
                "there was no time left for this entry / 处理该条目前已超时",
            ));
        }
        let (_, replaced) = app.account.table.put_user(&user, person.person(), now).await?;
        Ok(replaced)
    });
    let changes: Vec<_> = changes.collect();
    let outcomes: Vec<Result<Replaced, Problem>> = stream::iter(changes).buffered(at_once).collect().await;
    let all_bound = outcomes.iter().all(Result::is_ok);
    let results = values.iter().zip(&outcomes).map(|(value, outcome)| ImportResult {
        user: value["user"].as_str(),
        openid: value["openid"].as_str(),
        status: outcome.is_ok().then_some(200),
        replaced: outcome.as_ref().ok().and_then(ShownReplaced::new),
        problem: outcome.as_ref().err(),
    });
    let results = ImportResults {
        results: results.collect(),
    };
    Ok(response::json(if all_bound { 200 } else { 207 }, &results))
}

/// Whether no two entries are about the same user or openid.
fn are_apart(entries: &[Result<Entry, Problem>]) -> bool {
    let (mut users, mut openids) = (HashSet::new(), HashSet::new());
    let mut entries = entries.iter().flatten();
    entries.all(|entry| users.insert(&entry.user) && openids.insert(&entry.person.openid))
}

/// Reads the list of entries, each an object.
fn read(body: &Value) -> Result<&[Value], Vec<Fault>> {
    let mut reader = Reader::of_request();
    let object = reader.object_of(Place::Root, body, &["users"]);
    let list = object.and_then(|object| {
        let place = object.place.member("users");
        let Some(list) = object.get("users") else {
            reader.missing(&place);
            return None;
        };
        let list = reader.list_of(&place, list, 1..=USERS_LIMIT)?;
        for (index, entry) in list.iter().enumerate() {
            reader.object(place.element(index), entry);
        }
        Some(list)
    });
    reader.finish(list)
}

fn read_entry(value: &Value) -> Result<Entry, Vec<Fault>> {
    let mut reader = Reader::of_request();
    let entry = reader.object_of(Place::Root, value, &["user", "openid", "unionid"]);
    let entry = entry.and_then(|entry| {
        let user = read_user(&mut reader, &entry);
        let person = WantedPerson::read(&mut reader, &entry);
        Some(Entry {
            user: user?,
            person: person?,
        })
    });
    reader.finish(entry)
}

#[derive(Serialize)]
struct UserPage<'a> {
    users: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

/// Answers a page of all users: CSV for `Accept: text/csv`, with the next page in the header `Link`; else JSON.
pub(crate) async fn page(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let table = &app.account.table;
    let after = request.cursor(|cursor| table.parse_cursor(List::Users, cursor))?;
    let Page { entries, next } = table.page_of_users(after.as_ref()).await?;
    let next = next.map(|next| table.cursor_text(List::Users, &next));
    if !request.names_media_type(header::ACCEPT, "text/csv") {
        let page = UserPage {
            users: entries.iter().map(Shown::from).collect(),
            cursor: next.as_deref(),
        };
        return Ok(response::json(200, &page));
    }
    let next = next.map(|next| format!("/api/users?cursor={next}"));
    Ok(response::csv(csv(&entries), next.as_deref()))
}

/// Writes users as CSV (RFC 4180).
/// See [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180).
fn csv(users: &[User]) -> String {
    let mut text = "user,openid,unionid,followed,bound_at\r\n".to_owned();
    for user in users {
        let followed = match user.followed {
            Some(true) => "true",
            Some(false) => "false",
            None => "",
        };
        let (id, unionid) = (
            csv_cell(&user.user),
            csv_cell(user.unionid.as_deref().unwrap_or_default()),
        );
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "{id},{},{unionid},{followed},{}\r\n",
            csv_cell(&user.openid),
            user.bound_at
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_it_must() {
        let user = User {
            user: "张三, \"VIP\"".to_owned(),
            openid: "o1".to_owned(),
            unionid: None,
            followed: Some(false),
            bound_at: 1_767_225_600,
        };
        let text = csv(&[user]);
        assert_eq!(
            text,
            "user,openid,unionid,followed,bound_at\r\n\"张三, \"\"VIP\"\"\",o1,,false,1767225600\r\n"
        );
    }
}
