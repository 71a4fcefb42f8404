//! Template messages: sending one, and the list of templates.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Call, is_app_id};
use crate::{
    clock::wall_seconds,
    notice::Notice,
    phone::{self, MiniProgram, Shown},
    platform::Platform,
    random::Random,
};

/// Seconds in which the same `client_msg_id` to the same user is one message.
const REPEAT_WINDOW: i64 = 600;
/// Ids of current accounts have 19 digits.
const FIRST_MSGID: u64 = 3_400_000_000_000_000_000;

#[derive(Deserialize)]
struct Send {
    #[serde(default)]
    touser: String,
    #[serde(default)]
    template_id: String,
    url: Option<String>,
    miniprogram: Option<MiniProgram>,
    #[serde(default)]
    client_msg_id: String,
    #[serde(default)]
    data: BTreeMap<String, Keyword>,
}

#[derive(Deserialize)]
struct Keyword {
    #[serde(default)]
    value: String,
}

/// What has been sent: the last id, and the ids behind recent `client_msg_id`s.
#[derive(Default)]
pub(crate) struct Sends {
    last: u64,
    recent: HashMap<(String, String), (u64, i64)>,
    /// Seconds for which the same content to the same user is refused; none lets it pass.
    pub(crate) duplicates_refused_for: Option<u32>,
    contents: HashMap<(String, String), i64>,
}

impl Sends {
    fn repeated(&mut self, openid: &str, client_msg_id: &str, now: i64) -> Option<u64> {
        self.recent.retain(|_, (_, sent_at)| now - *sent_at < REPEAT_WINDOW);
        self.recent
            .get(&(openid.to_owned(), client_msg_id.to_owned()))
            .map(|(msgid, _)| *msgid)
    }

    /// Whether the same content went to the same user a moment ago. Notes that it does now.
    fn is_duplicate(&mut self, openid: &str, content: String, now: i64) -> bool {
        let Some(window) = self.duplicates_refused_for else {
            return false;
        };
        self.contents.retain(|_, sent_at| now - *sent_at < i64::from(window));
        match self.contents.entry((openid.to_owned(), content)) {
            Entry::Occupied(_) => true,
            Entry::Vacant(place) => {
                place.insert(now);
                false
            }
        }
    }

    fn next(&mut self, random: &mut Random) -> u64 {
        self.last = self.last.max(FIRST_MSGID) + 1 + random.below(1_000_000_000);
        self.last
    }
}

pub(super) fn send(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    if call.escapes_text() {
        return Err(ApiError::of(47002));
    }
    let message: Send = call.json()?;
    if !phone::is_openid(&message.touser) {
        return Err(ApiError::of(40003));
    }
    let template = platform
        .templates
        .find(&message.template_id)
        .ok_or_else(|| ApiError::of(40037))?;
    let (template_id, title) = (template.template_id.clone(), template.title.clone());
    let failure = match platform.users.get(&message.touser) {
        Some(user) if user.follows => match user.refusal {
            Some(errcode) => return Err(ApiError::of(errcode)),
            None if user.refuses_templates => {
                Some(user.receipt.clone().unwrap_or_else(|| "failed:user block".to_owned()))
            }
            None => None,
        },
        _ => return Err(ApiError::of(43004)),
    };
    if message
        .miniprogram
        .as_ref()
        .is_some_and(|program| !is_app_id(&program.appid))
    {
        return Err(ApiError::of(40013));
    }
    let data = message
        .data
        .into_iter()
        .map(|(name, keyword)| (name, keyword.value))
        .collect();
    let text = template.fill(&data)?;

    let now = platform.clock.now();
    if let Some(msgid) = platform.sends.repeated(&message.touser, &message.client_msg_id, now) {
        return Ok(sent(msgid));
    }
    if platform
        .sends
        .is_duplicate(&message.touser, format!("{template_id}\n{text}"), now)
    {
        return Err(ApiError::of(40241));
    }
    let msgid = platform.sends.next(&mut platform.random);
    if !message.client_msg_id.is_empty() {
        platform
            .sends
            .recent
            .insert((message.touser.clone(), message.client_msg_id), (msgid, now));
    }
    let status = match failure {
        Some(failure) => Some(failure),
        None => platform.receipts.next().unwrap_or_else(|| Some("success".to_owned())),
    };
    // A result that is never pushed is that of a message which has arrived.
    if status.as_deref().unwrap_or("success") == "success" {
        let shown = Shown::Template {
            at: now,
            msgid: msgid.to_string(),
            template_id,
            title,
            text,
            data,
            url: message.url,
            miniprogram: message.miniprogram,
        };
        platform.users.show(&message.touser, shown);
    }
    let result = status.map(|status| Notice::template_result(&message.touser, msgid, &status, wall_seconds()));
    platform.outbox.extend(result);
    Ok(sent(msgid))
}

pub(super) fn list(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"template_list": platform.templates}))
}

