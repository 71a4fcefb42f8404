//! Customer-service messages (客服消息): answers to what a user did, later than a passive reply may come.
//!
//! After a message of the user's 5 may be sent within 48 hours; after a tap on the menu, a subscription or a scan, 3
//! within a minute. Outside of that WeChat answers 45015 or 45047. 500,000 a day.

use serde::Serialize;
use serde_json::{Value, json};

use super::{ApiError, Client, Done};
use crate::{clock::Deadline, secret::Secret};

/// What is sent. Media ids are those of uploaded material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CustomMessage {
    /// Text, which may hold links (`<a href>`).
    Text {
        /// The text.
        content: String,
    },
    /// A picture.
    Image {
        /// The picture.
        media_id: String,
    },
    /// A voice recording.
    Voice {
        /// The recording.
        media_id: String,
    },
    /// A video.
    Video {
        /// The video.
        media_id: String,
        /// Its still.
        thumb_media_id: String,
        /// Its title.
        title: String,
        /// What it shows.
        description: String,
    },
    /// Music.
    Music {
        /// Its title.
        title: String,
        /// What it is.
        description: String,
        /// Where it is.
        musicurl: String,
        /// Where it is for Wi-Fi, in a better quality.
        hqmusicurl: String,
        /// Its cover.
        thumb_media_id: String,
    },
    /// A card with a link. WeChat takes one article.
    News {
        /// The article.
        articles: [CustomArticle; 1],
    },
    /// Articles from the material library. Deprecated by WeChat in favour of `MpNewsArticle`.
    MpNews {
        /// The material.
        media_id: String,
    },
    /// A published article.
    MpNewsArticle {
        /// The article.
        article_id: String,
    },
    /// A question with answers to tap, which come back as text messages with `bizmsgmenuid`.
    MsgMenu {
        /// The question.
        head_content: String,
        /// The answers.
        list: Vec<MenuItem>,
        /// What stands below them.
        tail_content: String,
    },
    /// A card (卡券).
    WxCard {
        /// The card.
        card_id: String,
    },
    /// A mini program that is linked to the account.
    MiniProgramPage {
        /// The title of its card.
        title: String,
        /// Its AppID.
        appid: String,
        /// The page to open.
        pagepath: String,
        /// The picture of its card.
        thumb_media_id: String,
    },
}

/// The article of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CustomArticle {
    /// Its title.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Where a tap leads.
    pub url: String,
    /// Its picture.
    pub picurl: String,
}

/// An answer to tap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MenuItem {
    /// What comes back as `bizmsgmenuid`.
    pub id: String,
    /// What the user reads and sends.
    pub content: String,
}

/// The sign that the account is typing (对方正在输入).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Typing {
    /// Show it, for about 15 seconds or until a message is sent.
    #[serde(rename = "Typing")]
    Start,
    /// Take it away.
    #[serde(rename = "CancelTyping")]
    Cancel,
}

impl Client {
    /// Sends `message` to `touser`, as the customer-service account `kf_account` if one is named. Sent once only:
    /// WeChat does not recognise a repeat.
    ///
    /// # Errors
    /// [`ApiError`]; with [`ApiError::is_ambiguous`] the message may have been sent.
    pub async fn send_custom_message(
        &self,
        token: &Secret,
        touser: &str,
        message: &CustomMessage,
        kf_account: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        let operation = "/cgi-bin/message/custom/send";
        let mut body = serde_json::to_value(message).unwrap_or_default();
        // Its one member is named after its type.
        let msgtype = body.as_object().and_then(|members| members.keys().next().cloned());
        body["msgtype"] = json!(msgtype);
        body["touser"] = json!(touser);
        if let Some(kf_account) = kf_account {
            body["customservice"] = json!({"kf_account": kf_account});
        }
        let _: Done = self.post(operation, token, &body, 1, deadline).await?;
        Ok(())
    }

    /// Shows or hides the sign that the account is typing. Needs a message of the user's within the last 30 seconds.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 45080 without such a message, 45081 when the sign is shown already.
    pub async fn set_typing(
        &self,
        token: &Secret,
        touser: &str,
        typing: Typing,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        let body: Value = json!({"touser": touser, "command": typing});
        let _: Done = self
            .post("/cgi-bin/message/custom/typing", token, &body, 1, deadline)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_under_its_own_type() {
        let text = CustomMessage::MpNewsArticle {
            article_id: "a".to_owned(),
        };
        assert_eq!(json!(text), json!({"mpnewsarticle": {"article_id": "a"}}));
        assert_eq!(json!(Typing::Cancel), "CancelTyping");
    }
}
