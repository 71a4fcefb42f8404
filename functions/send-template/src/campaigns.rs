//! `/api/campaigns`: makes campaigns and changes their state. `worker` does the work.

use std::{collections::BTreeMap, time::Duration};

use http::{Response, StatusCode};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, CURSOR, Location, Parameter, Schema},
    response, route,
};
use serde::Serialize;
use wechat::{
    api::{
        Call as _, FieldValue, MiniProgram, TemplateMessage,
        calls::{management::Quota, template::SendTemplateMessage},
    },
    campaign::{Audience, Campaign, CampaignState, Canary, Loading, Order, Refused, Totals, WaitingFor, reserve},
    random,
    sending::QuotaToday,
    store::{List, Page},
    validate::{campaign, template::Finding},
};

use crate::{App, recipients, scheduled::AHEAD, templates};

/// The parameter of all paths below `/api/campaigns/`.
pub(crate) const CAMPAIGN: Parameter = Parameter {
    name: "campaign",
    location: Location::Path,
    description: "The campaign's id",
    schema: r#"{"type": "string", "pattern": "^[0-9a-f]{1,32}$"}"#,
};

/// Budget of the question how much of the quota is left: the caller waits for the answer.
const QUOTA_BUDGET: Duration = Duration::from_secs(3);

/// Seconds. A start that lies in the past by at most this much means now: the caller's clock may differ.
const JUST_PASSED: i64 = 60;

/// Describes a path that gives an order.
const fn order(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation {
        id,
        summary,
        description,
        parameters: &[CAMPAIGN],
        answers: &[(200, "The campaign in its new state", Schema::Named("Campaign"))],
        failures: &[404, 409],
        ..Operation::NEW
    }
}

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Campaigns, POST "/api/campaigns" => create, Operation {
        id: "createCampaign",
        summary: "Make a campaign, a draft / 创建群发任务（草稿）",
        body: Some(Body::required("NewCampaign")),
        answers: &[(201, "The draft", Schema::Named("Campaign"))],
        failures: &[400, 413],
        ..Operation::NEW
    }),
    route!(Campaigns, GET "/api/campaigns" => list, Operation {
        id: "listCampaigns",
        summary: "Campaigns, the newest first / 群发任务列表",
        parameters: &[CURSOR],
        answers: &[(200, "A page of at most 100", Schema::Named("CampaignPage"))],
        failures: &[400],
        ..Operation::NEW
    }),
    route!(Campaigns, GET "/api/campaigns/{campaign}" => get, Operation {
        id: "getCampaign",
        summary: "A campaign: its state and its totals / 查询群发任务",
        parameters: &[CAMPAIGN],
        answers: &[(200, "The campaign", Schema::Named("Campaign"))],
        failures: &[404],
        ..Operation::NEW
    }),
    route!(Campaigns, DELETE "/api/campaigns/{campaign}" => delete, Operation {
        id: "deleteCampaign",
        summary: "Delete a draft, or a campaign that has ended / 删除草稿或已结束的群发任务",
        parameters: &[CAMPAIGN],
        answers: &[(204, "It is gone, with its recipients. Records of messages stay", Schema::Empty)],
        failures: &[404, 409],
        ..Operation::NEW
    }),
    route!(Campaigns, GET "/api/campaigns/{campaign}/preview" => preview, Operation {
        id: "previewCampaign",
        summary: "What a start would do: who, how many, how long, how much of the quota / 试运行",
        parameters: &[CAMPAIGN],
        answers: &[(200, "The preview. Nothing is sent", Schema::Named("Preview"))],
        failures: &[404, 429],
        ..Operation::NEW
    }),
    route!(Campaigns, POST "/api/campaigns/{campaign}/start" => start, order(
        "startCampaign",
        "Start a draft / 启动",
        "The first message goes out within a minute, or at `start_at`. 409 when it is no draft, when there is nobody to send to, or when the day's quota is not above what is kept for single sends.",
    )),
    route!(Campaigns, POST "/api/campaigns/{campaign}/pause" => pause, order(
        "pauseCampaign",
        "Pause / 暂停",
        "No message goes out later than 5 seconds after the answer.",
    )),
    route!(Campaigns, POST "/api/campaigns/{campaign}/resume" => resume, order(
        "resumeCampaign",
        "Go on with a paused, waiting or stopped campaign / 继续",
        "",
    )),
    route!(Campaigns, POST "/api/campaigns/{campaign}/cancel" => cancel, order(
        "cancelCampaign",
        "Cancel / 取消",
        "No message goes out later than 5 seconds after the answer. Who has not had a turn stays `queued`.",
    )),
    route!(Campaigns, POST "/api/campaigns/{campaign}/resend" => resend, Operation {
        parameters: &[CAMPAIGN, Parameter {
            name: "state",
            location: Location::Query,
            description: "Who gets the message again",
            schema: r#"{"type": "string", "enum": ["unknown"]}"#,
        }],
        failures: &[400, 404, 409],
        ..order(
            "resendCampaign",
            "Send again to those whose outcome is unknown / 重发结果未知的消息",
            "Of a campaign that has ended. Some of them may have got the message already.",
        )
    }),
];

