//! `/api/users`: which openid each of the team's users has.

use std::borrow::Cow;

use http::{Response, StatusCode};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, CURSOR, Location, Parameter, Schema},
    response, route,
};
use serde::Serialize;
use serde_json::Value;
use wechat::{
    store::{Person, Replaced, User},
    validate::{Fault, OPENID_LIMIT, Object, Place, Reader, is_user_id, user_id},
};

use crate::{App, transfer};

const BY_PATH: Parameter = Parameter {
    name: "user",
    location: Location::Path,
    description: "The team's id of the user. Ids with / ? # or % do not fit into a path: use the query",
    schema: r#"{"type": "string", "minLength": 1, "maxLength": 128}"#,
};
const BY_QUERY: Parameter = Parameter {
    name: "user",
    location: Location::Query,
    description: "The team's id of the user",
    schema: r#"{"type": "string", "minLength": 1, "maxLength": 128}"#,
};
const BY_OPENID: Parameter = Parameter {
    name: "openid",
    location: Location::Query,
    description: "Finds the user who has this openid",
    schema: r#"{"type": "string"}"#,
};

const DELETE: Operation = Operation {
    id: "deleteUser",
    summary: "Delete a user and what is kept of the person / 删除用户及其数据",
    description: "Unbinds the user, deletes the user's bindings, and removes the openid from the records of messages; a digest of it stays, for totals. An answer other than 204 or 404 may have deleted some of it: repeat the request.",
    parameters: &[BY_PATH],
    answers: &[(204, "Nothing is left", Schema::Empty)],
    failures: &[400, 404],
    ..Operation::NEW
};
const PUT: Operation = Operation {
    id: "putUser",
    summary: "Bind a user to an openid / 绑定用户与 openid",
    description: "The user's former openid and the openid's former user are unbound: see `replaced`.",
    parameters: &[BY_PATH],
    body: Some(Body::required("Person")),
    answers: &[(200, "The user", Schema::Named("User"))],
    failures: &[400, 413],
};
const GET: Operation = Operation {
    id: "getUser",
    summary: "Query a user / 查询用户",
    parameters: &[BY_PATH],
    answers: &[(200, "The user", Schema::Named("User"))],
    failures: &[400, 404],
    ..Operation::NEW
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Users, GET "/api/users/{user}" => get, GET),
    route!(Users, PUT "/api/users/{user}" => put, PUT),
    route!(Users, DELETE "/api/users/{user}" => delete, DELETE),
    route!(Users, GET "/api/users" => find, Operation {
        id: "findUsers",
        summary: "Find a user, or page all / 查找用户或分页列出",
        description: "With user or openid, that user; without, a page of all, as CSV for Accept: text/csv.",
        parameters: &[BY_QUERY, BY_OPENID, CURSOR],
        answers: &[(200, "A user, or a page of users", Schema::OrCsv(&Schema::OneOf(&["User", "UserPage"])))],
        failures: &[400, 404],
        ..Operation::NEW
    }),
    route!(Users, PUT "/api/users" => put, Operation {
        id: "putUserByQuery",
        parameters: &[BY_QUERY],
        ..PUT
    }),
    route!(Users, DELETE "/api/users" => delete, Operation {
        id: "deleteUserByQuery",
        parameters: &[BY_QUERY],
        ..DELETE
    }),
    route!(Users, POST "/api/users" => transfer::import, Operation {
        id: "importUsers",
        summary: "Bind up to 100 users / 批量导入绑定关系",
        description: "Later entries win over earlier ones. Two users with one openid: see `replaced` in the results.",
        body: Some(Body::required("UserImport")),
        answers: &[
            (200, "All are bound", Schema::Named("ImportResults")),
            (207, "Some failed: see `results`", Schema::Named("ImportResults")),
        ],
        failures: &[400, 413],
        ..Operation::NEW
    }),
];

/// A user in the answers.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    pub(crate) user: &'a str,
    pub(crate) openid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unionid: Option<&'a str>,
    pub(crate) followed: Option<bool>,
    pub(crate) bound_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replaced: Option<ShownReplaced<'a>>,
}

/// The ties that a new one ended, in the answers.
#[derive(Serialize)]
pub(crate) struct ShownReplaced<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    openid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

impl<'a> ShownReplaced<'a> {
    pub(crate) fn new(replaced: &'a Replaced) -> Option<Self> {
        (*replaced != Replaced::default()).then_some(Self {
            openid: replaced.openid.as_deref(),
            user: replaced.user.as_deref(),
        })
    }
}

impl<'a> From<&'a User> for Shown<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            user: &user.user,
            openid: &user.openid,
            unionid: user.unionid.as_deref(),
            followed: user.followed,
            bound_at: user.bound_at,
            replaced: None,
        }
    }
}

/// A person in a request.
pub(crate) struct WantedPerson {
    pub(crate) openid: String,
    pub(crate) unionid: Option<String>,
}

