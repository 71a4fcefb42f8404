//! The body of `POST /api/sendTemplateMessage`: WeChat's own form, which also allows several recipients, users in place of
//! openids, and bare texts.
//! See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).

use std::collections::BTreeMap;

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{EMPTY, Fault, Object, Place, Reader, user_id};
use crate::api::{FieldValue, MiniProgram, TemplateContent};

/// Bytes. The limit of a caller's `client_msg_id`. WeChat documents none for template messages.
const CLIENT_MSG_ID_LIMIT: usize = 64;
/// The most recipients of one request.
pub const RECIPIENTS_LIMIT: usize = 100;
/// The known members. The obsolete `topcolor` is accepted from old callers and ignored.
pub const KNOWN: [&str; 11] = [
    "touser",
    "user",
    "users",
    "template_id",
    "url",
    "miniprogram",
    "client_msg_id",
    "send_at",
    "data",
    "validate",
    "topcolor",
];

/// The members of which exactly one names the recipients.
pub const RECIPIENTS: [&str; 3] = ["touser", "user", "users"];

const HOLDS_BLANKS: &str =
    "holds a line break, a space or an invisible character: leave it out / 含有换行、空格或不可见字符，请删除";

/// A request to send.
#[derive(Debug)]
pub struct SendTemplate {
    /// The recipients.
    pub recipients: Recipients,
    /// The content of the message.
    pub content: TemplateContent,
    /// The caller's id of the message, by which WeChat recognises a retry.
    pub client_msg_id: Option<String>,
    /// When the message is to go out, in epoch seconds. `None` for now.
    pub send_at: Option<i64>,
    /// `"validate": "warn"`: send the message in spite of findings, and return them as warnings.
    pub only_warns: bool,
}

/// The recipients. The answer to one has WeChat's form, the answer to a list is a list.
#[derive(Debug)]
pub enum Recipients {
    /// `touser` with one openid.
    Openid(String),
    /// `touser` with a list of openids.
    Openids(Vec<String>),
    /// `user`: one id of a user.
    User(String),
    /// `users`: a list of ids of users.
    Users(Vec<String>),
}

impl Recipients {
    /// Returns the recipients as the request names them: by openid, or by user id.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::Openid(name) | Self::User(name) => std::slice::from_ref(name),
            Self::Openids(names) | Self::Users(names) => names,
        }
    }

    /// Returns the first recipient. A list has at least one.
    #[must_use]
    pub fn first(&self) -> &str {
        self.names().first().map_or("", String::as_str)
    }

    /// Whether the request gives a list.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        matches!(self, Self::Openids(_) | Self::Users(_))
    }
}

impl SendTemplate {
    /// Reads the body, already parsed as JSON.
    ///
    /// # Errors
    /// All faults, in the order of [`KNOWN`].
    pub fn read(body: &Value) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::of_request();
        let request = read(&mut reader, body);
        reader.finish(request)
    }
}

fn read(reader: &mut Reader, body: &Value) -> Option<SendTemplate> {
    let body = &reader.object_of(Place::Root, body, &KNOWN)?;
    // Reads all members before a missing one returns, so that all faults are found.
    let (recipients, template_id) = (recipients(reader, body), template_id(reader, body));
    let send_at = time(reader, body, "send_at");
    if send_at.is_some() && recipients.as_ref().is_some_and(Recipients::is_list) {
        let detail = "takes one recipient: a campaign sends to many (POST /api/campaigns) / 仅支持一个接收者，多人请使用群发任务（POST /api/campaigns）";
        reader.fault(&body.place.member("send_at"), detail);
    }
    let (url, miniprogram) = (url(reader, body), miniprogram(reader, body));
    let client_msg_id = client_msg_id(reader, body);
    let data = data(reader, body);
    let only_warns = body.get("validate").is_some() && reader.one_of(body, "validate", &["warn"]).is_some();
    Some(SendTemplate {
        recipients: recipients?,
        content: TemplateContent {
            template_id: template_id?,
            url,
            miniprogram,
            data,
        },
        client_msg_id,
        send_at,
        only_warns,
    })
}