/// A campaign.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Campaign))]
pub(crate) struct Shown {
    id: String,
    name: String,
    template_id: String,
    /// The message's fields, as they were given. Absent in a list, as `url` and `miniprogram` are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    data: BTreeMap<String, FieldValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    miniprogram: Option<MiniProgram>,
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::audience))]
    audience: Audience,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    state: CampaignState,
    /// In the state `waiting`: `quota`, `whitelist`, `token` or `platform`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    waiting_for: Option<WaitingFor>,
    /// When a waiting one looks again, in epoch seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    resumes_at: Option<i64>,
    /// Why it stopped or waits, in English and Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Entries in a draft, people after it.
    recipients: u64,
    /// People by state. They add up to `recipients`.
    totals: Totals,
    /// The refused ones by errcode, or by `unknown-user`.
    refusals: BTreeMap<String, u64>,
    /// Messages a second.
    pace: u32,
    /// The first messages, whose receipts are awaited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::CanaryBody>))]
    canary: Option<Canary>,
    /// Calls of the day's quota that are left to single sends. Absent for 1 %, at most 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_for_single_sends: Option<u64>,
    created_at: i64,
    /// When the first message may go out, in epoch seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_at: Option<i64>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    /// Seconds until the last message, at the pace.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_seconds: Option<u64>,
}

impl From<Campaign> for Shown {
    fn from(campaign: Campaign) -> Self {
        let totals = campaign.totals();
        let pace = campaign.plan.pace;
        Self {
            recipients: campaign.recipients(),
            remaining_seconds: campaign
                .state
                .sends()
                .then(|| campaign.left().div_ceil(u64::from(pace.max(1)))),
            totals,
            id: campaign.id,
            name: campaign.plan.name,
            template_id: campaign.plan.content.template_id,
            data: campaign.plan.content.data,
            url: campaign.plan.content.url,
            miniprogram: campaign.plan.content.miniprogram,
            audience: campaign.plan.audience,
            state: campaign.state,
            waiting_for: campaign.waiting_for,
            resumes_at: campaign.resumes_at,
            reason: campaign.reason,
            refusals: campaign.progress.refusals,
            pace,
            canary: campaign.plan.canary,
            keep_for_single_sends: campaign.plan.keep_for_single_sends,
            created_at: campaign.created_at,
            start_at: campaign.plan.start_at,
            started_at: campaign.started_at,
            finished_at: campaign.finished_at,
        }
    }
}

impl Shown {
    /// As it stands in a list: a hundred messages could be more than Lambda answers.
    fn without_message(self) -> Self {
        Self {
            data: BTreeMap::new(),
            url: None,
            miniprogram: None,
            ..self
        }
    }
}

/// A page of campaigns.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct CampaignPage {
    campaigns: Vec<Shown>,
    /// For the next page. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What a start would do.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Preview {
    /// Entries. Absent for followers, who are counted when the campaign is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<u64>,
    /// What the first recipient gets. `touser` is empty for one that is a user.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    message: TemplateMessage,
    /// The team's id of the first recipient, if the entry names a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What WeChat would refuse of it, may refuse or drops.
    findings: Vec<Finding>,
    /// Seconds to send to all, at the pace and without a wait for quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    /// Absent when WeChat does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaPreview>,
}

/// What a campaign means for the day's quota.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct QuotaPreview {
    daily_limit: u64,
    used: u64,
    remain: u64,
    /// Calls that are kept for single sends.
    reserve: u64,
    /// Days that the campaign needs, today included.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u64>,
}

/// Finds the campaign that a path names. One with a template that the caller may not use does not exist for the caller.
pub(crate) async fn find(app: &App, request: &ApiRequest<'_>) -> Result<Campaign, Problem> {
    let campaign = app.account.table.campaign(request.parameter("campaign")).await?;
    campaign
        .filter(|campaign| is_shown(request, campaign))
        .ok_or_else(unknown)
}

