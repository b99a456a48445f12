//! Documents into raw types through serde. A value of the wrong type becomes the zero value and an error,
//! so that one pass finds all mistakes; only what makes the rest meaningless stops it.

use std::borrow::Cow;

use prom_model::quote_go_bytes;
use serde::{Deserialize, Deserializer, de::Visitor};

use super::{
    base64,
    document::{Document, Kind, NodeId},
    fields::{Elements, Entries},
    scalar::{self, BINARY_TAG, Meaning, STR_TAG, short_tag},
    scope::{AliasGuard, Scope, Stop},
};
use crate::{
    error::{ConfigError, ErrorKind},
    key_path::{KeyPath, Step},
    secret::SECRET_MASK,
};

/// Longest value that a message shows whole, in bytes. Compat: go-yaml.
const SHOWN_VALUE_SIZE_MAX: usize = 10;

/// Stands for the type of a key in a set of labels.
pub(super) const LABEL_NAME: &str = "label name";
/// Deepest nesting of values whose type is left open.
const OPEN_DEPTH_MAX: usize = 64;

/// What a family of files says about its keys beyond the raw types.
///
/// A raw struct is renamed to the type Prometheus names in its messages, followed by `#` and a name of its
/// own where that is ambiguous: `config.plain#global`.
#[derive(Debug)]
pub(crate) struct Schema {
    /// The type Prometheus names for a key's value, where it is not that of a plain scalar.
    pub(crate) type_name: fn(struct_name: &str, key: &str) -> Option<&'static str>,
    /// The keys of an inlined struct. A raw struct inlines another by a field whose name begins with `#`;
    /// the same name stands for the inlined struct in this schema.
    pub(crate) inline_fields: fn(inline: &str) -> &'static [&'static str],
    /// Types whose values no message may show, misplaced as they are (I3).
    pub(crate) is_secret: fn(type_name: &str) -> bool,
}

/// What came out of a document.
#[derive(Debug)]
pub(crate) struct Decoded<T> {
    pub(crate) value: T,
    /// In the order in which they were met.
    pub(crate) errors: Vec<ConfigError>,
    /// Whether reading stopped before the end, so that checking the value is pointless.
    pub(crate) is_partial: bool,
}

/// Decodes a document; an empty one is `None`, which leaves all to the type's default.
pub(crate) fn decode<T>(document: &Document<'_>, schema: &Schema) -> Decoded<T>
where
    T: for<'de> Deserialize<'de> + Default,
{
    let scope = Scope::new(document, schema);
    let value = match document.root() {
        None => Ok(T::default()),
        Some(node) => T::deserialize(Decoder::new(&scope, node, &KeyPath::TOP, None)),
    };
    match value {
        Ok(value) => Decoded { value, errors: scope.into_errors(None), is_partial: false },
        Err(stop) => {
            let errors = scope.into_errors(Some(stop));
            Decoded { value: T::default(), errors, is_partial: true }
        }
    }
}

/// Decodes one node.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'s, 'p> {
    pub(super) scope: &'s Scope<'s>,
    pub(super) node: NodeId,
    pub(super) path: &'p KeyPath<'p>,
    /// The type that Prometheus would name in a message about this node.
    pub(super) type_name: Option<&'static str>,
}

impl<'s, 'p> Decoder<'s, 'p> {
    pub(super) fn new(
        scope: &'s Scope<'s>,
        node: NodeId,
        path: &'p KeyPath<'p>,
        type_name: Option<&'static str>,
    ) -> Self {
        Self { scope, node, path, type_name }
    }

    pub(super) fn kind(&self) -> &'s Kind<'s> {
        &self.scope.document.node(self.node).kind
    }

    /// Goes through an alias to what it stands for.
    fn enter(self) -> Result<(Self, AliasGuard<'s>), Stop> {
        let (node, guard) = self.scope.follow(self.node, self.path)?;
        Ok((Self { node, ..self }, guard))
    }

    /// What a scalar means; sequences and mappings mean nothing here.
    pub(super) fn meaning(&self) -> Result<Option<Meaning>, Stop> {
        let node = self.scope.document.node(self.node);
        match &node.kind {
            Kind::Scalar { text, is_plain } => {
                scalar::resolve(text, *is_plain, node.tag.as_deref())
                    .map(Some)
                    .map_err(|message| self.scope.stop(self.node, self.path, message))
            }
            _ => Ok(None),
        }
    }