fn recipients(reader: &mut Reader, body: &Object<'_, '_>) -> Option<Recipients> {
    let mut given = RECIPIENTS.into_iter().filter(|name| body.get(name).is_some());
    match given.next() {
        None => reader.fault(
            &body.place.member("touser"),
            "is missing: name the recipients by touser (an openid or several), user or users (ids of your own) \
             / 未填写：请填写 touser（一个或多个 openid）、user 或 users（您自己的用户标识）之一",
        ),
        Some(first) => given.for_each(|other| {
            let detail = format!(
                "stands beside {first}: name the recipients by one of touser, user and users \
                 / 与 {first} 同时出现：touser、user、users 只能填写其中一个"
            );
            reader.fault(&body.place.member(other), detail);
        }),
    }
    // Reads all three, so that all faults are found.
    let touser = body.get("touser").and_then(|value| touser(reader, body, value));
    let user = body.get("user").and_then(|value| user(reader, body, value));
    let users = body.get("users").and_then(|value| users(reader, body, value));
    touser.or(user).or(users)
}

fn touser(reader: &mut Reader, body: &Object<'_, '_>, value: &Value) -> Option<Recipients> {
    let member = body.place.member("touser");
    let place = Place::Whole(&member);
    if value.is_array() {
        let read = |reader: &mut Reader, place: &Place<'_>, value: &Value| {
            openid(reader, place, value, "must be an openid / 应为 openid")
        };
        return list(reader, &place, value, read).map(Recipients::Openids);
    }
    let detail = "must be an openid or a list of openids / 应为 openid 或 openid 数组";
    openid(reader, &place, value, detail).map(Recipients::Openid)
}

fn user(reader: &mut Reader, body: &Object<'_, '_>, value: &Value) -> Option<Recipients> {
    let place = body.place.member("user");
    if value.is_array() {
        reader.fault(
            &place,
            "takes one id: list several in users / 只接受一个用户标识，多个请用 users",
        );
        return None;
    }
    user_id(reader, &place, value).map(|user| Recipients::User(user.to_owned()))
}

fn users(reader: &mut Reader, body: &Object<'_, '_>, value: &Value) -> Option<Recipients> {
    let member = body.place.member("users");
    let read = |reader: &mut Reader, place: &Place<'_>, value: &Value| user_id(reader, place, value).map(str::to_owned);
    list(reader, &Place::Whole(&member), value, read).map(Recipients::Users)
}

/// Reads a list of recipients, each by `read`.
fn list(
    reader: &mut Reader,
    place: &Place<'_>,
    value: &Value,
    read: impl Fn(&mut Reader, &Place<'_>, &Value) -> Option<String>,
) -> Option<Vec<String>> {
    let list = reader.list_of(place, value, 1..=RECIPIENTS_LIMIT)?;
    let names = list.iter().take(RECIPIENTS_LIMIT).enumerate();
    let names = names.filter_map(|(index, value)| read(reader, &place.element(index), value));
    Some(names.collect())
}

pub(super) fn openid(reader: &mut Reader, place: &Place<'_>, value: &Value, detail: &str) -> Option<String> {
    let Some(openid) = value.as_str().filter(|openid| !is_blank(openid)) else {
        reader.fault(place, detail);
        return None;
    };
    if names_several(openid) {
        let detail = "names several people: write [\"openid 1\", \"openid 2\"] / 含有多个 openid，请写成 [\"openid 1\", \"openid 2\"]";
        reader.fault(place, detail);
    } else if holds_blanks(openid) {
        reader.fault(place, HOLDS_BLANKS);
    }
    Some(openid.to_owned())
}

/// Whether a text has a character that separates openids.
pub(super) fn names_several(openid: &str) -> bool {
    openid.contains([',', '，', ';', '；', '|'])
}

pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Reads an optional text. A blank one counts as absent.
fn optional_text<'v>(reader: &mut Reader, object: &Object<'_, 'v>, name: &str) -> Option<&'v str> {
    reader.optional_text(object, name).filter(|text| !is_blank(text))
}

/// Reads the id. WeChat says only "invalid" of an id that was copied with a line break or an invisible character.
pub(super) fn template_id(reader: &mut Reader, body: &Object<'_, '_>) -> Option<String> {
    let id = reader.required_text(body, "template_id", is_blank)?;
    if holds_blanks(id) {
        reader.fault(&body.place.member("template_id"), HOLDS_BLANKS);
    }
    Some(id.to_owned())
}

/// Whether an id holds characters that are easily copied along with it.
pub(super) fn holds_blanks(id: &str) -> bool {
    id.contains(|c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
    })
}

