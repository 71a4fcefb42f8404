//! The audience of a campaign: its parts, as callers send them, and its chunks of at most 100 entries.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};

use crate::{
    campaign::{Campaign, CampaignState, Recipient},
    json,
    store::{
        Attributes, StoreError, Table, get_number, get_text, named, number, text,
        transaction::{ATTEMPTS, TRANSACTION, Transaction, contended},
    },
};

/// Chunks or ledgers that one read returns.
pub const CHUNKS_AT_ONCE: usize = 100;
/// Seconds. How long the name of a part is remembered. The audience itself is kept as long as the campaign.
const PART_REMEMBERED_FOR: i64 = 30 * 24 * 3600;

/// The outcome of storing a part that a caller has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOutcome {
    /// It is complete. Holds the entries of all complete parts.
    Complete(u64),
    /// A part with this name has other content.
    OtherContent,
    /// The campaign is no longer a draft, or does not exist.
    NotADraft,
}

fn range(first: u32, count: usize) -> String {
    format!("{first}+{count}")
}

pub(super) fn parse_range(range: &str) -> Option<(u32, u32)> {
    let (first, count) = range.split_once('+')?;
    Some((first.parse().ok()?, count.parse().ok()?))
}

impl Table {
    /// Stores a part of a draft's audience, all or nothing. Storing the same part again completes an interrupted one.
    /// `digest` is that of its content, `now` in epoch seconds.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. The part may be complete.
    pub async fn put_part(
        &self,
        id: &str,
        name: &str,
        digest: &str,
        chunks: &[Vec<Recipient>],
        now: i64,
    ) -> Result<PartOutcome, StoreError> {
        let (pk, part_pk) = (self.campaign_pk(id), self.part_pk(id, name));
        let entries: usize = chunks.iter().map(Vec::len).sum();
        let is_draft = "#state = :draft AND attribute_not_exists(deleted)";
        let draft = (":draft", text(CampaignState::Draft.as_str()));
        for _ in 0..ATTEMPTS {
            let mut items = self.read_batch(vec![pk.clone(), part_pk.clone()]).await?;
            let campaign = items.remove(&pk).filter(|item| !item.contains_key("deleted"));
            let Some(campaign) = campaign.as_ref().and_then(|item| Campaign::from_attributes(id, item)) else {
                return Ok(PartOutcome::NotADraft);
            };
            let Some(part) = items.remove(&part_pk) else {
                if campaign.state != CampaignState::Draft {
                    return Ok(PartOutcome::NotADraft);
                }
                self.begin_part(&campaign, &part_pk, digest, chunks.len(), now).await?;
                continue;
            };
            if get_text(&part, "digest") != Some(digest) {
                return Ok(PartOutcome::OtherContent);
            }
            if part.contains_key("complete") {
                return Ok(PartOutcome::Complete(campaign.entries));
            }
            if campaign.state != CampaignState::Draft {
                return Ok(PartOutcome::NotADraft);
            }
            let first: u32 = get_number(&part, "first").unwrap_or(0);
            self.put_chunks(id, first, chunks).await?;
            let set = [range(first, chunks.len())];
            let complete = Transaction::new(self)
                .update(
                    &part_pk,
                    "SET complete = :true",
                    "attribute_not_exists(complete)",
                    [(":true", AttributeValue::Bool(true))],
                )
                .update(
                    &pk,
                    "SET entries = entries + :entries DELETE incomplete :range",
                    is_draft,
                    [
                        (":entries", number(entries)),
                        (":range", AttributeValue::Ss(set.to_vec())),
                        draft.clone(),
                    ],
                );
            if complete.commit().await? {
                return Ok(PartOutcome::Complete(campaign.entries + entries as u64));
            }
        }
        Err(contended(TRANSACTION))
    }