    fn is_null(&self) -> Result<bool, Stop> {
        Ok(self.meaning()? == Some(Meaning::Null))
    }

    /// The text of a scalar; null is the empty text. `None` after a mistake was noted.
    pub(super) fn text(&self, expected: &'static str) -> Result<Option<Cow<'s, str>>, Stop> {
        let node = self.scope.document.node(self.node);
        let Kind::Scalar { text, .. } = &node.kind else {
            self.mismatch(expected)?;
            return Ok(None);
        };
        match node.tag.as_deref() {
            Some(STR_TAG) => Ok(Some(Cow::Borrowed(text))),
            Some(BINARY_TAG) => self.binary(text).map(|text| text.map(Cow::Owned)),
            _ if self.is_null()? => Ok(Some(Cow::Borrowed(""))),
            _ => Ok(Some(Cow::Borrowed(text))),
        }
    }

    fn binary(&self, text: &str) -> Result<Option<String>, Stop> {
        let Some(bytes) = base64::decode(text) else {
            let message = "!!binary value contains invalid base64 data".to_owned();
            return Err(self.scope.stop(self.node, self.path, message));
        };
        String::from_utf8(bytes).map(Some).or_else(|err| {
            let shown = quote_go_bytes(err.as_bytes());
            let message = match self.type_name {
                Some(LABEL_NAME) => format!("{shown} is not a valid label name"),
                Some("model.LabelValue" | "string") => {
                    format!("{shown} is not a valid label value")
                }
                // It may be a secret (I3).
                _ => "!!binary value is not valid UTF-8".to_owned(),
            };
            self.scope.report(ErrorKind::Check, self.node, self.path, message, None);
            Ok(None)
        })
    }

    /// Whether the key is named like one that holds a secret, wherever it stands.
    fn is_below_delicate_key(&self) -> bool {
        const WORDS: [&str; 5] = ["credential", "key", "password", "secret", "token"];
        self.path.steps().iter().any(|step| match step {
            Step::Key(key) => WORDS.iter().any(|word| key.contains(word)),
            Step::Index(_) | Step::Top => false,
        })
    }

    /// Notes that the node is not of the expected type.
    fn mismatch(&self, expected: &'static str) -> Result<(), Stop> {
        let node = self.scope.document.node(self.node);
        let (tag, value) = match &node.kind {
            Kind::Sequence(_) => ("!!seq", String::new()),
            Kind::Mapping(_) => ("!!map", String::new()),
            Kind::Scalar { text, .. } if text.len() > SHOWN_VALUE_SIZE_MAX => {
                let end = text.floor_char_boundary(SHOWN_VALUE_SIZE_MAX - 3);
                (self.meaning()?.map_or("!!str", Meaning::tag), format!(" `{}...`", &text[..end]))
            }
            Kind::Scalar { text, .. } => {
                (self.meaning()?.map_or("!!str", Meaning::tag), format!(" `{text}`"))
            }
            Kind::Alias(_) => ("!!alias", String::new()),
        };
        let tag = node.tag.as_deref().map_or_else(|| tag.to_owned(), short_tag);
        let expected = self.type_name.unwrap_or(expected);
        let is_secret = !value.is_empty()
            && ((self.scope.schema.is_secret)(expected) || self.is_below_delicate_key());
        let value = if is_secret { format!(" `{SECRET_MASK}`") } else { value };
        let expected = go_name(expected);
        let message = format!("cannot unmarshal {tag}{value} into {expected}");
        let hint = hint_for(&node.kind, expected);
        self.scope.report(ErrorKind::Unmarshal, self.node, self.path, message, hint);
        Ok(())
    }

    fn integer(self) -> Result<i64, Stop> {
        let (at, _guard) = self.enter()?;
        let number = match at.meaning()? {
            Some(Meaning::Null) => Some(0),
            Some(Meaning::Int(number)) => Some(number),
            // Truncates as Go's conversion does.
            Some(Meaning::Float(number)) if number.abs() < 2f64.powi(63) => Some(number as i64),
            _ => None,
        };
        if number.is_none() {
            at.mismatch("int")?;
        }
        Ok(number.unwrap_or_default())
    }

    fn unsigned(self) -> Result<u64, Stop> {
        let (at, _guard) = self.enter()?;
        let number = match at.meaning()? {
            Some(Meaning::Null) => Some(0),
            Some(Meaning::Int(number)) => u64::try_from(number).ok(),
            Some(Meaning::Uint(number)) => Some(number),
            Some(Meaning::Float(number)) if (0.0..2f64.powi(64)).contains(&number) => {
                Some(number as u64)
            }
            _ => None,
        };
        if number.is_none() {
            at.mismatch("uint")?;
        }
        Ok(number.unwrap_or_default())
    }

    fn float(self) -> Result<f64, Stop> {
        let (at, _guard) = self.enter()?;
        let number = match at.meaning()? {
            Some(Meaning::Null) => Some(0.0),
            Some(Meaning::Int(number)) => Some(number as f64),
            Some(Meaning::Uint(number)) => Some(number as f64),
            Some(Meaning::Float(number)) => Some(number),
            _ => None,
        };
        if number.is_none() {
            at.mismatch("float64")?;
        }
        Ok(number.unwrap_or_default())
    }

    fn boolean(self) -> Result<bool, Stop> {
        let (at, _guard) = self.enter()?;
        match at.meaning()? {
            Some(Meaning::Null) => Ok(false),
            Some(Meaning::Bool(value)) => Ok(value),
            _ => at.mismatch("bool").map(|()| false),
        }
    }
}

fn hint_for(kind: &Kind<'_>, expected: &str) -> Option<String> {
    match kind {
        Kind::Scalar { text, .. } if expected.starts_with("[]") && !text.is_empty() => {
            Some(String::from("a list is expected: begin each entry with '- '"))
        }
        Kind::Mapping(_) if expected.starts_with("[]") => {
            Some(String::from("a list is expected: begin each entry with '- '"))
        }
        Kind::Scalar { is_plain: false, .. } if matches!(expected, "bool" | "uint" | "int") => {
            Some(String::from("leave the quotes out"))
        }
        _ => None,
    }
}

impl<'de> Deserializer<'de> for Decoder<'_, '_> {
    type Error = Stop;

