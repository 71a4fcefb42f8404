//! The schemas that `openapi.json` names for this function.

use std::collections::BTreeMap;

use http_api::{Problem, openapi::add_schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        KnownFormat, SchemaFormat,
        schema::{AdditionalProperties, Array, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type},
    },
};
use wechat::validate::{
    USER_ID_LIMIT,
    send::{RECIPIENTS, RECIPIENTS_LIMIT},
};

use crate::{
    answer::{CustomSent, DeliveryDays, Message, MessagePage, RecipientResult, Results, Sent, TemplateList},
    campaigns::{CampaignPage, Preview},
    recipients::{LoadedPart, RecipientPage},
    scheduled::{Scheduled, ScheduledPage, ScheduledStatus},
};

// `SendTemplate::read` reads this body by hand, to name every faulty member.
/// The body of `POST /api/sendTemplateMessage`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateMessage)]
#[allow(dead_code, reason = "only the schema is used")]
struct Body {
    /// One openid, or a list of 1 to 100.
    #[schema(schema_with = recipients)]
    touser: Option<Recipients>,
    /// The team's id of one user, in place of `touser`. The user has to be bound to an openid.
    #[schema(schema_with = user)]
    user: Option<String>,
    /// The ids of 1 to 100 users, in place of `touser`.
    #[schema(schema_with = users)]
    users: Option<Vec<String>>,
    /// The id of one of the account's templates.
    #[schema(pattern = r"\S")]
    template_id: String,
    /// The values of the template's fields, by field name.
    data: Option<BTreeMap<String, Field>>,
    /// The page that a tap opens: http or https.
    #[schema(pattern = "^$|^[Hh][Tt][Tt][Pp][Ss]?://.")]
    url: Option<String>,
    /// The mini program that a tap opens, in place of `url`. Ignored without an appid.
    miniprogram: Option<MiniProgram>,
    /// WeChat sends one message per openid and id within 10 minutes. Derived from the Idempotency-Key when absent.
    #[schema(max_length = 64)]
    client_msg_id: Option<String>,
    /// When the message is to go out: RFC 3339 with a zone, or epoch seconds, up to a year ahead. For one recipient.
    #[schema(schema_with = time)]
    send_at: Option<Time>,
    /// `warn` sends the message even if WeChat will refuse it, and always answers the findings.
    validate: Option<Validate>,
    /// Obsolete: accepted and ignored.
    topcolor: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "only the schema is used")]
enum Recipients {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "only the schema is used")]
enum Time {
    Rfc3339(String),
    Seconds(i64),
}

fn time() -> Schema {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let seconds = ObjectBuilder::new().schema_type(Type::Integer);
    OneOfBuilder::new().item(text).item(seconds).into()
}

fn recipients() -> Schema {
    let openid = || -> Object {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"\S"))
            .build()
    };
    OneOfBuilder::new().item(openid()).item(list_of(openid())).into()
}

fn user() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(USER_ID_LIMIT))
        .pattern(Some(r"^[^\u0000-\u001F\u007F-\u009F]*$"))
        .build()
}

fn users() -> Array {
    list_of(user())
}

fn list_of(items: Object) -> Array {
    ArrayBuilder::new()
        .items(items)
        .min_items(Some(1))
        .max_items(Some(RECIPIENTS_LIMIT))
        .build()
}

