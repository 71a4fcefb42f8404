//! Tables of routes: the methods and paths that a function serves. An unknown path is 404, an unknown method 405, an unknown
//! query parameter 400.

use std::{borrow::Cow, fmt, pin::Pin, time::Duration};

use http::{HeaderMap, HeaderName, Method, Response};
use serde_json::Value;
use wechat::{clock::Deadline, validate::did_you_mean};

use crate::{
    Caller, Jwt, Problem, Request, Scope,
    openapi::{CURSOR, Operation},
};

/// Bytes. The limit of a request's body.
pub const BODY_LIMIT: usize = 256 * 1024;

/// How many segments of an unknown path are logged, the empty one before the first slash included.
const LOGGED_SEGMENTS: usize = 6;

/// The future of a handler.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<String>, Problem>> + Send + 'a>>;

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: callers need no key.
    Open,
    /// One of these scopes.
    Scopes(&'static [Scope]),
}

/// One method of one path, with its handler and its description. Created by [`route!`](crate::route).
#[derive(Debug)]
pub struct Route<A: 'static> {
    /// The HTTP method.
    pub method: Method,
    /// The path. A segment in braces is a parameter: `/api/messages/{msgid}`.
    pub path: &'static str,
    /// What the route needs of its caller.
    pub access: Access,
    /// Answers a request of an authorized caller.
    pub handler: for<'a> fn(&'a A, &'a ApiRequest<'a>) -> Answer<'a>,
    /// The description in `openapi.json`. Its query parameters are the only ones that the route accepts.
    pub operation: Operation,
}

/// Creates a [`Route`]: `route!(Menu, GET "/api/menu" => get, Operation { … })`, where `get` is an async function of the state
/// and an [`ApiRequest`]. Callers need the [`Scope`] `Menu`, or one of `Send | Campaigns`; callers of `route!(open, GET …)` need
/// no key.
#[macro_export]
macro_rules! route {
    (open, $($route:tt)+) => {
        $crate::route!(@ $crate::Access::Open, $($route)+)
    };
    ($($scope:ident)|+, $($route:tt)+) => {
        $crate::route!(@ $crate::Access::Scopes(&[$($crate::Scope::$scope),+]), $($route)+)
    };
    (@ $access:expr, $method:ident $path:expr => $handler:path, $operation:expr $(,)?) => {
        $crate::Route {
            method: ::http::Method::$method,
            path: $path,
            access: $access,
            handler: |app, request| ::std::boxed::Box::pin($handler(app, request)),
            operation: $operation,
        }
    };
}

/// A request of an authorized caller to a known route.
#[derive(Debug)]
pub struct ApiRequest<'a> {
    request: &'a Request,
    caller: Caller,
    deadline: Deadline,
    parameters: Parameters<'a>,
}

type Parameters<'a> = Vec<(&'static str, &'a str)>;

impl<'a> ApiRequest<'a> {
    pub(crate) fn new(request: &'a Request, caller: Caller, deadline: Deadline, parameters: Parameters<'a>) -> Self {
        Self {
            request,
            caller,
            deadline,
            parameters,
        }
    }

    /// Returns the HTTP method: `HEAD` for a request that the route of `GET` answers without a body.
    #[must_use]
    pub const fn method(&self) -> &Method {
        self.request.method()
    }

    /// Returns the value of a cookie.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.request.cookie(name)
    }

    /// Whether the request's time is over at `now_millis`.
    #[must_use]
    pub fn is_late(&self, now_millis: i64) -> bool {
        self.deadline
            .budget(now_millis, Duration::MAX, Duration::ZERO)
            .is_zero()
    }

    /// Returns the caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the JWT that the gateway's authorizer accepted.
    #[must_use]
    pub fn jwt(&self) -> Option<Jwt> {
        self.request.jwt()
    }

    /// Returns the request's deadline.
    #[must_use]
    pub const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// Returns the first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.request.query_value(name)
    }

    /// Reads the query parameter `cursor`, which names the next page of a list. `None` for the first page, also when the
    /// parameter is empty.
    ///
    /// # Errors
    /// [`Problem`] 400 when no earlier page returned the cursor.
    pub fn cursor<C, E: fmt::Display>(&self, parse: impl FnOnce(&str) -> Result<C, E>) -> Result<Option<C>, Problem> {
        const NAME: &str = CURSOR.name;
        let cursor = self.query(NAME).filter(|cursor| !cursor.is_empty());
        let parsed = cursor.map(|cursor| parse(&cursor)).transpose();
        parsed.map_err(|error| Problem::bad_request(error.to_string()).with_field(NAME))
    }

    /// Returns the path's segment at `{name}`. Empty when the route has no such parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Parses the body as JSON.
    ///
    /// # Errors
    /// [`Problem`] 413 when it has more than [`BODY_LIMIT`] bytes, 400 when it is not JSON in UTF-8.
    pub fn json(&self) -> Result<Value, Problem> {
        json(self.request.body())
    }

    /// Returns the body as text.
    ///
    /// # Errors
    /// [`Problem`] 413 when it has more than [`BODY_LIMIT`] bytes, 400 when it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, Problem> {
        text(self.request.body())
    }

    /// Whether the header `name` names the media type `media_type`, with or without parameters.
    #[must_use]
    pub fn names_media_type(&self, name: HeaderName, media_type: &str) -> bool {
        let value = self.headers().get(name).and_then(|value| value.to_str().ok());
        let named = value.unwrap_or_default().split(',');
        named
            .filter_map(|named| named.split(';').next())
            .any(|named| named.trim().eq_ignore_ascii_case(media_type))
    }

    /// Parses the body as JSON. An empty body is null.
    ///
    /// # Errors
    /// As [`ApiRequest::json`].
    pub fn optional_json(&self) -> Result<Value, Problem> {
        if self.request.body().is_empty() {
            Ok(Value::Null)
        } else {
            self.json()
        }
    }
}

