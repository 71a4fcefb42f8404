//! JSON as a [`Document`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Document, DocumentError};
use crate::json::escape_control_characters;

/// Reads one object with what is in it.
pub(super) fn parse(text: &str) -> Result<Document, DocumentError> {
    let text = escape_control_characters(text);
    let mut json = serde_json::Deserializer::from_str(&text);
    let mut roots = Vec::new();
    Member {
        name: "xml",
        siblings: &mut roots,
    }
    .deserialize(&mut json)?;
    json.end()?;
    roots.pop().ok_or(DocumentError::Empty)
}

/// Reads a value as the members called `name` among `siblings`: none or many from an array, else one.
struct Member<'a> {
    name: &'a str,
    siblings: &'a mut Vec<Document>,
}

impl Member<'_> {
    fn leaf(self, value: impl Into<String>) {
        self.siblings.push(Document::leaf(self.name, value));
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.leaf("");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.leaf(value.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.leaf(value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.leaf(value.to_string());
        Ok(())
    }

    /// Fractions; and integers beyond 64 bits, which are refused because they have lost digits already: an id that is
    /// altered is worse than none.
    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if value.abs() >= 2f64.powi(63) {
            return Err(E::custom("a number that 64 bits cannot hold"));
        }
        self.leaf(value.to_string());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.leaf(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items
            .next_element_seed(Member {
                name: self.name,
                siblings: &mut *self.siblings,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut children = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value_seed(Member {
                name: &name,
                siblings: &mut children,
            })?;
        }
        self.siblings.push(Document {
            name: self.name.to_owned(),
            value: String::new(),
            children,
        });
        Ok(())
    }
}
