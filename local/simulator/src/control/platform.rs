//! Changing the platform: its account, clock, tokens, whitelist, templates, quotas and faults.

use std::net::IpAddr;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ControlError, Controlled, Shared, parse};
use crate::{
    platform::{
        FOLLOWERS_A_PAGE, Platform,
        account::Account,
        account_type::AccountType,
        faults::Fault,
        format::Format,
        quota::Limits,
        receipts::{Receipt, Receipts},
        templates::NewTemplate,
    },
    push::UrlCheck,
};

pub(super) async fn account(State(simulation): Shared) -> Json<Account> {
    Json(simulation.channel.account.clone())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeAccountType {
    r#type: AccountType,
}

pub(super) async fn account_type(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let ChangeAccountType { r#type } = parse(&body)?;
    simulation.platform().account_type = r#type;
    Ok(Json(json!({"type": r#type})))
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DataFormat {
    format: Format,
}

pub(super) async fn data_format(State(simulation): Shared, body: Bytes) -> Controlled<DataFormat> {
    let data_format: DataFormat = parse(&body)?;
    simulation.platform().format = data_format.format;
    Ok(Json(data_format))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Callback {
    /// Null for the address of the start. Required, so that an empty body changes nothing.
    #[serde(deserialize_with = "Option::deserialize")]
    url: Option<String>,
}

/// Pushes to another server from now on, such as one that is being developed.
pub(super) async fn redirect(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let Callback { url } = parse(&body)?;
    let target = simulation.channel.redirect(url.as_deref());
    let target = target.map_err(|error| ControlError::bad_request(error.to_string()))?;
    Ok(Json(json!({"url": target.url.map(String::from)})))
}

pub(super) async fn check_url(State(simulation): Shared) -> Controlled<UrlCheck> {
    let check = simulation.channel.check_url().await;
    check
        .map(Json)
        .ok_or_else(|| ControlError::bad_request("the simulator has no callback URL"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    path: String,
    daily_limit: Option<u64>,
    minute_limit: Option<u64>,
}

/// Sets limits that a test can reach. A missing one restores the platform's own.
pub(super) async fn limit_quota(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let limit: Limit = parse(&body)?;
    let platform = &mut *simulation.platform();
    let limits = Limits {
        daily: limit.daily_limit,
        minute: limit.minute_limit,
    };
    if !platform.quotas.limit(&limit.path, limits) {
        return Err(ControlError::bad_request(format!("{} has no quota", limit.path)));
    }
    let (account_type, now) = (platform.account_type, platform.clock.now());
    Ok(Json(json!(platform.quotas.usage(&limit.path, account_type, now))))
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    followers_a_page: Option<usize>,
    permanent_qr_codes: Option<usize>,
}

/// Sets sizes that a test can reach. A missing one restores the platform's own.
pub(super) async fn limit_sizes(State(simulation): Shared, body: Bytes) -> Controlled<Sizes> {
    let sizes: Sizes = parse(&body)?;
    if sizes.followers_a_page == Some(0) {
        return Err(ControlError::bad_request("`followers_a_page` must be at least 1"));
    }
    let platform = &mut *simulation.platform();
    platform.followers_a_page = sizes.followers_a_page.unwrap_or(FOLLOWERS_A_PAGE);
    platform.qr_codes.most_permanent = sizes.permanent_qr_codes;
    Ok(Json(sizes))
}

pub(super) async fn add_template(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let template: NewTemplate = parse(&body)?;
    let Platform { templates, random, .. } = &mut *simulation.platform();
    let template_id = templates.make(template, random).map_err(ControlError::bad_request)?;
    Ok(Json(json!({"template_id": template_id})))
}

pub(super) async fn add_receipt(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let receipt: Receipt = parse(&body)?;
    if receipt.times == 0 {
        return Err(ControlError::bad_request("`times` must be at least 1"));
    }
    let mut platform = simulation.platform();
    platform.receipts.add(receipt);
    Ok(Json(json!({"receipts": platform.receipts})))
}

pub(super) async fn clear_receipts(State(simulation): Shared) -> Json<Value> {
    let mut platform = simulation.platform();
    platform.receipts = Receipts::default();
    Json(json!({"receipts": platform.receipts}))
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Duplicates {
    refused_for_seconds: u32,
}

/// Refuses duplicates, or no longer. Off by default, because what WeChat compares is unknown.
pub(super) async fn duplicates(State(simulation): Shared, body: Bytes) -> Controlled<Option<Duplicates>> {
    let duplicates: Option<Duplicates> = parse(&body)?;
    simulation.platform().sends.duplicates_refused_for = duplicates.as_ref().map(|it| it.refused_for_seconds);
    Ok(Json(duplicates))
}

pub(super) async fn delete_template(State(simulation): Shared, Path(template_id): Path<String>) -> Controlled<Value> {
    let deleted = simulation.platform().templates.delete(&template_id);
    deleted.map_err(|_| ControlError::not_found(format!("no template has the id {template_id}")))?;
    Ok(Json(json!({"template_id": template_id})))
}

pub(super) async fn calls(State(simulation): Shared) -> Json<Value> {
    Json(json!(simulation.platform().calls))
}

pub(super) async fn faults(State(simulation): Shared) -> Json<Value> {
    Json(json!({"faults": simulation.platform().faults}))
}

pub(super) async fn add_fault(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let fault: Fault = parse(&body)?;
    fault.validate().map_err(ControlError::bad_request)?;
    let mut platform = simulation.platform();
    platform.faults.add(fault);
    Ok(Json(json!({"faults": platform.faults})))
}

#[derive(Deserialize)]
pub(super) struct FaultsOf {
    path: Option<String>,
}

pub(super) async fn clear_faults(State(simulation): Shared, Query(FaultsOf { path }): Query<FaultsOf>) -> Json<Value> {
    let mut platform = simulation.platform();
    platform.faults.clear(path.as_deref());
    Json(json!({"faults": platform.faults}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u32,
}

pub(super) async fn clock(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let Advance { advance_seconds } = parse(&body)?;
    let clock = &mut simulation.platform().clock;
    clock.advance(advance_seconds);
    Ok(Json(json!({"now": clock.now()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whitelist {
    ips: Option<Vec<IpAddr>>,
}

/// `{"ips":[…]}` allows only these addresses to fetch tokens; `{"ips":null}` or `null` allows all.
pub(super) async fn whitelist(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let request: Option<Whitelist> = parse(&body)?;
    let ips = request.and_then(|whitelist| whitelist.ips);
    simulation.platform().whitelist.clone_from(&ips);
    Ok(Json(json!({"ips": ips})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalidate {
    #[serde(default)]
    keep_returning: bool,
}

/// Ends the living tokens. With `{"keep_returning":true}`, `stable_token` returns the dead one until a forced refresh.
pub(super) async fn invalidate_tokens(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let Invalidate { keep_returning } = parse(&body)?;
    let mut platform = simulation.platform();
    let now = platform.clock.now();
    platform.tokens.invalidate(now, keep_returning);
    Ok(Json(json!({"keep_returning": keep_returning})))
}
