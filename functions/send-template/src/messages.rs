//! `/api/messages`: the record of a message with its delivery status, a person's history, and a day's problems.

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{CURSOR, Location, Parameter, Schema},
    response, route,
};
use wechat::{
    message::{DeliveryStatus, is_msgid},
    store::{Deliveries, List, MessageRecord, MessageStatus, ProblemRecord},
    validate::{OPENID_LIMIT, is_user_id, send::is_day},
};

use crate::{
    App,
    answer::{DeliveryDay, DeliveryDays, Message, MessagePage},
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Send, GET "/api/messages/{msgid}" => get, Operation {
        id: "getMessage",
        summary: "Query the delivery status of a message / 查询送达结果",
        parameters: &[Parameter {
            name: "msgid",
            location: Location::Path,
            description: "",
            schema: r#"{"type": "string", "pattern": "^[0-9]{1,20}$"}"#,
        }],
        answers: &[(200, "The record, kept for 30 days", Schema::Named("Message"))],
        failures: &[404],
        ..Operation::NEW
    }),
    route!(Send, GET "/api/messages" => list, Operation {
        id: "listMessages",
        summary: "What was sent to one person, or what did not arrive on one day / 某人的发送记录，或某日未送达的消息",
        description: "With one of touser, user and problems. The newest first, at most 100 a page; a page may be empty and have a cursor.",
        parameters: &[
            Parameter {
                name: "touser",
                location: Location::Query,
                description: "An openid",
                schema: r#"{"type": "string"}"#,
            },
            Parameter {
                name: "user",
                location: Location::Query,
                description: "The team's id of a user",
                schema: r#"{"type": "string", "maxLength": 128}"#,
            },
            Parameter {
                name: "problems",
                location: Location::Query,
                description: "A day in Beijing: that day's messages that are `failed` or `blocked`",
                schema: r#"{"type": "string", "format": "date"}"#,
            },
            CURSOR,
        ],
        answers: &[(200, "A page", Schema::Named("MessagePage"))],
        failures: &[400, 404],
        ..Operation::NEW
    }),
    route!(Send, GET "/api/deliveries" => deliveries, Operation {
        id: "listDeliveries",
        summary: "How many messages arrived on each of the last 30 days, and how many did not / 最近 30 天每日的送达与失败数",
        description: "By WeChat's receipts, on days in Beijing. In a burst of more than 20 receipts an instance counts once a second; \
                      if it ends before, a few are missing. The records and the totals of a campaign are exact.",
        answers: &[(200, "The days", Schema::Named("DeliveryDays"))],
        ..Operation::NEW
    }),
];

/// Days that `GET /api/deliveries` covers: as many as a record is kept.
const DAYS: u8 = 30;

/// Serves `GET /api/messages/{msgid}`. A message of a template that the caller may not use does not exist for the caller.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let msgid = request.parameter("msgid");
    let record = find(app, msgid).await?;
    let record = record.filter(|record| is_shown(request, record));
    let record = record.ok_or_else(|| {
        Problem::not_found("there is no record of this msgid from the last 30 days / 最近 30 天内没有该 msgid 的记录").with_hint(
            "The message may still have been sent: by another program, or while its record could not be written (search \
             the log for \"could not be recorded\"). / 消息仍可能已发送：由其他程序发出，或记录写入失败（请在日志中搜索 \
             could not be recorded）。",
        )
    })?;
    Ok(response::json(200, &shown(msgid.to_owned(), record)))
}

/// Whether the caller may use the template of a message.
fn is_shown(request: &ApiRequest<'_>, record: &MessageRecord) -> bool {
    let template_id = record.template_id.as_deref().unwrap_or_default();
    request.caller().grants().allows_template(template_id)
}

fn shown(msgid: String, record: MessageRecord) -> Message {
    let is_frequency = record.status == MessageStatus::Failed
        && record.receipt.as_deref().map(DeliveryStatus::parse) == Some(DeliveryStatus::FrequencyLimited);
    Message {
        msgid: Some(msgid),
        scheduled: None,
        errcode: None,
        campaign: record.campaign,
        touser: record.touser,
        template_id: record.template_id,
        status: record.status,
        sent_at: record.sent_at,
        finished_at: record.finished_at,
        receipt: record.receipt,
        reason: is_frequency.then_some("frequency-limit"),
        meaning: if is_frequency {
            TOO_FREQUENT
        } else {
            meaning(record.status)
        },
    }
}

/// Serves `GET /api/deliveries`. The totals are of all templates, so a key for some of them may not see them.
async fn deliveries(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    if request.caller().grants().templates.is_some() {
        return Err(Problem::forbidden(
            "the key is limited to some templates, and these are totals of all / 该密钥限定了模板，而此处为全部模板的合计",
        ));
    }
    let days = app.account.table.deliveries(DAYS, app.account.clock.now()).await?;
    let days = days.into_iter().map(
        |Deliveries {
             day,
             delivered,
             blocked,
             failed,
         }| DeliveryDay {
            day,
            delivered,
            blocked,
            failed,
        },
    );
    Ok(response::json(200, &DeliveryDays { days: days.collect() }))
}