/// `"text"` is short for `{"value":"text"}`. Write numbers in quotes.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only the schema is used")]
enum Field {
    Text(String),
    Value(FieldValue),
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema is used")]
struct FieldValue {
    value: String,
    /// `#RRGGBB`. Only test accounts show it.
    color: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema is used")]
struct MiniProgram {
    appid: Option<String>,
    pagepath: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Validate {
    Warn,
}

/// WeChat's own body. The member that `msgtype` names holds the message, as WeChat's page describes it.
#[derive(Deserialize, ToSchema)]
#[schema(as = CustomMessage)]
#[allow(dead_code, reason = "only the schema is used")]
struct CustomBody {
    /// One openid.
    #[schema(pattern = r"\S")]
    touser: Option<String>,
    /// The team's id of one user, in place of `touser`. The user has to be bound to an openid.
    #[schema(schema_with = user)]
    user: Option<String>,
    /// `text`, `image`, `voice`, `video`, `music`, `news`, `mpnews`, `mpnewsarticle`, `msgmenu`, `wxcard`, `miniprogrampage`, or
    /// another type of WeChat's.
    #[schema(pattern = r"\S")]
    msgtype: String,
    /// The message of the type `text`: at most 2,048 bytes of UTF-8.
    text: Option<CustomText>,
    /// The agent in whose name the message is sent.
    customservice: Option<Agent>,
    /// WeChat's context of a message that an AI answers.
    #[schema(value_type = Option<Object>)]
    aimsgcontext: Option<Value>,
}

#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "only the schema is used")]
struct CustomText {
    #[schema(pattern = r"\S")]
    content: String,
}

#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "only the schema is used")]
struct Agent {
    /// Such as `agent1@account`.
    #[schema(pattern = r"\S")]
    kf_account: String,
}

// `campaign::read` reads this body by hand.
/// The body of `POST /api/campaigns`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCampaign)]
#[allow(dead_code, reason = "only the schema is used")]
struct CampaignBody {
    /// A name for people.
    #[schema(pattern = r"^\s*\S[^\u0000-\u001F\u007F-\u009F]*$", max_length = 100)]
    name: String,
    /// The id of one of the account's templates.
    #[schema(pattern = r"\S")]
    template_id: String,
    /// The values of the template's fields, by field name. People's own data replaces them member by member.
    data: Option<BTreeMap<String, Field>>,
    /// The page that a tap opens: http or https.
    #[schema(pattern = "^$|^[Hh][Tt][Tt][Pp][Ss]?://.")]
    url: Option<String>,
    /// The mini program that a tap opens, in place of `url`. Ignored without an appid.
    miniprogram: Option<MiniProgram>,
    /// `"list"` for those whom `/recipients` loads, `"followers"` for all, or `{"tag": 134}` for those with a tag.
    #[schema(schema_with = audience)]
    audience: AudienceBody,
    /// Messages a second. 50 when absent.
    #[schema(minimum = 1, maximum = 1000)]
    pace: Option<u32>,
    /// When the first message may go out: RFC 3339 with a zone, or epoch seconds. At once when absent.
    #[schema(schema_with = time)]
    start_at: Option<Time>,
    /// The first messages, whose receipts are awaited. When more than one in ten is `failed`, the campaign stops.
    canary: Option<CanaryBody>,
    /// Calls of the day's quota that are left to single sends. 1 % of it when absent, at most 1,000.
    #[schema(minimum = 0)]
    keep_for_single_sends: Option<u64>,
    /// `warn` takes values that WeChat will refuse by its rules for fields: a test account takes them.
    validate: Option<Validate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "only the schema is used")]
enum AudienceBody {
    List,
    Followers,
    Tag(u32),
}

pub(crate) fn audience() -> Schema {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["list", "followers"]));
    let tag = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let tag = tag.maximum(Some(u32::MAX));
    let tagged = ObjectBuilder::new().property("tag", tag).required("tag");
    let tagged = tagged.additional_properties(Some(AdditionalProperties::FreeForm(false)));
    OneOfBuilder::new().item(text).item(tagged).into()
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema is used")]
pub(crate) struct CanaryBody {
    /// Messages.
    #[schema(minimum = 1, maximum = 100_000)]
    count: u32,
    /// Seconds.
    #[schema(minimum = 0, maximum = 86_400)]
    wait: u32,
}

// `recipients::read_json` reads this body by hand.
/// A part of a campaign's audience.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RecipientsPart)]
#[allow(dead_code, reason = "only the schema is used")]
struct PartBody {
    /// The name of the part.
    #[schema(pattern = r"^\s*\S[^\u0000-\u001F\u007F-\u009F]*$", max_length = 128)]
    part: String,
    #[schema(min_items = 1)]
    recipients: Vec<EntryBody>,
}

/// What [`EntryBody::Openid`] may be.
const OPENID: &str = r"^[^\s,，;；|]+$";

/// An openid, or a recipient with own data: at most 2 KiB, which replaces the campaign's member by member.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only the schema is used")]
enum EntryBody {
    Openid(String),
    Person(PersonBody),
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema is used")]
struct PersonBody {
    /// An openid.
    #[schema(pattern = r"^[^\s,，;；|]+$")]
    touser: Option<String>,
    /// The team's id of a user, in place of `touser`.
    #[schema(schema_with = user)]
    user: Option<String>,
    data: Option<BTreeMap<String, Field>>,
}

/// Returns the schemas by name.
#[must_use]
pub fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    add_schema::<Body>(&mut schemas);
    // Exactly one of these names the recipients.
    schemas["TemplateMessage"]["oneOf"] = RECIPIENTS.map(|name| json!({"required": [name]})).to_vec().into();
    add_schema::<CustomBody>(&mut schemas);
    schemas["CustomMessage"]["oneOf"] = json!([{"required": ["touser"]}, {"required": ["user"]}]);
    add_schema::<CampaignBody>(&mut schemas);
    add_schema::<PartBody>(&mut schemas);
    schemas["EntryBody"]["oneOf"][0]["pattern"] = OPENID.into();
    schemas["PersonBody"]["oneOf"] = json!([{"required": ["touser"]}, {"required": ["user"]}]);
    add_schema::<CampaignPage>(&mut schemas);
    add_schema::<Preview>(&mut schemas);
    add_schema::<LoadedPart>(&mut schemas);
    add_schema::<RecipientPage>(&mut schemas);
    add_schema::<Scheduled<'_>>(&mut schemas);
    add_schema::<ScheduledPage>(&mut schemas);
    add_schema::<ScheduledStatus>(&mut schemas);
    add_schema::<MessagePage>(&mut schemas);
    add_schema::<Sent>(&mut schemas);
    add_schema::<CustomSent>(&mut schemas);
    add_schema::<Results>(&mut schemas);
    add_schema::<RecipientResult>(&mut schemas);
    // A result that an earlier request got looks like one of the others.
    if let Some(Value::Array(variants)) = schemas["RecipientResult"].get_mut("oneOf") {
        variants.pop();
    }
    add_schema::<Message>(&mut schemas);
    add_schema::<DeliveryDays>(&mut schemas);
    add_schema::<TemplateList>(&mut schemas);
    add_schema::<Problem>(&mut schemas);
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;
    use wechat::validate::{
        campaign,
        send::{KNOWN, SendTemplate},
    };

