//! The callbacks of WeChat, messages of users and events, as typed values.
//!
//! Reading is lenient, because WeChat adds and leaves out fields: a missing field is empty or `None`, and an unknown type
//! or event is a value of its own. [`Callback::document`] keeps everything that WeChat sent.
//!
//! A text that WeChat always sends is a `String`; an optional text, an id or a number is an `Option`. Ids are strings:
//! they exceed 2^53, the largest integer that every JSON reader keeps exact.
//!
//! See [WeChat Docs/接收普通消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html)
//! and [WeChat Docs/接收事件推送](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html).

mod binding;
mod event;
mod msgid;
mod report;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Value, json};

pub use binding::{BINDING_SCENE, is_binding_id};
pub use event::{AuthorizedUser, Event, Pictures, ScanCode, SubscribeChoice};
pub use msgid::is_msgid;
pub use report::{
    ArticleUrl, CopyrightCheck, CopyrightItem, DeliveryStatus, MassSendResult, MassSendStatus, PublishResult,
    SubscribeMsgResult,
};

use crate::{digest::sha256_hex, xml::Tree};

/// Bytes of the longest openid. A key of the table has room for it.
const LONGEST_OPENID: usize = 128;

/// A message or an event, with its envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// `ToUserName`: the account's original id (`gh_…`).
    pub to: String,
    /// `FromUserName`: the user's openid; in some events that WeChat itself causes, a system id.
    pub from: String,
    /// `CreateTime`, in epoch seconds; 0 when it is missing.
    pub created_at: i64,
    /// The message or event itself.
    pub content: Content,
    document: Tree,
}

/// The content of a callback. Messages and events are separate because their names overlap: a message of type `location`
/// is a place that a user sent, an event `LOCATION` is a position report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A user sent a message.
    Message(Message),
    /// Something happened.
    Event(Event),
    /// A push to a third-party platform (第三方平台), with `InfoType` instead of `MsgType`. It is not meant for an Official
    /// Account's own server.
    /// See [WeChat Docs/验证票据](https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/api/component_verify_ticket.html).
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
    /// The article from which the user sent the message, if any.
    pub article: Option<ArticleOrigin>,
    /// The type of the message and its fields.
    #[serde(flatten)]
    pub kind: MessageKind,
}

/// The article from which a user sent a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArticleOrigin {
    /// `MsgDataId`.
    pub msg_data_id: String,
    /// `Idx`: the number of the article among several, from 1.
    pub index: Option<u32>,
}

/// What a user sent, by `MsgType`. A media id is valid for three days.
/// See [WeChat Docs/接收普通消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum MessageKind {
    /// A text. Content that WeChat cannot deliver, such as a sticker, arrives as a text that says so.
    Text {
        /// The user's text.
        content: String,
        /// `bizmsgmenuid`: the item that the user tapped in a menu message of customer service.
        menu_id: Option<String>,
    },
    /// A picture.
    Image {
        /// The URL of the picture at WeChat.
        pic_url: String,
        /// The picture as temporary media.
        media_id: String,
    },
    /// A voice message.
    Voice {
        /// The recording as temporary media.
        media_id: String,
        /// `MediaId16K`: the recording at 16 kHz.
        media_id_16k: Option<String>,
        /// `amr`, `speex`, …
        format: String,
        /// The recognised text, when the account has speech recognition (语音识别) on.
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
        /// The title of the page.
        title: String,
        /// The description of the page.
        description: String,
        /// The address of the page.
        url: String,
    },
    /// A card of a mini program.
    MiniProgramPage {
        /// The title of the card.
        title: String,
        /// The mini program's AppID.
        app_id: String,
        /// The page that the card opens.
        page_path: String,
        /// The URL of the card's picture.
        thumb_url: String,
        /// The card's picture as temporary media.
        thumb_media_id: String,
    },
    /// An unknown type: [`Callback::document`] has its fields.
    Unknown {
        /// `MsgType`, as sent.
        msg_type: String,
    },
}

/// The document has neither `MsgType` nor `Event` nor `InfoType`, so it cannot be WeChat's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a message or event of WeChat: MsgType, Event and InfoType are all missing \
     / 不是微信的消息或事件：MsgType、Event 与 InfoType 均缺失"
)]
pub struct NotACallback;

impl Callback {
    /// Reads a clear (decrypted) document.
    ///
    /// # Errors
    /// [`NotACallback`] when `MsgType`, `Event` and `InfoType` are all missing.
    pub fn from_document(document: Tree) -> Result<Self, NotACallback> {
        Ok(Self {
            to: owned(&document, "ToUserName"),
            from: owned(&document, "FromUserName"),
            created_at: document.number("CreateTime").unwrap_or_default(),
            content: Content::read(&document)?,
            document,
        })
    }

