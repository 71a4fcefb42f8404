//! `openapi.json`: the HTTP surface under `/api`. Schemas come from the types; what `admin` serves is written out here,
//! beside the rest, so that there is one document.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::schema::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type},
};
use wechat::{
    problem::Problem,
    validate::send::{KNOWN, SendTemplate},
};

use crate::answer::{Message, RecipientResult, Results, Sent, TemplateList};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");

/// The body of `POST /api/sendTemplateMessage`, which `SendTemplate::read` reads by hand to name the member at fault.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateMessage)]
#[allow(dead_code, reason = "only its shape is wanted")]
struct Body {
    /// One openid, or up to 100.
    #[schema(schema_with = recipients)]
    touser: Recipients,
    /// One of the account's own templates.
    #[schema(pattern = r"\S")]
    template_id: String,
    /// The template's fields by name.
    data: Option<BTreeMap<String, Field>>,
    /// Where a tap leads: http or https.
    #[schema(pattern = "^$|^[Hh][Tt][Tt][Pp][Ss]?://.")]
    url: Option<String>,
    /// What a tap opens; it wins over `url`. Without an appid it is left out.
    miniprogram: Option<MiniProgram>,
    /// The same openid and id are sent once, within 10 minutes. Made from the Idempotency-Key when absent.
    #[schema(max_length = 64)]
    client_msg_id: Option<String>,
    /// `warn` sends even what WeChat refuses for sure, and always tells the findings.
    validate: Option<Validate>,
    /// Obsolete: accepted and dropped.
    topcolor: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its shape is wanted")]
enum Recipients {
    One(String),
    Many(Vec<String>),
}

fn recipients() -> Schema {
    let openid = || -> Object {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"\S"))
            .build()
    };
    let several = ArrayBuilder::new()
        .items(openid())
        .min_items(Some(1))
        .max_items(Some(100));
    OneOfBuilder::new().item(openid()).item(several).into()
}

/// `"text"` stands for `{"value":"text"}`. Numbers are written in quotes.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its shape is wanted")]
enum Field {
    Text(String),
    Value(FieldValue),
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape is wanted")]
struct FieldValue {
    value: String,
    /// `#RRGGBB`: shown by test accounts only.
    color: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape is wanted")]
struct MiniProgram {
    appid: Option<String>,
    pagepath: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Validate {
    Warn,
}

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "WeChat Official Account bundle / 微信公众号",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Template messages, menu, reply rules and set-up check. Failures are application/problem+json (RFC 9457), in English and Chinese.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"key": {
                "type": "http", "scheme": "bearer",
                "description": "One of API_KEYS, or the token that the gateway's JWT authorizer accepts. Nothing in a query string counts.",
            }},
            "schemas": schemas(),
            "responses": problems(),
        },
    })
}

