//! Sequences and mappings for serde: merge keys, repeated keys, unknown keys and their hints.

use std::{borrow::Cow, slice, vec};

use prom_model::quote_go;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor},
};

use super::{
    decode::{Decoder, LABEL_NAME, Schema, go_name},
    document::{Kind, NodeId},
    scope::Stop,
};
use crate::{error::ErrorKind, near_miss::near_miss};

/// Longest chain of mappings that are merged into each other.
const MERGE_DEPTH_MAX: usize = 64;

/// The entries of a sequence.
pub(super) struct Elements<'s, 'p> {
    parent: Decoder<'s, 'p>,
    children: std::iter::Enumerate<slice::Iter<'s, NodeId>>,
    type_name: Option<&'static str>,
}

impl<'s, 'p> Elements<'s, 'p> {
    pub(super) fn new(parent: Decoder<'s, 'p>, children: &'s [NodeId]) -> Self {
        let type_name = parent.type_name.and_then(element_type);
        Self { parent, children: children.iter().enumerate(), type_name }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        let Some((index, node)) = self.children.next() else { return Ok(None) };
        let path = self.parent.path.index(index);
        seed.deserialize(Decoder::new(self.parent.scope, *node, &path, self.type_name)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.children.len())
    }
}

/// The pairs of a mapping after merging, each key once.
pub(super) struct Entries<'s, 'p> {
    parent: Decoder<'s, 'p>,
    pairs: vec::IntoIter<Pair<'s>>,
    value: Option<Pair<'s>>,
}

struct Pair<'s> {
    name: Cow<'s, str>,
    value: Value<'s>,
    type_name: Option<&'static str>,
}

enum Value<'s> {
    Node(NodeId),
    /// The keys of an inlined struct.
    Inline(Vec<Pair<'s>>),
}

impl<'s, 'p> Entries<'s, 'p> {
    pub(super) fn empty(parent: Decoder<'s, 'p>) -> Self {
        Self { parent, pairs: Vec::new().into_iter(), value: None }
    }

    /// Any keys, none of them twice.
    pub(super) fn of_map(parent: Decoder<'s, 'p>) -> Result<Self, Stop> {
        let type_name = parent.type_name.and_then(element_type);
        let mut pairs: Vec<Pair<'s>> = Vec::new();
        let mut names = std::collections::HashSet::new();
        walk(parent, &mut |entry| {
            let Entry { at, name, value, .. } = entry;
            if names.insert(name.clone()) {
                pairs.push(Pair { name, value: Value::Node(value), type_name });
            } else {
                let message = format!("key {} already set in map", quote_go(&name));
                let value = at.scope.document.resolve(value);
                at.scope.report(ErrorKind::Unmarshal, value, &at.path.key(&name), message, None);
            }
        })?;
        Ok(Self { parent, pairs: pairs.into_iter(), value: None })
    }

    /// The keys of a struct; others are mistakes. What is merged replaces what stands before it and is
    /// replaced by what stands after it, as in go-yaml.
    pub(super) fn of_struct(
        parent: Decoder<'s, 'p>,
        struct_name: &'static str,
        fields: &'static [&'static str],
    ) -> Result<Self, Stop> {
        let shape = Shape { struct_name, fields, schema: parent.scope.schema };
        let mut pairs: Vec<Pair<'s>> = Vec::new();
        let mut own_names: Vec<Cow<'s, str>> = Vec::new();
        walk(parent, &mut |entry| {
            let Some((holder, inline)) = shape.holder(&entry.name) else {
                return unknown_key(&entry, &shape);
            };
            let Entry { at, key, name, value, is_merged } = entry;
            if !is_merged && own_names.contains(&name) {
                let type_name = go_name(struct_name);
                let message = format!("field {name} already set in type {type_name}");
                at.scope.report(ErrorKind::Unmarshal, key, &at.path.key(&name), message, None);
                return;
            }
            if !is_merged {
                own_names.push(name.clone());
            }
            let type_name = (shape.schema.type_name)(holder, &name);
            let list = if inline { inlined(&mut pairs, holder) } else { &mut pairs };
            list.retain(|pair| pair.name != name);
            list.push(Pair { name, value: Value::Node(value), type_name });
        })?;
        Ok(Self { parent, pairs: pairs.into_iter(), value: None })
    }
}

/// The list that collects the keys of an inlined struct.
fn inlined<'l, 's>(pairs: &'l mut Vec<Pair<'s>>, holder: &'static str) -> &'l mut Vec<Pair<'s>> {
    let at = pairs.iter().position(|pair| pair.name == holder).unwrap_or_else(|| {
        let value = Value::Inline(Vec::new());
        pairs.push(Pair { name: Cow::Borrowed(holder), value, type_name: None });
        pairs.len() - 1
    });
    match &mut pairs[at].value {
        Value::Inline(list) => list,
        Value::Node(_) => unreachable!("no key begins with a number sign"),
    }
}

/// Which keys a raw struct has, its inlined structs included.
struct Shape<'s> {
    struct_name: &'static str,
    fields: &'static [&'static str],
    schema: &'s Schema,
}