    /// Reserves the numbers of a part's chunks. Does nothing when others were faster.
    async fn begin_part(
        &self,
        campaign: &Campaign,
        part_pk: &str,
        digest: &str,
        chunks: usize,
        now: i64,
    ) -> Result<(), StoreError> {
        let set = [range(campaign.chunks, chunks)];
        let attributes = [
            ("digest", text(digest)),
            ("first", number(campaign.chunks)),
            ("ttl", number(now + PART_REMEMBERED_FOR)),
        ];
        let values = [
            (":chunks", number(campaign.chunks as usize + chunks)),
            (":were", number(campaign.chunks)),
            (":range", AttributeValue::Ss(set.to_vec())),
            (":draft", text(CampaignState::Draft.as_str())),
        ];
        let begin = Transaction::new(self)
            .put(part_pk, attributes, "attribute_not_exists(pk)", [])
            .update(
                &self.campaign_pk(&campaign.id),
                "SET chunks = :chunks ADD incomplete :range",
                "chunks = :were AND #state = :draft AND attribute_not_exists(deleted)",
                values,
            );
        begin.commit().await.map(|_| ())
    }

    /// Writes chunks, the first under the number `first`. Replaces existing chunks.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. Some of them may be written.
    pub async fn put_chunks(&self, id: &str, first: u32, chunks: &[Vec<Recipient>]) -> Result<(), StoreError> {
        let puts = (first..).zip(chunks).map(|(chunk, recipients)| {
            let item = named([
                ("pk", text(self.chunk_pk(id, chunk))),
                ("entries", text(json::write(recipients))),
            ]);
            let put = PutRequest::builder().set_item(Some(item)).build();
            put.map(|put| WriteRequest::builder().put_request(put).build())
        });
        let puts: Result<Vec<WriteRequest>, _> = puts.collect();
        let puts = puts.map_err(|error| StoreError::damaged("BatchWriteItem", error))?;
        self.write_batch(&puts).await
    }

    /// Returns those chunks of `numbers` that exist, at most [`CHUNKS_AT_ONCE`] of them, by number.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn chunks(
        &self,
        id: &str,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Result<BTreeMap<u32, Vec<Recipient>>, StoreError> {
        let found = self.numbered(numbers, |number| self.chunk_pk(id, number)).await?;
        let chunks = found.into_iter().map(|(chunk, item)| {
            let entries = serde_json::from_str(get_text(&item, "entries").unwrap_or_default());
            let entries = entries.map_err(|error| StoreError::damaged("BatchGetItem", error))?;
            Ok((chunk, entries))
        });
        chunks.collect()
    }

    pub(super) async fn numbered(
        &self,
        numbers: impl IntoIterator<Item = u32>,
        pk: impl Fn(u32) -> String,
    ) -> Result<BTreeMap<u32, Attributes>, StoreError> {
        let by_pk: HashMap<String, u32> = numbers.into_iter().map(|number| (pk(number), number)).collect();
        let items = self.read_batch(by_pk.keys().cloned().collect()).await?;
        let numbered = items
            .into_iter()
            .filter_map(|(pk, item)| Some((*by_pk.get(&pk)?, item)));
        Ok(numbered.collect())
    }

    /// Deletes the chunks and ledgers with the numbers `chunks` of a campaign.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. Some of them may be deleted.
    pub async fn delete_chunks(&self, id: &str, chunks: impl IntoIterator<Item = u32>) -> Result<(), StoreError> {
        let pks = chunks
            .into_iter()
            .flat_map(|chunk| [self.chunk_pk(id, chunk), self.ledger_pk(id, chunk)]);
        let deletes: Result<Vec<WriteRequest>, _> = pks
            .map(|pk| {
                let delete = DeleteRequest::builder().key("pk", text(pk)).build();
                delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
            })
            .collect();
        let deletes = deletes.map_err(|error| StoreError::damaged("BatchWriteItem", error))?;
        self.write_batch(&deletes).await
    }

    fn part_pk(&self, id: &str, name: &str) -> String {
        format!("{}#part#{name}", self.campaign_pk(id))
    }

    pub(super) fn chunk_pk(&self, id: &str, chunk: u32) -> String {
        format!("{}#chunk#{chunk}", self.campaign_pk(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_survives_its_text() {
        assert_eq!(parse_range(&range(7, 80)), Some((7, 80)));
        assert_eq!(parse_range("7"), None);
    }
}
