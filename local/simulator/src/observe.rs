//! What the platform does, told as it happens to the program that runs it.

use std::{fmt, sync::Arc, time::Duration};

/// Is told of everything that the platform does. It is called on the platform's tasks, so it must not block.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Observation) + Send + Sync>);

impl Observer {
    /// An observer that hands everything to `tell`.
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

/// Something that the platform has done.
pub enum Observation {
    /// A server has called it.
    Call(ObservedCall),
    /// It has pushed a callback, and could not use what came back.
    FailedDelivery {
        /// The user whom the callback was about.
        openid: String,
        /// Which delivery of the callback it was: 1 to 3.
        delivery: u32,
        /// The HTTP status answered; none without an answer.
        status: Option<u16>,
        /// Why the answer could not be used.
        reason: String,
        /// From the push to the verdict.
        took: Duration,
    },
}

/// A call under `/cgi-bin/…` with its answer, as they travelled. It holds tokens and secrets: `Debug` shows no more than its path.
pub struct ObservedCall {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The parameters, decoded.
    pub query: Vec<(String, String)>,
    /// The body.
    pub request: Vec<u8>,
    /// The HTTP status answered; none when the connection was dropped.
    pub status: Option<u16>,
    /// The body answered.
    pub response: String,
    /// Whether a fault was due.
    pub is_fault: bool,
    /// From the call to the answer.
    pub took: Duration,
}

impl fmt::Debug for Observation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Call(_) => "Call",
            Self::FailedDelivery { .. } => "FailedDelivery",
        })
    }
}

impl fmt::Debug for ObservedCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ObservedCall")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
