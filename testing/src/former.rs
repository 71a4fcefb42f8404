//! The former name and shape of [`TableServer`], which the unit tests of `webhook` still use.

use std::{convert::Infallible, path::Path};

use crate::TableServer;

/// [`TableServer`] under its former name.
#[derive(Debug)]
pub struct EmbeddedTable(TableServer);

impl EmbeddedTable {
    /// Starts in memory, whatever `data` is.
    ///
    /// # Errors
    /// Never.
    pub async fn start(_data: Option<&Path>) -> Result<Self, Infallible> {
        Ok(Self(TableServer::start().await))
    }

    /// A client in this process.
    #[must_use]
    pub fn client(&self) -> aws_sdk_dynamodb::Client {
        self.0.client()
    }

    /// Stops listening.
    pub async fn stop(self) {}
}