fn paths() -> Value {
    json!({
        "/api/sendTemplateMessage": {"post": operation("sendTemplateMessage", "Send a template message / 发送模板消息", &[400, 409, 413, 422, 429], json!({
            "parameters": [{
                "name": "Idempotency-Key", "in": "header",
                "description": "A request that is repeated with the same key within 24 hours is sent once, and answered the same; where something is still unknown or undone, the repeat asks for that alone. Keys belong to the caller's API key.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
            }],
            "requestBody": json_body("TemplateMessage"),
            "responses": {
                "200": answer("WeChat took it; with an array, every one of them", &one_of(&["Sent", "Results"])),
                "207": answer("Some recipients failed: `results` says which. When all failed alike, the answer is that failure", &schema("Results")),
            },
        }))},
        "/api/messages/{msgid}": {"get": operation("getMessage", "What became of a message / 查询送达结果", &[404], json!({
            "parameters": [{
                "name": "msgid", "in": "path", "required": true,
                "schema": {"type": "string", "pattern": "^[0-9]{1,20}$"},
            }],
            "responses": {"200": answer("The record, kept for 30 days", &schema("Message"))},
        }))},
        "/api/templates": {"get": operation("listTemplates", "The account's templates / 模板列表", &[400, 429], json!({
            "responses": {"200": answer("The templates with their fields", &schema("TemplateList"))},
        }))},
        "/api/menu": {
            "get": operation("getMenu", "Query the menu / 查询菜单", &[400, 404, 429], json!({
                "parameters": [{
                    "name": "source", "in": "query",
                    "description": "`current`: the menu that users see, also one that was made in the console.",
                    "schema": {"enum": ["current"]},
                }],
                "responses": {"200": answer("WeChat's own answer", &json!({"type": "object"}))},
            })),
            "post": operation("createMenu", "Create the menu / 创建菜单", &[400, 412, 413, 429], json!({
                "parameters": [if_match(), {
                    "name": "dry_run", "in": "query",
                    "description": "`true`: answer what would change, and change nothing.",
                    "schema": {"enum": ["true", "false"]},
                }],
                "requestBody": json_body("Menu"),
                "responses": {"200": answer("The menu is made, or what would change", &one_of(&["Done", "Changes"]))},
            })),
            "delete": operation("deleteMenu", "Delete the menu / 删除菜单", &[400, 404, 412, 429], json!({
                "parameters": [if_match()],
                "responses": {"200": answer("It is deleted, with the conditional menus", &schema("Done"))},
            })),
        },
        "/api/menu/rollback": {"post": operation("rollBackMenu", "Restore the menu before the last change / 恢复上次修改前的菜单", &[400, 404, 409, 412, 429], json!({
            "description": "Doing it again undoes it, unless If-Match names the menu that it shall take the place of.",
            "parameters": [if_match()],
            "responses": {"200": answer("It is restored", &schema("Done"))},
        }))},
        "/api/menu/conditional": {"post": operation("addConditionalMenu", "Add a conditional menu / 添加个性化菜单", &[400, 413, 429], json!({
            "requestBody": json_body("Menu"),
            "responses": {"200": answer("It is added, as `menuid`", &schema("Done"))},
        }))},
        "/api/menu/conditional/{menuid}": {"delete": operation("deleteConditionalMenu", "Delete a conditional menu / 删除个性化菜单", &[400, 404, 429], json!({
            "parameters": [{
                "name": "menuid", "in": "path", "required": true,
                "schema": {"type": "string", "pattern": "^[0-9]+$"},
            }],
            "responses": {"200": answer("It is deleted", &schema("Done"))},
        }))},
        "/api/menu/trymatch": {"post": operation("tryMatchMenu", "The menu that a user sees / 测试个性化菜单匹配", &[400, 413, 429], json!({
            "requestBody": json_body("MenuUser"),
            "responses": {"200": answer("WeChat's own answer", &json!({"type": "object"}))},
        }))},
        "/api/replies/rollback": {"post": operation("rollBackReplies", "Store an earlier version again / 恢复之前的回复规则", &[400, 404, 412, 413], json!({
            "description": "Name the version to restore, or send If-Match. A repeat after a lost answer brings nothing else back.",
            "parameters": [if_match()],
            "requestBody": {"required": false, "content": {"application/json": {"schema": schema("Version")}}},
            "responses": {"200": answer("The document as it was stored", &schema("Replies"))},
        }))},
        "/api/replies/try": {"post": operation("tryReplies", "What would be replied, and by which rule / 试算回复", &[400, 413], json!({
            "requestBody": json_body("Attempt"),
            "responses": {"200": answer("The reply and the pointer of its rule, or nulls", &json!({"type": "object"}))},
        }))},
        "/api/replies": {
            "get": operation("getReplies", "The reply rules / 查询回复规则", &[], json!({
                "responses": {"200": answer("The document; {} when none is stored", &schema("Replies"))},
            })),
            "put": operation("putReplies", "Replace the reply rules / 更新回复规则", &[400, 412, 413], json!({
                "parameters": [if_match()],
                "requestBody": json_body("Replies"),
                "responses": {"200": answer("The document as it was stored", &schema("Replies"))},
            })),
        },
        "/api/doctor": {"get": operation("getDoctor", "Check the set-up step by step / 检查配置", &[], json!({
            "responses": {"200": answer("Each check, and how to mend what fails", &schema("Doctor"))},
        }))},
    })
}

