//! Web login: `/oauth/login` sends a person to WeChat, `/oauth/back` learns who it is and returns to the team's page with a
//! one-time code, which the page's back end exchanges for the identity. `/bind/{binding}` does the same and binds.
//! See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).
//!
//! The state is kept on the server and tied to the browser by a cookie. WeChat may ask `/oauth/back` twice: the first request
//! claims the login and exchanges WeChat's code, the others wait and get the same answer.

use std::time::Duration;

use http::{HeaderValue, Method, Response, header};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Location, Parameter, Schema},
    response::{self, respond},
    route,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use wechat::{
    account::Account,
    clock::Deadline,
    digest::sha256_hex,
    oauth::{self, Code, Identity},
    page::PageUrl,
    random,
    secret::Secret,
    store::{BindOutcome, BindingState, Login, LoginClaim, LoginEnd, LoginPurpose, Person, StoreError},
    token::RefreshRequestError,
};

use crate::{
    App, bindings,
    html::{self, Page},
};

const TO: Parameter = Parameter {
    name: "to",
    location: Location::Query,
    description: "The page to return to, with the one-time code in its parameter login. https, with a host that LOGIN_HOSTS lists",
    schema: r#"{"type": "string", "format": "uri"}"#,
};
const CODE: Parameter = Parameter {
    name: "code",
    location: Location::Query,
    description: "WeChat's code",
    schema: r#"{"type": "string"}"#,
};
const STATE: Parameter = Parameter {
    name: "state",
    location: Location::Query,
    description: "The state of the login",
    schema: r#"{"type": "string"}"#,
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(open, GET "/oauth/login" => begin, Operation {
        id: "beginLogin",
        summary: "Begin a login, in WeChat's browser / 开始网页登录",
        parameters: &[TO],
        answers: &[
            (302, "WeChat's authorize page", Schema::Empty),
            (400, "`to` is not an allowed page", Schema::Html),
            (502, "The service is not available", Schema::Html),
            (503, "There is no PUBLIC_URL", Schema::Html),
        ],
        ..Operation::NEW
    }),
    route!(open, GET "/oauth/back" => back, Operation {
        id: "endLogin",
        summary: "Where WeChat returns to / 微信授权回调",
        parameters: &[CODE, STATE],
        answers: &[
            (200, "The user is bound", Schema::Html),
            (302, "The team's page, with a one-time code after a login", Schema::Empty),
            (400, "The login has expired, or began in another browser", Schema::Html),
            (403, "WeChat shows a snapshot of the page", Schema::Html),
            (410, "The binding has ended", Schema::Html),
            (502, "WeChat or the service did not answer as it should", Schema::Html),
        ],
        ..Operation::NEW
    }),
    route!(open, GET "/bind/{binding}" => bind, Operation {
        id: "openBindingLink",
        summary: "A binding's link, opened in WeChat / 在微信中打开的绑定链接",
        parameters: &[Parameter {
            name: "binding",
            location: Location::Path,
            description: "",
            schema: r#"{"type": "string"}"#,
        }],
        answers: &[
            (302, "WeChat's authorize page", Schema::Empty),
            (404, "There is no such binding", Schema::Html),
            (410, "The binding has ended", Schema::Html),
            (502, "The service is not available", Schema::Html),
            (503, "There is no PUBLIC_URL", Schema::Html),
        ],
        ..Operation::NEW
    }),
    route!(Users, POST "/api/logins/{login}" => redeem, Operation {
        id: "redeemLogin",
        summary: "Ask who logged in / 用一次性登录码换取用户身份",
        description: "A code is good once, within 120 seconds.",
        parameters: &[Parameter {
            name: "login",
            location: Location::Path,
            description: "The one-time code that the page got",
            schema: r#"{"type": "string"}"#,
        }],
        answers: &[(200, "The person, and the team's user if there is one", Schema::Named("LoggedIn"))],
        failures: &[404],
        ..Operation::NEW
    }),
];

/// Random bytes of a state, a one-time code and a browser's cookie.
const SECRET_BYTES: usize = 16;
/// Seconds within which a login must end. WeChat's code is good for 5 minutes.
const LOGIN_LIFE: i64 = 600;
/// Seconds for which a one-time code is good.
const CODE_LIFE: i64 = 120;
/// Characters of the state's digest in the name of the browser's cookie: each login has its own.
const COOKIE_NAME_LENGTH: usize = 16;
/// Bytes. A longer code of WeChat is not passed on.
const LONGEST_CODE: usize = 512;
/// How long a request waits for the exchange that another one makes.
const WAIT_AT_MOST: Duration = Duration::from_secs(20);
/// The pause between two looks at a login that another request handles.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// Time of the request that is reserved for storing the outcome of the exchange.
const STORING: Duration = Duration::from_secs(2);
/// Budget for retrying to store the outcome while the table fails. The visitor waits for it.
const STORED_WITHIN: Duration = Duration::from_secs(6);
/// The errcodes about WeChat's code: it is wrong, used, expired or missing. Another exchange would fail in the same way.
/// See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).
const ABOUT_THE_CODE: [i64; 4] = [40029, 40163, 42003, 41008];

