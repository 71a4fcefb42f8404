//! The way to the account's server: its URL, the HTTP client, and the keys.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use reqwest::{Client, Url};

use super::crypto::Cipher;
use crate::{
    platform::{SharedPlatform, account::Account},
    settings::Settings,
};

/// The push channel of one account.
pub(crate) struct Channel {
    pub(crate) account: Account,
    pub(crate) settings: Settings,
    target: Mutex<Target>,
    pub(super) platform: SharedPlatform,
    pub(super) cipher: Cipher,
}

/// Where callbacks go, and the client that takes them there.
#[derive(Clone)]
pub(crate) struct Target {
    /// The parsed callback URL. None: nothing is pushed.
    pub(crate) url: Option<Url>,
    pub(super) http: Client,
}

impl Channel {
    pub(crate) fn new(settings: Settings, platform: SharedPlatform) -> io::Result<Self> {
        let target = Target::new(settings.callback_url.as_deref())?;
        let account = {
            let mut platform = platform.lock();
            platform.callback_ip = target.url.as_ref().map(callback_ip);
            platform.account.clone()
        };
        Ok(Self {
            cipher: Cipher::new(&account.encoding_aes_key, &account.app_id).map_err(io::Error::other)?,
            account,
            settings,
            target: Mutex::new(target),
            platform,
        })
    }

    /// Where callbacks go now.
    pub(crate) fn target(&self) -> Target {
        self.lock_target().clone()
    }

    /// Sends later callbacks to `url`; without one, to the address of the settings.
    pub(crate) fn redirect(&self, url: Option<&str>) -> io::Result<Target> {
        let target = Target::new(url.or(self.settings.callback_url.as_deref()))?;
        self.platform.lock().callback_ip = target.url.as_ref().map(callback_ip);
        *self.lock_target() = target.clone();
        Ok(target)
    }

    fn lock_target(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    fn new(url: Option<&str>) -> io::Result<Self> {
        let url = url.map(parse_callback_url).transpose()?;
        let http = http_client(url.as_ref())?;
        Ok(Self { url, http })
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

/// The address in the URL; for a name, the machine's own.
fn callback_ip(url: &Url) -> IpAddr {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn http_client(callback_url: Option<&Url>) -> io::Result<Client> {
    let builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("Mozilla/4.0")
        // A pooled connection that the server has just closed would look like a failed delivery.
        .pool_max_idle_per_host(0);
    let builder = match callback_url.map(Url::scheme) {
        Some("https") => builder,
        // Loads no root certificates, so that a machine without any can run the simulator.
        _ => builder.tls_certs_only([]),
    };
    builder.build().map_err(io::Error::other)
}
