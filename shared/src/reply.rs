//! Replies: the eight types as data, the XML of a passive reply (被动回复), and the customer-service messages (客服消息) of one
//! that is sent later.
//!
//! See [WeChat Docs/被动回复用户消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Passive_user_reply_message.html).

use std::iter;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::xml::{XmlWriter, is_xml_character};

/// Bytes of UTF-8 in a text. Instead of a longer passive reply, WeChat shows the user a failure text; it refuses a longer
/// customer-service message with errcode 45002.
pub const TEXT_LIMIT: usize = 2048;
/// Articles in a news reply to an event. In a reply to a message WeChat shows only the first.
pub const NEWS_LIMIT: usize = 8;

/// A reply as the reply rules store it, with the field names of WeChat's JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// Text of 1 to [`TEXT_LIMIT`] bytes; `\n` breaks a line.
    Text {
        /// What the user reads.
        content: String,
    },
    /// An uploaded picture.
    Image {
        /// The media id of the picture.
        media_id: String,
    },
    /// An uploaded voice message.
    Voice {
        /// The media id of the recording.
        media_id: String,
    },
    /// An uploaded video.
    Video {
        /// The media id of the video.
        media_id: String,
        /// The title under the video.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// The description under the video.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// A music card.
    Music {
        /// The title on the card.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// The description on the card.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The address of the music.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        music_url: Option<String>,
        /// The address of the music in better quality, which WeChat prefers on Wi-Fi.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hq_music_url: Option<String>,
        /// The media id of the card's picture, the only required member.
        thumb_media_id: String,
    },
    /// Article cards, 1 to [`NEWS_LIMIT`].
    News {
        /// The cards in order.
        articles: Vec<Article>,
    },
    /// Hands the user over to the customer-service agents.
    /// See [WeChat Docs/将消息转发到客服](https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Forwarding_of_messages_to_service_center.html).
    TransferCustomerService {
        /// The agent; without it, any agent who is online.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kf_account: Option<String>,
    },
    /// Hands the message over to WeChat's own AI (智能回复), where the account has it.
    TransferBizAiIvr {},
}

/// One card of a news reply.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Article {
    /// The headline.
    pub title: String,
    /// The line below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pic_url: Option<String>,
    /// Where a tap leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The recipient and the sender of a reply: the sender and the recipient of the callback.
#[derive(Clone, Copy, Debug)]
pub struct Addresses<'a> {
    /// The user's openid.
    pub to: &'a str,
    /// The account's original id, `gh_…`. With the AppID instead, the user sees a failure text.
    pub from: &'a str,
    /// Whether the callback is a message: WeChat then shows one article only.
    pub answers_message: bool,
}

impl Reply {
    /// Makes a text reply.
    #[must_use]
    pub fn text(content: impl Into<String>) -> Self {
        Self::Text {
            content: content.into(),
        }
    }

    /// The clear XML of this reply, with `now` in epoch seconds. The elements have the order of WeChat's samples.
    #[must_use]
    pub fn to_xml(&self, addresses: Addresses<'_>, now: i64) -> String {
        XmlWriter::document(|xml| {
            xml.text("ToUserName", addresses.to);
            xml.text("FromUserName", addresses.from);
            xml.number("CreateTime", now);
            xml.text("MsgType", self.msg_type());
            self.write_content(xml, addresses.answers_message);
        })
    }

