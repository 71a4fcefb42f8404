//! Items as lines of DynamoDB's JSON, the form that DynamoDB itself exports and imports: `{"Item": {"pk": {"S": "…"}, …}}`.
//!
//! See [AWS Docs/DynamoDB data export output format](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html).

use std::collections::HashMap;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// Bytes of an item at most.
/// See [AWS Docs/Quotas](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items).
const LARGEST: usize = 400 * 1024;

pub(super) type Item = HashMap<String, AttributeValue>;

/// Writes an item as one line.
pub(super) fn line(item: &Item) -> String {
    let item: Map<String, Value> = item
        .iter()
        .map(|(name, value)| (name.clone(), written(value)))
        .collect();
    json!({ "Item": item }).to_string()
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(line: &str) -> Result<Item, String> {
    let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let item = line["Item"].as_object().ok_or("there is no object \"Item\"")?;
    let item: Item = item
        .iter()
        .map(|(name, value)| Ok((name.clone(), read(value)?)))
        .collect::<Result<_, String>>()?;
    if pk(&item).is_empty() {
        return Err("there is no text \"pk\"".to_owned());
    }
    if item.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>() > LARGEST {
        return Err("the item is larger than DynamoDB's 400 KB".to_owned());
    }
    Ok(item)
}

/// The key of an item; empty when it has none.
pub(super) fn pk(item: &Item) -> &str {
    item.get("pk").and_then(|pk| pk.as_s().ok()).map_or("", String::as_str)
}

fn written(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(is_so) => json!({ "BOOL": is_so }),
        AttributeValue::B(bytes) => json!({"B": STANDARD.encode(bytes)}),
        AttributeValue::L(list) => json!({"L": list.iter().map(written).collect::<Vec<_>>()}),
        AttributeValue::M(map) => {
            let members = map.iter().map(|(name, value)| (name.clone(), written(value)));
            json!({"M": members.collect::<Map<_, _>>()})
        }
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(all) => json!({"BS": all.iter().map(|bytes| STANDARD.encode(bytes)).collect::<Vec<_>>()}),
        _ => json!({"NULL": true}),
    }
}

fn read(value: &Value) -> Result<AttributeValue, String> {
    let member = value
        .as_object()
        .filter(|members| members.len() == 1)
        .and_then(|members| members.iter().next());
    let (kind, value) = member.ok_or("a value has one type, such as {\"S\": \"text\"}")?;
    let wrong = || format!("{kind} does not fit its value");
    let text = || value.as_str().map(str::to_owned).ok_or_else(wrong);
    let texts = || {
        let texts = value.as_array().ok_or_else(wrong)?.iter();
        texts
            .map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<Vec<_>, _>>()
    };
    let bytes = |text: String| STANDARD.decode(text).map(Blob::new).map_err(|_| wrong());
    Ok(match kind.as_str() {
        "S" => AttributeValue::S(text()?),
        "N" => AttributeValue::N(text().ok().filter(|number| is_number(number)).ok_or_else(wrong)?),
        "BOOL" => AttributeValue::Bool(value.as_bool().ok_or_else(wrong)?),
        "NULL" => AttributeValue::Null(true),
        "B" => AttributeValue::B(bytes(text()?)?),
        "L" => AttributeValue::L(
            value
                .as_array()
                .ok_or_else(wrong)?
                .iter()
                .map(read)
                .collect::<Result<_, _>>()?,
        ),
        "M" => {
            let members = value.as_object().ok_or_else(wrong)?.iter();
            let members = members.map(|(name, value)| Ok((name.clone(), read(value)?)));
            AttributeValue::M(members.collect::<Result<_, String>>()?)
        }
        "SS" => AttributeValue::Ss(texts()?),
        "NS" => AttributeValue::Ns(texts()?),
        "BS" => AttributeValue::Bs(texts()?.into_iter().map(bytes).collect::<Result<_, _>>()?),
        other => return Err(format!("there is no type {other}")),
    })
}

/// Bytes of a value, as DynamoDB counts them or a little more.
fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + size(value)).sum::<usize>(),
        AttributeValue::M(map) => {
            3 + map
                .iter()
                .map(|(name, value)| 1 + name.len() + size(value))
                .sum::<usize>()
        }
        _ => 1,
    }
}

/// Whether DynamoDB takes it: digits, and no `NaN`.
fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
        && text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_value_survives() {
        let text = r#"{"Item":{"pk":{"S":"user#wx#1"},"a":{"N":"9007199254740993"},"b":{"BOOL":false},"c":{"NULL":true},
            "d":{"B":"AP8="},"e":{"L":[{"S":"x"},{"M":{"y":{"N":"-1.5"}}}]},"f":{"SS":["1","2"]},"g":{"NS":["1"]},"h":{"BS":["AA=="]}}}"#;
        let item = parse(text).unwrap();
        assert_eq!(item.len(), 9);
        assert_eq!(parse(&line(&item)).unwrap(), item);
    }

    #[test]
    fn a_line_that_is_no_item_says_what_is_wrong() {
        for (text, wrong) in [
            ("{", "EOF"),
            (r#"{"pk":{"S":"1"}}"#, "Item"),
            (r#"{"Item":{"sk":{"S":"1"}}}"#, "pk"),
            (r#"{"Item":{"pk":"1"}}"#, "one type"),
            (r#"{"Item":{"pk":{"N":1}}}"#, "N does not fit"),
            (r#"{"Item":{"pk":{"S":"1"},"a":{"N":"abc"}}}"#, "N does not fit"),
            (r#"{"Item":{"pk":{"S":""}}}"#, "pk"),
            (r#"{"Item":{"pk":{"X":"1"}}}"#, "no type X"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }
}
