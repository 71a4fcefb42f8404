//! A clock that a test moves.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use wechat::{
    clock::{Clock, SystemClock, millis},
    lock::lock,
};

/// A clock that moves only when a test moves it or something sleeps on it, and remembers the sleeps.
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicI64,
    sleeps: Mutex<Vec<Duration>>,
}

impl ManualClock {
    /// Creates a clock at the machine's time.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            millis: AtomicI64::new(SystemClock.now_millis()),
            sleeps: Mutex::default(),
        })
    }

    /// Lets `seconds` pass.
    pub fn advance(&self, seconds: i64) {
        self.millis.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Returns every sleep, in order.
    #[must_use]
    pub fn sleeps(&self) -> Vec<Duration> {
        lock(&self.sleeps).clone()
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> i64 {
        self.millis.load(Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        lock(&self.sleeps).push(duration);
        self.millis.fetch_add(millis(duration), Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}
