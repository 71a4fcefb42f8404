//! The custom menu: query, check, create, delete, roll back. What was there before a change is kept.

use std::time::Duration;

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, Location, Parameter, Schema},
    response, route,
};
use serde_json::{Value, json};
use wechat::{
    api::calls::{
        conditional_menu::{AddConditionalMenu, DeleteConditionalMenu},
        menu::{CreateMenu, DeleteMenu, GetCurrentMenu, GetMenu},
    },
    clock::Deadline,
    digest::sha256_hex,
    errcode::NO_MENU,
    random,
    store::{KeptMenu, ROLL_BACK_CLAIMED_FOR},
    token::{CallError, CallFailure},
    validate::{self, Fault, menu},
};

use crate::{
    App,
    etag::{IF_MATCH, if_match, with_etag},
};

/// What a roll-back may take, where the platform sets no limit: less than its claim lasts.
const ROLLING_BACK: Duration = Duration::from_secs(ROLL_BACK_CLAIMED_FOR.unsigned_abs() - 3);

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(GET "/api/menu" => get, Operation {
        id: "getMenu",
        summary: "Query the menu / 查询菜单",
        parameters: &[Parameter {
            name: "source",
            location: Location::Query,
            description: "`current`: the menu that users see, also one that was made in the console.",
            schema: r#"{"enum": ["current"]}"#,
        }],
        answers: &[(200, "WeChat's own answer", Schema::Object)],
        failures: &[400, 404, 429],
        ..Operation::NEW
    }),
    route!(POST "/api/menu" => create, Operation {
        id: "createMenu",
        summary: "Create the menu / 创建菜单",
        parameters: &[IF_MATCH, Parameter {
            name: "dry_run",
            location: Location::Query,
            description: "`true`: answer what would change, and change nothing.",
            schema: r#"{"enum": ["true", "false"]}"#,
        }],
        body: Some(Body::required("Menu")),
        answers: &[(200, "The menu is made, or what would change", Schema::OneOf(&["Done", "Changes"]))],
        failures: &[400, 412, 413, 429],
        ..Operation::NEW
    }),
    route!(DELETE "/api/menu" => delete, Operation {
        id: "deleteMenu",
        summary: "Delete the menu / 删除菜单",
        parameters: &[IF_MATCH],
        answers: &[(200, "It is deleted, with the conditional menus", Schema::Named("Done"))],
        failures: &[400, 404, 412, 429],
        ..Operation::NEW
    }),
    route!(POST "/api/menu/rollback" => roll_back, Operation {
        id: "rollBackMenu",
        summary: "Restore the menu before the last change / 恢复上次修改前的菜单",
        description: "Doing it again undoes it, unless If-Match names the menu that it shall take the place of.",
        parameters: &[IF_MATCH],
        answers: &[(200, "It is restored", Schema::Named("Done"))],
        failures: &[400, 404, 409, 412, 429],
        ..Operation::NEW
    }),
];

