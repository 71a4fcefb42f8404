//! `/api/campaigns/{campaign}/recipients`: loads the audience of a draft part by part, and lists what is known of each person.

use std::{collections::HashSet, fmt::Write as _};

use http::{Response, header};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, CURSOR, Location, Parameter, Schema},
    response::{self, csv_cell},
    route,
};
use serde::Serialize;
use wechat::{
    campaign::{Audience, Campaign, Mark, Recipient, RecipientState, into_chunks},
    digest::sha256_hex,
    json,
    store::{CHUNKS_AT_ONCE, InvalidCursor, PartOutcome},
    validate::{
        Fault,
        recipients::{self, Part},
        template::Finding,
    },
};

use crate::{
    App,
    campaigns::{CAMPAIGN, find},
    templates,
};

/// People in a page.
const PAGE: usize = 100;
/// Chunks that one request looks through for people in a state.
const LOOKED_THROUGH: u32 = 1_000;

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Campaigns, POST "/api/campaigns/{campaign}/recipients" => load, Operation {
        id: "loadRecipients",
        summary: "Load a part of a draft's audience / 导入接收者",
        description: "As JSON, or as text/csv with `?part=`: a header with touser or user and names of fields, an empty cell means the campaign's value. A part is loaded whole or not at all. The same part again changes nothing; with other content it is 409. A request of 256 KiB holds about 8,000 openids.",
        parameters: &[CAMPAIGN, Parameter {
            name: "part",
            location: Location::Query,
            description: "The name of a part in CSV",
            schema: r#"{"type": "string", "minLength": 1, "maxLength": 128}"#,
        }],
        body: Some(Body::required("RecipientsPart")),
        answers: &[(200, "It is loaded", Schema::Named("LoadedPart"))],
        failures: &[400, 404, 409, 413],
    }),
    route!(Campaigns, GET "/api/campaigns/{campaign}/recipients" => list, Operation {
        id: "listRecipients",
        summary: "What is known of each person / 接收者明细",
        description: "Each person once, in agreement with the totals. CSV for `Accept: text/csv`, with the next page in the header `Link`. A page may be empty and have a cursor.",
        parameters: &[CAMPAIGN, CURSOR, Parameter {
            name: "state",
            location: Location::Query,
            description: "Only people in this state",
            schema: r#"{"type": "string", "enum": ["queued", "sent", "delivered", "blocked", "failed", "refused", "unknown"]}"#,
        }],
        answers: &[(200, "A page of at most 100", Schema::OrCsv(&Schema::Named("RecipientPage")))],
        failures: &[400, 404],
        ..Operation::NEW
    }),
];

/// A part that is loaded.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct LoadedPart {
    part: String,
    /// Entries of this part.
    recipients: usize,
    /// Entries of all parts.
    total: u64,
}

/// What is known of one person.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct CampaignRecipient {
    /// The openid. Null for a user to whom none is bound.
    touser: Option<String>,
    /// The team's id of the user, for an entry that names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    state: RecipientState,
    #[serde(skip_serializing_if = "Option::is_none")]
    msgid: Option<String>,
    /// Why WeChat refused, or `unknown-user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<ErrcodeOrReason>,
}

/// WeChat's errcode as a number, or our own reason as a text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) enum ErrcodeOrReason {
    Errcode(i64),
    Reason(String),
}

/// A page of people.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct RecipientPage {
    recipients: Vec<CampaignRecipient>,
    /// For the next page. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Serves `POST /api/campaigns/{campaign}/recipients`.