    /// Returns the openid of the user who sent a message or caused an event. `None` when `FromUserName` is missing, or too
    /// long for an openid: WeChat's have 28 characters.
    #[must_use]
    pub fn openid(&self) -> Option<&str> {
        (1..=LONGEST_OPENID).contains(&self.from.len()).then_some(&*self.from)
    }

    /// Everything that WeChat sent.
    #[must_use]
    pub fn document(&self) -> &Tree {
        &self.document
    }

    /// `MsgType` as WeChat spelt it; empty when it is missing.
    #[must_use]
    pub fn msg_type(&self) -> &str {
        self.document.word("MsgType").unwrap_or_default()
    }

    /// Returns the msgid of the message of which this is the delivery receipt, its status, and WeChat's text for that. `None` for
    /// another callback, and for a receipt that names no message.
    #[must_use]
    pub fn delivery_receipt(&self) -> Option<(&str, DeliveryStatus, &str)> {
        match &self.content {
            Content::Event(Event::TemplateSendJobFinish {
                msg_id: Some(msgid),
                status,
                status_text,
            }) if is_msgid(msgid) => Some((msgid, *status, status_text)),
            _ => None,
        }
    }

    /// The name of the event as WeChat spelt it, in mixed case; `None` for a message.
    #[must_use]
    pub fn event_name(&self) -> Option<&str> {
        match self.content {
            Content::Event(_) => self.document.word("Event"),
            _ => None,
        }
    }

    /// The kind of callback, from a set small enough for a metric's dimension: `text`, `image`, …, `unknown` for a message,
    /// `event.subscribe`, …, `event.unknown` for an event, or `third_party_platform`.
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

    /// The type of the callback in WeChat's spelling: `MsgType`, or `event.` and `Event`, or `InfoType`.
    #[must_use]
    pub fn type_name(&self) -> String {
        match (&self.content, self.event_name()) {
            (Content::ThirdPartyPlatform { info_type }, _) => info_type.clone(),
            (Content::Event(_), Some(event)) => format!("event.{event}"),
            (Content::Event(_), None) => "event".to_owned(),
            _ => self.msg_type().to_owned(),
        }
    }

    /// `EventKey` as sent, with its prefix `qrscene_`; `None` when it is missing or empty.
    #[must_use]
    pub fn event_key(&self) -> Option<&str> {
        self.document.text("EventKey")
    }

    /// A key that is the same for every delivery of this callback and differs for every other callback: 64 characters of
    /// lower-case hex.
    ///
    /// With a `MsgId` (`MsgID` in reports, at any depth) the key covers the id, the envelope and the name of the event: an
    /// id alone can repeat across users. Without one the key covers all fields: two events may share user and second.
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
            // In compat mode each delivery has another ciphertext.
            .filter(|(name, value)| !value.is_empty() && *name != "Encrypt")
            .collect();
        if parts.iter().any(|(name, _)| name.eq_ignore_ascii_case("MsgId")) {
            parts.retain(|(name, _)| IDENTITY.iter().any(|identity| name.eq_ignore_ascii_case(identity)));
        }
        parts.sort_unstable();
        let mut bytes = Vec::new();
        for part in parts.into_iter().flat_map(|(name, value)| [name, value]) {
            // The length separates the parts: `ab`, `c` must differ from `a`, `bc`.
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        sha256_hex(&bytes)
    }

    /// The callback as JSON for an event bus: `id` (the [`Callback::dedup_key`]), `to`, `from`, `created_at`, then `message`
    /// or `event` with its `type` and fields, and `document` with everything that WeChat sent.
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
    fn read(document: &Tree) -> Result<Self, NotACallback> {
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
    fn read(msg_type: &str, document: &Tree) -> Self {
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
    fn read(msg_type: &str, document: &Tree) -> Self {
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

/// Reads `MsgId` (in messages) or `MsgID` (in reports).
fn msg_id(document: &Tree) -> Option<String> {
    document
        .word("MsgId")
        .or_else(|| document.word("MsgID"))
        .map(str::to_owned)
}

fn owned(document: &Tree, name: &str) -> String {
    document.text(name).unwrap_or_default().to_owned()
}

fn optional(document: &Tree, name: &str) -> Option<String> {
    document.text(name).map(str::to_owned)
}

/// The child called `wrapper`; without one, the document itself.
fn inside<'a>(document: &'a Tree, wrapper: &str) -> &'a Tree {
    document.child(wrapper).unwrap_or(document)
}

/// Every `item` of every child called `list`. WeChat has also sent several lists with one item each.
fn items<'a>(document: &'a Tree, list: &'a str) -> impl Iterator<Item = &'a Tree> {
    document.children(list).flat_map(|list| list.children("item"))
}