impl WantedPerson {
    pub(crate) fn person(&self) -> Person<'_> {
        Person {
            openid: &self.openid,
            unionid: self.unionid.as_deref(),
        }
    }

    /// Reads the members `openid` and `unionid`.
    pub(crate) fn read(reader: &mut Reader, object: &Object<'_, '_>) -> Option<Self> {
        let openid = reader.required_text(object, "openid", str::is_empty);
        let unionid = reader
            .optional_text(object, "unionid")
            .filter(|unionid| !unionid.is_empty());
        for (name, id) in [("openid", openid), ("unionid", unionid)] {
            let is_id = |id: &str| id.len() <= OPENID_LIMIT && id.bytes().all(|byte| byte.is_ascii_graphic());
            if id.is_some_and(|id| !is_id(id)) {
                let place = object.place.member(name);
                reader.fault(
                    &place,
                    "must be an id of WeChat's: at most 128 ASCII characters without spaces / 应为微信的 ID：不超过 128 个 ASCII 字符，不含空格",
                );
            }
        }
        Some(Self {
            openid: openid?.to_owned(),
            unionid: unionid.map(str::to_owned),
        })
    }
}

/// Reads the member `user`.
pub(crate) fn read_user(reader: &mut Reader, object: &Object<'_, '_>) -> Option<String> {
    let place = object.place.member("user");
    match object.get("user") {
        Some(user) => user_id(reader, &place, user).map(str::to_owned),
        None => {
            reader.missing(&place);
            None
        }
    }
}

/// Returns the user that the path or the query names. The gateway hands paths over decoded, so a `%` in one cannot be told from
/// an encoded character.
fn named<'r>(request: &'r ApiRequest<'_>) -> Result<Cow<'r, str>, Problem> {
    let user = match request.parameter("user") {
        "" => request.query("user").unwrap_or_default(),
        user if user.contains('%') => {
            return Err(Problem::bad_request(
                "an id with % does not fit into a path: use /api/users?user= / 含 % 的 id 不能放在路径中，请使用 /api/users?user=",
            )
            .with_field("user"));
        }
        user => Cow::Borrowed(user),
    };
    if is_user_id(&user) {
        Ok(user)
    } else {
        Err(Problem::bad_request(
            "user must be 1 to 128 characters without control characters / user 应为 1 至 128 个字符，且不含控制字符",
        )
        .with_field("user"))
    }
}

fn show(user: Option<&User>) -> Result<Response<String>, Problem> {
    match user {
        Some(user) => Ok(response::json(200, &Shown::from(user))),
        None => Err(Problem::unknown_user()),
    }
}

/// Serves `GET /api/users/{user}`.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    show(app.account.table.user(&named(request)?).await?.as_ref())
}

/// Serves `GET /api/users`.
async fn find(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    match (request.query("user"), request.query("openid"), request.query("cursor")) {
        (Some(_), None, None) => get(app, request).await,
        (None, Some(openid), None) if openid.len() > OPENID_LIMIT => show(None),
        (None, Some(openid), None) => show(app.account.table.user_of(&openid).await?.as_ref()),
        (None, None, _) => transfer::page(app, request).await,
        _ => Err(Problem::bad_request(
            "give one of user, openid and cursor / user、openid、cursor 只能使用其中一个",
        )),
    }
}

/// Serves `PUT /api/users/{user}`.
async fn put(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let user = named(request)?;
    let wanted = read(&request.json()?).map_err(Problem::faulty_request)?;
    let (stored, replaced) = app.account.table.put_user(&user, wanted.person(), app.now()).await?;
    let shown = Shown {
        replaced: ShownReplaced::new(&replaced),
        ..Shown::from(&stored)
    };
    Ok(response::json(200, &shown))
}

fn read(body: &Value) -> Result<WantedPerson, Vec<Fault>> {
    let mut reader = Reader::of_request();
    let object = reader.object_of(Place::Root, body, &["openid", "unionid"]);
    let read = object.and_then(|object| WantedPerson::read(&mut reader, &object));
    reader.finish(read)
}

/// Serves `DELETE /api/users/{user}`. Deletes the user after the user's data, so that a request that failed half-way can be
/// repeated, and then the data that arrived meanwhile. A user who is not bound yet may have open bindings, which must bind
/// nobody any more.
async fn delete(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (user, table) = (named(request)?, &app.account.table);
    let stored = table.user(&user).await?;
    forget(app, request, &user, stored.as_ref()).await?;
    let deleted = table.delete_user(&user).await?.ok_or_else(Problem::unknown_user)?;
    forget(app, request, &user, Some(&deleted)).await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// Deletes the bindings of `user`, and removes the openid of `bound` from the records of messages.
async fn forget(app: &App, request: &ApiRequest<'_>, user: &str, bound: Option<&User>) -> Result<(), Problem> {
    let table = &app.account.table;
    let in_time = || match request.is_late(app.account.clock.now_millis()) {
        false => Ok(()),
        true => Err(Problem::timeout(
            "there is more data of this user than one request can process / 该用户的数据过多，一次请求未能处理完",
        )
        .with_hint("Repeat the request to continue. / 请重复此请求以继续。")),
    };
    if let Some(User { openid, .. }) = bound {
        let mut next = table.forget_messages(openid, None).await?;
        while next.is_some() {
            in_time()?;
            next = table.forget_messages(openid, next.as_ref()).await?;
        }
    }
    while table.delete_bindings(user).await? {
        in_time()?;
    }
    Ok(())
}