fn client_msg_id(reader: &mut Reader, body: &Object<'_, '_>) -> Option<String> {
    let id = optional_text(reader, body, "client_msg_id")?;
    let place = body.place.member("client_msg_id");
    reader.at_most(&place, id, CLIENT_MSG_ID_LIMIT);
    reader.no_control_characters(&place, id);
    Some(id.to_owned())
}

pub(super) fn url(reader: &mut Reader, body: &Object<'_, '_>) -> Option<String> {
    let url = optional_text(reader, body, "url")?;
    let place = body.place.member("url");
    reader.web_address(&place, url);
    reader.no_control_characters(&place, url);
    Some(url.to_owned())
}

/// Whether `text` is a day: `YYYY-MM-DD`.
#[must_use]
pub fn is_day(text: &str) -> bool {
    text.len() == 10 && OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339).is_ok()
}

/// Reads a time: RFC 3339, or epoch seconds. Returns epoch seconds.
pub(super) fn time(reader: &mut Reader, body: &Object<'_, '_>, name: &str) -> Option<i64> {
    let value = body.get(name)?;
    let time = match value {
        Value::String(text) => OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(OffsetDateTime::unix_timestamp),
        value => value.as_i64(),
    };
    // Refuses a time outside the years that a date can have.
    let time = time.filter(|time| OffsetDateTime::from_unix_timestamp(*time).is_ok());
    if time.is_none() {
        reader.fault(
            &body.place.member(name),
            "must be a time: RFC 3339 with a zone (2026-12-01T09:00:00+08:00), or Unix seconds \
             / 应为时间：带时区的 RFC 3339（2026-12-01T09:00:00+08:00）或 Unix 秒",
        );
    }
    time
}

/// Reads the mini program. An empty object counts as absent, because WeChat refuses an empty appid.
pub(super) fn miniprogram(reader: &mut Reader, body: &Object<'_, '_>) -> Option<MiniProgram> {
    let value = body.get("miniprogram")?;
    let is_empty = |value: &Value| value.is_null() || value == "";
    let member = body.place.member("miniprogram");
    let object = reader.object(Place::Whole(&member), value)?;
    if object.members.values().all(is_empty) {
        return None;
    }
    match object.get("appid") {
        None => reader.missing(&member.member("appid")),
        Some(appid) if is_empty(appid) => reader.fault(&member.member("appid"), EMPTY),
        Some(_) => {}
    }
    reader.known_members(&object, &["appid", "pagepath"]);
    let appid = reader.optional_text(&object, "appid");
    let pagepath = reader.optional_text(&object, "pagepath");
    Some(MiniProgram {
        appid: appid?.to_owned(),
        pagepath: pagepath.map(str::to_owned),
    })
}

pub(super) fn data(reader: &mut Reader, body: &Object<'_, '_>) -> BTreeMap<String, FieldValue> {
    let place = body.place.member("data");
    let fields = body.get("data").and_then(|fields| reader.object(place, fields));
    let fields = fields.iter().flat_map(|fields| fields.members);
    fields
        .filter_map(|(name, value)| Some((name.clone(), field_value(reader, place.member(name), value)?)))
        .collect()
}