fn is_shown(request: &ApiRequest<'_>, campaign: &Campaign) -> bool {
    let grants = request.caller().grants();
    grants.allows_template(&campaign.plan.content.template_id)
}

fn unknown() -> Problem {
    Problem::not_found(
        "there is no such campaign; a campaign is deleted 30 days after its end / 没有该群发任务（结束 30 天后会被删除）",
    )
}

fn shown(status: u16, campaign: Campaign) -> Response<String> {
    response::json(status, &Shown::from(campaign))
}

async fn create(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let plan = campaign::read(&request.json()?).map_err(Problem::faulty_request)?;
    if !request.caller().grants().allows_template(&plan.content.template_id) {
        return Err(Problem::forbidden(
            "the scope campaigns of this key does not include this template / 该密钥的 campaigns 权限不包括此模板",
        )
        .with_field("template_id"));
    }
    let now = app.account.clock.now_millis();
    let starts_in = plan
        .start_at
        .map_or(0, |start| start.saturating_sub(now.div_euclid(1000)));
    if !(-JUST_PASSED..=AHEAD).contains(&starts_in) {
        let detail = "start_at must lie ahead, by a year at most; without it the campaign goes out once it is started \
                      / start_at 应为将来的时间，最多一年；不填则启动后立即发送";
        return Err(Problem::bad_request(detail).with_field("start_at"));
    }
    let content = &plan.content;
    let mut findings = templates::check(app, &content.template_id, &content.data, request.deadline()).await;
    if plan.audience == Audience::List {
        // People's own data may fill in fields that the campaign's data lacks.
        findings.retain(|finding| finding.given.is_some());
    }
    templates::refuse_mismatch(findings, plan.only_warns)?;
    let id = random::hex::<8>();
    app.account.table.create_campaign(&id, &plan, now).await?;
    let campaign = app.account.table.campaign(&id).await?.ok_or_else(unknown)?;
    tracing::info!(campaign = id, key = request.caller().name(), "a campaign was made");
    Ok(shown(201, campaign))
}

async fn list(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let table = &app.account.table;
    let after = request.cursor(|cursor| table.parse_cursor(List::Campaigns, cursor))?;
    let Page { entries, next } = table.page_of_campaigns(after.as_ref()).await?;
    let campaigns = entries.into_iter().filter(|campaign| is_shown(request, campaign));
    let page = CampaignPage {
        campaigns: campaigns
            .map(|campaign| Shown::from(campaign).without_message())
            .collect(),
        cursor: next.map(|next| table.cursor_text(List::Campaigns, &next)),
    };
    Ok(response::json(200, &page))
}

async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    Ok(shown(200, find(app, request).await?))
}

async fn delete(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    find(app, request).await?;
    let may_be_deleted = |campaign: &Campaign| campaign.state == CampaignState::Draft || campaign.state.has_ended();
    let now = app.account.clock.now();
    let deleted = app
        .account
        .table
        .delete_campaign(request.parameter("campaign"), now, may_be_deleted)
        .await?;
    match deleted {
        None => Err(unknown()),
        Some(Err(campaign)) => Err(not_in(campaign.state)),
        Some(Ok(())) => {
            let (campaign, key) = (request.parameter("campaign"), request.caller().name());
            tracing::info!(campaign, key, "a campaign was deleted");
            Ok(response::empty(StatusCode::NO_CONTENT))
        }
    }
}

async fn preview(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let campaign = find(app, request).await?;
    let first = recipients::first(app, &campaign).await?.unwrap_or_default();
    let openid = first.openid.as_deref().unwrap_or_default();
    let message = campaign.message(app.account.table.app_id(), openid, &first.data);
    let (findings, quota) = tokio::join!(
        templates::check(app, &message.template_id, &message.data, request.deadline()),
        quota_today(app, request),
    );
    let known = campaign.plan.audience == Audience::List || campaign.progress.loading == Loading::Over;
    let recipients = known.then(|| campaign.recipients());
    let quota = quota.map(|quota| {
        let reserve = reserve(campaign.plan.keep_for_single_sends, quota.daily_limit);
        QuotaPreview {
            daily_limit: quota.daily_limit,
            used: quota.used,
            remain: quota.remain,
            reserve,
            days: recipients.and_then(|people| days(people, quota, reserve)),
        }
    });
    let preview = Preview {
        seconds: recipients.map(|people| people.div_ceil(u64::from(campaign.plan.pace.max(1)))),
        recipients,
        message,
        user: first.user,
        findings,
        quota,
    };
    Ok(response::json(200, &preview))
}

