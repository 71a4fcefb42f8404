//! What the tasks of one simulator share.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use reqwest::{Client, Url};
use tokio::sync::watch;

use crate::{Settings, account::Account, crypto::Cipher, observe::Observation, platform::Platform, random::Random};

/// The settings, ready for use, and the platform's state.
pub(crate) struct Simulation {
    pub(crate) account: Account,
    pub(crate) cipher: Cipher,
    pub(crate) settings: Settings,
    pub(crate) callback_url: Option<Url>,
    pub(crate) http: Client,
    platform: Mutex<Platform>,
    stop: watch::Receiver<bool>,
}

impl Simulation {
    pub(crate) fn new(settings: Settings, stop: watch::Receiver<bool>) -> io::Result<Self> {
        let callback_url = settings.callback_url.as_deref().map(parse_callback_url).transpose()?;
        let mut platform = Platform::new(Random::from_os()?, settings.account.clone());
        platform.callback_ip = callback_url.as_ref().map(callback_ip);
        let account = platform.account.clone();
        let cipher = Cipher::new(&account.encoding_aes_key, &account.app_id).map_err(io::Error::other)?;
        Ok(Self {
            account,
            cipher,
            http: http_client(callback_url.as_ref())?,
            callback_url,
            settings,
            platform: Mutex::new(platform),
            stop,
        })
    }

    /// The platform's state; never to be held over an await.
    pub(crate) fn platform(&self) -> MutexGuard<'_, Platform> {
        self.platform.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the observer, if there is one.
    pub(crate) fn observe(&self, observation: impl FnOnce() -> Observation) {
        if let Some(observer) = &self.settings.observer {
            observer.tell(observation());
        }
    }

    /// Runs the future to its end, or until the simulator stops.
    pub(crate) async fn until_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut stop = self.stop.clone();
        tokio::select! {
            output = future => Some(output),
            _ = stop.wait_for(|stopped| *stopped) => None,
        }
    }
}

fn parse_callback_url(text: &str) -> io::Result<Url> {
    let invalid =
        |reason: String| io::Error::new(io::ErrorKind::InvalidInput, format!("callback URL {text}: {reason}"));
    let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("WeChat calls http:// and https:// only".to_owned()));
    }
    Ok(url)
}

/// The address in the URL; for a name, that of the machine itself.
fn callback_ip(url: &Url) -> IpAddr {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn http_client(callback_url: Option<&Url>) -> io::Result<Client> {
    let builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("Mozilla/4.0")
        // A kept connection that the server has just closed would look like a failed delivery.
        .pool_max_idle_per_host(0);
    let builder = match callback_url.map(Url::scheme) {
        Some("https") => builder,
        // No certificates to look for, so a machine without any can run the simulator.
        _ => builder.tls_certs_only([]),
    };
    builder.build().map_err(io::Error::other)
}
