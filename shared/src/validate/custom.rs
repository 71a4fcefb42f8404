//! The body of `POST /api/sendCustomMessage`: WeChat's own form, with `user` in place of `touser` where the team knows the
//! recipient by an id of its own.
//!
//! The members that each type must have are checked. WeChat judges a type that this version does not know.
//! See [WeChat Docs/发送客服消息](https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage).

use serde_json::{Map, Value};

use super::{
    Fault, Object, Place, Reader, did_you_mean,
    send::{Recipients, is_blank, openid},
    user_id,
};
use crate::{reply::TEXT_LIMIT, xml::is_xml_character};

/// Articles in a news message. WeChat refuses more with errcode 45008.
const NEWS_LIMIT: usize = 1;
/// Items of a menu in a message. WeChat documents no limit; this one bounds the report of faults.
const MENU_LIMIT: usize = 100;
/// The members besides the one that `msgtype` names.
pub const KNOWN: [&str; 5] = ["touser", "user", "msgtype", "customservice", "aimsgcontext"];
/// The types of a message that this version knows. A message may have another one.
pub const TYPES: [&str; 11] = [
    "text",
    "image",
    "voice",
    "video",
    "music",
    "news",
    "mpnews",
    "mpnewsarticle",
    "msgmenu",
    "wxcard",
    "miniprogrampage",
];

/// A request to send a customer-service message.
#[derive(Debug)]
pub struct SendCustom {
    /// One openid, or one user.
    pub recipient: Recipients,
    /// The message in WeChat's own JSON, without its recipient.
    pub message: Map<String, Value>,
}

impl SendCustom {
    /// Reads the body, already parsed as JSON.
    ///
    /// # Errors
    /// All faults: of the recipient, of the message, of the other members.
    pub fn read(body: &Value) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::of_request();
        let request = read(&mut reader, body);
        reader.finish(request)
    }
}

fn read(reader: &mut Reader, body: &Value) -> Option<SendCustom> {
    let body = &reader.object(Place::Root, body)?;
    let recipient = recipient(reader, body);
    let msgtype = message(reader, body);
    if let Some(service) = body.get("customservice") {
        agent(reader, body.place.member("customservice"), service);
    }
    // Without a type, nothing tells which member holds the message.
    let known: Vec<&str> = match msgtype {
        Some(msgtype) => KNOWN.into_iter().chain([msgtype]).collect(),
        None => KNOWN.into_iter().chain(TYPES).collect(),
    };
    reader.known_members(body, &known);
    let given = body.members.iter().filter(|(_, value)| !value.is_null());
    let message = given.filter(|(name, _)| !matches!(name.as_str(), "touser" | "user"));
    Some(SendCustom {
        message: message.map(|(name, value)| (name.clone(), value.clone())).collect(),
        recipient: recipient?,
    })
}

fn recipient(reader: &mut Reader, body: &Object<'_, '_>) -> Option<Recipients> {
    let (touser, user) = (body.get("touser"), body.get("user"));
    match (touser, user) {
        (None, None) => reader.fault(
            &body.place.member("touser"),
            "is missing: name the recipient by touser (an openid) or user (an id of your own) \
             / 未填写：请填写 touser（openid）或 user（您自己的用户标识）",
        ),
        (Some(_), Some(_)) => reader.fault(
            &body.place.member("user"),
            "stands beside touser: name the recipient by one of touser and user \
             / 与 touser 同时出现：touser 与 user 只能填写其中一个",
        ),
        _ => {}
    }
    // Reads both, so that all faults are found.
    let place = body.place.member("touser");
    let touser = touser.and_then(|value| openid(reader, &place, value, "must be one openid / 应为单个 openid"));
    let user = user.and_then(|value| user_id(reader, &body.place.member("user"), value));
    touser
        .map(Recipients::Openid)
        .or_else(|| user.map(|user| Recipients::User(user.to_owned())))
}

/// Reads the type and checks the member that it names.
fn message<'v>(reader: &mut Reader, body: &Object<'_, 'v>) -> Option<&'v str> {
    let msgtype = reader.required_text(body, "msgtype", is_blank)?;
    let place = body.place.member(msgtype);
    let content = body.get(msgtype).filter(|_| !KNOWN.contains(&msgtype));
    match content {
        Some(content) => {
            no_control_characters(reader, place, content);
            let content = &reader.object(place, content)?;
            check(reader, msgtype, content);
        }
        None if TYPES.contains(&msgtype) => reader.missing(&place),
        None => {
            let (names, named) = (TYPES.join(", "), TYPES.join("、"));
            let (meant, meant_too) = did_you_mean(msgtype, &TYPES);
            reader.fault(
                &body.place.member("msgtype"),
                format!(
                    "must name the member that holds the message, such as {names}{meant} \
                     / 须为消息内容所在字段的名称，如 {named}{meant_too}"
                ),
            );
            return None;
        }
    }
    Some(msgtype)
}

