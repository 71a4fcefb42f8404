//! Parses JSON into a [`Tree`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{ParseError, Tree};
use crate::json::escape_control_characters;

/// Parses one object and its content.
pub(super) fn parse(text: &str) -> Result<Tree, ParseError> {
    let text = escape_control_characters(text);
    let mut json = serde_json::Deserializer::from_str(&text);
    let mut roots = Vec::new();
    Member {
        name: "xml",
        siblings: &mut roots,
    }
    .deserialize(&mut json)?;
    json.end()?;
    roots.pop().ok_or(ParseError::Empty)
}

/// Reads a value and appends it to `siblings` under `name`: one member for each item of an array, else one.
struct Member<'a> {
    name: &'a str,
    siblings: &'a mut Vec<Tree>,
}

impl Member<'_> {
    fn leaf(self, value: impl Into<String>) {
        self.siblings.push(Tree::leaf(self.name, value));
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

    /// Accepts fractions. Refuses integers over 64 bits, which have already lost digits here: a wrong id is worse than no
    /// id.
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
        self.siblings.push(Tree {
            name: self.name.to_owned(),
            value: String::new(),
            children,
        });
        Ok(())
    }
}
