//! The body of `POST /api/sendTemplateMessage`: WeChat's own, with an array of recipients and bare texts allowed.

use std::collections::BTreeMap;

use http_api::Problem;
use serde_json::{Map, Value};
use wechat::api::{FieldValue, MiniProgram};

/// Bytes of a caller's `client_msg_id`, a digest in hexadecimal. WeChat documents no limit for template messages.
const CLIENT_MSG_ID_LIMIT: usize = 64;
/// Recipients of one request.
const RECIPIENTS_LIMIT: usize = 100;
/// The members that are known. `topcolor` is obsolete: accepted from old callers, and dropped.
pub(crate) const KNOWN: [&str; 8] = [
    "touser",
    "template_id",
    "url",
    "miniprogram",
    "client_msg_id",
    "data",
    "validate",
    "topcolor",
];

/// A request to send.
#[derive(Debug)]
pub(crate) struct SendTemplate {
    pub(crate) recipients: Recipients,
    pub(crate) template_id: String,
    pub(crate) url: Option<String>,
    pub(crate) miniprogram: Option<MiniProgram>,
    pub(crate) client_msg_id: Option<String>,
    pub(crate) data: BTreeMap<String, FieldValue>,
    /// `"validate": "warn"`: what the check finds is told, and the message sent all the same.
    pub(crate) only_warns: bool,
}

/// One recipient is answered like WeChat answers, several with a list.
#[derive(Debug)]
pub(crate) enum Recipients {
    One(String),
    Many(Vec<String>),
}

impl SendTemplate {
    /// Reads the body, already parsed as JSON.
    ///
    /// # Errors
    /// [`Problem`] 400, which names the member at fault.
    pub(crate) fn read(body: &Value) -> Result<Self, Problem> {
        let members = body
            .as_object()
            .ok_or_else(|| Problem::bad_request("the body must be a JSON object / 请求体应为 JSON 对象"))?;
        if let Some(unknown) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(fault(
                unknown,
                &format!("is unknown; known are / 未知字段，可用字段为: {}", KNOWN.join(", ")),
            ));
        }
        Ok(Self {
            recipients: recipients(members.get("touser"))?,
            template_id: template_id(members)?,
            url: url(members)?,
            miniprogram: miniprogram(members.get("miniprogram"))?,
            client_msg_id: client_msg_id(members)?,
            data: data(members.get("data"))?,
            only_warns: only_warns(members.get("validate"))?,
        })
    }
}

fn fault(field: &str, detail: &str) -> Problem {
    Problem::bad_request(format!("{field} {detail}")).with_field(field)
}

fn recipients(touser: Option<&Value>) -> Result<Recipients, Problem> {
    let openid = |value: &Value| {
        value
            .as_str()
            .filter(|openid| !openid.trim().is_empty())
            .map(str::to_owned)
    };
    match touser {
        Some(Value::Array(list)) if list.is_empty() || list.len() > RECIPIENTS_LIMIT => Err(fault(
            "touser",
            &format!(
                "must hold 1 to {RECIPIENTS_LIMIT} openids, it holds {0} / 应有 1 至 {RECIPIENTS_LIMIT} 个 openid，现有 {0} 个",
                list.len()
            ),
        )),
        Some(Value::Array(list)) => {
            let openids = list.iter().map(openid).collect::<Option<_>>();
            openids
                .map(Recipients::Many)
                .ok_or_else(|| fault("touser", "must hold openids only / 只能是 openid"))
        }
        Some(value) => openid(value).map(Recipients::One).ok_or_else(|| {
            fault(
                "touser",
                "must be an openid or an array of openids / 应为 openid 或 openid 数组",
            )
        }),
        None => Err(fault(
            "touser",
            "is missing: an openid or an array of openids / 缺少 openid 或 openid 数组",
        )),
    }
}

fn optional_text(members: &Map<String, Value>, name: &str) -> Result<Option<String>, Problem> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.trim().is_empty())),
        Some(_) => Err(fault(name, "must be a text / 应为字符串")),
    }
}

fn required_text(members: &Map<String, Value>, name: &str) -> Result<String, Problem> {
    optional_text(members, name)?.ok_or_else(|| fault(name, "is missing or empty / 缺失或为空"))
}

/// An id that was copied with a line break, a space or an invisible character is told so: WeChat answers only that it is
/// invalid.
fn template_id(members: &Map<String, Value>) -> Result<String, Problem> {
    let id = required_text(members, "template_id")?;
    if holds_blanks(&id) {
        return Err(fault(
            "template_id",
            "holds a line break, a space or an invisible character: leave it out \
             / 含有换行、空格或不可见字符，请删除",
        ));
    }
    Ok(id)
}

/// Whether a text holds anything that an id never does, but is easily copied along with one.
pub(crate) fn holds_blanks(id: &str) -> bool {
    id.contains(|c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
    })
}

fn client_msg_id(members: &Map<String, Value>) -> Result<Option<String>, Problem> {
    let id = optional_text(members, "client_msg_id")?;
    match id {
        Some(id) if id.len() > CLIENT_MSG_ID_LIMIT || id.contains(char::is_control) => Err(fault(
            "client_msg_id",
            &format!(
                "must have at most {CLIENT_MSG_ID_LIMIT} bytes, and no control character / 最多 {CLIENT_MSG_ID_LIMIT} 字节，且不含控制字符"
            ),
        )),
        id => Ok(id),
    }
}

