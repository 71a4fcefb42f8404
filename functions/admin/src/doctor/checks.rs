//! The checks of the doctor.

use std::time::Duration;

use futures_util::future::join_all;
use http_api::Problem;
use wechat::{
    api::calls::{
        management::{CheckCallback, GetCallbackAddresses, Quota, is_among},
        template::ListTemplates,
    },
    bilingual::{both, caused},
    callback::MessageMode,
    clock::{Deadline, beijing_day},
    config::{SHORTEST_API_KEY, count_short_keys},
    sending::QuotaToday,
    store::{ForwardList, RefusedCallback, RelayedCalls, Sender, StoredToken, TokenItem},
    token::{Action, TokenError},
};

use super::{CHECK_BUDGET, Passed, timed_out};
use crate::{App, replies};

/// Characters of an AppID: `wx` and 16 hexadecimal digits.
const APP_ID_LENGTH: usize = 18;

/// Seconds for which a refused request with a good signature fails the check, whatever its address. Short, because it may
/// be the replay of an old request.
const SIGNED_IS_NEWS_FOR: i64 = 600;

/// Seconds without a callback after which the check fails, if there were callbacks before.
const SILENT_FOR: i64 = 24 * 3600;

/// Budget of the call for WeChat's addresses, which is part of a check.
/// See [WeChat Docs/获取微信推送服务器IP](https://developers.weixin.qq.com/doc/service/en/api/base/api_getcallbackip.html).
const ADDRESSES_BUDGET: Duration = Duration::from_millis(1500);
/// Budget of the call in which WeChat tests the callback URL, which is part of a check.
/// See [WeChat Docs/网络通信检测](https://developers.weixin.qq.com/doc/service/api/base/api_callbackcheck.html).
const CALLBACK_CHECK_BUDGET: Duration = Duration::from_millis(2700);

/// The check of own code fails when this many callbacks wait.
const MANY_FORWARDS: i32 = 100;
/// Seconds. A callback that has waited longer fails the check of own code: four attempts have failed by then.
const LATE_FORWARD: i64 = 3600;

/// The check of own code fails when this many callbacks of the last [`JUST_CAME`] seconds wait: own code seems to be down.
const MANY_NEW_FORWARDS: usize = 5;
/// Seconds.
const JUST_CAME: i64 = 600;

/// Where the callback URL is entered.
const CALLBACK_PAGE: &str = "微信开发者平台 → 我的业务 → 公众号/服务号 → 域名与消息推送配置";

type CheckResult = Result<Passed, Problem>;

fn passed(detail: impl Into<String>) -> CheckResult {
    Ok(Passed::new(detail))
}

/// Checks the configuration, as far as this function can see it.
pub(super) fn configuration(app: &App) -> CheckResult {
    if app.account.table.app_id().len() != APP_ID_LENGTH {
        let length = app.account.table.app_id().len();
        return Err(Problem::set_up(format!(
            "WECHAT_APP_ID has {length} characters, an AppID has 18 / WECHAT_APP_ID 有 {length} 个字符，AppID 应为 18 位"
        ))
        .with_hint(
            "Copy the AppID from 微信开发者平台 → 我的业务 → 公众号/服务号 → 基础信息: wx and 16 more characters. \
             / 请从微信开发者平台 → 我的业务 → 公众号/服务号 → 基础信息 复制 AppID（wx 开头，共 18 位）。",
        ));
    }
    match &app.webhook_mode {
        None => passed(
            "AppID and table are set; the webhook's own settings cannot be seen from here / 配置齐全（此处看不到 webhook 的配置）",
        ),
        Some(Ok(MessageMode::Plain)) => passed("complete; plain mode / 配置齐全，明文模式"),
        Some(Ok(MessageMode::Compat)) => passed("complete; compat mode / 配置齐全，兼容模式"),
        Some(Ok(MessageMode::Safe)) => passed("complete; safe mode / 配置齐全，安全模式"),
        Some(Err(error)) => Err(Problem::set_up(error.to_string())
            .with_hint("Fix the webhook's variables or its secret. / 请修正 webhook 的环境变量或密钥。")),
    }
}

/// Checks that the table can be read.
pub(super) async fn table(app: &App) -> CheckResult {
    app.account.table.replies().await?;
    passed("the table can be read / 数据表可读")
}