/// Reads a field. `"text"` is short for `{"value":"text"}`.
fn field_value(reader: &mut Reader, place: Place<'_>, value: &Value) -> Option<FieldValue> {
    if let Value::String(text) = value {
        return Some(FieldValue {
            value: text.clone(),
            color: None,
        });
    }
    if !value.is_object() {
        reader.fault(
            &place,
            "must be a text or {\"value\":\"text\"}; write numbers in quotes \
             / 应为字符串或 {\"value\":\"text\"}，数字请加引号",
        );
        return None;
    }
    let field = reader.object_of(place, value, &["value", "color"])?;
    let value = field.members.get("value").and_then(Value::as_str);
    if value.is_none() {
        reader.fault(
            &place.member("value"),
            "must be a text; write numbers in quotes / 应为字符串，数字请加引号",
        );
    }
    let color = reader.optional_text(&field, "color").filter(|color| !color.is_empty());
    Some(FieldValue {
        value: value?.to_owned(),
        color: color.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(body: &Value) -> Vec<Fault> {
        SendTemplate::read(body).unwrap_err()
    }

    fn fields(body: &Value) -> Vec<String> {
        let faults = refused(body).into_iter();
        faults.map(|fault| fault.field.unwrap_or_default()).collect()
    }

    fn pointers(body: &Value) -> Vec<String> {
        refused(body).into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn bodies_that_teams_send_are_accepted() {
        let full = json!({
            "touser": "odhkK64I1uXqoUQjt7QYx4O0yUvs", "template_id": "T", "url": "https://example.com/details/1",
            "data": {"thing1": {"value": "项目审核"}, "time2": {"value": "2024年7月19日 10:00", "color": "#173177"}, "const3": "通过"},
            "topcolor": "#FF0000"
        });
        let request = SendTemplate::read(&full).unwrap();
        assert_eq!(request.content.data["const3"].value, "通过");
        assert_eq!(request.content.data["time2"].color.as_deref(), Some("#173177"));
        let least = SendTemplate::read(&json!({"touser": "OPENID", "template_id": "TEMPLATE_ID"})).unwrap();
        assert!(least.content.data.is_empty());
    }

    #[test]
    fn empty_optional_members_are_left_out() {
        let body = json!({"touser": "o", "template_id": "T", "url": "", "miniprogram": {}, "client_msg_id": null});
        let request = SendTemplate::read(&body).unwrap();
        let content = &request.content;
        assert!(content.url.is_none() && content.miniprogram.is_none() && request.client_msg_id.is_none());
        for appid in [json!(""), json!(null)] {
            let body = json!({"touser": "o", "template_id": "T", "miniprogram": {"appid": appid, "pagepath": ""}});
            assert!(SendTemplate::read(&body).unwrap().content.miniprogram.is_none());
        }
    }

    #[test]
    fn an_openid_with_a_line_break_is_named_as_such() {
        let faults = SendTemplate::read(&json!({"touser": "o1\n", "template_id": "T"})).unwrap_err();
        assert!(faults[0].detail.contains("换行"), "{faults:?}");
    }

    #[test]
    fn each_fault_names_its_member() {
        let base = |name: &str, value: Value| {
            let mut body = json!({"touser": "o", "template_id": "T", "data": {}});
            body[name] = value;
            body
        };
        for (body, field) in [
            (json!({"template_id": "T"}), "touser"),
            (json!({"touser": "o"}), "template_id"),
            (base("touser", json!([])), "touser"),
            (base("touser", json!(vec!["o"; 101])), "touser"),
            (base("touser", json!(["o", 7])), "touser"),
            (base("touser", json!(" ")), "touser"),
            (base("touser", json!("oA,oB")), "touser"),
            (base("touser", json!(" oA")), "touser"),
            (base("touser", json!(["oA", "oB\n"])), "touser"),
            (base("template_id", json!(7)), "template_id"),
            (base("template_id", json!("T\n")), "template_id"),
            (base("template_id", json!("\u{feff}T")), "template_id"),
            (base("url", json!("javascript:alert(1)")), "url"),
            (base("miniprogram", json!({"appid": "wx1", "page": "x"})), "miniprogram"),
            (
                base("miniprogram", json!({"appid": "", "pagepath": "x"})),
                "miniprogram.appid",
            ),
            (base("data", json!([])), "data"),
            (base("data", json!({"thing1": 7})), "data.thing1"),
            (base("data", json!({"thing1": {"value": 7}})), "data.thing1.value"),
            (
                base("data", json!({"thing1": {"value": "x", "size": 1}})),
                "data.thing1.size",
            ),
            (base("tousers", json!("x")), "tousers"),
            (base("validate", json!("off")), "validate"),
            (base("url", json!("https://")), "url"),
            (base("client_msg_id", json!("i".repeat(65))), "client_msg_id"),
            (base("client_msg_id", json!("a\nb")), "client_msg_id"),
            (base("client_msg_id", json!(7)), "client_msg_id"),
        ] {
            assert_eq!(fields(&body)[0], field, "{body}");
        }
        assert_eq!(fields(&json!([])), [""]);
    }

    #[test]
    fn every_fault_of_a_request_is_named_at_once() {
        let body = json!({
            "tousers": ["o"], "touser": ["o", 7, " "], "template_id": "T\n", "url": "ftp://x\n", "validate": "wran",
            "miniprogram": {"appid": "", "page": "x"}, "client_msg_id": "i".repeat(65),
            "data": {"thing1": 7, "a/b": {"value": 7, "colour": "red"}, "time2": "10:00"},
        });
        let (fields, pointers) = (fields(&body), pointers(&body));
        let named: Vec<_> = fields
            .iter()
            .zip(&pointers)
            .map(|(field, pointer)| (&**field, &**pointer))
            .collect();
        assert_eq!(
            named,
            [
                ("tousers", "/tousers"),
                ("touser", "/touser/1"),
                ("touser", "/touser/2"),
                ("template_id", "/template_id"),
                ("url", "/url"),
                ("url", "/url"),
                ("miniprogram.appid", "/miniprogram/appid"),
                ("miniprogram", "/miniprogram/page"),
                ("client_msg_id", "/client_msg_id"),
                ("data.a/b.colour", "/data/a~1b/colour"),
                ("data.a/b.value", "/data/a~1b/value"),
                ("data.thing1", "/data/thing1"),
                ("validate", "/validate"),
            ]
        );
        assert_eq!(SendTemplate::read(&json!({})).unwrap_err().len(), 2);
    }

    #[test]
    fn users_are_named_one_or_several_in_place_of_openids() {
        let read = |name: &str, value: Value| {
            let mut body = json!({"template_id": "T", "touser": null});
            body[name] = value;
            SendTemplate::read(&body).unwrap().recipients
        };
        let one = read("user", json!("u-1"));
        assert!(matches!(&one, Recipients::User(user) if user == "u-1") && !one.is_list());
        let several = read("users", json!(["u-1", "甲/乙"]));
        assert!(matches!(several, Recipients::Users(_)) && several.is_list());
        assert_eq!(several.names(), ["u-1", "甲/乙"]);
        assert_eq!(read("users", json!(vec!["u"; 100])).names().len(), 100);

        let of = |recipients: Value| {
            let mut body = json!({"template_id": "T"});
            let members = recipients.as_object().unwrap().clone();
            body.as_object_mut().unwrap().extend(members);
            pointers(&body)
        };
        for (recipients, expected) in [
            (json!({}), &["/touser"][..]),
            (json!({"touser": "o", "user": "u"}), &["/user"]),
            (json!({"user": "u", "users": ["u"]}), &["/users"]),
            (
                json!({"touser": "o", "user": "u", "users": ["u"]}),
                &["/user", "/users"],
            ),
            (json!({"touser": "o", "users": ["u", ""]}), &["/users", "/users/1"]),
            (json!({"user": ""}), &["/user"]),
            (json!({"user": "u\n"}), &["/user"]),
            (json!({"user": "u".repeat(129)}), &["/user"]),
            (json!({"user": ["u"]}), &["/user"]),
            (json!({"users": "u"}), &["/users"]),
            (json!({"users": []}), &["/users"]),
            (json!({"users": vec!["u"; 101]}), &["/users"]),
            (json!({"users": ["u", 7, "u\u{0}"]}), &["/users/1", "/users/2"]),
        ] {
            assert_eq!(of(recipients.clone()), expected, "{recipients}");
        }
        let both = json!({"touser": "o", "user": "u", "template_id": "T"});
        for body in [
            json!({"template_id": "T"}),
            both,
            json!({"user": ["u"], "template_id": "T"}),
        ] {
            let fault = &refused(&body)[0];
            crate::validate::assert_each_half_says_all(fault, &["touser", "user", "users"]);
        }
    }

    #[test]
    fn each_half_of_a_fault_names_the_member_and_what_it_may_be() {
        let body = json!({"touser": "o", "template_id": "T", "data": {"thing1": {"value": "x", "colour": "red"}}});
        let sentence = refused(&body)[0].sentence();
        let (english, chinese) = sentence.split_once(" / ").unwrap();
        for half in [english, chinese] {
            for part in ["data.thing1.colour", "value", "color"] {
                assert!(half.contains(part), "{part} is not in {half:?}");
            }
            assert!(
                half.starts_with("data.thing1.colour ") && half.contains("color"),
                "{half}"
            );
        }
        let long = json!({"touser": "o", "template_id": "T", "client_msg_id": "i".repeat(65)});
        let sentence = refused(&long)[0].sentence();
        for half in sentence.split(" / ") {
            assert!(half.contains("65") && half.contains("64"), "{half}");
        }
        assert_eq!(
            refused(&json!([]))[0].sentence(),
            "the body must be an object / 请求体应为对象"
        );
    }
}