    /// For values whose type the raw type leaves open.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (at, _guard) = self.enter()?;
        if at.path.steps().len() > OPEN_DEPTH_MAX {
            let message = format!("more than {OPEN_DEPTH_MAX} levels of values");
            return Err(at.scope.stop(at.node, at.path, message));
        }
        match (at.kind(), at.meaning()?) {
            (Kind::Sequence(_), _) => at.deserialize_seq(visitor),
            (Kind::Mapping(_), _) => at.deserialize_map(visitor),
            (_, Some(Meaning::Null)) => visitor.visit_unit(),
            (_, Some(Meaning::Bool(value))) => visitor.visit_bool(value),
            (_, Some(Meaning::Int(value))) => visitor.visit_i64(value),
            (_, Some(Meaning::Uint(value))) => visitor.visit_u64(value),
            (_, Some(Meaning::Float(value))) => visitor.visit_f64(value),
            _ => at.deserialize_str(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_i64(self.integer()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_u64(self.unsigned()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (at, _guard) = self.enter()?;
        visitor.visit_str(&at.text("string")?.unwrap_or_default())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (at, _guard) = self.enter()?;
        if at.is_null()? { visitor.visit_none() } else { visitor.visit_some(at) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (at, _guard) = self.enter()?;
        let children = match at.kind() {
            Kind::Sequence(children) => children.as_slice(),
            _ if at.is_null()? => &[],
            _ => {
                at.mismatch("[]string")?;
                &[]
            }
        };
        visitor.visit_seq(Elements::new(at, children))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (at, _guard) = self.enter()?;
        let entries = match at.kind() {
            Kind::Mapping(_) => Entries::of_map(at)?,
            _ if at.is_null()? => Entries::empty(at),
            _ => {
                at.mismatch("map[string]string")?;
                Entries::empty(at)
            }
        };
        visitor.visit_map(entries)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let (at, _guard) = self.enter()?;
        let entries = match at.kind() {
            Kind::Mapping(_) => Entries::of_struct(at, name, fields)?,
            _ if at.is_null()? => Entries::empty(at),
            _ => {
                Self { type_name: None, ..at }.mismatch(name)?;
                Entries::empty(at)
            }
        };
        visitor.visit_map(entries)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier
    }
}

/// The part of a struct's name that messages show.
pub(super) fn go_name(name: &'static str) -> &'static str {
    name.split('#').next().unwrap_or(name)
}
