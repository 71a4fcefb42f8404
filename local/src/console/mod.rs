//! The console at `/`: its pages, the data that they show and, in a simulated run, the platform's controls.
//!
//! | path | needs the API key | |
//! |---|---|---|
//! | `/`, `/console/pages/local/{file}` | no | the pages, the same for everyone. They load those that `admin` serves |
//! | `/console/run` | no | whether the run is simulated, and then the simulator's address and the API key, which is public |
//! | `/console/own-code` | yes | the address of the team's own code, and in a simulated run the switch that takes it down |
//! | `/console/activity` | yes | requests and calls as they happen, as server-sent events |
//! | `/console/sim/…` | yes | the simulator's `/sim/…`, so that the pages need no other origin |
//!
//! The pages do everything else through `/api/*`. [`guard`] decides who may see the console, and says why.

mod activity;
mod event;
pub(crate) mod guard;
mod mask;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    middleware,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event as Message, KeepAlive},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt};
use http::{StatusCode, header, request::Parts};
use http_api::Problem;
use serde::Deserialize;
use serde_json::{Value, json};
use simulator::{Observer, Simulator};
use wechat::{
    config::{CallerConfig, WebhookConfig},
    secret::Secret,
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
    api_keys: Vec<Secret>,
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

impl Console {
    /// Creates the console of the account that the functions serve, with the controls of the simulated platform if there is one.
    pub(crate) fn new(
        webhook: &WebhookConfig,
        caller: &CallerConfig,
        activity: Activity,
        simulator: Option<&Simulator>,
        own_code: OwnCode,
    ) -> Self {
        Self {
            activity,
            decoder: Decoder::new(&webhook.verifier),
            api_keys: caller.api_keys.clone(),
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
        .route("/console/own-code", get(own_code).post(switch_own_code))
        .route("/console/activity", get(stream))
        .with_state(Arc::clone(&console));
    let data = match &console.simulated {
        Some(Simulated { controls, .. }) => data.nest_service("/console/sim", controls.clone()),
        None => data,
    };
    let keyed = middleware::from_fn_with_state(Arc::clone(&console), guard::needs_api_key);
    let open = Router::new()
        .route("/", get(index))
        .route("/console/pages/local/{file}", get(file))
        .route("/console/run", get(run))
        .with_state(Arc::clone(&console));
    open.merge(data.layer(keyed))
        .layer(middleware::from_fn_with_state(console, guard::this_machine_only))
        .layer(middleware::map_response(guard::harden))
}

async fn index() -> Response {
    page(::console::INDEX)
}

async fn file(Path(name): Path<String>) -> Response {
    page(&name)
}

fn page(name: &str) -> Response {
    match ::console::local::file(name) {
        Some(file) => ([(header::CONTENT_TYPE, file.content_type)], file.content).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
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