/// Checks that the stored rules can be used. The webhook hides damaged rules: it goes on with cached or built-in ones.
pub(super) async fn reply_rules(app: &App) -> CheckResult {
    match replies::stored_rules(app).await? {
        (0, _) => passed(
            "no rules are stored: new followers get the default greeting / 未设置回复规则，仅向新关注者发送默认欢迎语",
        ),
        (version, _) => passed(format!(
            "the rules can be used (version {version}) / 回复规则可用（版本 {version}）"
        )),
    }
}

/// Checks that the table deletes expired items.
pub(super) async fn table_expiry(app: &App) -> CheckResult {
    if app.account.table.expires_items().await? {
        return passed("the table deletes expired items / 已开启 TTL，过期数据会自动删除");
    }
    Err(
        Problem::set_up("the table's TTL is off, so it grows for ever / 数据表未开启 TTL，会不断增长")
            .with_hint("Turn it on for the attribute \"ttl\". / 请为属性 ttl 开启 TTL。"),
    )
}

/// Checks that there is a valid token, and asks `token-refresher` if necessary, as any request does. When WeChat refuses a
/// token, this check shows why: the whitelist and the address that WeChat saw, a wrong AppSecret, a frozen account.
pub(super) async fn token(app: &App, deadline: Deadline) -> CheckResult {
    let now = app.account.clock.now();
    app.account.tokens.forget().await;
    let token = app.account.tokens.token(deadline).await;
    token.map_err(|error| Problem::from_token(&error, now))?;
    match app.account.table.token().await? {
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
        "access_token no. {generation} is valid for {life} s more; run {run} obtained it {age} s ago \
         / access_token（第 {generation} 个）剩余有效期 {life} 秒，{age} 秒前获取（刷新任务 {run}）",
        generation = token.generation,
        run = refreshed_by.unwrap_or("(unknown)"),
        age = now - token.refreshed_at,
    )
}

/// Checks that this function can invoke `token-refresher`.
pub(super) async fn refresh_on_demand(app: &App, deadline: Deadline) -> CheckResult {
    let run = app.refresher.run(&Action::Refresh, deadline).await;
    run.map_err(|error| Problem::from_token(&TokenError::Request(error), app.account.clock.now()))?;
    passed("token-refresher can be invoked / 可以调用 token-refresher，按需刷新 access_token")
}

