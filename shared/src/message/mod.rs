//! What WeChat posts to a callback, as typed values: messages of users and events.
//!
//! Nothing that WeChat may send is an error here: a field that is missing is empty or none, a type or an event that
//! is not known is data. The whole document stays at hand in [`Callback::document`].
//!
//! Text that WeChat always sends is a `String`, empty when it did not; text that it sends only at times, ids and
//! numbers are an `Option`. Ids are strings: they exceed the 2^53 up to which JSON readers are exact.

mod event;
mod msgid;
mod report;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Value, json};

pub use event::{AuthorizedUser, Event, Pictures, ScanCode, SubscribeChoice};
pub use msgid::is_msgid;
pub use report::{
    ArticleUrl, CopyrightCheck, CopyrightItem, DeliveryStatus, MassSendResult, MassSendStatus, PublishResult,
    SubscribeMsgResult,
};

use crate::{digest::sha256_hex, xml::Document};

/// A message or an event, with its envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// `ToUserName`: the account's original id (`gh_…`).
    pub to: String,
    /// `FromUserName`: the user's openid; for some events of the platform's own a system id.
    pub from: String,
    /// `CreateTime`, in epoch seconds; 0 when there is none.
    pub created_at: i64,
    /// What it says.
    pub content: Content,
    document: Document,
}

/// What a callback says. Messages and events are apart because their names overlap: a message of type `location` is
/// a place that a user sent, an event `LOCATION` is a position report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// A user sent a message.
    Message(Message),
    /// Something happened.
    Event(Event),
    /// A push to a third-party platform (第三方平台): it has `InfoType` in place of `MsgType`, and is not for an
    /// Official Account's own server.
    ThirdPartyPlatform {
        /// `InfoType`, such as `component_verify_ticket`.
        info_type: String,
    },
}

/// A message of a user.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// `MsgId`, the same in every delivery of this message.
    pub msg_id: Option<String>,
    /// The article that the message was sent from, if any.
    pub article: Option<ArticleOrigin>,
    /// What was sent.
    #[serde(flatten)]
    pub kind: MessageKind,
}

/// The article that a message was sent from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArticleOrigin {
    /// `MsgDataId`.
    pub msg_data_id: String,
    /// `Idx`: which of several articles, from 1.
    pub index: Option<u32>,
}

/// What a user sent, by `MsgType`. Media ids end after three days.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum MessageKind {
    /// Text. What a phone sends and WeChat cannot pass on, stickers for one, arrives as text that says so.
    Text {
        /// What the user wrote.
        content: String,
        /// `bizmsgmenuid`: the item tapped in a menu message of customer service.
        menu_id: Option<String>,
    },
    /// A picture.
    Image {
        /// WeChat's copy.
        pic_url: String,
        /// The picture as temporary media.
        media_id: String,
    },
    /// A voice message.
    Voice {
        /// The recording as temporary media.
        media_id: String,
        /// `MediaId16K`: the same at 16 kHz.
        media_id_16k: Option<String>,
        /// `amr`, `speex`, …
        format: String,
        /// What was said, where the account has speech recognition (语音识别) on.
        recognition: Option<String>,
    },
    /// A video.
    Video {
        /// The video as temporary media.
        media_id: String,
        /// Its thumbnail as temporary media.
        thumb_media_id: String,
    },
    /// A short video (小视频).
    ShortVideo {
        /// The video as temporary media.
        media_id: String,
        /// Its thumbnail as temporary media.
        thumb_media_id: String,
    },
    /// A place.
    Location {
        /// `Location_X`, in degrees north.
        latitude: Option<f64>,
        /// `Location_Y`, in degrees east.
        longitude: Option<f64>,
        /// Zoom of the map.
        scale: Option<i64>,
        /// The address in words.
        label: String,
    },
    /// A link.
    Link {
        /// Its title.
        title: String,
        /// Its description.
        description: String,
        /// Where it leads.
        url: String,
    },
    /// A card of a mini program.
    MiniProgramPage {
        /// Its title.
        title: String,
        /// The mini program's AppID.
        app_id: String,
        /// The page that the card opens.
        page_path: String,
        /// Its cover.
        thumb_url: String,
        /// Its cover as temporary media.
        thumb_media_id: String,
    },
    /// A type that is not known: see [`Callback::document`].
    Unknown {
        /// `MsgType`, as sent.
        msg_type: String,
    },
}

