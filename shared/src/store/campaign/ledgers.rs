//! The ledgers of a campaign: the state of each entry of a chunk.

use std::collections::BTreeMap;

use crate::{
    campaign::Ledger,
    json,
    store::{StoreError, Table, claim::MINE, get_number, get_text, named, number, text, written_if},
};

/// A ledger, and the version under which it may be replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredLedger {
    /// The ledger.
    pub ledger: Ledger,
    /// 0 for one that is not stored yet.
    pub version: u64,
}

impl Table {
    /// Returns those ledgers of `numbers` that are stored, at most [`CHUNKS_AT_ONCE`](super::CHUNKS_AT_ONCE) of them, by the number of
    /// their chunk.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn ledgers(
        &self,
        id: &str,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Result<BTreeMap<u32, StoredLedger>, StoreError> {
        let found = self.numbered(numbers, |number| self.ledger_pk(id, number)).await?;
        let ledgers = found.into_iter().map(|(chunk, item)| {
            let ledger = serde_json::from_str(get_text(&item, "ledger").unwrap_or_default());
            let ledger = ledger.map_err(|error| StoreError::damaged("BatchGetItem", error))?;
            let version = get_number(&item, "version").unwrap_or(0);
            Ok((chunk, StoredLedger { ledger, version }))
        });
        ledgers.collect()
    }

    /// Replaces a ledger, written by the run `owner`. Returns its new version, or `None` when another run has replaced it.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The ledger may be replaced, and the same call again is safe.
    pub async fn put_ledger(
        &self,
        id: &str,
        chunk: u32,
        ledger: &StoredLedger,
        owner: &str,
    ) -> Result<Option<u64>, StoreError> {
        let pk = self.ledger_pk(id, chunk);
        let version = ledger.version + 1;
        let attributes = [
            ("ledger", text(json::write(&ledger.ledger))),
            ("version", number(version)),
            ("owner", text(owner)),
        ];
        // The SDK retries a write whose answer was lost.
        let condition = format!("attribute_not_exists(pk) OR version = :version OR ({MINE} AND version = :next)");
        let values = named([
            (":version", number(ledger.version)),
            (":next", number(version)),
            (":owner", text(owner)),
        ]);
        let put = self
            .put(&pk, attributes)
            .condition_expression(&condition)
            .expression_attribute_names("#owner", "owner")
            .set_expression_attribute_values(Some(values));
        Ok(written_if("PutItem", put.send().await)?.then_some(version))
    }

    pub(super) fn ledger_pk(&self, id: &str, chunk: u32) -> String {
        format!("{}#ledger#{chunk}", self.campaign_pk(id))
    }
}