fn text(body: &[u8]) -> Result<&str, Problem> {
    if body.len() > BODY_LIMIT {
        return Err(Problem::too_large(BODY_LIMIT));
    }
    str::from_utf8(body).map_err(|_| {
        Problem::bad_request(
            "the body is not UTF-8; Excel saves it as \"CSV UTF-8\" / 请求体须为 UTF-8 编码；Excel 请另存为“CSV UTF-8”",
        )
    })
}

fn json(body: &[u8]) -> Result<Value, Problem> {
    let body = text(body)?;
    serde_json::from_str(body).map_err(|error| Problem::bad_request(not_json(body, &error)))
}

/// Explains why `body` is not JSON, with the usual mistakes by name.
fn not_json(body: &str, error: &serde_json::Error) -> String {
    let is_form = || body.split('&').all(|pair| pair.contains('=')) && !body.contains(['{', '[', '"']);
    if body.is_empty() {
        "the body is empty: send JSON / 请求体为空，应为 JSON".to_owned()
    } else if body.starts_with('\u{feff}') {
        "the body begins with a byte order mark: send UTF-8 without one / 请求体以 BOM 开头，应为不带 BOM 的 UTF-8"
            .to_owned()
    } else if is_form() {
        "the body is a form: send JSON, with the header Content-Type: application/json \
         / 请求体是表单，应为 JSON，并携带 Content-Type: application/json"
            .to_owned()
    } else {
        format!("the body is not JSON: {error} / 请求体不是合法的 JSON：{error}")
    }
}

/// Whether a route of `tables` has this path, with any method.
#[must_use]
pub fn is_served<A>(tables: &[&[Route<A>]], path: &str) -> bool {
    of_path(tables, path).next().is_some()
}

/// Returns the routes of a path, with the values of their parameters. A slash at its end is ignored, except behind a parameter: there
/// it belongs to the value, since gateways hand paths over decoded.
fn of_path<'t, 'p, A>(
    tables: &'t [&'t [Route<A>]],
    path: &'p str,
) -> impl Iterator<Item = (&'t Route<A>, Parameters<'p>)> {
    let routes = tables.iter().copied().flatten();
    routes.filter_map(move |route| {
        let ends_in_parameter = route.path.ends_with('}');
        let path = if ends_in_parameter {
            path
        } else {
            path.strip_suffix('/').unwrap_or(path)
        };
        Some((route, parameters(route.path, path)?))
    })
}

/// Bytes. The table's keys have room for 2,048, and no id of ours has more: 128 characters.
const LONGEST_PARAMETER: usize = 512;

/// Returns the values of the parameters of `pattern` if it matches `path`.
fn parameters<'p>(pattern: &'static str, path: &'p str) -> Option<Parameters<'p>> {
    let mut parameters = Vec::new();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let found = segments.next()?;
        match segment(expected, found)? {
            ("", _) => {}
            // A user's id is the team's own: its handlers say what is wrong with it.
            (name, value) if name != "user" && value.len() > LONGEST_PARAMETER => return None,
            parameter => parameters.push(parameter),
        }
    }
    segments.next().is_none().then_some(parameters)
}

/// Returns the name and the value of the parameter of a segment, which may have text around it. Both are empty when the
/// segment has none. `None` when the segment does not match.
fn segment<'p>(expected: &'static str, found: &'p str) -> Option<(&'static str, &'p str)> {
    let Some((before, rest)) = expected.split_once('{') else {
        return (expected == found).then_some(("", ""));
    };
    let (name, after) = rest.split_once('}')?;
    let value = found.strip_prefix(before)?.strip_suffix(after)?;
    (!value.is_empty()).then_some((name, value))
}

