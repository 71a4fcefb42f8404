//! `GET /sim/state`: the platform's state for the console, without secrets.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::Shared;
use crate::platform::{Platform, users::User};

pub(super) async fn state(State(simulation): Shared) -> Json<Value> {
    let platform = &mut *simulation.platform();
    let now = platform.clock.now();
    let channel = &simulation.channel;
    Json(json!({
        "account": {
            "app_id": platform.account.app_id,
            "original_id": platform.account.original_id,
            "type": platform.account_type,
        },
        "clock": {"now": now, "advanced_seconds": platform.clock.advanced()},
        "callback": {
            "url": channel.target().url.as_ref().map(|url| url.as_str()),
            "mode": channel.settings.mode,
            "format": platform.format,
            "blocked_until": platform.mark_fail.blocked_until(now),
        },
        "tokens": platform.tokens.state(now),
        "users": users(platform, now),
        "menu": platform.menu.as_ref().map(|menu| menu.shown()),
        "templates": platform.templates,
        "quotas": platform.quotas.state(platform.account_type, now),
        "clearings_left": platform.quotas.clearings_left(now),
        "whitelist": platform.whitelist,
        "faults": platform.faults,
        "receipts": platform.receipts,
        "duplicates_refused_for": platform.sends.duplicates_refused_for,
    }))
}

fn users(platform: &Platform, now: i64) -> Vec<Value> {
    let shown = |(openid, user): (&String, &User)| {
        json!({
            "openid": openid,
            "follows": user.follows,
            "blocked": user.refuses_templates,
            "errcode": user.refusal,
            "receipt": user.receipt,
            "tags": user.tags,
            "client_platform_type": user.client,
            "shown": user.screen.len(),
            "custom_messages": user.allowances.state(now),
        })
    };
    platform.users.all().map(shown).collect()
}
