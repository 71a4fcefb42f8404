//! What the tasks of one simulator share.

use std::{io, sync::MutexGuard};

use tokio::sync::watch;

use crate::{
    platform::{Platform, SharedPlatform, random::Random},
    push::Channel,
    settings::Settings,
};

/// The platform's state and its push channel.
pub(crate) struct Simulation {
    platform: SharedPlatform,
    pub(crate) channel: Channel,
    stop: watch::Receiver<bool>,
}

impl Simulation {
    pub(crate) fn new(settings: Settings, stop: watch::Receiver<bool>) -> io::Result<Self> {
        let platform = SharedPlatform::new(Platform::new(Random::from_os(), settings.account.clone()));
        let channel = Channel::new(settings, platform.clone())?;
        Ok(Self {
            platform,
            channel,
            stop,
        })
    }

    /// Locks the platform's state. Never hold the guard over an await.
    pub(crate) fn platform(&self) -> MutexGuard<'_, Platform> {
        self.platform.lock()
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