    /// This reply as customer-service messages in WeChat's JSON, without their recipient: one, or for a text longer than
    /// [`TEXT_LIMIT`] several. Keeps only the first of several articles: WeChat refuses more. Empty for a hand-over, which is
    /// not a message.
    /// See [WeChat Docs/发送客服消息](https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage).
    #[must_use]
    pub fn to_custom(&self) -> Vec<Map<String, Value>> {
        let content = match self {
            Self::Text { content } => {
                let content = content.replace("\r\n", "\n").replace(|c| !is_xml_character(c), "");
                let parts = split_to_bytes(&content, TEXT_LIMIT).filter(|part| !part.trim().is_empty());
                return parts.map(|part| custom("text", json!({"content": part}))).collect();
            }
            Self::Image { media_id } | Self::Voice { media_id } => json!({"media_id": media_id}),
            Self::Video {
                media_id,
                title,
                description,
            } => json!({"media_id": media_id, "title": title, "description": description}),
            Self::Music {
                title,
                description,
                music_url,
                hq_music_url,
                thumb_media_id,
            } => json!({
                "title": title,
                "description": description,
                // WeChat needs both.
                "musicurl": given(music_url).or(given(hq_music_url)),
                "hqmusicurl": given(hq_music_url).or(given(music_url)),
                "thumb_media_id": thumb_media_id,
            }),
            Self::News { articles } => {
                let shown = articles.iter().take(1).map(|article| {
                    let Article {
                        title,
                        description,
                        pic_url,
                        url,
                    } = article;
                    without_nulls(json!({"title": title, "description": description, "picurl": pic_url, "url": url}))
                });
                json!({"articles": shown.collect::<Vec<_>>()})
            }
            Self::TransferCustomerService { .. } | Self::TransferBizAiIvr {} => return Vec::new(),
        };
        vec![custom(self.msg_type(), without_nulls(content))]
    }

    const fn msg_type(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image { .. } => "image",
            Self::Voice { .. } => "voice",
            Self::Video { .. } => "video",
            Self::Music { .. } => "music",
            Self::News { .. } => "news",
            Self::TransferCustomerService { .. } => "transfer_customer_service",
            Self::TransferBizAiIvr {} => "transfer_biz_ai_ivr",
        }
    }

    fn write_content(&self, xml: &mut XmlWriter, answers_message: bool) {
        match self {
            Self::Text { content } => {
                let content = content.replace("\r\n", "\n");
                xml.text("Content", cut_to_bytes(&content, TEXT_LIMIT));
            }
            Self::Image { media_id } => xml.parent("Image", |xml| xml.text("MediaId", media_id)),
            Self::Voice { media_id } => xml.parent("Voice", |xml| xml.text("MediaId", media_id)),
            Self::Video {
                media_id,
                title,
                description,
            } => xml.parent("Video", |xml| {
                xml.text("MediaId", media_id);
                write_given(xml, "Title", title);
                write_given(xml, "Description", description);
            }),
            Self::Music {
                title,
                description,
                music_url,
                hq_music_url,
                thumb_media_id,
            } => xml.parent("Music", |xml| {
                write_given(xml, "Title", title);
                write_given(xml, "Description", description);
                write_given(xml, "MusicUrl", music_url);
                write_given(xml, "HQMusicUrl", hq_music_url);
                xml.text("ThumbMediaId", thumb_media_id);
            }),
            Self::News { articles } => {
                let shown = &articles[..articles.len().min(if answers_message { 1 } else { NEWS_LIMIT })];
                xml.number("ArticleCount", shown.len() as i64);
                xml.parent("Articles", |xml| shown.iter().for_each(|article| article.write(xml)));
            }
            Self::TransferCustomerService { kf_account } => {
                if given(kf_account).is_some() {
                    xml.parent("TransInfo", |xml| write_given(xml, "KfAccount", kf_account));
                }
            }
            Self::TransferBizAiIvr {} => {}
        }
    }
}

impl Article {
    /// Writes all four elements: WeChat requires them, also when empty.
    fn write(&self, xml: &mut XmlWriter) {
        xml.parent("item", |xml| {
            xml.text("Title", &self.title);
            xml.text("Description", self.description.as_deref().unwrap_or_default());
            xml.text("PicUrl", self.pic_url.as_deref().unwrap_or_default());
            xml.text("Url", self.url.as_deref().unwrap_or_default());
        });
    }
}

