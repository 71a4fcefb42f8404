//! The custom menu: query, check, create, delete, rollback. Each change first saves the menu that it replaces.
//! See [WeChat Docs/创建菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu).

use std::time::Duration;

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, Location, Parameter, Schema},
    response, route,
};
use serde_json::{Value, json};
use wechat::{
    account::Account,
    api::calls::{
        conditional_menu::{AddConditionalMenu, DeleteConditionalMenu},
        menu::{CreateMenu, DeleteMenu, GetCurrentMenu, GetMenu},
    },
    bilingual::caused,
    clock::Deadline,
    digest::sha256_hex,
    errcode::NO_MENU,
    random,
    store::{KeptMenu, MENU_CLAIMED_FOR},
    token::{CallError, CallFailure},
    validate::{self, Fault, menu},
};

use crate::{
    App,
    etag::{IF_MATCH, if_match, with_etag},
};

/// Upper limit of a change: it must end before its claim expires.
const CLAIMED_BUDGET: Duration = Duration::from_secs(MENU_CLAIMED_FOR.unsigned_abs() - 3);

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Menu, GET "/api/menu" => get, Operation {
        id: "getMenu",
        summary: "Query the menu / 查询菜单",
        parameters: &[Parameter {
            name: "source",
            location: Location::Query,
            description: "`current`: the menu that users see, also if it was made in the console.",
            schema: r#"{"enum": ["current"]}"#,
        }],
        answers: &[(200, "WeChat's own answer", Schema::Object)],
        failures: &[400, 404, 429],
        ..Operation::NEW
    }),
    route!(Menu, POST "/api/menu" => create, Operation {
        id: "createMenu",
        summary: "Create the menu / 创建菜单",
        parameters: &[IF_MATCH, Parameter {
            name: "dry_run",
            location: Location::Query,
            description: "`true`: answer the changes without making them.",
            schema: r#"{"enum": ["true", "false"]}"#,
        }],
        body: Some(Body::required("MenuOrAnswer")),
        answers: &[(200, "The menu was created, or with `dry_run` the changes", Schema::OneOf(&["Done", "Changes"]))],
        failures: &[400, 409, 412, 413, 429],
        ..Operation::NEW
    }),
    route!(Menu, DELETE "/api/menu" => delete, Operation {
        id: "deleteMenu",
        summary: "Delete the menu / 删除菜单",
        parameters: &[IF_MATCH],
        answers: &[(200, "The menu was deleted, with the conditional menus", Schema::Named("Done"))],
        failures: &[400, 404, 409, 412, 429],
        ..Operation::NEW
    }),
    route!(Menu, POST "/api/menu/rollback" => rollback, Operation {
        id: "rollBackMenu",
        summary: "Restore the menu before the last change / 恢复上次修改前的菜单",
        description: "A second rollback undoes the first. With the ETag of the menu to replace as If-Match, a retry is refused instead.",
        parameters: &[IF_MATCH],
        answers: &[(200, "The menu was restored", Schema::Named("RestoredMenu"))],
        failures: &[400, 404, 409, 412, 429],
        ..Operation::NEW
    }),
];