/// Checks that no text holds characters that JSON can only write as an escape, which WeChat refuses.
fn no_control_characters(reader: &mut Reader, place: Place<'_>, value: &Value) {
    match value {
        Value::String(text) if !text.chars().all(is_xml_character) => {
            reader.fault(
                &place,
                "holds control characters, which WeChat refuses / 含有微信拒收的控制字符",
            );
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                no_control_characters(reader, place.element(index), value);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                no_control_characters(reader, place.member(name), value);
            }
        }
        _ => {}
    }
}

/// Checks the members that WeChat needs. WeChat judges the others.
fn check(reader: &mut Reader, msgtype: &str, content: &Object<'_, '_>) {
    match msgtype {
        "text" => {
            if let Some(text) = reader.required_text(content, "content", is_blank) {
                reader.at_most(&content.place.member("content"), text, TEXT_LIMIT);
            }
        }
        "image" | "voice" | "mpnews" => texts(reader, content, &["media_id"], &[]),
        "video" => texts(
            reader,
            content,
            &["media_id"],
            &["thumb_media_id", "title", "description"],
        ),
        "music" => {
            let optional = ["title", "description", "musicurl", "hqmusicurl"];
            texts(reader, content, &["thumb_media_id"], &optional);
        }
        "news" => {
            let optional = ["title", "description", "url", "picurl"];
            each(reader, content, "articles", NEWS_LIMIT, |reader, article| {
                texts(reader, article, &[], &optional);
            });
        }
        "mpnewsarticle" => texts(reader, content, &["article_id"], &[]),
        "msgmenu" => {
            texts(reader, content, &[], &["head_content", "tail_content"]);
            each(reader, content, "list", MENU_LIMIT, |reader, item| {
                texts(reader, item, &["id", "content"], &[]);
            });
        }
        "wxcard" => texts(reader, content, &["card_id"], &[]),
        "miniprogrampage" => texts(reader, content, &["title", "appid", "pagepath", "thumb_media_id"], &[]),
        _ => {}
    }
}

fn texts(reader: &mut Reader, object: &Object<'_, '_>, required: &[&str], optional: &[&str]) {
    for name in required {
        reader.required_text(object, name, is_blank);
    }
    for name in optional {
        reader.optional_text(object, name);
    }
}

/// Checks each object in the list `name`, which holds 1 to `most`.
fn each(
    reader: &mut Reader,
    content: &Object<'_, '_>,
    name: &str,
    most: usize,
    check: impl Fn(&mut Reader, &Object<'_, '_>),
) {
    let place = content.place.member(name);
    let Some(list) = content.get(name) else {
        return reader.missing(&place);
    };
    let list = reader.list_of(&place, list, 1..=most).unwrap_or_default();
    for (index, value) in list.iter().enumerate() {
        if let Some(object) = reader.object(place.element(index), value) {
            check(reader, &object);
        }
    }
}

