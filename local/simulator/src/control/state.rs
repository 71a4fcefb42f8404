//! `GET /sim/state`: the platform's state for the console, without secrets.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{Shared, users::tag_texts};
use crate::platform::{Platform, users::User};

pub(super) async fn state(State(simulation): Shared) -> Json<Value> {
    let platform = &mut *simulation.platform();
    let now = platform.clock.now();
    let channel = &simulation.channel;
    let (permanent, temporary) = platform.qr_codes.living(now);
    let (temporary_media, permanent_media) = platform.media.counts(now);
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
        "tags": platform.tags.shown(&platform.users),
        "open_platform": {"bound": platform.has_unionids},
        "qr_codes": {"permanent": permanent, "temporary": temporary},
        "oauth_domains": platform.oauth_domains,
        "js_domains": platform.js_domains,
        "js_tickets": platform.js_tickets.living(now).count(),
        "media": {"temporary": temporary_media, "permanent": permanent_media},
        "articles": {"drafts": platform.drafts.all().len(), "published": platform.publications.living().count()},
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
            "tags": tag_texts(user),
            "client_platform_type": user.client,
            "shown": user.screen.len(),
            "custom_messages": user.allowances.state(now),
        })
    };
    platform.users.all().map(shown).collect()
}