/// What a list of messages is about.
enum Wanted {
    To(String),
    ProblemsOf(String),
}

/// Serves `GET /api/messages`.
async fn list(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let page = match wanted(app, request).await? {
        Wanted::To(openid) => history(app, request, &openid).await?,
        Wanted::ProblemsOf(day) => problems(app, request, &day).await?,
    };
    Ok(response::json(200, &page))
}

async fn wanted(app: &App, request: &ApiRequest<'_>) -> Result<Wanted, Problem> {
    let given = ["touser", "user", "problems"].map(|name| request.query(name).filter(|value| !value.is_empty()));
    match given {
        [Some(openid), None, None] if openid.len() > OPENID_LIMIT => {
            Err(Problem::bad_request("touser is not an openid / touser 不是 openid").with_field("touser"))
        }
        [Some(openid), None, None] => Ok(Wanted::To(openid.into_owned())),
        [None, Some(user), None] if !is_user_id(&user) => Err(Problem::unknown_user()),
        [None, Some(user), None] => {
            let user = app.account.table.user(&user).await?;
            Ok(Wanted::To(user.ok_or_else(Problem::unknown_user)?.openid))
        }
        [None, None, Some(day)] if is_day(&day) => Ok(Wanted::ProblemsOf(day.into_owned())),
        [None, None, Some(_)] => Err(Problem::bad_request(
            "problems must be a day in Beijing: YYYY-MM-DD / problems 应为北京时间的日期：YYYY-MM-DD",
        )
        .with_field("problems")),
        _ => Err(Problem::bad_request(
            "give one of touser, user and problems / 请填写 touser、user、problems 之一",
        )),
    }
}

async fn history(app: &App, request: &ApiRequest<'_>, openid: &str) -> Result<MessagePage, Problem> {
    let table = &app.account.table;
    let after = request.cursor(|cursor| table.parse_cursor(List::Messages, cursor))?;
    let now = app.account.clock.now();
    let page = table.page_of_messages(openid, after.as_ref(), now).await?;
    let messages = page.entries.into_iter().filter(|(_, record)| is_shown(request, record));
    Ok(MessagePage {
        messages: messages.map(|(msgid, record)| shown(msgid, record)).collect(),
        cursor: page.next.map(|next| table.cursor_text(List::Messages, &next)),
    })
}

async fn problems(app: &App, request: &ApiRequest<'_>, day: &str) -> Result<MessagePage, Problem> {
    let table = &app.account.table;
    let after = request.cursor(|cursor| table.parse_cursor(List::Problems, cursor))?;
    let page = table
        .page_of_problems(day, after.as_ref(), app.account.clock.now())
        .await?;
    let grants = request.caller().grants();
    let messages = page.entries.into_iter().filter_map(|problem| match problem {
        ProblemRecord::Message(msgid, record) => is_shown(request, &record).then(|| shown(msgid, record)),
        ProblemRecord::Scheduled(id, scheduled) => {
            let touser = scheduled.openid().map(str::to_owned);
            let template_id = scheduled.message.template_id;
            grants.allows_template(&template_id).then_some(Message {
                msgid: None,
                scheduled: Some(id),
                errcode: scheduled.errcode,
                campaign: None,
                touser,
                template_id: Some(template_id),
                status: MessageStatus::Failed,
                sent_at: None,
                finished_at: None,
                receipt: None,
                reason: None,
                meaning: NOT_SENT,
            })
        }
    });
    Ok(MessagePage {
        messages: messages.collect(),
        cursor: page.next.map(|next| table.cursor_text(List::Problems, &next)),
    })
}

/// Reads the record of a message. `None` without a read when `msgid` cannot be one.
async fn find(app: &App, msgid: &str) -> Result<Option<MessageRecord>, Problem> {
    if !is_msgid(msgid) {
        return Ok(None);
    }
    let record = app.account.table.message(msgid, app.account.clock.now()).await;
    record.map_err(Problem::from)
}

/// The meaning of a scheduled message that was not sent.
const NOT_SENT: &str = "It was not sent: see its errcode, and GET /api/scheduled/{id}. / 未发送，原因见 errcode 与 GET /api/scheduled/{id}。";

/// The meaning of a message that WeChat accepted and then dropped because its recipient had received too many.
const TOO_FREQUENT: &str = "WeChat accepted it, then dropped it because this user has received too many messages: do not send it \
    again for hours, and send less often to this user. \
    / 微信受理后因对该用户发送过于频繁而未下发：数小时内不要重发，并降低向该用户发送的频率。";

const fn meaning(status: MessageStatus) -> &'static str {
    match status {
        MessageStatus::Sent => {
            "WeChat has accepted it; its receipt usually arrives within seconds. / 微信已受理，送达回执通常在数秒内到达。"
        }
        MessageStatus::Delivered => "It has reached the user. / 已送达用户。",
        MessageStatus::Blocked => {
            "The user refuses this account's messages: stop sending to them. / 用户拒收该公众号消息，请勿再发送。"
        }
        MessageStatus::Failed => {
            "WeChat could not deliver it. A new message may get through. / 微信侧发送失败，可稍后重新发送。"
        }
    }
}