/// Serves `GET /api/menu`: the menus that were made through WeChat's API. With `?source=current` the menu that users see,
/// also if it was made in the console.
/// See [WeChat Docs/获取自定义菜单配置](https://developers.weixin.qq.com/doc/service/api/custommenu/api_getmenu) and
/// [WeChat Docs/查询自定义菜单信息](https://developers.weixin.qq.com/doc/service/api/custommenu/api_getcurrentselfmenuinfo).
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let deadline = request.deadline();
    match request.query("source").as_deref() {
        None => {}
        Some("current") => return seen_by_users(app, deadline).await,
        Some(_) => {
            return Err(Problem::bad_request("source must be current / source 只能为 current").with_field("source"));
        }
    }
    match ask(app, deadline).await {
        Ok(menu) => Ok(with_etag(response::json(200, &menu), tag(Some(&menu)))),
        Err(error) if means_no_menu(&error) => {
            let none = Problem::from(error).into_response();
            Ok(with_etag(none, tag(None)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Serves `POST /api/menu`. The body is WeChat's own, or an answer of `GET /api/menu`, with or without `?source=current`.
/// With `?dry_run=true` it answers the changes without making them. With `If-Match` it replaces only the menu that the
/// caller has read.
async fn create(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (body, deadline) = (request.json()?, claimed_deadline(app, request));
    let menu = menu::default_menu(&body).map_err(faulty)?;
    let (is_dry_run, expected) = (is_dry_run(request)?, if_match(request.headers())?);
    let owner = &random::hex::<8>();
    let change = async |claimed| {
        let current = current(app, deadline).await?;
        refuse_changed(expected, &[current.as_ref()])?;
        refuse_other_conditional(&body, current.as_ref())?;
        let default = current.as_ref().and_then(|current| current.get("menu"));
        let changes = menu::difference(default.unwrap_or(&Value::Null), &menu);
        if is_dry_run {
            return Ok(response::json(200, &json!({"changes": changes})));
        }
        // A retry after a lost answer finds its own menu, which must not replace the saved one.
        if !changes.is_empty() {
            keep(app, owner, claimed, current.as_ref()).await?;
        }
        set_default(app, &menu, deadline).await?;
        Ok(done())
    };
    alone(app, owner, expected.is_some() && !is_dry_run, change).await
}

/// Serves `DELETE /api/menu`: deletes the default menu and all conditional menus.
async fn delete(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (expected, deadline) = (if_match(request.headers())?, claimed_deadline(app, request));
    let owner = &random::hex::<8>();
    let change = async |claimed| {
        let current = current(app, deadline).await?;
        refuse_changed(expected, &[current.as_ref()])?;
        // As in `create`.
        if current.is_some() {
            keep(app, owner, claimed, current.as_ref()).await?;
        }
        remove_all(app, deadline).await?;
        Ok(done())
    };
    alone(app, owner, expected.is_some(), change).await
}

/// The saved menu, if any, as the claim found it.
struct Claimed(Option<KeptMenu>);

/// Makes a change as the run `owner`. A change whose caller `has_read` the menu takes the claim: otherwise the second of two
/// concurrent changes would replace a menu that its caller has not read. Other changes take no claim: the last one wins, and
/// a retry need not wait.
async fn alone<T, F>(
    app: &App,
    owner: &str,
    has_read: bool,
    change: impl FnOnce(Option<Claimed>) -> F,
) -> Result<T, Problem>
where
    F: Future<Output = Result<T, Problem>>,
{
    if !has_read {
        return change(None).await;
    }
    let Account { table, clock, .. } = &app.account;
    let claimed = Claimed(table.claim_menu(owner, clock.now()).await?);
    let changed = change(Some(claimed)).await;
    release(app, owner).await;
    changed
}

/// The deadline of a request that may hold the claim.
fn claimed_deadline(app: &App, request: &ApiRequest<'_>) -> Deadline {
    request
        .deadline()
        .within(app.account.clock.now_millis(), CLAIMED_BUDGET)
}

/// Releases the claim of `owner`, best effort: it expires anyway.
async fn release(app: &App, owner: &str) {
    if let Err(error) = app.account.table.release_menu(owner).await {
        tracing::warn!(%error, "the claim of the menu could not be ended: it expires / 菜单的处理标记未能关闭，将自行过期");
    }
}

/// Serves `POST /api/menu/rollback`: restores the menus from before the last `POST` or `DELETE`, also the conditional ones
/// and their order. Resumes an interrupted rollback. A second rollback undoes the first; with `If-Match` a retry after a
/// lost answer is refused instead. A claim admits one rollback at a time.
async fn rollback(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let expected = if_match(request.headers())?;
    let owner = random::hex::<8>();
    let deadline = claimed_deadline(app, request);
    let Some(kept) = app.account.table.claim_menu(&owner, app.account.clock.now()).await? else {
        release(app, &owner).await;
        return Err(Problem::not_found(
            "no menu was changed through this API yet / 尚无可回滚的菜单",
        ));
    };
    match restore(app, &owner, &kept, expected, deadline).await {
        Ok(restored) => {
            app.account.table.finish_menu_rollback(&owner).await?;
            Ok(response::json(
                200,
                &json!({"errcode": 0, "errmsg": "ok", "restored": restored}),
            ))
        }
        Err(interrupted) => {
            // While an added menu may still land, the claim stays until it expires: the next rollback would add that menu
            // again.
            if !interrupted.may_add_more {
                release(app, &owner).await;
            }
            Err(interrupted.problem)
        }
    }
}

/// A rollback that failed before its end.
struct Interrupted {
    problem: Problem,
    /// Whether a call without an answer may still add a conditional menu.
    may_add_more: bool,
}

impl<E: Into<Problem>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self {
            problem: error.into(),
            may_add_more: false,
        }
    }
}

/// Restores the menu that `kept` holds, and returns it.
async fn restore(
    app: &App,
    owner: &str,
    kept: &KeptMenu,
    expected: Option<&str>,
    deadline: Deadline,
) -> Result<Value, Interrupted> {
    let current = current(app, deadline).await?;
    let (last, earlier) = (read_kept(Some(&kept.menu))?, read_kept(kept.earlier.as_ref())?);
    // `If-Match` may also name the menu that an interrupted rollback found: that is the one saved last.
    let found = kept.is_restoring.then_some(Some(&last).filter(|last| !last.is_null()));
    let replaced: Vec<_> = [Some(current.as_ref()), found].into_iter().flatten().collect();
    refuse_changed(expected, &replaced)?;
    // Resumes an interrupted rollback. If the last change never reached WeChat, the saved menu equals the live one:
    // restores the one before it.
    let is_live = current.as_ref().unwrap_or(&Value::Null) == &last;
    let resumes = (kept.is_restoring || is_live) && kept.earlier.is_some();
    let restored = if resumes { earlier } else { last };
    // Checked before any change: a saved menu that is invalid must not cost the live one.
    let wanted = conditional(&restored).into_iter().map(menu::conditional_menu);
    let wanted = wanted.collect::<Result<Vec<Value>, _>>().map_err(faulty)?;
    if !resumes && !is_live {
        let (menu, now) = (to_keep(current.as_ref()), app.account.clock.now());
        app.account
            .table
            .keep_menu_for_rollback(owner, kept, &menu, now)
            .await?;
    }
    match restored.pointer("/menu/button") {
        Some(buttons) => set_default(app, &json!({"button": buttons}), deadline).await?,
        None if current.is_some() => {
            remove_all(app, deadline).await?;
            return Ok(restored);
        }
        None => {}
    }
    restore_conditional(app, current.as_ref(), &restored, &wanted, deadline).await?;
    Ok(restored)
}

/// WeChat shows the newest conditional menu that matches, so order matters. Keeps the longest common prefix, deletes the rest
/// and creates the saved ones in order.
/// See [WeChat Docs/个性化菜单](https://developers.weixin.qq.com/doc/service/en/Custom_Menus/Personalized_menu_interface.html).
async fn restore_conditional(
    app: &App,
    current: Option<&Value>,
    restored: &Value,
    wanted: &[Value],
    deadline: Deadline,
) -> Result<(), Interrupted> {
    let present = current.map_or_else(Vec::new, conditional);
    let kept = common_prefix(&present, &conditional(restored));
    for menuid in present[kept..].iter().filter_map(|menu| menuid(menu)) {
        let menuid = &menuid.to_string();
        app.account.call(&DeleteConditionalMenu { menuid }, deadline).await?;
    }
    for menu in &wanted[kept..] {
        let added = app.account.call(&AddConditionalMenu { menu }, deadline).await;
        added.map_err(|error| Interrupted {
            may_add_more: error.may_have_landed,
            problem: error.into(),
        })?;
    }
    Ok(())
}

/// The number of menus in the longest common prefix.
fn common_prefix(one: &[&Value], other: &[&Value]) -> usize {
    let is_same = |(one, other): &(&&Value, &&Value)| {
        one["matchrule"] == other["matchrule"] && menu::difference(one, other).is_empty()
    };
    one.iter().zip(other).take_while(is_same).count()
}

/// Refuses a body whose conditional menus differ from the account's. `GET /api/menu` answers them too, but `menu/create` does
/// not change them, and nothing may be dropped silently.
fn refuse_other_conditional(body: &Value, current: Option<&Value>) -> Result<(), Problem> {
    let (given, present) = (conditional(body), current.map_or_else(Vec::new, conditional));
    if given.is_empty() || common_prefix(&given, &present) == given.len().max(present.len()) {
        return Ok(());
    }
    Err(faulty(vec![Fault::new(
        "/conditionalmenu",
        "differs from the account's conditional menus: this call sets the default menu only, use /api/menu/conditional for \
         the others \
         / 与账号现有的个性化菜单不同：此接口只设置默认菜单，个性化菜单请用 /api/menu/conditional",
    )]))
}

/// Refuses to replace a menu that the caller has not read: one whose tag is not `expected`.
fn refuse_changed(expected: Option<&str>, replaced: &[Option<&Value>]) -> Result<(), Problem> {
    match expected {
        Some(expected) if replaced.iter().all(|menu| tag(*menu) != expected) => Err(Problem::precondition_failed(
            "the menu has changed since it was read: read it again and repeat the change / 菜单已被修改，请重新读取后再改",
        )),
        _ => Ok(()),
    }
}

/// The `ETag` of WeChat's answer to `menu/get`.
fn tag(menu: Option<&Value>) -> String {
    match menu {
        Some(menu) => sha256_hex(menu.to_string().as_bytes())[..16].to_owned(),
        None => "none".to_owned(),
    }
}

/// Reads a saved menu, or null for "no menu". Refuses anything else: it must not count as "no menu".
fn read_kept(menu: Option<&String>) -> Result<Value, Problem> {
    let damaged = |cause: String| Problem::set_up(caused("the saved menu is damaged", "保存的旧菜单已损坏", &cause));
    let kept: Value = menu
        .map_or(Ok(Value::Null), |menu| serde_json::from_str(menu))
        .map_err(|error| damaged(error.to_string()))?;
    if kept.is_null() || kept.pointer("/menu/button").is_some() {
        Ok(kept)
    } else {
        Err(damaged("it has no buttons".to_owned()))
    }
}

/// The conditional menus in `menus`, the oldest first: WeChat's ids grow.
fn conditional(menus: &Value) -> Vec<&Value> {
    let menus = menus["conditionalmenu"].as_array().map_or(&[][..], Vec::as_slice);
    let mut menus: Vec<&Value> = menus.iter().collect();
    menus.sort_by_key(|menu| menuid(menu));
    menus
}

/// The id of a conditional menu. WeChat writes it as a number or as text.
fn menuid(menu: &Value) -> Option<u64> {
    let id = &menu["menuid"];
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

/// Asks WeChat for the account's menus. `None` when it has none.
pub(crate) async fn current(app: &App, deadline: Deadline) -> Result<Option<Value>, Problem> {
    match ask(app, deadline).await {
        Ok(menu) => Ok(Some(menu)),
        Err(error) if means_no_menu(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn ask(app: &App, deadline: Deadline) -> Result<Value, CallError> {
    app.account.call(&GetMenu, deadline).await
}

fn means_no_menu(error: &CallError) -> bool {
    matches!(&error.cause, CallFailure::Api(error) if error.errcode() == Some(NO_MENU))
}

async fn seen_by_users(app: &App, deadline: Deadline) -> Result<Response<String>, Problem> {
    Ok(response::json(200, &app.account.call(&GetCurrentMenu, deadline).await?))
}

/// Saves the current menu before a change. When that fails, nothing may be changed.
async fn keep(app: &App, owner: &str, claimed: Option<Claimed>, current: Option<&Value>) -> Result<(), Problem> {
    let kept = match claimed {
        Some(Claimed(kept)) => kept,
        None => app.account.table.kept_menu().await?,
    };
    let (menu, now) = (to_keep(current), app.account.clock.now());
    Ok(app.account.table.keep_menu(owner, kept.as_ref(), &menu, now).await?)
}

/// The text to save: `null` when there was no menu.
fn to_keep(current: Option<&Value>) -> String {
    current.map_or_else(|| "null".to_owned(), Value::to_string)
}

/// Builds the problem of a menu that WeChat does not take. Its errcodes for a button's mini program otherwise blame the set-up.
pub(crate) fn refused(menu: &Value, error: &CallError) -> Problem {
    let problem = Problem::from(error);
    let buttons = menu["button"].as_array().into_iter().flatten();
    let mut all = buttons.flat_map(|button| {
        let below = button["sub_button"].as_array().into_iter().flatten();
        std::iter::once(button).chain(below)
    });
    if all.any(|button| button["type"] == "miniprogram") {
        problem.blaming_mini_program(error, "button")
    } else {
        problem
    }
}

async fn set_default(app: &App, menu: &Value, deadline: Deadline) -> Result<(), Problem> {
    let created = app.account.call(&CreateMenu { menu }, deadline).await;
    created.map_err(|error| refused(menu, &error))
}

async fn remove_all(app: &App, deadline: Deadline) -> Result<(), Problem> {
    Ok(app.account.call(&DeleteMenu, deadline).await?)
}

/// Refuses a menu, with every fault in it.
pub(crate) fn faulty(faults: Vec<Fault>) -> Problem {
    Problem::bad_request(caused(
        "the menu breaks WeChat's limits",
        "菜单不符合微信的限制",
        &validate::in_words(&faults),
    ))
    .with_faults(faults)
}

fn is_dry_run(request: &ApiRequest<'_>) -> Result<bool, Problem> {
    match request.query("dry_run").as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(
            Problem::bad_request("dry_run must be true or false / dry_run 只能为 true 或 false").with_field("dry_run"),
        ),
    }
}

/// Builds the answer to a call that has succeeded.
pub(crate) fn done() -> Response<String> {
    response::json(200, &json!({"errcode": 0, "errmsg": "ok"}))
}