async fn load(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let campaign = find(app, request).await?;
    if campaign.plan.audience != Audience::List {
        return Err(Problem::conflict(
            "the audience of this campaign is not a list: WeChat says who is in it / 该任务的接收者由微信提供，不能导入",
        ));
    }
    let part = if request.names_media_type(header::CONTENT_TYPE, "text/csv") {
        let name = request.query("part").unwrap_or_default();
        recipients::read_csv(&name, request.text()?)
    } else {
        recipients::read_json(&request.json()?)
    };
    let part = part.map_err(Problem::faulty_request)?;
    if !campaign.plan.only_warns {
        check(app, request, &campaign, &part).await?;
    }
    let Part { name, recipients, .. } = part;
    let count = recipients.len();
    let digest = sha256_hex(json::write(&recipients).as_bytes());
    let chunks = into_chunks(recipients);
    let now = app.account.clock.now();
    let table = &app.account.table;
    match table.put_part(&campaign.id, &name, &digest, &chunks, now).await? {
        PartOutcome::Complete(total) => {
            let loaded = LoadedPart {
                part: name,
                recipients: count,
                total,
            };
            Ok(response::json(200, &loaded))
        }
        PartOutcome::OtherContent => Err(Problem::conflict(
            "a part with this name was loaded with other content: give this one another name / 同名分片已用其他内容导入，请更换名称",
        )
        .with_field("part")),
        PartOutcome::NotADraft => Err(Problem::conflict(
            "the campaign is no draft any more / 任务已启动，不能再导入接收者",
        )),
    }
}

/// Refuses values that WeChat would refuse, messages that lack a field, and columns that are not fields, before anybody gets
/// a message.
async fn check(app: &App, request: &ApiRequest<'_>, campaign: &Campaign, part: &Part) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    let mut extra_columns = HashSet::new();
    let mut faults: Vec<Fault> = Vec::new();
    for (position, recipient) in part.recipients.iter().enumerate() {
        // Each distinct set of own data is checked once: many recipients share it, most have none.
        if !seen.insert(json::write(&recipient.data)) {
            continue;
        }
        let mut data = campaign.plan.content.data.clone();
        data.extend(recipient.data.clone());
        let is_column = |finding: &Finding| {
            let of_row = recipient
                .data
                .keys()
                .any(|name| finding.field == format!("data.{name}"));
            part.lines.is_some() && of_row && finding.is_extra_field()
        };
        let template_id = &campaign.plan.content.template_id;
        let findings = templates::check(app, template_id, &data, request.deadline()).await;
        for finding in findings
            .iter()
            .filter(|finding| finding.is_refusal() || is_column(finding))
        {
            // A column is one fault, and has as many findings as rows.
            if finding.is_extra_field() && part.lines.is_some() {
                if extra_columns.insert(finding.field.clone()) {
                    faults.push(Fault::new(format!("/line 1{}", finding.pointer), finding.rule.clone()));
                }
                continue;
            }
            let pointer = format!("{}{}", part.place(position), finding.pointer);
            faults.push(Fault::new(pointer, finding.rule.clone()));
        }
        if faults.len() >= PAGE {
            break;
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Problem::faulty_request(faults))
    }
}

/// Returns the first recipient of a list.
pub(crate) async fn first(app: &App, campaign: &Campaign) -> Result<Option<Recipient>, Problem> {
    let first = (0..campaign.chunks).find(|chunk| !campaign.skips(*chunk));
    let Some(chunk) = first else { return Ok(None) };
    let mut found = app.account.table.chunks(&campaign.id, [chunk]).await?;
    Ok(found.remove(&chunk).and_then(|chunk| chunk.into_iter().next()))
}

/// Serves `GET /api/campaigns/{campaign}/recipients`.
async fn list(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let state = request.query("state");
    let state = state
        .map(|state| RecipientState::parse(&state).ok_or_else(unknown_state))
        .transpose()?;
    let from = request.cursor(|cursor| parse_cursor(cursor).ok_or(InvalidCursor))?;
    let campaign = find(app, request).await?;
    let (people, next) = people(app, &campaign, state, from.unwrap_or_default()).await?;
    let cursor = next.map(|(chunk, position)| format!("{chunk}-{position}"));
    if !request.names_media_type(header::ACCEPT, "text/csv") {
        let page = RecipientPage {
            recipients: people,
            cursor,
        };
        return Ok(response::json(200, &page));
    }
    let next = cursor.map(|cursor| {
        let state = state
            .map(|state| format!("state={}&", state.as_str()))
            .unwrap_or_default();
        format!("/api/campaigns/{}/recipients?{state}cursor={cursor}", campaign.id)
    });
    Ok(response::csv(csv(&people), next.as_deref()))
}