/// Cuts `text` to at most `limit` bytes, between two characters.
fn cut_to_bytes(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Splits `text` into pieces of at most `limit` bytes, between two characters.
fn split_to_bytes(mut text: &str, limit: usize) -> impl Iterator<Item = &str> {
    iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(limit));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn custom(msgtype: &str, content: Value) -> Map<String, Value> {
    Map::from_iter([("msgtype".to_owned(), msgtype.into()), (msgtype.to_owned(), content)])
}

/// Leaves out the members of an object that are null.
fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

fn write_given(xml: &mut XmlWriter, name: &str, text: &Option<String>) {
    if let Some(text) = given(text) {
        xml.text(name, text);
    }
}

/// Treats an empty text like an absent one.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};
    use serde_json::json;

    use super::*;
    use crate::xml::{Tree, is_xml_character};

    fn xml(reply: serde_json::Value) -> String {
        let reply: Reply = serde_json::from_value(reply).unwrap();
        reply.to_xml(
            Addresses {
                to: "oUser",
                from: "gh_1",
                answers_message: false,
            },
            1_767_225_600,
        )
    }

    fn content(reply: serde_json::Value) -> String {
        let xml = xml(reply);
        let start = xml.find("<MsgType>").unwrap();
        xml[start..].strip_suffix("</xml>").unwrap().to_owned()
    }

    #[test]
    fn a_text_reply_has_the_xml_that_works_in_the_field() {
        assert_eq!(
            xml(json!({"type": "text", "content": "你好"})),
            "<xml><ToUserName><![CDATA[oUser]]></ToUserName><FromUserName><![CDATA[gh_1]]></FromUserName>\
             <CreateTime>1767225600</CreateTime><MsgType><![CDATA[text]]></MsgType>\
             <Content><![CDATA[你好]]></Content></xml>"
        );
    }

    #[test]
    fn every_type_has_the_elements_of_the_protocol() {
        for (reply, expected) in [
            (
                json!({"type": "image", "media_id": "m"}),
                "<MsgType><![CDATA[image]]></MsgType><Image><MediaId><![CDATA[m]]></MediaId></Image>",
            ),
            (
                json!({"type": "voice", "media_id": "m"}),
                "<MsgType><![CDATA[voice]]></MsgType><Voice><MediaId><![CDATA[m]]></MediaId></Voice>",
            ),
            (
                json!({"type": "video", "media_id": "m", "title": "t"}),
                "<MsgType><![CDATA[video]]></MsgType><Video><MediaId><![CDATA[m]]></MediaId>\
                 <Title><![CDATA[t]]></Title></Video>",
            ),
            (
                json!({"type": "music", "thumb_media_id": "p", "hq_music_url": "https://e/h"}),
                "<MsgType><![CDATA[music]]></MsgType><Music><HQMusicUrl><![CDATA[https://e/h]]></HQMusicUrl>\
                 <ThumbMediaId><![CDATA[p]]></ThumbMediaId></Music>",
            ),
            (
                json!({"type": "news", "articles": [{"title": "t", "pic_url": "https://e/p", "url": "https://e/a"}]}),
                "<MsgType><![CDATA[news]]></MsgType><ArticleCount>1</ArticleCount><Articles><item>\
                 <Title><![CDATA[t]]></Title><Description><![CDATA[]]></Description>\
                 <PicUrl><![CDATA[https://e/p]]></PicUrl><Url><![CDATA[https://e/a]]></Url></item></Articles>",
            ),
            (
                json!({"type": "transfer_customer_service", "kf_account": "a@b"}),
                "<MsgType><![CDATA[transfer_customer_service]]></MsgType><TransInfo><KfAccount><![CDATA[a@b]]>\
                 </KfAccount></TransInfo>",
            ),
            (
                json!({"type": "transfer_customer_service", "kf_account": ""}),
                "<MsgType><![CDATA[transfer_customer_service]]></MsgType>",
            ),
            (
                json!({"type": "transfer_biz_ai_ivr"}),
                "<MsgType><![CDATA[transfer_biz_ai_ivr]]></MsgType>",
            ),
        ] {
            assert_eq!(content(reply), expected);
        }
    }

    #[test]
    fn over_long_text_is_cut_between_two_characters() {
        let text = "好".repeat(700);
        let xml = content(json!({"type": "text", "content": text}));
        assert_eq!(
            xml.matches('好').count(),
            682,
            "682 characters of 3 bytes are 2046 bytes"
        );
    }

    #[test]
    fn every_type_but_the_hand_overs_is_a_customer_service_message_too() {
        for (reply, expected) in [
            (
                json!({"type": "text", "content": "你\r\n好\u{1}"}),
                json!([{"msgtype": "text", "text": {"content": "你\n好"}}]),
            ),
            (
                json!({"type": "image", "media_id": "m"}),
                json!([{"msgtype": "image", "image": {"media_id": "m"}}]),
            ),
            (
                json!({"type": "voice", "media_id": "m"}),
                json!([{"msgtype": "voice", "voice": {"media_id": "m"}}]),
            ),
            (
                json!({"type": "video", "media_id": "m", "title": "t"}),
                json!([{"msgtype": "video", "video": {"media_id": "m", "title": "t"}}]),
            ),
            (
                json!({"type": "music", "thumb_media_id": "p", "music_url": "https://e/m", "hq_music_url": ""}),
                json!([{"msgtype": "music", "music": {
                    "musicurl": "https://e/m", "hqmusicurl": "https://e/m", "thumb_media_id": "p",
                }}]),
            ),
            (
                json!({"type": "news", "articles": [{"title": "1", "pic_url": "https://e/p"}, {"title": "2"}]}),
                json!([{"msgtype": "news", "news": {"articles": [{"title": "1", "picurl": "https://e/p"}]}}]),
            ),
            (json!({"type": "transfer_customer_service"}), json!([])),
            (json!({"type": "transfer_biz_ai_ivr"}), json!([])),
        ] {
            let reply: Reply = serde_json::from_value(reply).unwrap();
            assert_eq!(json!(reply.to_custom()), expected);
        }
    }

    #[test]
    fn a_message_is_answered_with_one_article_only() {
        let article = |title: &str| Article {
            title: title.to_owned(),
            description: None,
            pic_url: None,
            url: None,
        };
        let reply = Reply::News {
            articles: vec![article("1"), article("2")],
        };
        let to_message = reply.to_xml(
            Addresses {
                to: "o",
                from: "gh",
                answers_message: true,
            },
            0,
        );
        assert!(to_message.contains("<ArticleCount>1</ArticleCount>") && !to_message.contains("[2]"));
        let to_event = reply.to_xml(
            Addresses {
                to: "o",
                from: "gh",
                answers_message: false,
            },
            0,
        );
        assert!(to_event.contains("<ArticleCount>2</ArticleCount>") && to_event.contains("[2]"));
    }

    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            select(vec![
                "]]>",
                "]]",
                ">",
                "<![CDATA[",
                "&amp;",
                "</Content>",
                "\r\n",
                "\u{1}",
                "好"
            ])
            .prop_map(str::to_owned),
            any::<String>(),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_long_text_is_split_and_nothing_of_it_is_lost(text in "[a好😀]{0,2000}") {
            let messages = Reply::text(&text).to_custom();
            let parts: Vec<&str> = messages.iter().map(|message| message["text"]["content"].as_str().unwrap()).collect();
            prop_assert_eq!(parts.concat(), text);
            let (_, full) = parts.split_last().unwrap_or((&"", &[]));
            prop_assert!(full.iter().all(|part| (TEXT_LIMIT - 3..=TEXT_LIMIT).contains(&part.len())));
            prop_assert!(parts.iter().all(|part| part.len() <= TEXT_LIMIT));
        }

        #[test]
        fn any_text_arrives_unchanged_except_what_xml_forbids(text in any_text(), to in any_text()) {
            let allowed = |text: &str| text.chars().filter(|&c| is_xml_character(c)).collect::<String>();
            let addresses = Addresses { to: &to, from: "gh_1", answers_message: true };
            let xml = Reply::text(&text).to_xml(addresses, 1_767_225_600);
            let read = Tree::parse(xml.as_bytes()).unwrap();
            prop_assert_eq!(read.child("Content").unwrap().value(), allowed(cut_to_bytes(&text.replace("\r\n", "\n"), TEXT_LIMIT)));
            prop_assert_eq!(read.child("ToUserName").unwrap().value(), allowed(&to));
            prop_assert_eq!(read.text("MsgType"), Some("text"));
        }
    }
}
