//! `BatchGetItem` and `BatchWriteItem`. DynamoDB leaves out entries that it throttles or that make an answer too large.
//! These are retried.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::KeysAndAttributes;
#[cfg(feature = "client")]
use aws_sdk_dynamodb::types::WriteRequest;

use super::{Attributes, StoreError, StoreErrorKind, Table, get_text, named, text};

/// The most items that DynamoDB returns for one BatchGetItem.
const READS_AT_ONCE: usize = 100;
/// The most writes of one BatchWriteItem.
#[cfg(feature = "client")]
const WRITES_AT_ONCE: usize = 25;
/// After this many attempts in a row that achieve nothing, the table counts as busy.
const IDLE_ATTEMPTS: u32 = 6;
/// The pause after an attempt that leaves something out. It doubles while nothing is achieved.
const PAUSE: Duration = Duration::from_millis(50);

impl Table {
    /// Reads the items with these keys consistently, at most 100 different ones. Returns those that exist, by key.
    pub(super) async fn read_batch(&self, pks: Vec<String>) -> Result<HashMap<String, Attributes>, StoreError> {
        const OPERATION: &str = "BatchGetItem";
        debug_assert!(pks.len() <= READS_AT_ONCE, "DynamoDB refuses a larger batch");
        let mut found = HashMap::with_capacity(pks.len());
        let mut left: Vec<Attributes> = pks.into_iter().map(|pk| named([("pk", text(pk))])).collect();
        let mut repeats = Repeats::of(OPERATION);
        while !left.is_empty() {
            let asked = left.len();
            let keys = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true);
            let keys = keys.build().map_err(|error| StoreError::damaged(OPERATION, error))?;
            let read = self.client.batch_get_item().request_items(&self.name, keys);
            let mut read = read
                .send()
                .await
                .map_err(|error| StoreError::from_sdk(OPERATION, &error))?;
            let items = read.responses.as_mut().and_then(|tables| tables.remove(&self.name));
            for item in items.unwrap_or_default() {
                if let Some(pk) = get_text(&item, "pk") {
                    found.insert(pk.to_owned(), item);
                }
            }
            let unread = read.unprocessed_keys.as_mut();
            let unread = unread.and_then(|tables| tables.remove(&self.name));
            left = unread.map(|unread| unread.keys).unwrap_or_default();
            repeats.pause(asked, left.len()).await?;
        }
        Ok(found)
    }

    /// Makes `writes` in batches. Each write succeeds or fails by itself.
    #[cfg(feature = "client")]
    pub(super) async fn write_batch(&self, writes: &[WriteRequest]) -> Result<(), StoreError> {
        const OPERATION: &str = "BatchWriteItem";
        for batch in writes.chunks(WRITES_AT_ONCE) {
            let mut left = batch.to_vec();
            let mut repeats = Repeats::of(OPERATION);
            while !left.is_empty() {
                let asked = left.len();
                let write = self.client.batch_write_item().request_items(&self.name, left);
                let mut written = write
                    .send()
                    .await
                    .map_err(|error| StoreError::from_sdk(OPERATION, &error))?;
                let unwritten = written.unprocessed_items.as_mut();
                let unwritten = unwritten.and_then(|tables| tables.remove(&self.name));
                left = unwritten.unwrap_or_default();
                repeats.pause(asked, left.len()).await?;
            }
        }
        Ok(())
    }
}

/// The attempts at one batch.
struct Repeats {
    operation: &'static str,
    /// Attempts in a row that achieved nothing.
    idle: u32,
}

impl Repeats {
    const fn of(operation: &'static str) -> Self {
        Self { operation, idle: 0 }
    }

    /// Waits before the next attempt, after one that asked for `asked` entries and left `left` of them. Fails when the table
    /// is too busy for another attempt.
    async fn pause(&mut self, asked: usize, left: usize) -> Result<(), StoreError> {
        if left == 0 {
            return Ok(());
        }
        self.idle = if left < asked { 0 } else { self.idle + 1 };
        if self.idle == IDLE_ATTEMPTS {
            return Err(StoreError::of_kind(StoreErrorKind::Busy, self.operation));
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(self.idle)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repeats until 20 entries are done, of which an attempt does what `done` says. Returns the number of attempts.
    async fn attempts(done: impl Fn(u32) -> usize) -> Result<u32, StoreError> {
        let (mut left, mut attempts) = (20, 0);
        let mut repeats = Repeats::of("BatchGetItem");
        while left > 0 {
            attempts += 1;
            let asked = left;
            left -= done(attempts).min(left);
            repeats.pause(asked, left).await?;
        }
        Ok(attempts)
    }

    #[tokio::test]
    async fn left_out_entries_are_retried_while_attempts_achieve_something() {
        assert_eq!(attempts(|_| 20).await.unwrap(), 1);
        assert_eq!(attempts(|_| 2).await.unwrap(), 10);
        assert_eq!(attempts(|attempt| if attempt < 4 { 0 } else { 20 }).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_table_that_does_nothing_is_busy() {
        assert_eq!(attempts(|_| 0).await.unwrap_err().kind(), StoreErrorKind::Busy);
    }
}
