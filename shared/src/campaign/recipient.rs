//! The entries of an audience, and how they are kept: in chunks that stay small.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{api::FieldValue, json};

/// The most entries of a chunk.
pub const CHUNK: usize = 100;
/// Bytes of JSON. A chunk with own data has fewer entries, so that an item of the table stays small.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of JSON. The most own data of one person.
pub const OWN_DATA_BYTES: usize = 2 * 1024;

/// One entry of an audience.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Recipient {
    /// The person's openid. `None` for a user who is not resolved or not bound.
    pub openid: Option<String>,
    /// The team's id of the user, in an entry that names one.
    pub user: Option<String>,
    /// The person's own data.
    pub data: BTreeMap<String, FieldValue>,
}

/// An entry as it is kept: most are a bare openid.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Kept {
    Openid(String),
    Entry {
        #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
        openid: Option<String>,
        #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        #[serde(rename = "d", default, skip_serializing_if = "BTreeMap::is_empty")]
        data: BTreeMap<String, FieldValue>,
    },
}

impl From<Kept> for Recipient {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Openid(openid) => Self::of(openid),
            Kept::Entry { openid, user, data } => Self { openid, user, data },
        }
    }
}

impl From<Recipient> for Kept {
    fn from(recipient: Recipient) -> Self {
        match recipient {
            Recipient {
                openid: Some(openid),
                user: None,
                data,
            } if data.is_empty() => Self::Openid(openid),
            Recipient { openid, user, data } => Self::Entry { openid, user, data },
        }
    }
}

impl Recipient {
    /// The entry of a bare openid.
    #[must_use]
    pub const fn of(openid: String) -> Self {
        Self {
            openid: Some(openid),
            user: None,
            data: BTreeMap::new(),
        }
    }

    /// What identifies this person: the openid, or the id of a user who has none.
    #[must_use]
    pub fn identity(&self) -> (&str, &str) {
        match (&self.openid, &self.user) {
            (Some(openid), _) => ("openid", openid),
            (None, user) => ("user", user.as_deref().unwrap_or_default()),
        }
    }
}

/// Cuts entries into chunks of at most [`CHUNK`] entries and, unless one entry is larger, [`CHUNK_BYTES`].
#[must_use]
pub fn into_chunks(recipients: Vec<Recipient>) -> Vec<Vec<Recipient>> {
    let mut chunks: Vec<Vec<Recipient>> = Vec::new();
    let mut bytes = 0;
    for recipient in recipients {
        let size = json::write(&recipient).len() + 1;
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK && bytes + size <= CHUNK_BYTES => {
                chunk.push(recipient);
                bytes += size;
            }
            _ => {
                chunks.push(vec![recipient]);
                bytes = size;
            }
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_data(index: usize, bytes: usize) -> Recipient {
        let field = FieldValue {
            value: "x".repeat(bytes),
            color: None,
        };
        Recipient {
            data: BTreeMap::from([("thing1".to_owned(), field)]),
            ..Recipient::of(format!("o{index}"))
        }
    }

    #[test]
    fn an_entry_survives_its_json_and_a_bare_openid_is_a_text() {
        let bare = Recipient::of("o1".to_owned());
        assert_eq!(json::write(&bare), "\"o1\"");
        let user = Recipient {
            user: Some("u1".to_owned()),
            ..Recipient::default()
        };
        for recipient in [bare, user, with_data(1, 3)] {
            let read: Recipient = serde_json::from_str(&json::write(&recipient)).unwrap();
            assert_eq!(read, recipient);
        }
    }

    #[test]
    fn chunks_stay_small_whatever_own_data_people_have() {
        let bare = into_chunks((0..8_000).map(|index| Recipient::of(format!("o{index:027}"))).collect());
        assert_eq!(bare.len(), 80);
        let heavy = into_chunks((0..100).map(|index| with_data(index, 2_000)).collect());
        assert!(heavy.iter().all(|chunk| json::write(chunk).len() <= CHUNK_BYTES + 2));
        assert_eq!(heavy.iter().map(Vec::len).sum::<usize>(), 100);
        assert!(into_chunks(Vec::new()).is_empty());
    }
}
