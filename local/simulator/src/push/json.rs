//! Documents of the push channel as JSON, for accounts with 数据格式 JSON. The names are those of the XML.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::xml::Element;
use crate::platform::notice::{Content, Field, Fields};

/// Writes the document. Repeated elements become a list; numbers keep all their digits.
pub(crate) fn write(fields: &[Field]) -> Value {
    let mut members = Map::new();
    for (name, content) in fields {
        let value = match content {
            Content::Text(text) => Value::from(text.as_str()),
            Content::Number(digits) => number(digits),
            Content::Group(fields) => write(fields),
        };
        match members.get_mut(&**name) {
            None => {
                members.insert(name.clone().into_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(members)
}

fn number(digits: &str) -> Value {
    let whole = digits.parse::<u64>().map(Number::from).ok();
    let number = whole.or_else(|| digits.parse().ok().and_then(Number::from_f64));
    number.map_or_else(|| Value::from(digits), Value::Number)
}

/// The members of a JSON object as fields of a document: lists become repeated elements.
pub(crate) fn fields(members: Map<String, Value>) -> Fields {
    let mut fields = Vec::new();
    for (name, value) in members {
        match value {
            Value::Array(values) => {
                fields.extend(values.into_iter().map(|value| (name.clone().into(), content(value))))
            }
            value => fields.push((Cow::Owned(name), content(value))),
        }
    }
    fields
}

fn content(value: Value) -> Content {
    match value {
        Value::Null => Content::text(""),
        Value::Bool(flag) => Content::Number(flag.to_string()),
        Value::Number(number) => Content::Number(number.to_string()),
        Value::String(text) => Content::Text(text),
        Value::Array(values) => Content::Group(
            values
                .into_iter()
                .map(|value| ("item".into(), content(value)))
                .collect(),
        ),
        Value::Object(members) => Content::Group(self::fields(members)),
    }
}

/// Reads a reply: an object whose members stand for the elements of the same names.
pub(crate) fn read(document: &str) -> Result<Element, serde_json::Error> {
    let members: Map<String, Value> = serde_json::from_str(document)?;
    Ok(element("xml", &Value::Object(members)))
}

fn element(name: &str, value: &Value) -> Element {
    let children = match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::Array(values) => values.iter().map(|value| element(name, value)).collect(),
                value => vec![element(name, value)],
            })
            .collect(),
        _ => Vec::new(),
    };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    Element::new(name, text, children)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn writes_what_it_reads_with_every_digit() {
        let document = json!({
            "MsgID": 3_428_411_849_815_982_087_u64,
            "Latitude": 31.23,
            "Event": "a",
            "List": [{"TemplateId": "a"}, {"TemplateId": "b"}],
            "ScanCodeInfo": {"ScanType": "qrcode"},
        });
        let members = document.as_object().unwrap().clone();
        assert_eq!(write(&fields(members)), document);
    }

    #[test]
    fn a_reply_reads_like_its_xml() {
        let reply = r#"{"MsgType":"news","CreateTime":12,"Articles":{"item":[{"Title":"t"},{"Title":"u"}]}}"#;
        let xml = "<xml><MsgType>news</MsgType><CreateTime>12</CreateTime><Articles><item><Title>t</Title></item><item><Title>u</Title></item></Articles></xml>";
        assert_eq!(
            read(reply).unwrap().to_json(),
            super::super::xml::read(xml).unwrap().to_json()
        );
        assert!(read("[]").is_err());
    }
}