/// Checks that the account has a template.
pub(super) async fn templates(app: &App, deadline: Deadline) -> CheckResult {
    let templates = app.account.call(&ListTemplates, deadline).await?;
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

pub(super) async fn menu(app: &App, deadline: Deadline) -> CheckResult {
    match crate::menu::current(app, deadline).await? {
        Some(_) => passed("the account has a menu / 已创建菜单"),
        None => passed("the account has no menu, which is allowed / 尚未创建菜单（可选）"),
    }
}

/// Checks that WeChat can resolve and reach the host of the callback URL. WeChat tests it during the call, and needs a second
/// for each address that does not answer.
pub(super) async fn callback_url(app: &App, deadline: Deadline) -> CheckResult {
    let check = app.account.call(&CheckCallback, deadline);
    let Ok(found) = tokio::time::timeout(CALLBACK_CHECK_BUDGET, check).await else {
        return Ok(Passed {
            detail: "not known: WeChat did not report in time whether it reaches the callback URL \
                     / 未知：微信未在限定时间内返回回调地址的检测结果"
                .to_owned(),
            hint: Some("Run the check again. / 请再次检查。".to_owned()),
        });
    };
    let found = found?;
    if found.dns.is_empty() && found.ping.is_empty() {
        return Err(
            Problem::set_up("WeChat cannot resolve the callback URL's host / 微信无法解析回调地址的域名")
                .with_hint("Check its DNS record and certificate. / 请检查域名解析与证书。"),
        );
    }
    let lost: Vec<&str> = found
        .ping
        .iter()
        .filter(|ping| ping.is_lost())
        .map(|ping| ping.ip.as_str())
        .collect();
    if !lost.is_empty() {
        return unanswered_pings(app, &lost.join(", ")).await;
    }
    let addresses: Vec<&str> = found.dns.iter().map(|lookup| lookup.ip.as_str()).collect();
    passed(format!(
        "WeChat reaches the callback URL's host at {0} / 微信可以访问回调地址的主机：{0}",
        addresses.join(", ")
    ))
}

/// Judges lost pings. Load balancers often ignore pings but answer requests, so recent callbacks count for more. In a
/// simulated run only the pings count.
async fn unanswered_pings(app: &App, lost: &str) -> CheckResult {
    let detail = format!("WeChat's ping to {lost} is lost / 微信 ping {lost} 丢包");
    let last = app.account.table.last_callback().await?;
    if !app.is_simulated && last.is_some_and(|at| app.account.clock.now() - at < SILENT_FOR) {
        return Ok(Passed {
            detail,
            hint: Some(
                "Callbacks arrive, so the host only ignores pings: nothing to do. \
                 / 回调正常到达，说明该主机只是不响应 ping，无需处理。"
                    .to_owned(),
            ),
        });
    }
    Err(Problem::set_up(detail).with_hint(
        "Check that the callback URL's host is up and reachable from mainland China. A host that ignores pings passes after \
         its next callback. / 请检查回调地址的主机是否在线、能否从中国大陆访问；若主机不响应 ping，收到一次回调后本项即恢复。",
    ))
}

/// Checks that the APIs at `cgi_paths` have calls left today, the first above all: another one may belong to another program.
/// See [WeChat Docs/接口调用频次](https://developers.weixin.qq.com/doc/service/guide/dev/api/limit.html).
pub(super) async fn quota(app: &App, cgi_paths: &[&str], deadline: Deadline) -> CheckResult {
    let (mut english, mut chinese) = (Vec::new(), Vec::new());
    let asked = cgi_paths
        .iter()
        .map(|cgi_path| QuotaToday::ask(&app.account, cgi_path, CHECK_BUDGET, deadline));
    for (cgi_path, today) in cgi_paths.iter().zip(join_all(asked).await) {
        let (left, left_too) = match today {
            QuotaToday::NoAnswer(Some(error)) => return Err(error.into()),
            QuotaToday::NoAnswer(None) => return Err(timed_out(CHECK_BUDGET)),
            QuotaToday::Known(today) if today.remain == 0 && Some(cgi_path) == cgi_paths.first() => {
                return Err(used_up(today));
            }
            QuotaToday::Known(Quota {
                daily_limit, remain, ..
            }) => (
                format!("{remain} of {daily_limit} calls left today"),
                format!("今日 {daily_limit} 次额度剩余 {remain} 次"),
            ),
            // WeChat hides all quotas from some accounts, and the quotas of some APIs from everybody.
            QuotaToday::NotTold => ("WeChat does not tell the quota".to_owned(), "微信未告知额度".to_owned()),
        };
        english.push(format!("{cgi_path}: {left}"));
        chinese.push(format!("{cgi_path}：{left_too}"));
    }
    passed(both(&english.join("; "), &chinese.join("；")))
}

fn used_up(today: Quota) -> Problem {
    Problem::set_up(format!(
        "all {0} calls of today are used up / 今日 {0} 次额度已用完",
        today.daily_limit
    ))
    .with_hint(
        "Wait until midnight in China, or clear the quota in the console (10 times a month). \
         / 请等到次日零点，或在公众号后台清零（每月 10 次）。",
    )
}

/// Checks the lengths of the API keys: a guessed key opens the whole API. The key of a simulated run is public.
pub(super) fn api_keys(app: &App) -> CheckResult {
    let short = count_short_keys(app.keys.api_keys());
    if short > 0 && !app.is_simulated {
        return Err(Problem::set_up(format!(
            "{short} of API_KEYS have fewer than {SHORTEST_API_KEY} characters and can be guessed \
             / API_KEYS 中有 {short} 个少于 {SHORTEST_API_KEY} 个字符，容易被猜到"
        ))
        .with_hint(
            "Make new ones, for example with: openssl rand -hex 16. / 请重新生成，例如：openssl rand -hex 16。",
        ));
    }
    passed(match app.keys.api_keys().len() {
        0 => "no API_KEYS: only callers with a valid JWT or a key of /api/keys are served \
              / 未设置 API_KEYS：仅接受持有效 JWT 或 /api/keys 密钥的调用方"
            .to_owned(),
        keys => format!("{keys} API key(s) / 共 {keys} 个 API 密钥"),
    })
}

/// Checks that callbacks still arrive. An account that never had one is being set up, which passes.
pub(super) async fn callbacks(app: &App) -> CheckResult {
    let Some(at) = app.account.table.last_callback().await? else {
        return Ok(Passed {
            detail: "no callback has arrived yet / 尚未收到微信的回调".to_owned(),
            hint: Some(format!(
                "Enter https://YOUR-HOST/webhook (in AWS the output WebhookUrl), Token and EncodingAESKey at {CALLBACK_PAGE}, \
                 enable it, and send the account a message. / 请在 {CALLBACK_PAGE} 填写 https://您的域名/webhook（AWS 上为输出 \
                 WebhookUrl）、Token、EncodingAESKey 并启用，再给公众号发一条消息。"
            )),
        });
    };
    let ago = app.account.clock.now() - at;
    if ago < SILENT_FOR || app.is_simulated {
        return passed(format!(
            "a callback was accepted {ago} s ago (noted every 5 minutes at most) / 最近一次接受回调是在 {ago} 秒前（最多每 5 分钟记录一次）"
        ));
    }
    let hours = ago / 3600;
    Err(Problem::set_up(format!(
        "no callback was accepted for {hours} h, though there were some before / 已有 {hours} 小时没有收到回调，而此前一直有"
    ))
    .with_hint(format!(
        "Send the account a message and run the check again. If there is still none, look at {CALLBACK_PAGE}: it must be \
         enabled, and its URL must be this bundle's /webhook. / 请给公众号发一条消息后再次检查；仍收不到时，请查看 {CALLBACK_PAGE} \
         是否启用，URL 是否为本服务的 /webhook。"
    )))
}

/// Checks that own code takes its callbacks. Fails while a callback is dead, many wait, several new ones wait, or one has waited
/// for long. Does not call own code, which would act on it.
pub(super) async fn own_code(app: &App) -> CheckResult {
    let table = &app.account.table;
    let now = app.account.clock.now();
    let counts = table.count_forwards().await?;
    let (waiting, dead) = (counts.waiting, counts.dead);
    let Some(url) = &app.forward_url else {
        if waiting + dead == 0 {
            return passed("not used: FORWARD_URL is not set / 未使用：未设置 FORWARD_URL");
        }
        return Err(Problem::set_up(format!(
            "FORWARD_URL is not set, and callbacks are kept for own code: {waiting} waiting, {dead} dead \
             / 未设置 FORWARD_URL，但有为自有服务保留的回调：{waiting} 条等待，{dead} 条已放弃"
        ))
        .with_hint(
            "Set FORWARD_URL, or delete them: DELETE /api/forwards/{id}. \
             / 请设置 FORWARD_URL，或通过 DELETE /api/forwards/{id} 删除。",
        ));
    };
    if waiting + dead == 0 {
        return passed(format!("{url} has taken every callback / {url} 已接收全部回调"));
    }
    let list = if dead > 0 {
        ForwardList::Dead
    } else {
        ForwardList::Waiting
    };
    let page = table.page_of_forwards(list, None, now * 1000).await?;
    let english = format!("{url} has not taken some callbacks: {waiting} waiting, {dead} dead");
    let chinese = format!("{url} 有未接收的回调：{waiting} 条等待，{dead} 条已放弃");
    let newest = page
        .entries
        .iter()
        .filter(|forward| forward.last_error.is_some())
        .max_by_key(|forward| forward.at);
    let detail = match newest.and_then(|forward| forward.last_error.as_deref()) {
        Some(error) => caused(&english, &chinese, error),
        None => both(&english, &chinese),
    };
    let oldest = page
        .entries
        .iter()
        .map(|forward| now - forward.at)
        .max()
        .unwrap_or_default();
    let just_came = page
        .entries
        .iter()
        .filter(|forward| now - forward.at < JUST_CAME)
        .count();
    if dead == 0 && waiting < MANY_FORWARDS && oldest < LATE_FORWARD && just_came < MANY_NEW_FORWARDS {
        return Ok(Passed {
            detail,
            hint: Some("They are retried automatically. / 将自动重试。".to_owned()),
        });
    }
    Err(Problem::set_up(detail).with_hint(
        "Fix your own code first. Then POST /api/forwards/retry retries the dead ones; the waiting ones are retried \
         automatically for 3 days. / 请先修复自有服务，再用 POST /api/forwards/retry 重新转发已放弃的回调；等待中的会在 3 天内自动重试。",
    ))
}

/// Reports how many calls the relay has passed on today for each key. Failed calls do not fail the check: their callers see
/// them.
pub(super) async fn relay(app: &App) -> CheckResult {
    let table = &app.account.table;
    let day = beijing_day(app.account.clock.now());
    let counted = table.relayed_calls(&day).await?;
    if counted.is_empty() {
        return passed("no call was relayed today / 今日没有中继调用");
    }
    // The counts are useful even without the names.
    let keys = table.api_keys().await.unwrap_or_default();
    let lines = counted.iter().map(|RelayedCalls { key, calls, failed }| {
        let known = keys.iter().find(|known| known.id == *key);
        let name = known.map_or(key, |known| &known.name);
        format!("{name} {calls} ({failed})")
    });
    let lines: Vec<String> = lines.collect();
    passed(both(
        &format!(
            "relayed today (Beijing time), failed calls in brackets: {}",
            lines.join(", ")
        ),
        &format!("今日中继调用次数，括号内为失败次数：{}", lines.join("，")),
    ))
}

/// Checks that the webhook does not refuse WeChat's requests. Fails while there is a recent refusal of a request that is
/// signed with the Token or came from one of WeChat's addresses. Strangers' refused requests do not fail it.
pub(super) async fn refused_callbacks(app: &App, has_token: bool, deadline: Deadline) -> CheckResult {
    let now = app.account.clock.now();
    let refusals = app.account.table.refused_callbacks(now).await?;
    let Some(first) = refusals.first() else {
        return passed("no request was refused in the last 7 days / 最近 7 天没有校验失败的请求");
    };
    // WeChat signs every request. An unsigned one came from something else, such as a browser behind the same address.
    let may_be_wechats = |refused: &&RefusedCallback| {
        refused.is_news(now) && refused.sender != Sender::Stranger && refused.source.is_some()
    };
    let suspects: Vec<&RefusedCallback> = refusals.iter().filter(may_be_wechats).collect();
    let addresses = match suspects.is_empty() {
        true => Some(Vec::new()),
        false if has_token => callback_addresses(app, deadline).await,
        false => None,
    };
    let known = addresses.as_deref().unwrap_or_default();
    let is_wechats = |refused: &&&RefusedCallback| refused.source.is_some_and(|source| is_among(source, known));
    if let Some(refused) = suspects.iter().find(is_wechats) {
        return Err(refused_wechat(
            refused,
            now,
            ["from one of WeChat's addresses", "来自微信服务器"],
            "an hour",
            "1 小时",
        ));
    }
    if first.sender == Sender::WeChat && now - first.at < SIGNED_IS_NEWS_FOR {
        return Err(refused_wechat(
            first,
            now,
            ["signed with the Token", "签名正确"],
            "10 minutes",
            "10 分钟",
        ));
    }
    let hint = if addresses.is_none() {
        format!(
            "WeChat's addresses are not known at the moment, so the request may come from WeChat: compare the settings at \
             {CALLBACK_PAGE} with this server's. / 暂时无法获取微信服务器地址，该请求可能来自微信，请核对 {CALLBACK_PAGE} 与此处的设置。"
        )
    } else {
        format!(
            "If somebody was saving the settings at {CALLBACK_PAGE}, this is why it failed. Ignore requests of others. \
             / 若当时正在保存 {CALLBACK_PAGE}，这就是失败原因；若是他人的请求，可以忽略。"
        )
    };
    Ok(Passed {
        detail: caused(
            &format!("{} s ago", now - first.at),
            &format!("{} 秒前", now - first.at),
            &first.cause,
        ),
        hint: Some(hint),
    })
}

/// Asks WeChat for the addresses from which it sends callbacks. `None` when the answer fails or is late.
async fn callback_addresses(app: &App, deadline: Deadline) -> Option<Vec<String>> {
    let list = app.account.call(&GetCallbackAddresses, deadline);
    let listed = tokio::time::timeout(ADDRESSES_BUDGET, list).await;
    listed.ok()?.ok()
}

fn refused_wechat(refused: &RefusedCallback, now: i64, proof: [&str; 2], news_for: &str, chinese: &str) -> Problem {
    let ago = now - refused.at;
    let source = |comma| {
        refused
            .source
            .map(|source| format!("{source}{comma}"))
            .unwrap_or_default()
    };
    let [proof_english, proof_chinese] = proof;
    let [differs_english, differs_chinese] = match refused.sender {
        Sender::WeChat => [
            "; the message mode or the EncodingAESKey differs",
            "；消息加解密方式或 EncodingAESKey 不相同",
        ],
        Sender::Unproven | Sender::Stranger => ["", ""],
    };
    Problem::set_up(caused(
        &format!("{ago} s ago, {}{proof_english}{differs_english}", source(", ")),
        &format!("{ago} 秒前，{}{proof_chinese}{differs_chinese}", source("，")),
        &refused.cause,
    ))
    .with_hint(format!(
        "WeChat's callbacks are refused: make the settings at {CALLBACK_PAGE} and this server's the same. If that is done, this \
         check passes {news_for} after the last refusal. / 微信的回调正被拒绝，请使 {CALLBACK_PAGE} 与此处的设置一致；\
         若已修正，本项将在最后一次失败 {chinese}后恢复。"
    ))
}