/// Finds the route of `request`. A fixed path wins over one with a parameter. `HEAD` uses the route of `GET`.
pub(crate) fn find<'t, 'r, A>(
    tables: &'t [&'t [Route<A>]],
    request: &'r Request,
) -> Option<(&'t Route<A>, Parameters<'r>)> {
    let method = match *request.method() {
        Method::HEAD => &Method::GET,
        ref method => method,
    };
    of_path(tables, request.path())
        .filter(|(route, _)| route.method == *method)
        .min_by_key(|(_, parameters)| parameters.len())
}

/// Returns the path of the routes that have this path, with parameters in braces.
pub(crate) fn pattern<A>(tables: &[&[Route<A>]], path: &str) -> Option<&'static str> {
    let routes = of_path(tables, path);
    let (route, _) = routes.min_by_key(|(_, parameters)| parameters.len())?;
    Some(route.path)
}

/// Returns an unknown path for the log: its first segments. A segment that occurs in no path of `known` becomes `*`, because
/// it may be an id or a code in a misspelt path.
pub(crate) fn redacted(known: &[String], path: &str) -> String {
    let is_known = |segment: &str| known.iter().any(|path| path.split('/').any(|known| known == segment));
    let segments = path.split('/').take(LOGGED_SEGMENTS);
    let segments: Vec<&str> = segments
        .map(|segment| if is_known(segment) { segment } else { "*" })
        .collect();
    segments.join("/")
}

/// Returns why no route serves `request`: 405 when its path has other methods, else 404, with the nearest of `known`.
pub(crate) fn unserved<A>(tables: &[&[Route<A>]], known: &[String], request: &Request) -> Problem {
    let methods: Vec<&str> = of_path(tables, request.path())
        .map(|(route, _)| route.method.as_str())
        .collect();
    if methods.is_empty() {
        no_such_path(known, request.path())
    } else {
        Problem::method_not_allowed(&methods)
    }
}

/// Returns the paths of `tables`, with parameters in braces.
pub(crate) fn paths<A>(tables: &[&[Route<A>]]) -> Vec<String> {
    let routes = tables.iter().copied().flatten();
    routes.map(|route| route.path.to_owned()).collect()
}

fn no_such_path(known: &[String], path: &str) -> Problem {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let (english, chinese) = did_you_mean(path.trim_end_matches('/'), &known);
    Problem::not_found(format!("there is no such path{english} / 路径不存在{chinese}"))
}