fn sent(msgid: u64) -> Value {
    json!({"errcode": 0, "errmsg": "ok", "msgid": msgid})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{phone::FOLLOWER, testing, xml};

    const SEND: &str = "/cgi-bin/message/template/send";

    /// The fixture `send-template.json`.
    fn fixture() -> Value {
        json!({
            "touser": FOLLOWER,
            "template_id": "TEMPLATE_ID",
            "url": "https://example.com/details/1",
            "data": {
                "thing1": {"value": "项目审核"},
                "time2": {"value": "2024年7月19日 10:00"},
                "const3": {"value": "通过"}
            }
        })
    }

    fn with(changes: &Value) -> Value {
        let mut body = fixture();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    fn send(platform: &mut Platform, body: &Value) -> Result<Value, ApiError> {
        testing::post_with_token(platform, SEND, &body.to_string())
    }

    fn shown(platform: &Platform) -> Vec<Value> {
        let screen = &platform.users.get(FOLLOWER).unwrap().screen;
        screen
            .iter()
            .map(|shown| serde_json::to_value(shown).unwrap())
            .collect()
    }

    #[test]
    fn a_message_is_shown_and_its_result_pushed() {
        let platform = &mut testing::platform();
        let answer = send(platform, &fixture()).unwrap();
        let msgid = answer["msgid"].as_u64().unwrap();
        assert_eq!((answer["errcode"].as_i64(), msgid.to_string().len()), (Some(0), 19));
        let shown = shown(platform);
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0]["msgid"], msgid.to_string());
        assert_eq!(shown[0]["url"], "https://example.com/details/1");
        assert_eq!(
            shown[0]["text"],
            "审核事项:项目审核\n审核时间:2024年7月19日 10:00\n审核结果:通过\n"
        );
        let result = xml::read(&xml::write(&platform.outbox[0].document("gh_1"))).unwrap();
        assert_eq!(result.text_of("Event"), "TEMPLATESENDJOBFINISH");
        assert_eq!(
            (result.text_of("MsgID"), result.text_of("Status")),
            (msgid.to_string().as_str(), "success")
        );
    }

    #[test]
    fn a_user_who_refuses_messages_sees_none_and_the_result_says_so() {
        let platform = &mut testing::platform();
        platform.users.get_mut(FOLLOWER).unwrap().refuses_templates = true;
        send(platform, &fixture()).unwrap();
        assert!(shown(platform).is_empty());
        let result = xml::read(&xml::write(&platform.outbox[0].document("gh_1"))).unwrap();
        assert_eq!(result.text_of("Status"), "failed:user block");
    }

    #[test]
    fn the_same_client_msg_id_is_one_message_for_ten_minutes() {
        let platform = &mut testing::platform();
        let body = with(&json!({"client_msg_id": "order-1"}));
        let first = send(platform, &body).unwrap();
        assert_eq!(send(platform, &body).unwrap(), first);
        assert_eq!((shown(platform).len(), platform.outbox.len()), (1, 1));
        assert_ne!(
            send(platform, &with(&json!({"client_msg_id": "order-2"}))).unwrap(),
            first
        );
        platform.clock.advance(600);
        assert_ne!(send(platform, &body).unwrap(), first);
        assert_eq!(shown(platform).len(), 3);
        let plain = send(platform, &fixture()).unwrap();
        assert_ne!(send(platform, &fixture()).unwrap(), plain);
    }

    #[test]
    fn the_same_content_is_refused_for_a_minute_when_that_is_switched_on() {
        let platform = &mut testing::platform();
        send(platform, &fixture()).unwrap();
        send(platform, &fixture()).unwrap();
        platform.sends.duplicates_refused_for = Some(60);
        send(platform, &with(&json!({"client_msg_id": "order-1"}))).unwrap();
        assert_eq!(send(platform, &fixture()).unwrap_err().errcode, 40241);
        // A repeat by its client_msg_id is not another message.
        send(platform, &with(&json!({"client_msg_id": "order-1"}))).unwrap();
        platform.clock.advance(60);
        send(platform, &fixture()).unwrap();
        assert_eq!(shown(platform).len(), 4);
    }

    #[test]
    fn wrong_arguments_have_their_errcodes() {
        let platform = &mut testing::platform();
        for (changes, errcode) in [
            (json!({"touser": "OPENID"}), 40003),
            (json!({"touser": "odhkKxxxxxxxxxxxxxxxxxxxxxxx"}), 43004),
            (json!({"template_id": "unknown"}), 40037),
            (json!({"data": {}}), 47003),
            (json!({"data": {"thing1": "项目审核"}}), 47001),
            (json!({"data": {"thing1": {"value": 1}}}), 47001),
            (json!({"miniprogram": {"appid": "", "pagepath": ""}}), 40013),
        ] {
            assert_eq!(
                send(platform, &with(&changes)).unwrap_err().errcode,
                errcode,
                "{changes}"
            );
        }
        assert_eq!(testing::post_with_token(platform, SEND, "").unwrap_err().errcode, 44002);
        assert_eq!(
            testing::post_with_token(platform, SEND, "{").unwrap_err().errcode,
            47001
        );
        let escaped = fixture().to_string().replace("通过", "\\u901a\\u8fc7");
        assert_eq!(
            testing::post_with_token(platform, SEND, &escaped).unwrap_err().errcode,
            47002
        );
        platform.users.get_mut(FOLLOWER).unwrap().follows = false;
        assert_eq!(send(platform, &fixture()).unwrap_err().errcode, 43004);
        assert!(shown(platform).is_empty() && platform.outbox.is_empty());
    }

    #[test]
    fn the_list_shows_placeholders_as_the_platform_does() {
        let answer =
            testing::get_with_token(&mut testing::platform(), "/cgi-bin/template/get_all_private_template").unwrap();
        let first = &answer["template_list"][0];
        assert_eq!(first["template_id"], "TEMPLATE_ID");
        assert!(first["content"].as_str().unwrap().contains("{{thing1.DATA}}"));
        assert_eq!(first["deputy_industry"], "");
    }
}
