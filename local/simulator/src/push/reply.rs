//! Reading the server's answer to a callback, as strictly as the platform does.
//!
//! See [WeChat Docs/被动回复用户消息](https://developers.weixin.qq.com/doc/service/en/guide/product/message/Passive_user_reply_message.html).

use serde_json::Value;

use super::{
    crypto::{Cipher, sign},
    xml::Element,
};
use crate::{
    platform::{account::Account, format::Format},
    settings::Mode,
};

/// Bytes. For a longer text the user sees the failure text.
const MAX_TEXT_BYTES: usize = 2_048;
/// The number of articles in a reply. How many the phone shows depends on the notice.
const MAX_ARTICLES: usize = 8;

/// What an answer must match.
pub(super) struct Expected<'a> {
    pub(super) account: &'a Account,
    pub(super) cipher: &'a Cipher,
    pub(super) mode: Mode,
    pub(super) format: Format,
    pub(super) openid: &'a str,
    pub(super) max_articles: usize,
}

impl Expected<'_> {
    /// Reads the body of an answer with HTTP status 200: a reply, decoded to JSON, or `None` for `success` or nothing.
    /// The error says why the answer is not usable.
    pub(super) fn read(&self, body: &[u8]) -> Result<Option<Value>, String> {
        if body.is_empty() || body == b"success" {
            return Ok(None);
        }
        let text = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8")?;
        let outer = self.format.read(text)?;
        let mut reply = match (self.mode, outer.child("Encrypt")) {
            (Mode::Plain, Some(_)) => return Err("an encrypted reply in plain mode".into()),
            (Mode::Safe, None) => return Err("a clear reply in safe mode".into()),
            (_, Some(_)) => self.decrypt(&outer)?,
            (_, None) => outer,
        };
        self.check_envelope(&reply)?;
        check_content(&reply)?;
        reply.keep_children("Articles", self.max_articles);
        Ok(Some(reply.to_json()))
    }

    fn decrypt(&self, outer: &Element) -> Result<Element, String> {
        let encrypted = outer.text_of("Encrypt");
        let parts = [
            &self.account.token,
            outer.text_of("TimeStamp"),
            outer.text_of("Nonce"),
            encrypted,
        ];
        if sign(&parts) != outer.text_of("MsgSignature") {
            return Err("MsgSignature does not sign token, TimeStamp, Nonce and Encrypt".into());
        }
        let clear = self.cipher.decrypt(encrypted).map_err(|error| error.to_string())?;
        self.format.read(&clear)
    }

    fn check_envelope(&self, reply: &Element) -> Result<(), String> {
        if reply.text_of("ToUserName") != self.openid {
            return Err("ToUserName is not the user's openid".into());
        }
        if reply.text_of("FromUserName") != self.account.original_id {
            return Err("FromUserName is not the account's original id (gh_…)".into());
        }
        if reply.text_of("CreateTime").parse::<i64>().is_err() {
            return Err("CreateTime is not a number of seconds".into());
        }
        Ok(())
    }
}

/// Checks the members that each type must have.
fn check_content(reply: &Element) -> Result<(), String> {
    match reply.text_of("MsgType") {
        "text" => check_text(reply.text_of("Content")),
        "image" => require(reply, "Image", "MediaId"),
        "voice" => require(reply, "Voice", "MediaId"),
        "video" => require(reply, "Video", "MediaId"),
        "music" => require(reply, "Music", "ThumbMediaId"),
        "news" => check_news(reply),
        "transfer_customer_service" | "transfer_biz_ai_ivr" => Ok(()),
        other => Err(format!("MsgType `{other}` is not a type of reply")),
    }
}

fn check_text(content: &str) -> Result<(), String> {
    if content.is_empty() {
        return Err("Content is empty".into());
    }
    if content.len() > MAX_TEXT_BYTES {
        return Err(format!(
            "Content has {} bytes, more than {MAX_TEXT_BYTES}",
            content.len()
        ));
    }
    Ok(())
}

fn require(reply: &Element, group: &str, member: &str) -> Result<(), String> {
    let present = reply
        .child(group)
        .is_some_and(|group| !group.text_of(member).is_empty());
    if present {
        Ok(())
    } else {
        Err(format!("{group}/{member} is missing or empty"))
    }
}

