//! Values whose type the file leaves open, as the claims of a token. It gives them no meaning.

use std::fmt;

use prom_model::format_float;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::{
    check::Checker,
    key_path::KeyPath,
    print::{Map, Value},
    section::Field,
};

/// A value of any type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OpenValue {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
    List(Vec<OpenValue>),
    /// In the order of the file.
    Map(Vec<(String, OpenValue)>),
}

impl<'de> Deserialize<'de> for OpenValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OpenVisitor)
    }
}

struct OpenVisitor;

impl<'de> Visitor<'de> for OpenVisitor {
    type Value = OpenValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<OpenValue, E> {
        Ok(OpenValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<OpenValue, E> {
        Ok(OpenValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<OpenValue, E> {
        Ok(OpenValue::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<OpenValue, E> {
        Ok(OpenValue::Uint(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<OpenValue, E> {
        Ok(OpenValue::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<OpenValue, E> {
        Ok(OpenValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OpenValue, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(OpenValue::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OpenValue, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(OpenValue::Map(pairs))
    }
}

impl Field for OpenValue {
    type Raw = Self;

    fn check(raw: Self, _: &mut Checker<'_>, _: &KeyPath<'_>) -> Self {
        raw
    }

    fn is_zero(&self) -> bool {
        *self == Self::Null
    }

    fn show(&self) -> Value {
        match self {
            Self::Null => Value::Plain(String::from("null")),
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => Value::Plain(value.to_string()),
            Self::Uint(value) => Value::Plain(value.to_string()),
            Self::Float(value) => Value::Plain(format_float(*value)),
            Self::Text(text) => text.as_str().into(),
            Self::List(values) => Value::List(values.iter().map(Field::show).collect()),
            Self::Map(pairs) => Value::Map(
                pairs.iter().map(|(name, value)| (name.as_str(), value.show())).collect::<Map>(),
            ),
        }
    }
}

/// Named values of any type, in the order of their names.
impl Field for std::collections::BTreeMap<String, OpenValue> {
    type Raw = Self;

    fn check(raw: Self, _: &mut Checker<'_>, _: &KeyPath<'_>) -> Self {
        raw
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn show(&self) -> Value {
        Value::Map(self.iter().map(|(name, value)| (name.as_str(), value.show())).collect::<Map>())
    }
}