/// Serves `GET /oauth/login`.
async fn begin(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let to = request.query("to").unwrap_or_default();
    Ok(match PageUrl::parse(&to, &app.login_hosts) {
        Ok(page) => authorize(app, request, LoginPurpose::Return(page.as_str().to_owned())).await,
        Err(error) => {
            tracing::warn!(
                error = error.with_variable("LOGIN_HOSTS"),
                "a login asks for a page that it may not return to / 登录请求了不允许返回的页面"
            );
            html::WRONG_ADDRESS.into_response()
        }
    })
}

/// Serves `GET /bind/{binding}`.
async fn bind(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let id = request.parameter("binding");
    if !bindings::is_id(id) {
        return Ok(html::NO_SUCH_BINDING.into_response());
    }
    let now = app.now();
    Ok(match app.account.table.binding(id, now).await {
        Ok(None) => html::NO_SUCH_BINDING.into_response(),
        Ok(Some(binding)) if binding.state(now) == BindingState::Pending => {
            authorize(app, request, LoginPurpose::Bind(Secret::new(id))).await
        }
        Ok(Some(_)) => html::BINDING_ENDED.into_response(),
        Err(error) => failed("a binding cannot be read / 无法读取绑定", &error),
    })
}

/// Starts a login, and sends the browser to WeChat.
async fn authorize(app: &App, request: &ApiRequest<'_>, purpose: LoginPurpose) -> Response<String> {
    let Some(public_url) = &app.public_url else {
        return html::NOT_CONFIGURED.into_response();
    };
    if request.method() == Method::HEAD {
        return respond(200, "text/html; charset=utf-8", String::new());
    }
    let (state, browser) = (random::hex::<SECRET_BYTES>(), random::hex::<SECRET_BYTES>());
    let login = Login {
        purpose,
        browser_sha256: sha256_hex(browser.as_bytes()),
        code: Secret::new(random::hex::<SECRET_BYTES>()),
        expires_at: app.now() + LOGIN_LIFE,
    };
    if let Err(error) = app.account.table.create_login(&state, &login).await {
        return failed("a login cannot be stored / 登录未能保存", &error);
    }
    let back = format!("{public_url}/oauth/back");
    let back = utf8_percent_encode(&back, NON_ALPHANUMERIC);
    // WeChat's page needs the parameters in this order.
    let address = format!(
        "{}/connect/oauth2/authorize?appid={}&redirect_uri={back}&response_type=code&scope=snsapi_base&state={state}#wechat_redirect",
        app.open_base,
        app.account.table.app_id(),
    );
    let cookie = format!(
        "{}={browser}; Path=/oauth; Max-Age={LOGIN_LIFE}; HttpOnly; Secure; SameSite=Lax",
        cookie_name(&state)
    );
    let mut response = redirect(&address);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn cookie_name(state: &str) -> String {
    format!("login-{}", &sha256_hex(state.as_bytes())[..COOKIE_NAME_LENGTH])
}

fn redirect(address: &str) -> Response<String> {
    let mut response = html::private(respond(302, "text/plain; charset=utf-8", String::new()));
    match HeaderValue::from_str(address) {
        Ok(address) => response.headers_mut().insert(header::LOCATION, address),
        Err(_) => return html::FAILED.into_response(),
    };
    response
}

/// Serves `GET /oauth/back`.
async fn back(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    Ok(match end(app, request).await {
        Ok(response) => response,
        Err(page) => page.into_response(),
    })
}

/// Ends a login: checks the browser, then exchanges WeChat's code or waits for the request that does.
async fn end(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Page> {
    let state = request.query("state").unwrap_or_default();
    if !random::is_hex::<SECRET_BYTES>(&state) {
        return Err(html::LOGIN_ENDED);
    }
    let login = app.account.table.login(&state, app.now()).await;
    let login = login.map_err(|error| unavailable("a login cannot be read / 无法读取登录", &error))?;
    let login = login.ok_or(html::LOGIN_ENDED)?;
    let browser = request.cookie(&cookie_name(&state)).unwrap_or_default();
    if !Secret::new(&*login.browser_sha256).matches(&sha256_hex(browser.as_bytes())) {
        return Err(html::OTHER_BROWSER);
    }
    let code = request
        .query("code")
        .filter(|code| !code.is_empty() && code.len() <= LONGEST_CODE);
    let code = Code::new(code.ok_or(html::LOGIN_ENDED)?);
    if request.method() == Method::HEAD {
        return Ok(respond(200, "text/html; charset=utf-8", String::new()));
    }
    let owner = random::hex::<8>();
    let mut waited = Duration::ZERO;
    loop {
        let claim = app.account.table.claim_login(&state, &owner, app.now()).await;
        match claim.map_err(|error| unavailable("a login cannot be claimed / 登录未能开始处理", &error))? {
            LoginClaim::Won => {
                let claimed = Claimed {
                    app,
                    login: &login,
                    state: &state,
                    owner: &owner,
                    deadline: request.deadline(),
                };
                // `None`: another request has taken over the claim, and stores the end.
                if let Some(end) = claimed.exchange(&code).await? {
                    return answer(&login, &end);
                }
            }
            LoginClaim::Ended(end) => return answer(&login, &end),
            LoginClaim::InProgress => {}
            LoginClaim::Unknown => return Err(html::LOGIN_ENDED),
        }
        let pause = request
            .deadline()
            .budget(app.account.clock.now_millis(), LOOK_AGAIN, STORING);
        if waited >= WAIT_AT_MOST || pause.is_zero() {
            return Err(html::FAILED);
        }
        app.account.clock.sleep(pause).await;
        waited += pause;
    }
}

/// The end of a login could not be stored.
struct Unstored {
    error: StoreError,
    /// The end, if it counts all the same: the person may be bound by now, and the page says so.
    end: Option<LoginEnd>,
}

impl From<StoreError> for Unstored {
    fn from(error: StoreError) -> Self {
        Self { error, end: None }
    }
}

/// A login that this request has claimed.
struct Claimed<'a> {
    app: &'a App,
    login: &'a Login,
    state: &'a str,
    owner: &'a str,
    deadline: Deadline,
}

impl Claimed<'_> {
    /// Exchanges WeChat's code and stores how the login ended. `None` when another request took over the claim.
    async fn exchange(&self, code: &Code) -> Result<Option<LoginEnd>, Page> {
        let exchanged = oauth::exchange(&*self.app.refresher, code.clone(), self.deadline.before(STORING)).await;
        match exchanged {
            Ok(identity) => self.persist(&Ok(identity)).await,
            Err(error) => match errcode(&error) {
                Some(errcode) if ABOUT_THE_CODE.contains(&errcode) => {
                    tracing::warn!(%error, "WeChat refuses a visitor's code / 微信拒绝了访客的 code");
                    self.persist(&Err(errcode)).await
                }
                _ => {
                    tracing::error!(%error, "WeChat did not say who logs in / 未能从微信得知登录者是谁");
                    // Best effort: the claim expires anyway.
                    let _ = self.app.account.table.give_up_login(self.state, self.owner).await;
                    Err(html::WECHAT_REFUSED)
                }
            },
        }
    }

    /// Stores how the login ends with `exchanged`: an identity, or the errcode with which WeChat refused the code. `None` when
    /// another request may have taken over the claim.
    async fn store(&self, exchanged: &Result<Identity, i64>) -> Result<Option<LoginEnd>, Unstored> {
        let table = &self.app.account.table;
        let identity = match exchanged {
            Ok(identity) if identity.is_snapshot => return self.end(LoginEnd::Snapshot).await,
            Ok(identity) => identity,
            Err(errcode) => return self.end(LoginEnd::Refused(*errcode)).await,
        };
        match &self.login.purpose {
            LoginPurpose::Return(_) => {
                let expires_at = self.app.now() + CODE_LIFE;
                let (code, person) = (&self.login.code, person(identity));
                let ended = table.end_login_with_code(self.state, self.owner, code, person, expires_at);
                Ok(ended.await?.then_some(LoginEnd::LoggedIn))
            }
            LoginPurpose::Bind(binding) => {
                let bound = table.bind(binding.expose(), person(identity), self.app.now()).await?;
                self.end(match bound {
                    BindOutcome::Bound(binding) => LoginEnd::Bound(binding.return_to),
                    BindOutcome::Unknown | BindOutcome::Expired | BindOutcome::UsedByAnother => LoginEnd::BindingEnded,
                })
                .await
            }
        }
    }

    async fn end(&self, end: LoginEnd) -> Result<Option<LoginEnd>, Unstored> {
        match self.app.account.table.end_login(self.state, self.owner, &end).await {
            Ok(ended) => Ok(ended.then_some(end)),
            Err(error) => Err(Unstored { error, end: Some(end) }),
        }
    }

    /// Retries to store the end until it is stored, another request has the claim, or the time is over: WeChat's code is
    /// spent, so nobody can ask WeChat again who the person is.
    async fn persist(&self, exchanged: &Result<Identity, i64>) -> Result<Option<LoginEnd>, Page> {
        let Account { table, clock, .. } = &self.app.account;
        let within = self.deadline.within(clock.now_millis(), STORED_WITHIN);
        let mut known = None;
        loop {
            let stored = match &known {
                Some(end) => self.end(LoginEnd::clone(end)).await,
                None => self.store(exchanged).await,
            };
            let error = match stored {
                Ok(Some(end)) => return Ok(Some(end)),
                // Another transaction conflicted, or another request took over the claim.
                Ok(None) => match table.claim_login(self.state, self.owner, self.app.now()).await {
                    Ok(LoginClaim::Won) => None,
                    Ok(LoginClaim::Ended(end)) => return Ok(Some(end)),
                    Ok(LoginClaim::InProgress | LoginClaim::Unknown) => return Ok(None),
                    Err(error) => Some(error),
                },
                Err(Unstored { error, end }) => {
                    known = end.or(known);
                    Some(error)
                }
            };
            let pause = within.budget(clock.now_millis(), LOOK_AGAIN, STORING);
            if pause.is_zero() {
                let error = error.map_or_else(|| "transactions conflict".to_owned(), |error| error.to_string());
                tracing::error!(error, "the end of a login cannot be stored / 登录结果未能保存");
                return known.map(Some).ok_or(html::NOT_STORED);
            }
            clock.sleep(pause).await;
        }
    }
}