/// Asks WeChat how many messages the account may send today. `None` when WeChat does not say.
async fn quota_today(app: &App, request: &ApiRequest<'_>) -> Option<Quota> {
    let today = QuotaToday::ask(
        &app.account,
        SendTemplateMessage::PATH,
        QUOTA_BUDGET,
        request.deadline(),
    );
    today.await.known()
}

/// Days that `people` messages need. `None` when the quota never suffices.
fn days(people: u64, quota: Quota, reserve: u64) -> Option<u64> {
    let today = quota.remain.saturating_sub(reserve);
    let later = people.saturating_sub(today);
    if later == 0 {
        return Some(1);
    }
    let a_day = quota.daily_limit.saturating_sub(reserve);
    (a_day > 0).then(|| 1 + later.div_ceil(a_day))
}

async fn start(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let campaign = find(app, request).await?;
    if campaign.state == CampaignState::Draft
        && let Some(quota) = quota_today(app, request).await
    {
        let reserve = reserve(campaign.plan.keep_for_single_sends, quota.daily_limit);
        if quota.daily_limit <= reserve {
            return Err(Problem::conflict(format!(
                "WeChat allows {} messages a day, and {reserve} are kept for single sends: nothing is left for a campaign \
                 / 微信每日额度为 {} 条，其中为单条发送保留 {reserve} 条，群发任务没有可用额度",
                quota.daily_limit, quota.daily_limit
            ))
            .with_hint(
                "Make the campaign with a smaller keep_for_single_sends. / 请以更小的 keep_for_single_sends 创建任务。",
            ));
        }
    }
    change_state(app, request, Order::Start).await
}

async fn pause(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    carry_out(app, request, Order::Pause).await
}

async fn resume(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    carry_out(app, request, Order::Resume).await
}

async fn cancel(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    carry_out(app, request, Order::Cancel).await
}

async fn resend(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    if request.query("state").as_deref() != Some("unknown") {
        return Err(
            Problem::bad_request("state must be unknown: ?state=unknown / state 应为 unknown：?state=unknown")
                .with_field("state"),
        );
    }
    carry_out(app, request, Order::Resend).await
}

/// Makes the worker follow an order.
async fn carry_out(app: &App, request: &ApiRequest<'_>, order: Order) -> Result<Response<String>, Problem> {
    find(app, request).await?;
    change_state(app, request, order).await
}

/// Has the worker follow an order on a campaign that the caller may use.
async fn change_state(app: &App, request: &ApiRequest<'_>, order: Order) -> Result<Response<String>, Problem> {
    let now = app.account.clock.now();
    let id = request.parameter("campaign");
    let changed = app.account.table.order_campaign(id, order, now).await?;
    let campaign = changed.ok_or_else(unknown)?.map_err(refused)?;
    tracing::info!(
        campaign = campaign.id,
        ?order,
        state = campaign.state.as_str(),
        key = request.caller().name(),
        "a campaign was changed"
    );
    Ok(shown(200, campaign))
}

fn refused(refused: Refused) -> Problem {
    match refused {
        Refused::InState(state) => not_in(state),
        Refused::NobodyToSendTo => {
            Problem::conflict("there is nobody to send to: load recipients first / 没有接收者，请先导入").with_hint(
                "POST /api/campaigns/{campaign}/recipients loads them. \
                 / 请通过 POST /api/campaigns/{campaign}/recipients 导入。",
            )
        }
        Refused::NothingUnknown => Problem::conflict("no outcome is unknown / 没有结果未知的接收者"),
    }
}

fn not_in(state: CampaignState) -> Problem {
    let state = state.as_str();
    Problem::conflict(format!(
        "the campaign is {state}, which does not allow this / 群发任务当前为 {state}，不支持此操作"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_takes_as_many_days_as_the_quota_above_the_reserve_needs() {
        let quota = |remain| Quota {
            daily_limit: 100_000,
            used: 100_000 - remain,
            remain,
        };
        assert_eq!(days(99_000, quota(100_000), 1_000), Some(1));
        assert_eq!(days(99_001, quota(100_000), 1_000), Some(2));
        assert_eq!(days(1_000_000, quota(500), 1_000), Some(12));
        assert_eq!(days(1, quota(0), 100_000), None);
    }
}