impl Shape<'_> {
    /// The struct that has a key, and whether it is an inlined one.
    fn holder(&self, key: &str) -> Option<(&'static str, bool)> {
        if self.own_fields().any(|field| field == key) {
            return Some((self.struct_name, false));
        }
        let has_key = |inline: &&'static str| (self.schema.inline_fields)(inline).contains(&key);
        self.inlines().find(has_key).map(|inline| (inline, true))
    }

    fn own_fields(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().copied().filter(|field| !field.starts_with('#'))
    }

    fn inlines(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().copied().filter(|field| field.starts_with('#'))
    }

    /// All keys that mean something.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.own_fields()
            .chain(self.inlines().flat_map(|inline| (self.schema.inline_fields)(inline)).copied())
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let Some(pair) = self.pairs.next() else { return Ok(None) };
        let key = seed.deserialize(pair.name.as_ref().into_deserializer())?;
        self.value = Some(pair);
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let pair = self.value.take().expect("serde asks for a key before its value");
        let pairs = match pair.value {
            Value::Inline(pairs) => pairs.into_iter(),
            Value::Node(node) => {
                let path = self.parent.path.key(&pair.name);
                let decoder = Decoder::new(self.parent.scope, node, &path, pair.type_name);
                return seed.deserialize(decoder);
            }
        };
        seed.deserialize(InlineDecoder(Entries { parent: self.parent, pairs, value: None }))
    }
}

/// Decodes an inlined struct from the keys its holder set aside.
struct InlineDecoder<'s, 'p>(Entries<'s, 'p>);

impl<'de> Deserializer<'de> for InlineDecoder<'_, '_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_map(self.0)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A pair of a mapping on its way into a raw type.
struct Entry<'s, 'p> {
    /// The mapping that holds the pair.
    at: Decoder<'s, 'p>,
    key: NodeId,
    name: Cow<'s, str>,
    value: NodeId,
    is_merged: bool,
}

type Visit<'v, 's, 'p> = dyn FnMut(Entry<'s, 'p>) + 'v;

/// Visits the pairs of a mapping and of those merged into it, in the order in which they count.
fn walk<'s, 'p>(at: Decoder<'s, 'p>, visit: &mut Visit<'_, 's, 'p>) -> Result<(), Stop> {
    walk_merged(at, 0, visit)
}

fn walk_merged<'s, 'p>(
    at: Decoder<'s, 'p>,
    merge_depth: usize,
    visit: &mut Visit<'_, 's, 'p>,
) -> Result<(), Stop> {
    let Kind::Mapping(pairs) = at.kind() else { return Err(no_mapping(at)) };
    for &(key, value) in pairs {
        if is_merge(at, key) {
            merge(Decoder { node: value, ..at }, merge_depth + 1, visit)?;
            continue;
        }
        let (resolved, _guard) = at.scope.follow(key, at.path)?;
        let type_name = Some(LABEL_NAME).filter(|_| at.type_name.is_some_and(is_label_map));
        let name = Decoder { node: resolved, type_name, ..at };
        let name = match name.kind() {
            Kind::Scalar { .. } => name.text("string")?,
            _ => Decoder { type_name: None, ..name }.text("string")?,
        };
        if let Some(name) = name {
            visit(Entry { at, key, name, value, is_merged: merge_depth > 0 });
        }
    }
    Ok(())
}

/// Merges a mapping or a sequence of mappings, of which earlier ones take precedence.
fn merge<'s, 'p>(
    at: Decoder<'s, 'p>,
    merge_depth: usize,
    visit: &mut Visit<'_, 's, 'p>,
) -> Result<(), Stop> {
    if merge_depth > MERGE_DEPTH_MAX {
        let message = format!("more than {MERGE_DEPTH_MAX} merges into each other");
        return Err(at.scope.stop(at.node, at.path, message));
    }
    let (node, _guard) = at.scope.follow(at.node, at.path)?;
    let target = Decoder { node, ..at };
    match target.kind() {
        Kind::Mapping(_) => walk_merged(target, merge_depth, visit),
        Kind::Sequence(children) if node == at.node => {
            children.iter().rev().try_for_each(|child| {
                let (node, _guard) = at.scope.follow(*child, at.path)?;
                walk_merged(Decoder { node, ..at }, merge_depth, visit)
            })
        }
        _ => Err(no_mapping(at)),
    }
}

fn is_merge(at: Decoder<'_, '_>, key: NodeId) -> bool {
    let node = at.scope.document.node(key);
    let is_tagged = node.tag.as_deref() == Some("tag:yaml.org,2002:merge");
    matches!(&node.kind, Kind::Scalar { text, is_plain } if text == "<<" && (*is_plain || is_tagged))
}

fn no_mapping(at: Decoder<'_, '_>) -> Stop {
    let message = "map merge requires map or sequence of maps as the value".to_owned();
    at.scope.stop(at.node, at.path, message)
}

/// Notes a key that the raw type does not have.
fn unknown_key(entry: &Entry<'_, '_>, shape: &Shape<'_>) {
    let Entry { at, key, name, .. } = entry;
    if at.scope.is_full() {
        return;
    }
    let message = format!("field {name} not found in type {}", go_name(shape.struct_name));
    let hint = near_miss(name, shape.names()).map(|name| format!("did you mean {name}?"));
    at.scope.report(ErrorKind::Unmarshal, *key, &at.path.key(name), message, hint);
}

fn is_label_map(type_name: &str) -> bool {
    matches!(type_name, "map[string]string" | "model.LabelSet")
}

/// The type of what a collection of this type holds.
fn element_type(type_name: &'static str) -> Option<&'static str> {
    match type_name {
        "url.Values" => Some("[]string"),
        "model.LabelSet" => Some("model.LabelValue"),
        "model.LabelNames" => Some("string"),
        "config.Headers" => Some("config.Header"),
        _ => type_name
            .strip_prefix("[]")
            .map(|element| element.trim_start_matches('*'))
            .or_else(|| type_name.strip_prefix("map[string]")),
    }
}