/// Serves `GET /api/menu`: the menus that were made through the API. With `?source=current` the one that users see, also
/// when it was made in the console.
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
        Err(error) if is_none(&error) => {
            let none = Problem::from(error).into_response();
            Ok(with_etag(none, tag(None)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Serves `POST /api/menu`: WeChat's own body, or what `GET /api/menu` answers, with or without `?source=current`. With
/// `?dry_run=true` it answers what would change, and changes nothing. With `If-Match` only the menu that the caller has read
/// is replaced.
async fn create(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (body, deadline) = (request.json()?, request.deadline());
    let menu = menu::default_menu(&body).map_err(faulty)?;
    let (is_dry_run, expected) = (is_dry_run(request)?, if_match(request.headers())?);
    let current = current(app, deadline).await?;
    refuse_changed(expected, &[current.as_ref()])?;
    refuse_other_conditional(&body, current.as_ref())?;
    let default = current.as_ref().and_then(|current| current.get("menu"));
    let changes = menu::difference(default.unwrap_or(&Value::Null), &menu);
    if is_dry_run {
        return Ok(response::json(200, &json!({"changes": changes})));
    }
    // The repeat of a request whose answer was lost finds its own menu: the one before stays kept.
    if !changes.is_empty() {
        keep(app, current.as_ref()).await?;
    }
    set_default(app, &menu, deadline).await?;
    Ok(done())
}

/// Serves `DELETE /api/menu`, which deletes the conditional menus too.
async fn delete(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (expected, deadline) = (if_match(request.headers())?, request.deadline());
    let current = current(app, deadline).await?;
    refuse_changed(expected, &[current.as_ref()])?;
    // As in `create`.
    if current.is_some() {
        keep(app, current.as_ref()).await?;
    }
    remove_all(app, deadline).await?;
    Ok(done())
}

/// Serves `POST /api/menu/rollback`: restores the menus that were there before the last `POST` or `DELETE`, conditional ones
/// and their order included. Doing it again undoes it, unless `If-Match` names the menu that it shall take the place of: then
/// a repeat after a lost answer is refused. After a roll-back that was cut short it goes on where that ended. One at a time.
async fn roll_back(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let expected = if_match(request.headers())?;
    let owner = random::hex::<8>();
    let deadline = request.deadline().within(app.account.clock.now_millis(), ROLLING_BACK);
    let claimed = app
        .account
        .table
        .claim_menu_roll_back(&owner, app.account.clock.now())
        .await?;
    let kept =
        claimed.ok_or_else(|| Problem::not_found("no menu was changed through this API yet / 尚无可回滚的菜单"))?;
    match restore(app, &owner, &kept, expected, deadline).await {
        Ok(restored) => {
            app.account.table.finish_menu_roll_back(&owner).await?;
            Ok(response::json(
                200,
                &json!({"errcode": 0, "errmsg": "ok", "restored": restored}),
            ))
        }
        Err(interrupted) => {
            // What may still land is waited for, to the end of the claim: the next roll-back would add it once more.
            if !interrupted.may_add_more
                && let Err(error) = app.account.table.give_up_menu_roll_back(&owner).await
            {
                tracing::warn!(%error, "the claim of a roll-back ends by itself");
            }
            Err(interrupted.problem)
        }
    }
}

/// A roll-back that was cut short.
struct Interrupted {
    problem: Problem,
    /// Whether a conditional menu may yet be added by a call whose answer did not come.
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

/// Restores what `kept` tells of, and answers what that was.
async fn restore(
    app: &App,
    owner: &str,
    kept: &KeptMenu,
    expected: Option<&str>,
    deadline: Deadline,
) -> Result<Value, Interrupted> {
    let current = current(app, deadline).await?;
    let (last, earlier) = (read_kept(Some(&kept.menu))?, read_kept(kept.earlier.as_ref())?);
    // The menu that a roll-back found which has not ended is the one that was kept last.
    let found = kept.is_restoring.then_some(Some(&last).filter(|last| !last.is_null()));
    let replaced: Vec<_> = [Some(current.as_ref()), found].into_iter().flatten().collect();
    refuse_changed(expected, &replaced)?;
    // A roll-back that has not ended is gone on with; a change that was not made after all has kept what is still there.
    let is_there = current.as_ref().unwrap_or(&Value::Null) == &last;
    let goes_on = (kept.is_restoring || is_there) && kept.earlier.is_some();
    let restored = if goes_on { earlier } else { last };
    // Before anything is changed: what cannot come back must not cost what is there.
    let wanted = conditional(&restored).into_iter().map(menu::conditional_menu);
    let wanted = wanted.collect::<Result<Vec<Value>, _>>().map_err(faulty)?;
    if !goes_on && !is_there {
        let (menu, now) = (to_keep(current.as_ref()), app.account.clock.now());
        app.account
            .table
            .keep_menu_to_roll_back(owner, kept, &menu, now)
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

/// Of the conditional menus that match a user WeChat shows the newest. So from the first that differs, in the order of their
/// age, those that there are go, and those that were come back.
async fn restore_conditional(
    app: &App,
    current: Option<&Value>,
    restored: &Value,
    wanted: &[Value],
    deadline: Deadline,
) -> Result<(), Interrupted> {
    let present = current.map_or_else(Vec::new, conditional);
    let same = same_at_first(&present, &conditional(restored));
    for menuid in present[same..].iter().filter_map(|menu| menuid(menu)) {
        let menuid = &menuid.to_string();
        app.account.call(&DeleteConditionalMenu { menuid }, deadline).await?;
    }
    for menu in &wanted[same..] {
        let added = app.account.call(&AddConditionalMenu { menu }, deadline).await;
        added.map_err(|error| Interrupted {
            may_add_more: error.may_have_landed,
            problem: error.into(),
        })?;
    }
    Ok(())
}

/// How many menus are the same in both, from the first on.
fn same_at_first(one: &[&Value], other: &[&Value]) -> usize {
    let is_same = |(one, other): &(&&Value, &&Value)| {
        one["matchrule"] == other["matchrule"] && menu::difference(one, other).is_empty()
    };
    one.iter().zip(other).take_while(is_same).count()
}

/// `GET /api/menu` answers conditional menus too, which `menu/create` does not change: to leave a change out silently would
/// be worse than to refuse it.
fn refuse_other_conditional(body: &Value, current: Option<&Value>) -> Result<(), Problem> {
    let (given, present) = (conditional(body), current.map_or_else(Vec::new, conditional));
    if given.is_empty() || same_at_first(&given, &present) == given.len().max(present.len()) {
        return Ok(());
    }
    Err(faulty(vec![Fault::new(
        "/conditionalmenu",
        "differs from the account's: this call sets the default menu only, use /api/menu/conditional for the others \
         / 与账号现有的个性化菜单不同：此接口只设置默认菜单，个性化菜单请用 /api/menu/conditional",
    )]))
}

/// Refuses to change a menu that the caller has not read: the one that `expected` tags is none of `replaced`.
fn refuse_changed(expected: Option<&str>, replaced: &[Option<&Value>]) -> Result<(), Problem> {
    match expected {
        Some(expected) if replaced.iter().all(|menu| tag(*menu) != expected) => Err(Problem::precondition_failed(
            "the menu has changed since it was read: read it again and repeat the change / 菜单已被修改，请重新读取后再改",
        )),
        _ => Ok(()),
    }
}

/// The `ETag` of what WeChat answers to `menu/get`.
fn tag(menu: Option<&Value>) -> String {
    match menu {
        Some(menu) => sha256_hex(menu.to_string().as_bytes())[..16].to_owned(),
        None => "none".to_owned(),
    }
}

/// What was kept: a menu, or null. Anything else must not be taken for "no menu".
fn read_kept(menu: Option<&String>) -> Result<Value, Problem> {
    let damaged = |cause: String| {
        Problem::set_up(format!(
            "the menu that was kept is damaged / 保存的旧菜单已损坏: {cause}"
        ))
    };
    let kept: Value = menu
        .map_or(Ok(Value::Null), |menu| serde_json::from_str(menu))
        .map_err(|error| damaged(error.to_string()))?;
    if kept.is_null() || kept.pointer("/menu/button").is_some() {
        Ok(kept)
    } else {
        Err(damaged("it has no buttons".to_owned()))
    }
}

/// The oldest come first, which have the smallest ids.
fn conditional(menus: &Value) -> Vec<&Value> {
    let menus = menus["conditionalmenu"].as_array().map_or(&[][..], Vec::as_slice);
    let mut menus: Vec<&Value> = menus.iter().collect();
    menus.sort_by_key(|menu| menuid(menu));
    menus
}

/// WeChat writes it as a number or as text.
fn menuid(menu: &Value) -> Option<u64> {
    let id = &menu["menuid"];
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

pub(crate) async fn current(app: &App, deadline: Deadline) -> Result<Option<Value>, Problem> {
    match ask(app, deadline).await {
        Ok(menu) => Ok(Some(menu)),
        Err(error) if is_none(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn ask(app: &App, deadline: Deadline) -> Result<Value, CallError> {
    app.account.call(&GetMenu, deadline).await
}

fn is_none(error: &CallError) -> bool {
    matches!(&error.cause, CallFailure::Api(error) if error.errcode() == Some(NO_MENU))
}

async fn seen_by_users(app: &App, deadline: Deadline) -> Result<Response<String>, Problem> {
    Ok(response::json(200, &app.account.call(&GetCurrentMenu, deadline).await?))
}

/// Nothing is changed before what would be lost is kept.
async fn keep(app: &App, current: Option<&Value>) -> Result<(), Problem> {
    let kept = app.account.table.kept_menu().await?;
    let (menu, now) = (to_keep(current), app.account.clock.now());
    Ok(app.account.table.keep_menu(kept.as_ref(), &menu, now).await?)
}

/// That there was no menu is kept too.
fn to_keep(current: Option<&Value>) -> String {
    current.map_or_else(|| "null".to_owned(), Value::to_string)
}

async fn set_default(app: &App, menu: &Value, deadline: Deadline) -> Result<(), Problem> {
    Ok(app.account.call(&CreateMenu { menu }, deadline).await?)
}

async fn remove_all(app: &App, deadline: Deadline) -> Result<(), Problem> {
    Ok(app.account.call(&DeleteMenu, deadline).await?)
}

pub(crate) fn faulty(faults: Vec<Fault>) -> Problem {
    Problem::bad_request(format!(
        "the menu breaks WeChat's limits / 菜单不符合微信的限制: {}",
        validate::in_words(&faults)
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

pub(crate) fn done() -> Response<String> {
    response::json(200, &json!({"errcode": 0, "errmsg": "ok"}))
}