fn person(identity: &Identity) -> Person<'_> {
    Person {
        openid: &identity.openid,
        unionid: identity.unionid.as_deref(),
    }
}

const fn errcode(error: &RefreshRequestError) -> Option<i64> {
    match error {
        RefreshRequestError::Failed { errcode, .. } => *errcode,
        _ => None,
    }
}

/// Answers every request of a login that has ended in the same way.
fn answer(login: &Login, end: &LoginEnd) -> Result<Response<String>, Page> {
    match (end, &login.purpose) {
        (LoginEnd::LoggedIn, LoginPurpose::Return(to)) => Ok(redirect(
            &PageUrl::checked_before(to).with_parameter("login", login.code.expose()),
        )),
        (LoginEnd::Bound(Some(to)), _) => Ok(redirect(&PageUrl::checked_before(to).in_header())),
        (LoginEnd::Bound(None), _) => Ok(html::BOUND.into_response()),
        (LoginEnd::BindingEnded, _) => Err(html::BINDING_ENDED),
        (LoginEnd::Snapshot, _) => Err(html::SNAPSHOT),
        (LoginEnd::Refused(_), _) => Err(html::WECHAT_REFUSED),
        (LoginEnd::LoggedIn, LoginPurpose::Bind(_)) => Err(html::FAILED),
    }
}