    #[test]
    fn the_body_is_described_as_it_is_read() {
        let schemas = schemas();
        let mut described: Vec<_> = schemas["TemplateMessage"]["properties"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        let mut known = KNOWN.to_vec();
        described.sort();
        known.sort_unstable();
        assert_eq!(described, known);
        for (body, is_valid) in [
            (json!({"touser": "o", "template_id": "T"}), true),
            (
                json!({"touser": ["o"], "template_id": "T", "data": {"thing1": "x", "time2": {"value": "10:00"}}, "validate": "warn"}),
                true,
            ),
            (
                json!({"touser": "o", "template_id": "T", "url": null, "miniprogram": {}}),
                true,
            ),
            (json!({"user": "u", "template_id": "T"}), true),
            (json!({"users": ["u"], "template_id": "T"}), true),
            (json!({"users": "u", "template_id": "T"}), false),
            (json!({"touser": "o"}), false),
            (json!({"touser": 7, "template_id": "T"}), false),
            (json!({"touser": "o", "template_id": "T", "other": 1}), false),
            (json!({"touser": "o", "template_id": "T", "validate": "off"}), false),
            (json!({"touser": "o", "template_id": "T", "data": {"thing1": 7}}), false),
        ] {
            assert_eq!(SendTemplate::read(&body).is_ok(), is_valid, "{body}");
            assert_eq!(serde_json::from_value::<Body>(body.clone()).is_ok(), is_valid, "{body}");
        }
    }

    #[test]
    fn the_bounds_of_a_campaign_are_those_that_are_read() {
        let schemas = Value::from(schemas());
        let is_read = |member: &str, value: Value| {
            let mut body = json!({"name": "n", "template_id": "T", "audience": "list"});
            body[member] = value;
            campaign::read(&body).is_ok()
        };
        let canary = |count: u64, wait: u64| json!({"count": count, "wait": wait});
        let members: [(&str, &dyn Fn(u64) -> bool); 3] = [
            ("/NewCampaign/properties/pace", &|pace| is_read("pace", pace.into())),
            ("/CanaryBody/properties/count", &|count| {
                is_read("canary", canary(count, 0))
            }),
            ("/CanaryBody/properties/wait", &|wait| {
                is_read("canary", canary(1, wait))
            }),
        ];
        for (place, is_read) in members {
            let bound = |name: &str| schemas.pointer(place).and_then(|member| member[name].as_u64()).unwrap();
            let (least, most) = (bound("minimum"), bound("maximum"));
            assert!(is_read(least) && is_read(most) && !is_read(most + 1), "{place}");
            assert!(least == 0 || !is_read(least - 1), "{place}");
        }
        let longest = schemas["NewCampaign"]["properties"]["name"]["maxLength"]
            .as_u64()
            .unwrap();
        let name = |length: u64| Value::from("n".repeat(usize::try_from(length).unwrap()));
        assert!(is_read("name", name(longest)) && !is_read("name", name(longest + 1)));
    }
}
