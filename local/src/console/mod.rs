//! The console at `/`: its pages, the data that they show and, in a simulated run, the platform's controls.
//!
//! | path | needs the API key | |
//! |---|---|---|
//! | `/`, `/console/pages/{file}` | no | the pages, the same for everyone |
//! | `/console/run` | no | whether the run is simulated, and then the simulator's address and the API key, which is public |
//! | `/console/state` | yes | the account and its token's lifetime |
//! | `/console/own-code` | yes | the address of the team's own code, and in a simulated run the switch that takes it down |
//! | `/console/activity` | yes | requests and calls as they happen, as server-sent events |
//! | `/console/sim/…` | yes | the simulator's `/sim/…`, so that the pages need no other origin |
//!
//! The pages do everything else through `/api/*`. [`guard`] decides who may see the console, and says why.

mod activity;
mod event;
mod guard;
mod mask;
mod pages;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    middleware,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event as Message, KeepAlive},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt};
use http::request::Parts;
use http_api::Problem;
use serde::Deserialize;
use serde_json::{Value, json};
use simulator::{Observer, Simulator};
use wechat::{
    callback::MessageMode,
    clock::{Clock, SystemClock},
    config::{CallerConfig, WebhookConfig},
    secret::Secret,
    store::Table,
};

pub(crate) use self::activity::Activity;
use self::{
    activity::Update,
    event::{Decoder, Event},
};
use crate::{
    SIMULATED_API_KEY,
    own_code::{OwnCode, OwnCodeSwitch},
};

/// The interval of keep-alives on the stream: proxies and browsers close a silent one.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The console's state.
#[derive(Debug)]
pub(crate) struct Console {
    activity: Activity,
    decoder: Decoder,
    account: Account,
    table: Table,
    /// None with a real account.
    simulated: Option<Simulated>,
    own_code: OwnCode,
}

/// The simulated platform of the run.
#[derive(Debug)]
struct Simulated {
    controls: Router,
    /// Where the phone opens pages: a page in a frame cannot send an API key, so they do not come through the console.
    url: String,
}

#[derive(Debug)]
struct Account {
    api_keys: Vec<Secret>,
    mode: MessageMode,
}

impl Console {
    /// Creates the console of the account that the functions serve, with the controls of the simulated platform if there is one.
    pub(crate) fn new(
        webhook: &WebhookConfig,
        caller: &CallerConfig,
        table: Table,
        activity: Activity,
        simulator: Option<&Simulator>,
        own_code: OwnCode,
    ) -> Self {
        let account = Account {
            api_keys: caller.api_keys.clone(),
            mode: webhook.verifier.mode,
        };
        Self {
            activity,
            decoder: Decoder::new(&webhook.verifier),
            account,
            table,
            simulated: simulator.map(|simulator| Simulated {
                controls: simulator.controls(),
                url: simulator.base_url(),
            }),
            own_code,
        }
    }

    pub(crate) const fn is_simulated(&self) -> bool {
        self.simulated.is_some()
    }

    /// Shows a request and the function's answer.
    pub(crate) fn show(&self, parts: &Parts, body: &[u8], response: &http::Response<String>, took: Duration) {
        if let Some(event) = Event::of_request(&self.decoder, parts, body, response, took) {
            self.activity.publish(event);
        }
    }

    /// Ends the open streams, for which a stopping server would wait.
    pub(crate) fn close(&self) {
        self.activity.close();
    }
}

/// An observer that shows everything the simulator does in `activity`.
pub(crate) fn observer(activity: &Activity) -> Observer {
    let activity = activity.clone();
    Observer::new(move |observation| activity.publish(Event::of_observation(observation)))
}

/// The console's routes.
pub(crate) fn routes(console: Arc<Console>) -> Router {
    let data = Router::new()
        .route("/console/state", get(state))
        .route("/console/own-code", get(own_code).post(switch_own_code))
        .route("/console/activity", get(stream))
        .with_state(Arc::clone(&console));
    let data = match &console.simulated {
        Some(Simulated { controls, .. }) => data.nest_service("/console", controls.clone()),
        None => data,
    };
    let keyed = middleware::from_fn_with_state(Arc::clone(&console), guard::needs_api_key);
    let open = Router::new()
        .route("/", get(pages::index))
        .route("/console/pages/{file}", get(pages::file))
        .route("/console/run", get(run))
        .with_state(Arc::clone(&console));
    open.merge(data.layer(keyed))
        .layer(middleware::from_fn_with_state(console, guard::this_machine_only))
        .layer(middleware::map_response(guard::harden))
}

async fn run(State(console): State<Arc<Console>>) -> Json<Value> {
    let simulator = console.simulated.as_ref().map(|simulated| &simulated.url);
    Json(json!({
        "simulated": console.is_simulated(),
        "key": simulator.map(|_| SIMULATED_API_KEY),
        "simulator": simulator,
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

async fn state(State(console): State<Arc<Console>>) -> Response {
    let item = match console.table.token().await {
        Ok(item) => item,
        Err(error) => return Problem::from(&error).into_response().into_response(),
    };
    let token = item.token.map(|token| {
        json!({
            "generation": token.generation,
            "expires_at": token.expires_at,
            "refreshed_at": token.refreshed_at,
        })
    });
    let failure = item.failure.map(|failure| {
        json!({
            "at": failure.at,
            "errcode": failure.errcode,
            "message": failure.message,
        })
    });
    Json(json!({
        "app_id": console.table.app_id(),
        "mode": console.account.mode.as_str(),
        "now": SystemClock.now(),
        "token": token,
        "failure": failure,
    }))
    .into_response()
}

async fn own_code(State(console): State<Arc<Console>>) -> Json<Value> {
    let OwnCode { address, switch } = &console.own_code;
    Json(json!({"address": address, "down": switch.as_ref().map(OwnCodeSwitch::is_down)}))
}

#[derive(Deserialize)]
struct Switched {
    down: bool,
}

async fn switch_own_code(State(console): State<Arc<Console>>, Json(switched): Json<Switched>) -> Response {
    let Some(switch) = &console.own_code.switch else {
        let detail = "own code has no switch in this run / 本次运行没有自有服务开关";
        return Problem::not_found(detail).into_response().into_response();
    };
    switch.set_down(switched.down);
    own_code(State(Arc::clone(&console))).await.into_response()
}

/// Streams the last events, then each new one, until the run ends.
async fn stream(State(console): State<Arc<Console>>) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let run = json!({"run": console.activity.started_at()}).to_string();
    let hello = futures_util::stream::once(async move { Message::default().event("hello").data(run) });
    let updates = console.activity.follow().map(|update| match update {
        Update::Happened(event) => Message::default().event("activity").data(&*event),
        Update::Lost(count) => Message::default().event("lost").data(count.to_string()),
    });
    Sse::new(hello.chain(updates).map(Ok)).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}
