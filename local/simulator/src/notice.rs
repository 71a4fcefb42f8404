//! What WeChat pushes to the account's server: messages of users, menu and follow events, template results.

use serde::Deserialize;

use crate::{
    random::Random,
    xml::{Content, Field, Fields, fields},
};

/// Something to push, without its envelope.
pub(crate) struct Notice {
    pub(crate) openid: String,
    pub(crate) msg_type: &'static str,
    /// `CreateTime`: seconds since the epoch, by the machine's clock. It stays through redeliveries.
    pub(crate) created_at: i64,
    pub(crate) fields: Fields,
    /// Whether the user waits for an answer: nobody does for a delivery result, nor after leaving.
    pub(crate) awaits_reply: bool,
    /// How many articles of a `news` reply are shown.
    pub(crate) max_articles: usize,
}

/// A QR scene: WeChat knows numbers and strings and pushes both as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scene {
    Number(u32),
    Text(String),
}

impl Scene {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// A message that a user sends. Media ids and picture addresses are made.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum UserMessage {
    Text {
        content: String,
        /// The item of a menu message (`msgmenu`) that the user tapped.
        msgmenu_id: Option<String>,
    },
    Image,
    Voice {
        recognition: Option<String>,
    },
    Video,
    ShortVideo,
    Location {
        latitude: f64,
        longitude: f64,
        label: Option<String>,
    },
    Link {
        title: String,
        description: Option<String>,
        url: String,
    },
}

impl Notice {
    pub(crate) fn message(
        openid: &str,
        message: UserMessage,
        msg_id: u64,
        created_at: i64,
        random: &mut Random,
    ) -> Self {
        let mut media_id = || Content::text(random.url_safe(64));
        let (msg_type, mut fields) = match message {
            UserMessage::Text { content, msgmenu_id } => {
                let mut fields = fields([("Content", Content::Text(content))]);
                fields.extend(msgmenu_id.map(|id| ("bizmsgmenuid".into(), Content::Text(id))));
                ("text", fields)
            }
            UserMessage::Image => {
                let picture = Content::text("http://mmbiz.qpic.cn/mmbiz_jpg/made/0?a=1&b=2");
                ("image", fields([("PicUrl", picture), ("MediaId", media_id())]))
            }
            UserMessage::Voice { recognition } => {
                let mut fields = fields([
                    ("MediaId", media_id()),
                    ("Format", Content::text("amr")),
                    ("MediaId16K", media_id()),
                ]);
                fields.extend(recognition.map(|text| ("Recognition".into(), Content::Text(text))));
                ("voice", fields)
            }
            UserMessage::Video => ("video", fields([("MediaId", media_id()), ("ThumbMediaId", media_id())])),
            UserMessage::ShortVideo => (
                "shortvideo",
                fields([("MediaId", media_id()), ("ThumbMediaId", media_id())]),
            ),
            UserMessage::Location {
                latitude,
                longitude,
                label,
            } => (
                "location",
                fields([
                    ("Location_X", Content::Number(latitude.to_string())),
                    ("Location_Y", Content::Number(longitude.to_string())),
                    ("Scale", Content::Number("16".to_owned())),
                    ("Label", Content::text(label.unwrap_or_default())),
                ]),
            ),
            UserMessage::Link {
                title,
                description,
                url,
            } => (
                "link",
                fields([
                    ("Title", Content::Text(title)),
                    ("Description", Content::text(description.unwrap_or_default())),
                    ("Url", Content::Text(url)),
                ]),
            ),
        };
        fields.push(("MsgId".into(), Content::Number(msg_id.to_string())));
        let openid = openid.to_owned();
        Self {
            openid,
            msg_type,
            created_at,
            fields,
            awaits_reply: true,
            max_articles: 1,
        }
    }

    /// A new follower; through a QR code when there is a scene.
    pub(crate) fn subscribe(openid: &str, scene: Option<String>, created_at: i64, random: &mut Random) -> Self {
        let fields = match scene {
            Some(scene) => with_ticket(format!("qrscene_{scene}"), random),
            None => vec![event_key("")],
        };
        Self::event(openid, "subscribe", fields, created_at)
    }

    pub(crate) fn unsubscribe(openid: &str, created_at: i64) -> Self {
        Self {
            awaits_reply: false,
            ..Self::event(openid, "unsubscribe", vec![event_key("")], created_at)
        }
    }

    /// A follower scans the account's QR code: unlike on subscription, the key has no prefix.
    pub(crate) fn scan(openid: &str, scene: String, created_at: i64, random: &mut Random) -> Self {
        Self::event(openid, "SCAN", with_ticket(scene, random), created_at)
    }

    /// The message was sent from an article: its number, from 1.
    pub(crate) fn sent_from_article(mut self, index: u8) -> Self {
        self.fields.extend(fields([
            ("MsgDataId", Content::text(format!("2650000001_{index}"))),
            ("Idx", Content::Number(index.to_string())),
        ]));
        self
    }

    /// `TEMPLATESENDJOBFINISH`: the id is spelled `MsgID` here.
    pub(crate) fn template_result(openid: &str, msg_id: u64, status: &str, created_at: i64) -> Self {
        let fields = fields([
            ("MsgID", Content::Number(msg_id.to_string())),
            ("Status", Content::text(status)),
        ]);
        Self {
            awaits_reply: false,
            ..Self::event(openid, "TEMPLATESENDJOBFINISH", fields, created_at)
        }
    }

    pub(crate) fn event(openid: &str, name: &str, fields: Fields, created_at: i64) -> Self {
        let event = ("Event".into(), Content::text(name));
        let fields = std::iter::once(event).chain(fields).collect();
        let openid = openid.to_owned();
        Self {
            openid,
            msg_type: "event",
            created_at,
            fields,
            awaits_reply: true,
            max_articles: 8,
        }
    }

    /// The whole document, from the account's name on.
    pub(crate) fn document(&self, original_id: &str) -> Fields {
        let mut document = fields([
            ("ToUserName", Content::text(original_id)),
            ("FromUserName", Content::text(self.openid.as_str())),
            ("CreateTime", Content::Number(self.created_at.to_string())),
            ("MsgType", Content::text(self.msg_type)),
        ]);
        document.extend(self.fields.iter().cloned());
        document
    }
}

pub(crate) fn event_key(key: impl Into<String>) -> Field {
    ("EventKey".into(), Content::text(key))
}

fn with_ticket(key: String, random: &mut Random) -> Fields {
    vec![
        event_key(key),
        ("Ticket".into(), Content::text(format!("gQ{}==", random.url_safe(92)))),
    ]
}
