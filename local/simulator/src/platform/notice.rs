//! What WeChat pushes to the account's server: messages of users, menu and follow events, template results.
//!
//! Notices are plain data, which [`push`](crate::push) renders and delivers.
//!
//! See [WeChat Docs/接收事件推送](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html).

use std::borrow::Cow;

use serde::Deserialize;

use super::{articles::Publication, random::Random};

/// The value of an element: XML writes text into CDATA and numbers bare.
#[derive(Clone)]
pub(crate) enum Content {
    Text(String),
    Number(String),
    Group(Fields),
}

impl Content {
    pub(crate) fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }
}

/// Elements of a document, in order.
pub(crate) type Fields = Vec<Field>;
pub(crate) type Field = (Cow<'static, str>, Content);

pub(crate) fn fields<const COUNT: usize>(pairs: [(&'static str, Content); COUNT]) -> Fields {
    pairs.map(|(name, content)| (name.into(), content)).into()
}

/// Something to push, without its envelope.
pub(crate) struct Notice {
    pub(crate) openid: String,
    pub(crate) msg_type: &'static str,
    /// `CreateTime`: seconds since the epoch, by the machine's clock; the same in every delivery.
    pub(crate) created_at: i64,
    pub(crate) fields: Fields,
    /// Whether the user waits for a reply: not for a delivery result, and not after unsubscribing.
    pub(crate) awaits_reply: bool,
    /// The number of articles of a `news` reply that the phone shows.
    pub(crate) max_articles: usize,
}

/// The scene of a QR code, a number or a string. WeChat pushes both as text.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(untagged)]
pub(crate) enum Scene {
    Number(u32),
    Text(String),
}

impl Scene {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A QR code of the account, as its events name it.
#[derive(Clone, Debug)]
pub(crate) struct ScannedCode {
    pub(crate) scene: Scene,
    pub(crate) ticket: String,
}

impl ScannedCode {
    fn fields(&self, prefix: &str) -> Fields {
        vec![
            event_key(format!("{prefix}{}", self.scene.text())),
            ("Ticket".into(), Content::text(self.ticket.as_str())),
        ]
    }
}

/// A message of a user. Media ids and picture addresses are made up.
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
        let mut media = |name: &'static str| (name, Content::text(random.url_safe(64)));
        let (msg_type, mut fields) = match message {
            UserMessage::Text { content, msgmenu_id } => {
                let mut fields = fields([("Content", Content::Text(content))]);
                fields.extend(msgmenu_id.map(|id| ("bizmsgmenuid".into(), Content::Text(id))));
                ("text", fields)
            }
            UserMessage::Image => {
                let picture = Content::text("http://mmbiz.qpic.cn/mmbiz_jpg/made/0?a=1&b=2");
                ("image", fields([("PicUrl", picture), media("MediaId")]))
            }
            UserMessage::Voice { recognition } => {
                let format = ("Format", Content::text("amr"));
                let mut fields = fields([media("MediaId"), format, media("MediaId16K")]);
                fields.extend(recognition.map(|text| ("Recognition".into(), Content::Text(text))));
                ("voice", fields)
            }
            UserMessage::Video => ("video", fields([media("MediaId"), media("ThumbMediaId")])),
            UserMessage::ShortVideo => ("shortvideo", fields([media("MediaId"), media("ThumbMediaId")])),
            UserMessage::Location {
                latitude,
                longitude,
                label,
            } => {
                let place = [
                    ("Location_X", Content::Number(latitude.to_string())),
                    ("Location_Y", Content::Number(longitude.to_string())),
                    ("Scale", Content::Number("16".to_owned())),
                    ("Label", Content::text(label.unwrap_or_default())),
                ];
                ("location", fields(place))
            }
            UserMessage::Link {
                title,
                description,
                url,
            } => {
                let link = [
                    ("Title", Content::Text(title)),
                    ("Description", Content::text(description.unwrap_or_default())),
                    ("Url", Content::Text(url)),
                ];
                ("link", fields(link))
            }
        };
        fields.push(("MsgId".into(), Content::Number(msg_id.to_string())));
        Self {
            openid: openid.to_owned(),
            msg_type,
            created_at,
            fields,
            awaits_reply: true,
            max_articles: 1,
        }
    }

    /// A new follower; with a code, one who scanned it.
    pub(crate) fn subscribe(openid: &str, code: Option<&ScannedCode>, created_at: i64) -> Self {
        let fields = match code {
            Some(code) => code.fields("qrscene_"),
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

    /// A follower scans a QR code of the account. Unlike on subscription, the key has no prefix.
    pub(crate) fn scan(openid: &str, code: &ScannedCode, created_at: i64) -> Self {
        Self::event(openid, "SCAN", code.fields(""), created_at)
    }

    /// Marks the message as sent from the article of this number, from 1.
    pub(crate) fn sent_from_article(mut self, index: u8) -> Self {
        self.fields.extend(fields([
            ("MsgDataId", Content::text(format!("2650000001_{index}"))),
            ("Idx", Content::Number(index.to_string())),
        ]));
        self
    }

    /// `TEMPLATESENDJOBFINISH`, which spells the id `MsgID`.
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

    /// `PUBLISHJOBFINISH` of a publication that succeeded. It comes from the system, so its openid is nobody's.
    pub(crate) fn publication(openid: &str, publication: &Publication, created_at: i64) -> Self {
        let articles = publication.urls().zip(1..).map(|(url, index)| {
            let article = fields([
                ("idx", Content::Number(index.to_string())),
                ("article_url", Content::text(url)),
            ]);
            ("item".into(), Content::Group(article))
        });
        let count = ("count".into(), Content::Number(publication.urls().count().to_string()));
        let info = fields([
            ("publish_id", Content::Number(publication.publish_id.to_string())),
            ("publish_status", Content::Number("0".to_owned())),
            ("article_id", Content::text(publication.article_id.as_str())),
            (
                "article_detail",
                Content::Group(std::iter::once(count).chain(articles).collect()),
            ),
        ]);
        let fields = fields([("PublishEventInfo", Content::Group(info))]);
        Self {
            awaits_reply: false,
            ..Self::event(openid, "PUBLISHJOBFINISH", fields, created_at)
        }
    }

    pub(crate) fn event(openid: &str, name: &str, fields: Fields, created_at: i64) -> Self {
        let event = ("Event".into(), Content::text(name));
        let fields = std::iter::once(event).chain(fields).collect();
        Self {
            openid: openid.to_owned(),
            msg_type: "event",
            created_at,
            fields,
            awaits_reply: true,
            max_articles: 8,
        }
    }

    /// The whole document: the envelope, then the fields.
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
