//! `GET /sim/state`: what the platform keeps, for the console to show. It holds no secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::phone::User;
use crate::simulation::Simulation;

pub(crate) async fn state(State(simulation): State<Arc<Simulation>>) -> Json<Value> {
    let platform = simulation.platform();
    let now = platform.clock.now();
    let user = |(openid, user): (&String, &User)| {
        json!({
            "openid": openid,
            "follows": user.follows,
            "blocked": user.refuses_templates,
            "shown": user.screen.len(),
        })
    };
    Json(json!({
        "clock": {"now": now, "advanced_seconds": platform.clock.advanced()},
        "tokens": platform.tokens.state(now),
        "users": platform.users.all().map(user).collect::<Vec<_>>(),
        "menu": platform.menu.as_ref().map(|menu| menu.shown()),
        "whitelist": platform.whitelist,
        "faults": platform.faults,
    }))
}