/// Refuses unknown query parameters: a misspelt `dry_run` must not make the change. A `GET` without parameters ignores them,
/// because browsers' libraries add some to bypass caches, and so does an open route: WeChat adds some to links that are shared.
pub(crate) fn refuse_unknown_query<A>(route: &Route<A>, request: &Request) -> Result<(), Problem> {
    if route.access == Access::Open {
        return Ok(());
    }
    let mut known = route.operation.query().peekable();
    if route.method == Method::GET && known.peek().is_none() {
        return Ok(());
    }
    let known: Vec<&str> = known.collect();
    let mut names = request.query().map(|(name, _)| name);
    match names.find(|name| !known.contains(&name.as_ref())) {
        None => Ok(()),
        Some(name) => Err(Problem::bad_request(
            "the query has a parameter that this request does not take / 该请求不支持此查询参数",
        )
        .with_field(name)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openapi::{Location, Parameter};

    async fn nothing(_: &(), _: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
        Err(Problem::not_found("nothing"))
    }

    const DRY_RUN: Parameter = Parameter {
        name: "dry_run",
        location: Location::Query,
        description: "",
        schema: "{}",
    };
    const ROUTES: &[&[Route<()>]] = &[
        &[
            route!(Menu, GET "/api/menu" => nothing, Operation::NEW),
            route!(Menu, POST "/api/menu" => nothing, Operation { parameters: &[DRY_RUN], ..Operation::NEW }),
        ],
        &[
            route!(Menu, GET "/api/messages/{msgid}" => nothing, Operation::NEW),
            route!(Menu, GET "/api/messages/last" => nothing, Operation::NEW),
            route!(Menu, GET "/file_{name}.txt" => nothing, Operation::NEW),
        ],
    ];

    fn request(method: &str, path: &str, query: &str) -> Request {
        let event = json!({
            "rawPath": path, "rawQueryString": query, "requestContext": {"http": {"method": method}},
        });
        serde_json::from_str(&event.to_string()).unwrap()
    }

    /// The path of a route, and the value of its parameter.
    type Found = (&'static str, Option<String>);
    /// The status of a refusal, and its `Allow` header.
    type Refused = (u16, Option<String>);

    fn found(method: &str, path: &str) -> Result<Found, Refused> {
        let request = request(method, path, "");
        match find(ROUTES, &request) {
            Some((route, parameters)) => Ok((route.path, parameters.first().map(|(_, value)| (*value).to_owned()))),
            None => {
                let response = unserved(ROUTES, &paths(ROUTES), &request).into_response();
                let allow = response.headers().get("allow");
                let allow = allow.map(|allow| allow.to_str().unwrap().to_owned());
                Err((response.status().as_u16(), allow))
            }
        }
    }

    #[test]
    fn a_route_is_found_by_method_and_path() {
        assert_eq!(found("GET", "/api/menu/"), Ok(("/api/menu", None)));
        assert_eq!(found("HEAD", "/api/menu"), Ok(("/api/menu", None)));
        assert_eq!(
            found("GET", "/api/messages/42"),
            Ok(("/api/messages/{msgid}", Some("42".to_owned())))
        );
        assert_eq!(
            found("GET", "/file_a.txt"),
            Ok(("/file_{name}.txt", Some("a".to_owned())))
        );
        assert!(found("GET", "/file_.txt").is_err() && found("GET", "/file_a.txt.txt/").is_ok());
        assert_eq!(
            found("GET", "/api/messages/last"),
            Ok(("/api/messages/last", None)),
            "a fixed path wins"
        );
    }

    #[test]
    fn a_wrong_method_is_told_apart_from_a_wrong_path() {
        assert_eq!(found("PUT", "/api/menu/"), Err((405, Some("GET, POST".to_owned()))));
        assert_eq!(found("POST", "/api/messages/42"), Err((405, Some("GET".to_owned()))));
        for path in [
            "/api/menus",
            "/api/messages",
            "/api/messages/",
            "/api/messages/4/2",
            "/api/messages/42/",
            "/",
            "",
        ] {
            assert_eq!(found("GET", path), Err((404, None)), "{path}");
        }
        assert!(is_served(ROUTES, "/api/messages/42") && !is_served(ROUTES, "/api/messages"));
    }

    #[test]
    fn a_path_with_parameters_is_known_by_its_pattern() {
        for (path, expected) in [
            ("/api/messages/42", Some("/api/messages/{msgid}")),
            ("/api/messages/last", Some("/api/messages/last")),
            ("/api/menu/", Some("/api/menu")),
            ("/api/messages/4/2", None),
            // No id of ours is so long, and the table refuses such a key.
            (&format!("/api/messages/{}", "4".repeat(513)), None),
        ] {
            assert_eq!(pattern(ROUTES, path), expected, "{path}");
        }
    }

    #[test]
    fn an_unknown_path_is_logged_without_what_may_be_an_id() {
        for (path, expected) in [
            ("/api/messages/3000/x", "/api/messages/*/*"),
            ("/api/mesages/3000", "/api/*/*"),
            ("/api/menu/{msgid}", "/api/menu/{msgid}"),
            ("o1", "*"),
            ("/a/b/c/d/e/f/g", "/*/*/*/*/*"),
        ] {
            assert_eq!(redacted(&paths(ROUTES), path), expected);
        }
    }

    #[test]
    fn a_misspelt_path_gets_a_suggestion() {
        let detail = |path| no_such_path(&paths(ROUTES), path).detail().to_owned();
        assert!(detail("/api/meun").contains("did you mean /api/menu?"));
        assert!(detail("/api/Menu/").contains("是否想写 /api/menu？"));
        assert_eq!(detail("/api/orders"), "there is no such path / 路径不存在");
    }

    #[test]
    fn a_body_that_is_not_json_is_named_for_what_it_is() {
        let detail = |body: &[u8]| json(body).unwrap_err().detail().to_owned();
        assert!(detail(b"").contains("is empty"));
        assert!(detail("\u{feff}{}".as_bytes()).contains("BOM"));
        assert!(detail(b"touser=o&template_id=T").contains("Content-Type: application/json"));
        assert!(detail(b"{\"touser\":").contains("not JSON"));
        assert!(detail(&[0xff]).contains("UTF-8"));
    }

    #[test]
    fn a_query_parameter_that_a_route_does_not_take_is_refused() {
        let is_refused = |method: &str, query: &str| {
            let request = request(method, "/api/menu", query);
            let (route, _) = find(ROUTES, &request).unwrap();
            refuse_unknown_query(route, &request).is_err()
        };
        assert!(is_refused("POST", "dryrun=true"));
        assert!(!is_refused("POST", "dry_run=true") && !is_refused("POST", ""));
        assert!(!is_refused("GET", "_=1767225600"), "a parameter against caches");
    }
}
