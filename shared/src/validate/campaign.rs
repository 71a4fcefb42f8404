//! The body of `POST /api/campaigns`.

use serde_json::Value;

use super::{EMPTY, Fault, Object, Place, Reader, send};
use crate::{
    api::TemplateContent,
    campaign::{Audience, Canary, Plan},
};

/// Characters. The longest name of a campaign.
pub const NAME_LIMIT: usize = 100;
/// Messages a second, unless the caller says otherwise: what one worker sends without haste.
pub const PACE: u32 = 50;
/// Messages a second. The fastest pace.
pub const PACE_LIMIT: u64 = 1_000;
/// Seconds. The longest wait for the canary's receipts.
pub const CANARY_WAIT_LIMIT: u64 = 24 * 3600;
/// Messages. The largest canary.
pub const CANARY_COUNT_LIMIT: u64 = 100_000;
/// The known members.
pub const KNOWN: [&str; 11] = [
    "name",
    "template_id",
    "data",
    "url",
    "miniprogram",
    "audience",
    "pace",
    "start_at",
    "canary",
    "keep_for_single_sends",
    "validate",
];

/// Reads the body, already parsed as JSON.
///
/// # Errors
/// All faults.
pub fn read(body: &Value) -> Result<Plan, Vec<Fault>> {
    let mut reader = Reader::of_request();
    let plan = plan(&mut reader, body);
    reader.finish(plan)
}

fn plan(reader: &mut Reader, body: &Value) -> Option<Plan> {
    let body = &reader.object_of(Place::Root, body, &KNOWN)?;
    // Reads all members before a missing one returns, so that all faults are found.
    let name = name(reader, body);
    let template_id = send::template_id(reader, body);
    let audience = audience(reader, body);
    Some(Plan {
        content: TemplateContent {
            url: send::url(reader, body),
            miniprogram: send::miniprogram(reader, body),
            data: send::data(reader, body),
            template_id: template_id.unwrap_or_default(),
        },
        pace: integer(reader, body, "pace", 1, PACE_LIMIT)
            .and_then(|pace| u32::try_from(pace).ok())
            .unwrap_or(PACE),
        start_at: send::time(reader, body, "start_at"),
        canary: canary(reader, body),
        keep_for_single_sends: integer(reader, body, "keep_for_single_sends", 0, u64::MAX),
        only_warns: body.get("validate").is_some() && reader.one_of(body, "validate", &["warn"]).is_some(),
        name: name?.to_owned(),
        audience: audience?,
    })
}

fn name<'v>(reader: &mut Reader, body: &Object<'_, 'v>) -> Option<&'v str> {
    let name = reader.required_text(body, "name", send::is_blank)?;
    let place = body.place.member("name");
    reader.at_most_characters(&place, name, NAME_LIMIT);
    reader.no_control_characters(&place, name);
    Some(name)
}

fn audience(reader: &mut Reader, body: &Object<'_, '_>) -> Option<Audience> {
    let place = body.place.member("audience");
    let Some(value) = body.get("audience") else {
        reader.missing(&place);
        return None;
    };
    match value {
        Value::String(text) if text == "list" => Some(Audience::List),
        Value::String(text) if text == "followers" => Some(Audience::Followers),
        Value::Object(_) => {
            let tag = reader.object_of(place, value, &["tag"])?;
            integer(reader, &tag, "tag", 0, u64::from(u32::MAX))
                .and_then(|tag| u32::try_from(tag).ok())
                .map(Audience::Tag)
                .or_else(|| {
                    if tag.get("tag").is_none() {
                        reader.missing(&tag.place.member("tag"));
                    }
                    None
                })
        }
        _ => {
            reader.fault(
                &place,
                "must be \"list\", \"followers\" or {\"tag\": 134}, the id of a tag / 应为 \"list\"、\"followers\" 或 {\"tag\": 134}（标签 id）",
            );
            None
        }
    }
}

fn canary(reader: &mut Reader, body: &Object<'_, '_>) -> Option<Canary> {
    let place = body.place.member("canary");
    let canary = reader.object_of(place, body.get("canary")?, &["count", "wait"])?;
    let mut required = |name, least, most| {
        if canary.get(name).is_none() {
            reader.missing(&canary.place.member(name));
        }
        integer(reader, &canary, name, least, most).and_then(|number| u32::try_from(number).ok())
    };
    let (count, wait) = (
        required("count", 1, CANARY_COUNT_LIMIT),
        required("wait", 0, CANARY_WAIT_LIMIT),
    );
    Some(Canary {
        count: count?,
        wait: wait?,
    })
}

/// Reads an optional integer between `least` and `most`.
fn integer(reader: &mut Reader, object: &Object<'_, '_>, name: &str, least: u64, most: u64) -> Option<u64> {
    let place = object.place.member(name);
    let integer = reader.integer(&place, object.get(name)?)?;
    if (least..=most).contains(&integer) {
        return Some(integer);
    }
    reader.fault(&place, format!("must be {least} to {most} / 应为 {least} 至 {most}"));
    None
}

/// Reads the name of a part.
pub(super) fn part_name(reader: &mut Reader, place: &Place<'_>, name: &str) {
    const LIMIT: usize = 128;
    if send::is_blank(name) {
        reader.fault(place, EMPTY);
    }
    reader.at_most(place, name, LIMIT);
    reader.no_control_characters(place, name);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::assert_each_half_says_all, *};

    fn body() -> Value {
        json!({"name": "停水通知", "template_id": "T", "data": {"thing1": "停水"}, "audience": "list"})
    }

    fn with(member: &str, value: Value) -> Value {
        let mut body = body();
        body[member] = value;
        body
    }

    #[test]
    fn a_campaign_needs_a_name_a_template_and_an_audience() {
        let plan = read(&body()).unwrap();
        assert_eq!((plan.pace, plan.audience, plan.canary), (50, Audience::List, None));
        let faults = read(&json!({})).unwrap_err();
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/template_id", "/audience"]);
    }

    #[test]
    fn each_audience_is_read() {
        for (value, expected) in [
            (json!("followers"), Audience::Followers),
            (json!({"tag": 134}), Audience::Tag(134)),
        ] {
            assert_eq!(read(&with("audience", value)).unwrap().audience, expected);
        }
        for value in [
            json!("all"),
            json!({"tag": "134"}),
            json!({}),
            json!(["list"]),
            json!({"tag": 1, "x": 2}),
        ] {
            assert!(read(&with("audience", value.clone())).is_err(), "{value}");
        }
    }

    #[test]
    fn a_value_out_of_bounds_is_named_with_its_bounds() {
        for (member, value) in [
            ("pace", json!(0)),
            ("pace", json!(1_001)),
            ("pace", json!("50")),
            ("canary", json!({"count": 0, "wait": 60})),
            ("canary", json!({"count": 10})),
            ("start_at", json!("tomorrow")),
            ("keep_for_single_sends", json!(-1)),
            ("name", json!("长".repeat(101))),
            ("pcae", json!(50)),
        ] {
            let faults = read(&with(member, value.clone())).unwrap_err();
            assert_eq!(faults.len(), 1, "{member} {value}: {faults:?}");
            assert_each_half_says_all(&faults[0], &[]);
        }
        let plan = read(&with("start_at", json!("2026-12-01T09:00:00+08:00"))).unwrap();
        assert_eq!(plan.start_at, Some(1_796_086_800));
    }
}
