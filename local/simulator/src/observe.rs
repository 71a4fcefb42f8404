//! What the platform does, reported to the program that runs it.

use std::{fmt, sync::Arc, time::Duration};

/// Hears everything that the platform does. It is called on the platform's tasks, so it must not block.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Observation) + Send + Sync>);

impl Observer {
    /// An observer that passes everything to `tell`.
    #[must_use]
    pub fn new(tell: impl Fn(Observation) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, observation: Observation) {
        (self.0)(observation);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observer")
    }
}

/// Something that the platform did.
#[derive(Debug)]
pub enum Observation {
    /// It answered a call of a server.
    Call(ObservedCall),
    /// It pushed a callback, and the answer was not usable.
    FailedDelivery {
        /// The callback's user.
        openid: String,
        /// The number of the delivery: 1 to 3.
        delivery: u32,
        /// The HTTP status; none without an answer.
        status: Option<u16>,
        /// Why the answer was not usable.
        reason: String,
        /// The time from the push to this report.
        took: Duration,
    },
}

/// A server's call with its answer, unmasked. It holds tokens and secrets, so `Debug` shows only its path.
pub struct ObservedCall {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The parameters, decoded.
    pub query: Vec<(String, String)>,
    /// The body's `Content-Type`; empty without one.
    pub request_type: String,
    /// The body.
    pub request: Vec<u8>,
    /// The HTTP status; none when the connection was dropped.
    pub status: Option<u16>,
    /// The answer's `Content-Type`.
    pub response_type: String,
    /// The answer's body: JSON, or a file.
    pub response: Vec<u8>,
    /// Whether a fault was due.
    pub is_fault: bool,
    /// The time from the call to the answer.
    pub took: Duration,
}

impl fmt::Debug for ObservedCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ObservedCall")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