fn check_news(reply: &Element) -> Result<(), String> {
    let articles = reply.child("Articles").map(Element::children).unwrap_or_default();
    if !(1..=MAX_ARTICLES).contains(&articles.len()) {
        return Err(format!(
            "Articles has {} items, not 1 to {MAX_ARTICLES}",
            articles.len()
        ));
    }
    if reply.text_of("ArticleCount") != articles.len().to_string() {
        return Err("ArticleCount is not the number of items in Articles".into());
    }
    for name in ["Title", "Description", "PicUrl", "Url"] {
        if articles.iter().any(|article| article.child(name).is_none()) {
            return Err(format!("an article has no {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::platform::random::Random;

    const OPENID: &str = "odhkK64I1uXqoUQjt7QYx4O0yUvs";

    struct Made {
        account: Account,
        cipher: Cipher,
    }

    impl Made {
        fn new() -> Self {
            let account = Account::make(&mut Random::from_seed(3));
            let cipher = Cipher::new(&account.encoding_aes_key, &account.app_id).unwrap();
            Self { account, cipher }
        }

        fn read(&self, mode: Mode, body: &str) -> Result<Option<Value>, String> {
            let Self { account, cipher } = self;
            Expected {
                account,
                cipher,
                mode,
                format: Format::Xml,
                openid: OPENID,
                max_articles: 1,
            }
            .read(body.as_bytes())
        }

        fn reply(&self, content: &str) -> String {
            let from = &self.account.original_id;
            format!(
                "<xml><ToUserName>{OPENID}</ToUserName><FromUserName>{from}</FromUserName><CreateTime>1</CreateTime>{content}</xml>"
            )
        }

        fn text_reply(&self, text: &str) -> String {
            self.reply(&format!("<MsgType>text</MsgType><Content><![CDATA[{text}]]></Content>"))
        }

        fn sealed(&self, clear: &str) -> String {
            let encrypted = self.cipher.encrypt("0123456789abcdef", clear);
            let signature = sign(&[&self.account.token, "1", "n", &encrypted]);
            format!(
                "<xml><Encrypt>{encrypted}</Encrypt><MsgSignature>{signature}</MsgSignature><TimeStamp>1</TimeStamp><Nonce>n</Nonce></xml>"
            )
        }
    }

    #[test]
    fn success_and_silence_acknowledge_in_every_mode() {
        let made = Made::new();
        for mode in [Mode::Plain, Mode::Compat, Mode::Safe] {
            assert_eq!(made.read(mode, "success").unwrap(), None);
            assert_eq!(made.read(mode, "").unwrap(), None);
            assert!(made.read(mode, "\"success\"").is_err());
            assert!(made.read(mode, "{\"ok\":true}").is_err());
        }
    }

    #[test]
    fn each_mode_takes_the_replies_it_allows() {
        let made = Made::new();
        let clear = made.text_reply("你好");
        let sealed = made.sealed(&clear);
        assert!(made.read(Mode::Plain, &clear).is_ok());
        assert!(made.read(Mode::Plain, &sealed).is_err());
        assert!(made.read(Mode::Compat, &clear).is_ok());
        assert!(made.read(Mode::Compat, &sealed).is_ok());
        assert!(made.read(Mode::Safe, &clear).is_err());
        assert_eq!(
            made.read(Mode::Safe, &sealed).unwrap().unwrap(),
            json!({"ToUserName": OPENID, "FromUserName": made.account.original_id, "CreateTime": 1, "MsgType": "text", "Content": "你好"})
        );
    }

    #[test]
    fn a_sealed_reply_must_be_signed_and_for_this_account() {
        let made = Made::new();
        let sealed = made.sealed(&made.text_reply("你好"));
        assert!(made.read(Mode::Safe, &sealed.replace("<Nonce>n", "<Nonce>m")).is_err());
        let other = Made {
            cipher: Cipher::new(&made.account.encoding_aes_key, "wx0000000000000000").unwrap(),
            account: made.account.clone(),
        };
        let foreign = other.sealed(&made.text_reply("你好"));
        assert!(made.read(Mode::Safe, &foreign).unwrap_err().contains("AppID"));
    }

    #[test]
    fn the_envelope_must_be_swapped() {
        let made = Made::new();
        let good = made.text_reply("你好");
        let app_id_as_sender = good.replace(&made.account.original_id, &made.account.app_id);
        assert!(
            made.read(Mode::Plain, &app_id_as_sender)
                .unwrap_err()
                .contains("FromUserName")
        );
        assert!(made.read(Mode::Plain, &good.replace(OPENID, "oSomebodyElse")).is_err());
        assert!(
            made.read(Mode::Plain, &good.replace("<CreateTime>1", "<CreateTime>now"))
                .is_err()
        );
    }

    #[test]
    fn content_rules_of_each_type() {
        let made = Made::new();
        let usable = |content: &str| made.read(Mode::Plain, &made.reply(content)).is_ok();
        assert!(!usable("<MsgType>text</MsgType><Content></Content>"));
        assert!(!usable("<Content>no type</Content>"));
        assert!(!usable("<MsgType>image</MsgType><MediaId>1</MediaId>"));
        assert!(usable("<MsgType>image</MsgType><Image><MediaId>1</MediaId></Image>"));
        assert!(usable(
            "<MsgType>music</MsgType><Music><ThumbMediaId>1</ThumbMediaId></Music>"
        ));
        assert!(usable("<MsgType>transfer_customer_service</MsgType>"));
        assert!(made.read(Mode::Plain, &made.text_reply(&"字".repeat(682))).is_ok());
        assert!(made.read(Mode::Plain, &made.text_reply(&"字".repeat(683))).is_err());
    }

    #[test]
    fn news_counts_its_articles_and_shows_what_fits() {
        let made = Made::new();
        let article = "<item><Title>t</Title><Description>d</Description><PicUrl>p</PicUrl><Url>u</Url></item>";
        let news = |count: usize, items: usize| {
            let articles = article.repeat(items);
            made.reply(&format!(
                "<MsgType>news</MsgType><ArticleCount>{count}</ArticleCount><Articles>{articles}</Articles>"
            ))
        };
        let reply = made.read(Mode::Plain, &news(2, 2)).unwrap().unwrap();
        assert_eq!(reply["Articles"]["item"].as_array().unwrap().len(), 1);
        assert!(made.read(Mode::Plain, &news(1, 2)).is_err());
        assert!(made.read(Mode::Plain, &news(9, 9)).is_err());
        assert!(made.read(Mode::Plain, &news(0, 0)).is_err());
        assert!(made.read(Mode::Plain, &news(1, 1).replace("<Url>u</Url>", "")).is_err());
    }
}
