//! The checks of the doctor, each by itself.

use wechat::{
    api::{CheckAction, CheckOperator},
    callback::MessageMode,
    clock::Deadline,
    problem::Problem,
    store::{Sender, StoredToken, TokenItem},
    token::{Action, TokenError},
};

use super::Finding;
use crate::{App, replies};

/// Characters of an AppID: `wx` and 16 hexadecimal digits.
const APP_ID_LENGTH: usize = 18;

/// Seconds for which a refused callback of WeChat's is news.
const NEWS_FOR: i64 = 600;

type Found = Result<Finding, Problem>;

fn passed(detail: impl Into<String>) -> Found {
    Ok(Finding::new(detail))
}

/// What is configured, as far as this function can see it.
pub(super) fn configuration(app: &App) -> Found {
    if app.app_id.len() != APP_ID_LENGTH {
        let length = app.app_id.len();
        return Err(Problem::set_up(format!(
            "WECHAT_APP_ID has {length} characters, an AppID has 18 / AppID 应为 18 位"
        ))
        .with_hint("Copy it from the console. / 请从公众号后台「基础信息」复制 AppID（wx 开头，共 18 位）。"));
    }
    match &app.callback {
        None => passed(
            "AppID and table are set; the webhook's own settings cannot be seen from here / 配置齐全（此处看不到 webhook 的配置）",
        ),
        Some(Ok(MessageMode::Plain)) => passed("complete; callbacks travel in plain mode / 配置齐全，消息为明文模式"),
        Some(Ok(MessageMode::Compat)) => passed("complete; compat mode / 配置齐全，兼容模式"),
        Some(Ok(MessageMode::Safe)) => passed("complete; safe mode / 配置齐全，安全模式"),
        Some(Err(error)) => Err(Problem::set_up(error.to_string())
            .with_hint("Mend the webhook's variables or its secret. / 请修正 webhook 的环境变量或密钥。")),
    }
}

pub(super) async fn table(app: &App) -> Found {
    app.table.replies(&app.app_id).await?;
    passed("the table can be read / 数据表可读")
}

/// The webhook goes on with the rules that it last read, or the built-in ones: nobody would see that these are damaged.
pub(super) async fn reply_rules(app: &App) -> Found {
    match replies::stored_rules(app).await {
        Ok((0, _)) => passed("none are stored: only new followers are greeted / 未设置回复规则，仅发送默认欢迎语"),
        Ok((version, _)) => passed(format!(
            "version {version} can be used / 回复规则可用（版本 {version}）"
        )),
        Err(problem) => Err(problem.with_hint(
            "Store them again by PUT /api/replies, or an earlier version by POST /api/replies/rollback. \
             / 请用 PUT /api/replies 重新保存，或用 POST /api/replies/rollback 恢复之前的版本。",
        )),
    }
}

pub(super) async fn table_expiry(app: &App) -> Found {
    if app.table.expires_items().await? {
        return passed("expired items are deleted by ttl / 已开启 TTL");
    }
    Err(
        Problem::set_up("the table's TTL is off, so it grows for ever / 数据表未开启 TTL")
            .with_hint("Turn it on for the attribute \"ttl\". / 请为属性 ttl 开启 TTL。"),
    )
}

/// A working token is had, if need be by asking the refresher, as any request would. When WeChat refuses one, this is
/// where its reason shows: the whitelist with the address it saw, a wrong AppSecret, a frozen account.
pub(super) async fn token(app: &App, deadline: Deadline) -> Found {
    let now = app.clock.now();
    app.tokens.forget().await;
    let token = app.tokens.token(deadline).await;
    token.map_err(|error| Problem::from_token(&error, now))?;
    match app.table.token(&app.app_id).await? {
        TokenItem {
            token: Some(token),
            refreshed_by,
            ..
        } => passed(describe_token(&token, refreshed_by.as_deref(), now)),
        _ => Err(Problem::set_up(
            "the table holds no access_token / 数据表中没有 access_token",
        )),
    }
}

fn describe_token(token: &StoredToken, refreshed_by: Option<&str>, now: i64) -> String {
    let life = token.life(now);
    format!(
        "access_token no. {} lives {life} s more, obtained {} s ago by run {} / access_token 剩余有效期 {life} 秒",
        token.generation,
        now - token.refreshed_at,
        refreshed_by.unwrap_or("(unknown)"),
    )
}