fn url(members: &Map<String, Value>) -> Result<Option<String>, Problem> {
    let url = optional_text(members, "url")?;
    match url {
        Some(url) if !is_web_address(&url) => Err(fault(
            "url",
            "must begin with https:// or http://, and hold no line break / 须以 https:// 或 http:// 开头，且不含换行",
        )),
        url => Ok(url),
    }
}

fn is_web_address(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && !url.contains(char::is_control)
            && ["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
    })
}

fn only_warns(validate: Option<&Value>) -> Result<bool, Problem> {
    match validate {
        None | Some(Value::Null) => Ok(false),
        Some(mode) if mode == "warn" => Ok(true),
        Some(_) => Err(fault(
            "validate",
            "must be \"warn\", or be left out / 只能为 \"warn\" 或省略",
        )),
    }
}

/// An empty object is left out: WeChat refuses an empty appid.
fn miniprogram(value: Option<&Value>) -> Result<Option<MiniProgram>, Problem> {
    let is_empty = |value: &Value| value.is_null() || value == "";
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) if members.values().all(is_empty) => Ok(None),
        Some(Value::Object(members)) if members.get("appid").is_none_or(is_empty) => {
            Err(fault("miniprogram.appid", "is missing or empty / 缺失或为空"))
        }
        Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|error| {
            fault(
                "miniprogram",
                &format!("must hold appid and optionally pagepath / 应含 appid，可含 pagepath: {error}"),
            )
        }),
    }
}

fn data(value: Option<&Value>) -> Result<BTreeMap<String, FieldValue>, Problem> {
    let fields = match value {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(fault("data", "must be an object of fields / 应为由字段组成的对象")),
    };
    fields
        .iter()
        .map(|(name, value)| Ok((name.clone(), field_value(name, value)?)))
        .collect()
}

/// `"text"` stands for `{"value":"text"}`.
fn field_value(name: &str, value: &Value) -> Result<FieldValue, Problem> {
    let fault = |member: &str, detail: &str| fault(&format!("data.{name}{member}"), detail);
    match value {
        Value::String(text) => Ok(FieldValue {
            value: text.clone(),
            color: None,
        }),
        Value::Object(members) => {
            if let Some(unknown) = members
                .keys()
                .find(|member| !["value", "color"].contains(&member.as_str()))
            {
                return Err(fault(
                    &format!(".{unknown}"),
                    "is unknown; known are: value, color / 未知成员，只支持 value 与 color",
                ));
            }
            let text = members.get("value").and_then(Value::as_str);
            let value = text
                .ok_or_else(|| {
                    fault(
                        ".value",
                        "must be a text; write numbers in quotes / 应为字符串，数字请加引号",
                    )
                })?
                .to_owned();
            let color = match members.get("color") {
                None | Some(Value::Null) => None,
                Some(color) => Some(
                    color
                        .as_str()
                        .ok_or_else(|| fault(".color", "must be a text / 应为字符串"))?
                        .to_owned(),
                ),
            };
            Ok(FieldValue {
                value,
                color: color.filter(|color| !color.is_empty()),
            })
        }
        _ => Err(fault(
            "",
            "must be a text or {\"value\":\"text\"}; write numbers in quotes / 应为字符串或 {\"value\":\"…\"}，数字请加引号",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(body: &Value) -> Value {
        let response = SendTemplate::read(body).unwrap_err().into_response();
        assert_eq!(response.status(), 400);
        serde_json::from_str(response.body()).unwrap()
    }

    #[test]
    fn the_bodies_of_the_field_are_accepted() {
        let full = json!({
            "touser": "odhkK64I1uXqoUQjt7QYx4O0yUvs", "template_id": "T", "url": "https://example.com/details/1",
            "data": {"thing1": {"value": "项目审核"}, "time2": {"value": "2024年7月19日 10:00", "color": "#173177"}, "const3": "通过"},
            "topcolor": "#FF0000"
        });
        let request = SendTemplate::read(&full).unwrap();
        assert_eq!(request.data["const3"].value, "通过");
        assert_eq!(request.data["time2"].color.as_deref(), Some("#173177"));
        let least = SendTemplate::read(&json!({"touser": "OPENID", "template_id": "TEMPLATE_ID"})).unwrap();
        assert!(least.data.is_empty());
    }

    #[test]
    fn empty_optional_members_are_left_out() {
        let body = json!({"touser": "o", "template_id": "T", "url": "", "miniprogram": {}, "client_msg_id": null});
        let request = SendTemplate::read(&body).unwrap();
        assert!(request.url.is_none() && request.miniprogram.is_none() && request.client_msg_id.is_none());
        for appid in [json!(""), json!(null)] {
            let body = json!({"touser": "o", "template_id": "T", "miniprogram": {"appid": appid, "pagepath": ""}});
            assert!(SendTemplate::read(&body).unwrap().miniprogram.is_none());
        }
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
            assert_eq!(refused(&body)["field"], field, "{body}");
        }
        assert_eq!(refused(&json!([]))["status"], 400);
    }
}