fn unknown_state() -> Problem {
    let names: Vec<&str> = RecipientState::ALL.into_iter().map(RecipientState::as_str).collect();
    let (names, named) = (names.join(", "), names.join("、"));
    Problem::bad_request(format!("state must be one of {names} / state 应为 {named} 之一")).with_field("state")
}

/// The chunk and the position in it at which a page begins.
fn parse_cursor(cursor: &str) -> Option<(u32, usize)> {
    let (chunk, position) = cursor.split_once('-')?;
    Some((chunk.parse().ok()?, position.parse().ok()?))
}

/// Returns a page of the people in `state` from a position on, and where the next page begins.
async fn people(
    app: &App,
    campaign: &Campaign,
    state: Option<RecipientState>,
    (first, mut position): (u32, usize),
) -> Result<(Vec<CampaignRecipient>, Option<(u32, usize)>), Problem> {
    let table = &app.account.table;
    let is_wanted = |mark: Mark| mark.state().is_some_and(|is| state.is_none_or(|wanted| is == wanted));
    let mut people = Vec::with_capacity(PAGE);
    let mut from = first;
    while from < campaign.chunks && from < first.saturating_add(LOOKED_THROUGH) {
        let to = campaign
            .chunks
            .min(from + u32::try_from(CHUNKS_AT_ONCE / 2).unwrap_or(1));
        let ledgers = table.ledgers(&campaign.id, from..to).await?;
        // A chunk without a ledger is queued. The others are read only if they have somebody to show.
        let shown = (from..to)
            .filter(|chunk| !campaign.skips(*chunk))
            .filter(|chunk| match ledgers.get(chunk) {
                Some(stored) => stored.ledger.marks().iter().any(|mark| is_wanted(*mark)),
                None => is_wanted(Mark::Queued),
            });
        for (chunk, entries) in table.chunks(&campaign.id, shown).await? {
            let start = if chunk == first { position } else { 0 };
            let ledger = ledgers.get(&chunk).map(|stored| &stored.ledger);
            for (index, entry) in entries.into_iter().enumerate().skip(start) {
                let mark = ledger
                    .and_then(|ledger| ledger.marks().get(index).copied())
                    .unwrap_or(Mark::Queued);
                let Some(state) = mark.state().filter(|_| is_wanted(mark)) else {
                    continue;
                };
                if people.len() == PAGE {
                    return Ok((people, Some((chunk, index))));
                }
                let errcode = ledger
                    .and_then(|ledger| ledger.errcode(index))
                    .map(|errcode| match errcode.parse() {
                        Ok(errcode) => ErrcodeOrReason::Errcode(errcode),
                        Err(_) => ErrcodeOrReason::Reason(errcode.to_owned()),
                    });
                people.push(CampaignRecipient {
                    touser: entry.openid,
                    user: entry.user,
                    state,
                    msgid: ledger.and_then(|ledger| ledger.msgid(index)).map(str::to_owned),
                    errcode,
                });
            }
        }
        (from, position) = (to, 0);
    }
    Ok((people, (from < campaign.chunks).then_some((from, 0))))
}

fn csv(people: &[CampaignRecipient]) -> String {
    let mut text = "touser,user,state,msgid,errcode\r\n".to_owned();
    for person in people {
        let errcode = match &person.errcode {
            Some(ErrcodeOrReason::Errcode(errcode)) => errcode.to_string(),
            Some(ErrcodeOrReason::Reason(reason)) => reason.clone(),
            None => String::new(),
        };
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "{},{},{},{},{errcode}\r\n",
            csv_cell(person.touser.as_deref().unwrap_or_default()),
            csv_cell(person.user.as_deref().unwrap_or_default()),
            person.state.as_str(),
            person.msgid.as_deref().unwrap_or_default(),
        );
    }
    text
}