/// The document has neither `MsgType` nor `Event` nor `InfoType`: WeChat sends none like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message or event of WeChat's: the document has none of MsgType, Event and InfoType")]
pub struct NotACallback;

impl Callback {
    /// Reads a clear (decrypted) document.
    ///
    /// # Errors
    /// [`NotACallback`] when nothing in it says what it is.
    pub fn from_document(document: Document) -> Result<Self, NotACallback> {
        Ok(Self {
            to: owned(&document, "ToUserName"),
            from: owned(&document, "FromUserName"),
            created_at: document.number("CreateTime").unwrap_or_default(),
            content: Content::read(&document)?,
            document,
        })
    }

    /// The document that this was read from.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// `MsgType` as WeChat spelt it; empty when there is none.
    #[must_use]
    pub fn msg_type(&self) -> &str {
        self.document.word("MsgType").unwrap_or_default()
    }

    /// The name of an event as WeChat spelt it, in mixed case; none when this is not an event.
    #[must_use]
    pub fn event_name(&self) -> Option<&str> {
        match self.content {
            Content::Event(_) => self.document.word("Event"),
            _ => None,
        }
    }

    /// What it is, as one of a small set, fit for a metric's dimension: the `type` of [`Callback::to_json`] for a
    /// message (`text`, `unknown`), `event.` and the `type` for an event (`event.subscribe`), `third_party_platform`.
    #[must_use]
    pub fn kind(&self) -> String {
        match &self.content {
            Content::Message(message) if matches!(message.kind, MessageKind::Unknown { .. }) => "unknown".to_owned(),
            Content::Message(_) => self.msg_type().to_ascii_lowercase(),
            Content::Event(Event::Unknown { .. }) => "event.unknown".to_owned(),
            Content::Event(_) => format!("event.{}", self.event_name().unwrap_or_default().to_ascii_lowercase()),
            Content::ThirdPartyPlatform { .. } => "third_party_platform".to_owned(),
        }
    }

    /// `EventKey` as sent, `qrscene_` included; none when it is absent or empty.
    #[must_use]
    pub fn event_key(&self) -> Option<&str> {
        self.document.text("EventKey")
    }

    /// The same for every delivery of this callback and for no other: 64 characters of lower-case hex.
    ///
    /// A `MsgId` (`MsgID` in reports, at any depth) repeats across users, so it counts together with the envelope and
    /// what names the event. Without one, everything that the callback says counts: two events may share user and second.
    #[must_use]
    pub fn dedup_key(&self) -> String {
        const IDENTITY: &[&str] = &[
            "ToUserName",
            "FromUserName",
            "CreateTime",
            "MsgType",
            "MsgId",
            "Event",
            "EventKey",
            "Ticket",
            "UserCardCode",
        ];
        let mut parts: Vec<(&str, &str)> = self
            .document
            .leaves()
            .into_iter()
            .map(|leaf| (leaf.name(), leaf.value().trim()))
            // Each delivery in compat mode is encrypted anew.
            .filter(|(name, value)| !value.is_empty() && *name != "Encrypt")
            .collect();
        if parts.iter().any(|(name, _)| name.eq_ignore_ascii_case("MsgId")) {
            parts.retain(|(name, _)| IDENTITY.iter().any(|identity| name.eq_ignore_ascii_case(identity)));
        }
        parts.sort_unstable();
        let mut bytes = Vec::new();
        for part in parts.into_iter().flat_map(|(name, value)| [name, value]) {
            // The length keeps neighbours from running into one another.
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        sha256_hex(&bytes)
    }

    /// The whole for an event bus: `id` (the [`Callback::dedup_key`]), `to`, `from`, `created_at`, then `message` or
    /// `event` with a `type` and its fields, and `document`, which is all that WeChat sent.
    ///
    /// The `type` is WeChat's name in lower case, or `unknown`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        #[derive(Serialize)]
        struct Envelope<'a> {
            id: String,
            to: &'a str,
            from: &'a str,
            created_at: i64,
            #[serde(flatten)]
            content: &'a Content,
            document: Value,
        }
        json!(Envelope {
            id: self.dedup_key(),
            to: &self.to,
            from: &self.from,
            created_at: self.created_at,
            content: &self.content,
            document: self.document.to_json(),
        })
    }
}

