//! A twin of the WeChat platform for development and tests.
//!
//! It serves a made-up Official Account on loopback: the platform's API (`/cgi-bin/…`, `/sns/…`), the page of web login
//! at `/connect/oauth2/authorize`, and a control API under `/sim/…` that plays the users, shows their phones, and makes
//! the platform fail. It keeps the platform's rules (token lifetimes, quotas, whitelist, template fields, menu limits,
//! three deliveries of a callback) and its three message modes.
//!
//! It is written from the protocol alone and shares no code with the crate `wechat`, so that a misunderstanding on one
//! side shows on the other.
//!
//! Four rooms, none of which imports one further down:
//!
//! | room | what |
//! |---|---|
//! | `platform` | the state and its rules |
//! | `push` | callbacks: delivering notices, reading replies |
//! | `api` | `/cgi-bin/…`, `/sns/…` and unknown paths: answering calls |
//! | `control` | `/sim/…`: playing the users, making the platform fail; the pages that users see |

mod api;
mod connection;
mod control;
mod observe;
mod platform;
mod push;
mod server;
mod settings;
mod simulation;

use std::{io, net::SocketAddr, sync::Arc};

use axum::Router;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    connection::{Connection, Connections},
    simulation::Simulation,
};
pub use crate::{
    observe::{Observation, ObservedCall, Observer},
    platform::{
        account::Account,
        hosts::is_loopback,
        templates::{FREE_TEMPLATE_ID, ORDER_TEMPLATE_ID, TEMPLATE_ID},
        users::FOLLOWER,
    },
    push::{crypto, xml},
    settings::{Mode, Settings},
};

/// A running simulator. It stops when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    account: Account,
    address: SocketAddr,
    controls: Router,
    stop: watch::Sender<bool>,
}

impl Simulator {
    /// Serves an account on a listener that is bound to loopback.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the listener is not on loopback, or the callback URL is not an `http` or `https` URL.
    /// Otherwise the error of the listener, of the account's EncodingAESKey, or of the root certificates.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime, or when the operating system has no randomness.
    pub fn start(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            let error = format!("the simulator serves on loopback only, not on {address}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let (stop, stopped) = watch::channel(false);
        let simulation = Arc::new(Simulation::new(settings, stopped.clone())?);
        let account = simulation.channel.account.clone();
        let controls = server::controls(Arc::clone(&simulation));
        tokio::spawn(serve(listener, simulation, stopped));
        Ok(Self {
            account,
            address,
            controls,
            stop,
        })
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The base URL of the platform and its controls: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The control API without its `/sim`, for a program that serves it together with its own pages.
    pub fn controls(&self) -> Router {
        self.controls.clone()
    }

    /// Stops serving and waits until every task has ended and every copy of [`Self::controls`] is dropped. Requests in
    /// flight are cut off.
    pub async fn shutdown(self) {
        let Self { controls, stop, .. } = self;
        drop(controls);
        stop.send_replace(true);
        stop.closed().await;
    }
}

async fn serve(listener: TcpListener, simulation: Arc<Simulation>, mut stopped: watch::Receiver<bool>) {
    let service = server::router(simulation).into_make_service_with_connect_info::<Connection>();
    let stop = async move {
        // An error means that the simulator was dropped.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = axum::serve(Connections(listener), service)
        .with_graceful_shutdown(stop)
        .await
    {
        tracing::error!(%error, "the simulator stopped serving");
    }
}