/// Logs why the table could not serve a login, and returns the page that says so.
fn unavailable(what: &'static str, error: &StoreError) -> Page {
    tracing::error!(%error, "{what}");
    html::FAILED
}

fn failed(what: &'static str, error: &StoreError) -> Response<String> {
    unavailable(what, error).into_response()
}

/// A person who logged in.
#[derive(Serialize)]
struct LoggedIn {
    openid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

/// Serves `POST /api/logins/{login}`.
async fn redeem(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (table, now) = (&app.account.table, app.now());
    let code = request.parameter("login");
    let unknown = || {
        Problem::not_found(
            "there is no such login, or it was asked for before, or more than 120 seconds ago / 登录码不存在、已使用或已超过 120 秒",
        )
    };
    if !random::is_hex::<SECRET_BYTES>(code) {
        return Err(unknown());
    }
    // Everything that may fail comes first: afterwards the code is spent.
    let (openid, unionid) = table.login_person(code, now).await?.ok_or_else(unknown)?;
    let user = table.user_of(&openid).await?.map(|user| user.user);
    if !table.redeem_login(code, &random::hex::<8>(), now).await? {
        return Err(unknown());
    }
    Ok(response::json(200, &LoggedIn { openid, unionid, user }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_login_has_a_cookie_of_its_own_that_does_not_show_its_state() {
        let (one, other) = (cookie_name("state-1"), cookie_name("state-2"));
        assert_ne!(one, other);
        assert!(!one.contains("state-1"));
    }
}
