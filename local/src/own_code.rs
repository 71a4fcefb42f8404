//! The way to the team's own code in a simulated run, with a switch: while own code is down, connections to it are cut, as if its
//! server had died.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};
use url::Url;
use wechat::config::ForwardUrl;

use crate::account::Configs;

/// The pause after a connection that could not be accepted, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The team's own code, as the console shows it.
#[derive(Debug)]
pub(crate) struct OwnCode {
    /// The address, without its query. `None` when the run has no own code.
    pub(crate) address: Option<String>,
    /// `None` for a real account.
    pub(crate) switch: Option<OwnCodeSwitch>,
}

impl OwnCode {
    /// Reads it from `configs`. In a simulated run the functions then reach it through the switch.
    pub(crate) async fn of(configs: &mut Configs, is_simulated: bool) -> Self {
        let own_code = configs.admin.forward_url.as_ref();
        let switch = match own_code.filter(|_| is_simulated) {
            Some(own_code) => OwnCodeSwitch::start(own_code).await,
            None => None,
        };
        let address = own_code.map(ToString::to_string);
        if let Some(switch) = &switch {
            let forwards = [&mut configs.webhook.forward, &mut configs.worker.forward];
            for forward in forwards.into_iter().flatten() {
                forward.url = switch.relay.clone();
            }
        }
        Self { address, switch }
    }
}

/// A relay to own code on this machine.
#[derive(Debug)]
pub(crate) struct OwnCodeSwitch {
    is_down: watch::Sender<bool>,
    /// The address by which the functions reach own code.
    relay: ForwardUrl,
}

impl OwnCodeSwitch {
    /// Starts the relay to own code. `None` when own code speaks https, whose certificate would not fit the relay, or when no port is free.
    pub(crate) async fn start(own_code: &ForwardUrl) -> Option<Self> {
        let url = own_code.expose();
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let target = (host, url.port_or_known_default()?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?;
        let relay = relay_url(url, listener.local_addr().ok()?)?;
        let is_down = watch::Sender::new(false);
        tokio::spawn(accept(listener, target, is_down.clone()));
        Some(Self { is_down, relay })
    }

    pub(crate) fn is_down(&self) -> bool {
        *self.is_down.borrow()
    }

    /// Cuts the way, open connections included, or opens it.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.send_replace(is_down);
    }
}

fn relay_url(own_code: &Url, relay: SocketAddr) -> Option<ForwardUrl> {
    if own_code.scheme() != "http" {
        return None;
    }
    let mut url = own_code.clone();
    url.set_ip_host(relay.ip()).ok()?;
    url.set_port(Some(relay.port())).ok()?;
    ForwardUrl::parse(url.as_str())
}

async fn accept(listener: TcpListener, target: (String, u16), is_down: watch::Sender<bool>) {
    loop {
        let mut stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to own code was not accepted / 未能接受到自有服务的连接");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (target, mut is_down) = (target.clone(), is_down.subscribe());
        tokio::spawn(async move {
            let relayed = async {
                let mut own_code = TcpStream::connect(target).await?;
                copy_bidirectional(&mut stream, &mut own_code).await
            };
            tokio::select! {
                // A failure on either side closes both connections.
                _ = relayed => {}
                _ = is_down.wait_for(|is_down| *is_down) => {}
            }
        });
    }
}