impl Content {
    fn read(document: &Document) -> Result<Self, NotACallback> {
        let event = document.word("Event");
        match document.word("MsgType") {
            Some(name) if name.eq_ignore_ascii_case("event") => {
                Ok(Self::Event(Event::read(event.unwrap_or_default(), document)))
            }
            Some(msg_type) => Ok(Self::Message(Message::read(msg_type, document))),
            None => match (event, document.word("InfoType")) {
                (Some(event), _) => Ok(Self::Event(Event::read(event, document))),
                (None, Some(info_type)) => Ok(Self::ThirdPartyPlatform {
                    info_type: info_type.to_owned(),
                }),
                (None, None) => Err(NotACallback),
            },
        }
    }
}

impl Message {
    fn read(msg_type: &str, document: &Document) -> Self {
        let article = document.word("MsgDataId").map(|id| ArticleOrigin {
            msg_data_id: id.to_owned(),
            index: document.number("Idx"),
        });
        Self {
            msg_id: msg_id(document),
            article,
            kind: MessageKind::read(msg_type, document),
        }
    }
}

impl MessageKind {
    fn read(msg_type: &str, document: &Document) -> Self {
        let text = |name| owned(document, name);
        match msg_type.to_ascii_lowercase().as_str() {
            "text" => Self::Text {
                content: text("Content"),
                menu_id: optional(document, "bizmsgmenuid"),
            },
            "image" => Self::Image {
                pic_url: text("PicUrl"),
                media_id: text("MediaId"),
            },
            "voice" => Self::Voice {
                media_id: text("MediaId"),
                media_id_16k: optional(document, "MediaId16K"),
                format: text("Format"),
                recognition: optional(document, "Recognition"),
            },
            "video" => Self::Video {
                media_id: text("MediaId"),
                thumb_media_id: text("ThumbMediaId"),
            },
            "shortvideo" => Self::ShortVideo {
                media_id: text("MediaId"),
                thumb_media_id: text("ThumbMediaId"),
            },
            "location" => Self::Location {
                latitude: document.number("Location_X"),
                longitude: document.number("Location_Y"),
                scale: document.number("Scale"),
                label: text("Label"),
            },
            "link" => Self::Link {
                title: text("Title"),
                description: text("Description"),
                url: text("Url"),
            },
            "miniprogrampage" => Self::MiniProgramPage {
                title: text("Title"),
                app_id: text("AppId"),
                page_path: text("PagePath"),
                thumb_url: text("ThumbUrl"),
                thumb_media_id: text("ThumbMediaId"),
            },
            _ => Self::Unknown {
                msg_type: msg_type.to_owned(),
            },
        }
    }
}

/// `MsgId` of messages and `MsgID` of reports.
fn msg_id(document: &Document) -> Option<String> {
    document
        .word("MsgId")
        .or_else(|| document.word("MsgID"))
        .map(str::to_owned)
}

fn owned(document: &Document, name: &str) -> String {
    document.text(name).unwrap_or_default().to_owned()
}

fn optional(document: &Document, name: &str) -> Option<String> {
    document.text(name).map(str::to_owned)
}

/// The child called `wrapper`; without one, the document itself.
fn inside<'a>(document: &'a Document, wrapper: &str) -> &'a Document {
    document.child(wrapper).unwrap_or(document)
}

/// Every `item` of every child called `list`: WeChat has repeated the list itself in place of its items.
fn items<'a>(document: &'a Document, list: &'a str) -> impl Iterator<Item = &'a Document> {
    document.children(list).flat_map(|list| list.children("item"))
}