/// Checks the agent in whose name the message is sent.
fn agent(reader: &mut Reader, place: Place<'_>, value: &Value) {
    if let Some(service) = reader.object(place, value) {
        reader.required_text(&service, "kf_account", is_blank);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::assert_each_half_says_all, *};

    fn pointers(body: &Value) -> Vec<String> {
        let faults = SendCustom::read(body).unwrap_err();
        for fault in &faults {
            assert!(fault.field.is_some() || fault.pointer.is_empty(), "{fault:?}");
            assert_each_half_says_all(fault, &["touser", "news", "kf_account"]);
        }
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    fn of_type(msgtype: &str, content: &Value) -> Value {
        json!({"touser": "o", "msgtype": msgtype, msgtype: content})
    }

    #[test]
    fn characters_that_wechat_refuses_are_found_wherever_they_are() {
        let pasted = of_type("text", &json!({"content": "a\u{b}b\n"}));
        assert_eq!(pointers(&pasted), ["/text/content"]);
        let item = json!({"head_content": "?", "list": [{"id": "1", "content": "\u{1}"}]});
        assert_eq!(pointers(&of_type("msgmenu", &item)), ["/msgmenu/list/0/content"]);
    }

    #[test]
    fn every_type_of_wechats_page_is_accepted_as_it_is() {
        for (msgtype, content) in [
            ("text", json!({"content": "x".repeat(TEXT_LIMIT)})),
            ("image", json!({"media_id": "m"})),
            ("voice", json!({"media_id": "m"})),
            (
                "video",
                json!({"media_id": "m", "thumb_media_id": "t", "title": "t", "description": "d"}),
            ),
            (
                "music",
                json!({"title": "t", "description": "d", "musicurl": "u", "hqmusicurl": "u", "thumb_media_id": "t"}),
            ),
            (
                "news",
                json!({"articles": [{"title": "t", "description": "d", "url": "u", "picurl": "p"}]}),
            ),
            ("mpnews", json!({"media_id": "m"})),
            ("mpnewsarticle", json!({"article_id": "a"})),
            (
                "msgmenu",
                json!({"head_content": "满意吗?", "list": [{"id": "101", "content": "满意"}], "tail_content": "谢谢"}),
            ),
            ("wxcard", json!({"card_id": "c"})),
            (
                "miniprogrampage",
                json!({"title": "t", "appid": "wx1", "pagepath": "p", "thumb_media_id": "t"}),
            ),
            ("newer", json!({"anything": 1})),
        ] {
            let mut body = of_type(msgtype, &content);
            body["customservice"] = json!({"kf_account": "agent1@sheet"});
            body["aimsgcontext"] = json!({"is_ai_msg": 1});
            body["user"] = json!(null);
            let request = SendCustom::read(&body).unwrap();
            assert!(matches!(&request.recipient, Recipients::Openid(openid) if openid == "o"));
            let message = json!({
                "msgtype": msgtype, msgtype: content, "customservice": {"kf_account": "agent1@sheet"},
                "aimsgcontext": {"is_ai_msg": 1},
            });
            assert_eq!(Value::Object(request.message), message);
        }
        let body = json!({"user": "甲/乙", "msgtype": "text", "text": {"content": "好"}});
        let request = SendCustom::read(&body).unwrap();
        assert!(matches!(&request.recipient, Recipients::User(user) if user == "甲/乙"));
        assert!(!request.message.contains_key("user"));
    }

    #[test]
    fn every_fault_of_a_request_is_named_at_once() {
        let body = json!({
            "touser": ["o"], "user": "", "msgtype": "news", "text": {"content": "x"}, "customservice": {"kf": "a"}, "usr": 1,
            "news": {"articles": [{"title": 7}, "x"]},
        });
        assert_eq!(
            pointers(&body),
            [
                "/user",
                "/touser",
                "/user",
                "/news/articles",
                "/news/articles/0/title",
                "/news/articles/1",
                "/customservice/kf_account",
                "/text",
                "/usr",
            ]
        );
        assert_eq!(
            pointers(&json!({"msgtype": "text", "text": {"content": " "}})),
            ["/touser", "/text/content"]
        );
        assert_eq!(pointers(&json!([])), [""]);
        assert_eq!(pointers(&json!({})), ["/touser", "/msgtype"]);
    }

    #[test]
    fn each_type_needs_its_members() {
        for (msgtype, content, expected) in [
            ("text", json!({"content": "好".repeat(683)}), &["/text/content"][..]),
            ("text", json!("好"), &["/text"]),
            ("text", json!(null), &["/text"]),
            ("image", json!({"media_id": ""}), &["/image/media_id"]),
            ("voice", json!({}), &["/voice/media_id"]),
            ("video", json!({"title": 1}), &["/video/media_id", "/video/title"]),
            ("music", json!({"musicurl": "u"}), &["/music/thumb_media_id"]),
            ("news", json!({}), &["/news/articles"]),
            ("news", json!({"articles": []}), &["/news/articles"]),
            ("news", json!({"articles": [{}, {}]}), &["/news/articles"]),
            ("mpnews", json!({}), &["/mpnews/media_id"]),
            ("mpnewsarticle", json!({}), &["/mpnewsarticle/article_id"]),
            ("msgmenu", json!({"list": []}), &["/msgmenu/list"]),
            ("msgmenu", json!({"list": [{"id": "1"}]}), &["/msgmenu/list/0/content"]),
            ("wxcard", json!({}), &["/wxcard/card_id"]),
            (
                "miniprogrampage",
                json!({"title": "t"}),
                &[
                    "/miniprogrampage/appid",
                    "/miniprogrampage/pagepath",
                    "/miniprogrampage/thumb_media_id",
                ],
            ),
        ] {
            assert_eq!(pointers(&of_type(msgtype, &content)), expected, "{msgtype}");
        }
        let mistyped = json!({"touser": "o", "msgtype": "txet", "text": {"content": "x"}});
        let faults = SendCustom::read(&mistyped).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].pointer == "/msgtype" && faults[0].detail.contains("did you mean text?"),
            "{faults:?}"
        );
        let own = json!({"touser": "o", "msgtype": "touser"});
        assert_eq!(pointers(&own), ["/msgtype"]);
    }
}