/// An operation: `members`, with the failures that any may have and those of this one.
fn operation(id: &str, summary: &str, failures: &[u16], mut members: Value) -> Value {
    members["operationId"] = id.into();
    members["summary"] = summary.into();
    for status in [401, 502, 503, 504].iter().chain(failures) {
        members["responses"][status.to_string()] = json!({"$ref": format!("#/components/responses/{status}")});
    }
    members
}

fn if_match() -> Value {
    json!({
        "name": "If-Match", "in": "header",
        "description": "The ETag of the version that this one shall take the place of.",
        "schema": {"type": "string", "pattern": "^([*]|\"[0-9a-z]{1,19}\")$"},
    })
}

fn problems() -> Map<String, Value> {
    let responses = [
        (
            400,
            "The request is at fault, or WeChat refused it: `field`, `pointer`, `faults` and `errcode` say why",
        ),
        (401, "No key, or a wrong one"),
        (404, "There is no such thing"),
        (
            409,
            "A request with the same Idempotency-Key, or another roll-back, is in progress",
        ),
        (412, "The rules or the menu have changed since they were read"),
        (413, "The body has more than 256 KiB"),
        (422, "The Idempotency-Key was used with another body"),
        (429, "WeChat's quota or frequency"),
        (502, "WeChat answered something else, or not JSON"),
        (503, "The set-up is at fault: `hint` says what to do"),
        (
            504,
            "WeChat or the store did not answer in time. With `may_have_been_sent`, WeChat may have taken the message: repeat it with the same Idempotency-Key or `client_msg_id` within 9 minutes",
        ),
    ];
    let response = |(status, description): (u16, &str)| {
        let mut response = json!({
            "description": description,
            "content": {"application/problem+json": {"schema": schema("Problem")}},
        });
        if matches!(status, 409 | 429) {
            response["headers"] = json!({"Retry-After": {
                "description": "Seconds; absent where no time is known", "schema": {"type": "integer"},
            }});
        }
        (status.to_string(), response)
    };
    responses.into_iter().map(response).collect()
}

fn schemas() -> Map<String, Value> {
    let mut schemas = by_hand();
    add::<Body>(&mut schemas);
    add::<Sent>(&mut schemas);
    add::<Results>(&mut schemas);
    add::<RecipientResult>(&mut schemas);
    add::<Message>(&mut schemas);
    add::<TemplateList>(&mut schemas);
    add::<Problem>(&mut schemas);
    schemas
}

fn add<T: ToSchema>(schemas: &mut Map<String, Value>) {
    let mut all = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut all);
    schemas.extend(all.into_iter().map(|(name, schema)| (name, json!(schema))));
}