pub(super) async fn refresh_on_demand(app: &App, deadline: Deadline) -> Found {
    let run = app.refresher.run(&Action::Refresh, deadline).await;
    run.map_err(|error| Problem::from_token(&TokenError::Request(error), app.clock.now()))?;
    passed("token-refresher can be asked / 可按需刷新 access_token")
}

pub(super) async fn templates(app: &App, deadline: Deadline) -> Found {
    let list = |token, attempts| async move { app.client.templates(&token, attempts, deadline).await };
    let templates = app.ask_wechat(deadline, list).await?;
    if templates.is_empty() {
        return Err(Problem::set_up("the account has no template / 账号尚未添加模板")
            .with_hint("Add one in the console under 模板消息. / 请在公众号后台「模板消息」中添加模板。"));
    }
    passed(format!(
        "{} template(s) / 共 {} 个模板",
        templates.len(),
        templates.len()
    ))
}

pub(super) async fn menu(app: &App, deadline: Deadline) -> Found {
    match crate::menu::current(app, deadline).await? {
        Some(_) => passed("the account has a menu / 已创建菜单"),
        None => passed("the account has no menu, which is allowed / 尚未创建菜单（可选）"),
    }
}

/// Whether WeChat finds the callback URL that the console holds.
pub(super) async fn callback(app: &App, deadline: Deadline) -> Found {
    let check = |token, attempts| async move {
        let (action, operator) = (CheckAction::default(), CheckOperator::default());
        app.client
            .check_callback(&token, action, operator, attempts, deadline)
            .await
    };
    let found = app.ask_wechat(deadline, check).await?;
    if found.dns.is_empty() && found.ping.is_empty() {
        return Err(
            Problem::set_up("WeChat does not find the callback URL's host / 微信无法解析回调地址的域名")
                .with_hint("Check its DNS record and certificate. / 请检查域名解析与证书。"),
        );
    }
    let addresses: Vec<&str> = found.dns.iter().map(|lookup| lookup.ip.as_str()).collect();
    passed(format!(
        "WeChat finds the callback URL at {} / 回调地址可达",
        addresses.join(", ")
    ))
}

/// Whether the day's calls of the API at `cgi_path` are used up.
pub(super) async fn quota(app: &App, cgi_path: &str, deadline: Deadline) -> Found {
    let get = |token, attempts| async move { app.client.quota(&token, cgi_path, attempts, deadline).await };
    let today = app.ask_wechat(deadline, get).await?.today;
    if today.remain == 0 {
        return Err(Problem::set_up(format!(
            "all {} calls of today are used up / 今日配额已用完",
            today.daily_limit
        ))
        .with_hint(
            "Wait until midnight in China, or clear the quota in the console (10 times a month). \
             / 请等到次日零点，或在公众号后台清零（每月 10 次）。",
        ));
    }
    passed(format!(
        "{} of {} calls left today / 今日剩余 {} 次",
        today.remain, today.daily_limit, today.remain
    ))
}

/// What the webhook refused last. Strangers have requests refused too: that is told and fails nothing. What WeChat itself has
/// signed fails the check, while it is news.
pub(super) async fn refused_callback(app: &App) -> Found {
    let now = app.clock.now();
    let Some(refused) = app.table.refused_callback(&app.app_id, now).await? else {
        return passed("none in the last 7 days / 最近 7 天没有校验失败的请求");
    };
    let detail = format!("{} s ago: {}", now - refused.at, refused.cause);
    if refused.sender == Sender::WeChat && now - refused.at < NEWS_FOR {
        return Err(Problem::set_up(detail).with_hint(
            "WeChat's own callbacks are refused: make the console's server configuration and this one the same. Mended since? \
             This check passes again 10 minutes after the last one. / 微信的回调正被拒绝，请使公众号后台的服务器配置与此处一致；\
             若已修正，本项将在最后一次失败 10 分钟后恢复。",
        ));
    }
    Ok(Finding {
        detail,
        hint: Some(
            "If it was the console's check of the URL, this is why it failed; anyone else's request may be ignored. \
             / 若当时正在公众号后台保存服务器配置，这就是失败原因；若是他人的请求，可以忽略。"
                .to_owned(),
        ),
    })
}
