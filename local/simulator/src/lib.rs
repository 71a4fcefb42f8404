//! A twin of the WeChat platform for development and tests.
//!
//! It serves a made Official Account on loopback: the platform's calls under `/cgi-bin/…`, and a control API under
//! `/sim/…` that plays the users, looks at their phones, and makes the platform fail. It keeps the platform's rules
//! (token lifetimes, quotas, whitelist, template fields, menu limits, three deliveries of a callback) and its three
//! message modes.
//!
//! It is written from the description of the protocol alone and shares no code with the crate `wechat`, so that a
//! misreading on one side shows on the other.

mod account;
mod account_type;
mod api;
mod callback;
mod calls;
mod clock;
mod connection;
mod control;
mod crypto;
mod doings;
mod faults;
mod format;
mod json;
mod keyword;
mod mark_fail;
mod notice;
mod observe;
mod phone;
mod platform;
mod quota;
mod random;
mod receipts;
mod reply;
mod server;
mod simulation;
mod tap;
mod templates;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod verify;
mod xml;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use serde::Serialize;
use tokio::{net::TcpListener, sync::watch};

pub use crate::{
    account::Account,
    observe::{Observation, ObservedCall, Observer},
    phone::FOLLOWER,
    templates::{FREE_TEMPLATE_ID, ORDER_TEMPLATE_ID, TEMPLATE_ID},
};
use crate::{
    connection::{Connection, Connections},
    simulation::Simulation,
};

/// 消息加解密方式: how callbacks and their replies are protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// 明文: clear XML.
    Plain,
    /// 兼容: clear fields beside the ciphertext; replies may be either.
    Compat,
    /// 安全: ciphertext only, both ways.
    #[default]
    Safe,
}

/// How the platform treats the account's server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account, when it shall be one that was made earlier. Default: a new one.
    pub account: Option<Account>,
    /// The message mode. Default: safe.
    pub mode: Mode,
    /// Where callbacks go, such as `http://127.0.0.1:8000/webhook`. Default: none, and nothing is pushed.
    pub callback_url: Option<String>,
    /// How long the server may take to answer a callback. Default: WeChat's 5 seconds.
    pub callback_timeout: Duration,
    /// The time between the starts of two deliveries of one callback. Default: WeChat's 5 seconds.
    pub redelivery_interval: Duration,
    /// The time between the answer to a template message and the callback with its result. Default: 100 ms; with zero
    /// the callback may overtake the answer.
    pub receipt_delay: Duration,
    /// Is told what the platform does. Default: nobody is.
    pub observer: Option<Observer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: None,
            mode: Mode::default(),
            callback_url: None,
            callback_timeout: Duration::from_secs(5),
            redelivery_interval: Duration::from_secs(5),
            receipt_delay: Duration::from_millis(100),
            observer: None,
        }
    }
}

/// A running simulator. It stops when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    account: Account,
    address: SocketAddr,
    controls: Router,
    stop: watch::Sender<bool>,
}

impl Simulator {
    /// Makes an account and serves it on a listener that is bound to loopback.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the listener is not on loopback or the callback URL is not an `http` or `https` URL; else
    /// what the operating system says of the listener, its randomness or its certificates.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn start(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            let error = format!("the simulator serves on loopback only, not on {address}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let (stop, stopped) = watch::channel(false);
        let simulation = Arc::new(Simulation::new(settings, stopped.clone())?);
        let account = simulation.account.clone();
        let controls = server::controls(Arc::clone(&simulation));
        tokio::spawn(serve(listener, simulation, stopped));
        Ok(Self {
            account,
            address,
            controls,
            stop,
        })
    }

    /// The made account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Where the platform and its controls are: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The control API, `/sim/…`, for a program that serves it beside pages of its own.
    pub fn controls(&self) -> Router {
        self.controls.clone()
    }

    /// Stops serving and waits until every task has ended and every copy of [`Self::controls`] is gone. Requests under
    /// way are cut short.
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