/// What `admin` takes and gives: WeChat's own menu, the rules document, the doctor's checks.
fn by_hand() -> Map<String, Value> {
    let Value::Object(schemas) = json!({
        "Menu": {
            "type": "object", "required": ["button"],
            "description": "As WeChat's menu/create takes it. What GET /api/menu answers is taken too: {\"menu\":{…}} and {\"selfmenu_info\":{…}}.",
            "properties": {"button": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "object"}}},
        },
        "MenuUser": {
            "type": "object", "required": ["user_id"],
            "properties": {"user_id": {"type": "string", "minLength": 1, "description": "An openid or a WeChat ID."}},
        },
        "Changes": {
            "type": "object", "required": ["changes"],
            "properties": {"changes": {"type": "array", "items": {
                "type": "object", "required": ["pointer"], "properties": {"pointer": {"type": "string"}, "from": {}, "to": {}},
            }}},
        },
        "Version": {
            "type": ["object", "null"], "additionalProperties": false,
            "properties": {"version": {"type": ["integer", "null"], "minimum": 0, "description": "Without it, the last one."}},
        },
        "Attempt": {"oneOf": [
            {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
            {"type": "object", "required": ["event"], "properties": {"event": {"type": "string"}, "key": {"type": "string"}}},
        ]},
        "Done": {
            "type": "object", "required": ["errcode", "errmsg"],
            "properties": {"errcode": {"const": 0}, "errmsg": {"const": "ok"}},
        },
        "Replies": {
            "type": "object", "additionalProperties": false,
            "description": "The first keyword rule that matches a text, or what a voice message says, wins. Scans are QR scenes.",
            "properties": {
                "subscribe": or_null("Reply"),
                "keywords": {"type": ["array", "null"], "items": {
                    "type": "object", "additionalProperties": false, "required": ["match", "value", "reply"],
                    "properties": {
                        "match": {"enum": ["exact", "prefix", "contains", "regex"]},
                        "value": {"type": "string", "minLength": 1},
                        "strict": {
                            "type": ["boolean", "null"],
                            "description": "Whether case, full or half width and outer spaces count.",
                        },
                        "reply": schema("Reply"),
                    },
                }},
                "clicks": {"type": ["object", "null"], "additionalProperties": schema("Reply")},
                "scans": {"type": ["object", "null"], "additionalProperties": schema("Reply")},
                "default": or_null("Reply"),
            },
        },
        "Reply": {"oneOf": [
            reply("text", &["content"], &[]),
            reply("image", &["media_id"], &[]),
            reply("voice", &["media_id"], &[]),
            reply("video", &["media_id"], &["title", "description"]),
            reply("music", &["thumb_media_id"], &["title", "description", "music_url", "hq_music_url"]),
            {
                "type": "object", "additionalProperties": false, "required": ["type", "articles"],
                "properties": {
                    "type": {"const": "news"},
                    "articles": {"type": "array", "minItems": 1, "maxItems": 8, "items": members(&["title"], &["description", "pic_url", "url"])},
                },
            },
            reply("transfer_customer_service", &[], &["kf_account"]),
        ]},
        "Doctor": {
            "type": "object", "required": ["ok", "checks"],
            "properties": {
                "ok": {"type": "boolean", "description": "Whether every check passed."},
                "checks": {"type": "array", "items": {
                    "type": "object", "required": ["name", "ok", "detail"],
                    "properties": {
                        "name": {"type": "string"}, "ok": {"type": "boolean"}, "detail": {"type": "string"},
                        "hint": {"type": ["string", "null"], "description": "What to do, in English and Chinese."},
                    },
                }},
            },
        },
    }) else {
        return Map::new();
    };
    schemas
}

fn reply(kind: &str, required: &[&str], optional: &[&str]) -> Value {
    let mut reply = members(required, optional);
    reply["properties"]["type"] = json!({"const": kind});
    if let Some(required) = reply["required"].as_array_mut() {
        required.push("type".into());
    }
    reply
}

/// Texts of at most 2048 bytes, those that are required not empty.
fn members(required: &[&str], optional: &[&str]) -> Value {
    let must = required
        .iter()
        .map(|name| (*name, json!({"type": "string", "pattern": r"\S", "maxLength": 2048})));
    let may = optional.iter().map(|name| (*name, json!({"type": ["string", "null"]})));
    let properties: BTreeMap<_, _> = must.chain(may).collect();
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn one_of(names: &[&str]) -> Value {
    json!({"oneOf": names.iter().map(|name| schema(name)).collect::<Vec<_>>()})
}

fn or_null(name: &str) -> Value {
    json!({"oneOf": [schema(name), {"type": "null"}]})
}

fn answer(description: &str, schema: &Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

fn json_body(name: &str) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema(name)}}})
}

#[test]
fn openapi_json_is_current() {
    let document = document();
    if std::env::var_os("WRITE_OPENAPI").is_some() {
        std::fs::write(PATH, format!("{document:#}\n")).unwrap();
    }
    let checked_in: Value =
        serde_json::from_str(&std::fs::read_to_string(PATH).unwrap_or_default()).unwrap_or_default();
    assert!(
        checked_in == document,
        "openapi.json is not current: run WRITE_OPENAPI=1 cargo test -p send-template openapi"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| match member {
                Value::String(target) if name == "$ref" => found.push(target.clone()),
                member => references(member, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for target in found {
        let pointer = target.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

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
