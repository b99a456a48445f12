//! Sequences and mappings for serde: merge keys, repeated keys, unknown keys and their hints.

use std::{borrow::Cow, slice, vec};

use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::{
    decode::{Decoder, KnownKey, Stop, go_name},
    document::{Kind, NodeId},
    scalar::Meaning,
};
use crate::{error::ErrorKind, near_miss::near_miss};

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
    value: NodeId,
    type_name: Option<&'static str>,
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
        walk(parent, &mut |at, key, name, value, _| {
            if names.insert(name.clone()) {
                pairs.push(Pair { name, value, type_name });
            } else {
                let message = format!("key {name:?} already set in map");
                let value = at.scope.document.resolve(value);
                at.scope.report(ErrorKind::Unmarshal, value, &at.path.key(&name), message, None);
            }
            let _ = key;
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
        let mut pairs: Vec<Pair<'s>> = Vec::new();
        let mut own_names: Vec<Cow<'s, str>> = Vec::new();
        walk(parent, &mut |at, key, name, value, is_merged| {
            if !fields.contains(&name.as_ref()) {
                return unknown_key(at, struct_name, fields, (key, &name, value));
            }
            if !is_merged && own_names.contains(&name) {
                let type_name = go_name(struct_name);
                let message = format!("field {name} already set in type {type_name}");
                at.scope.report(ErrorKind::Unmarshal, key, &at.path.key(&name), message, None);
                return;
            }
            if !is_merged {
                own_names.push(name.clone());
            }
            let type_name = (at.scope.schema.type_name)(struct_name, &name);
            pairs.retain(|pair| pair.name != name);
            pairs.push(Pair { name, value, type_name });
        })?;
        Ok(Self { parent, pairs: pairs.into_iter(), value: None })
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
        let path = self.parent.path.key(&pair.name);
        seed.deserialize(Decoder::new(self.parent.scope, pair.value, &path, pair.type_name))
    }
}

/// Receives the mapping, the key's node, its text, the value and whether the pair was merged in.
type Visit<'v, 's, 'p> = dyn FnMut(Decoder<'s, 'p>, NodeId, Cow<'s, str>, NodeId, bool) + 'v;

/// Visits the pairs of a mapping and of those merged into it, in the order in which they count.
fn walk<'s, 'p>(at: Decoder<'s, 'p>, visit: &mut Visit<'_, 's, 'p>) -> Result<(), Stop> {
    walk_merged(at, false, visit)
}

fn walk_merged<'s, 'p>(
    at: Decoder<'s, 'p>,
    is_merged: bool,
    visit: &mut Visit<'_, 's, 'p>,
) -> Result<(), Stop> {
    let Kind::Mapping(pairs) = at.kind() else { return Err(no_mapping(at)) };
    for &(key, value) in pairs {
        if is_merge(at, key) {
            merge(Decoder { node: value, ..at }, visit)?;
            continue;
        }
        let (resolved, _guard) = at.scope.follow(key, at.path)?;
        let type_name = Some("label name").filter(|_| at.type_name.is_some_and(is_label_map));
        let name = Decoder { node: resolved, type_name, ..at };
        let name = match name.kind() {
            Kind::Scalar { .. } => name.text("string")?,
            _ => Decoder { type_name: None, ..name }.text("string")?,
        };
        if let Some(name) = name {
            visit(at, key, name, value, is_merged);
        }
    }
    Ok(())
}

/// Merges a mapping or a sequence of mappings, of which earlier ones take precedence.
fn merge<'s, 'p>(at: Decoder<'s, 'p>, visit: &mut Visit<'_, 's, 'p>) -> Result<(), Stop> {
    let (node, _guard) = at.scope.follow(at.node, at.path)?;
    let target = Decoder { node, ..at };
    match target.kind() {
        Kind::Mapping(_) => walk_merged(target, true, visit),
        Kind::Sequence(children) if node == at.node => children.iter().rev().try_for_each(|child| {
            let (node, _guard) = at.scope.follow(*child, at.path)?;
            walk_merged(Decoder { node, ..at }, true, visit)
        }),
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

/// Notes a key that the raw type does not have: unknown, or known and not supported.
fn unknown_key(
    at: Decoder<'_, '_>,
    struct_name: &'static str,
    fields: &'static [&'static str],
    (key, name, value): (NodeId, &str, NodeId),
) {
    let known = (at.scope.schema.known_keys)(struct_name);
    let path = at.path.key(name);
    if let Some(known_key) = known.iter().find(|known| known.name == name) {
        if !says_nothing(at, value, known_key) {
            let message = format!("{name} is not supported by this build yet");
            at.scope.report(ErrorKind::Unsupported, key, &path, message, None);
        }
        return;
    }
    let message = format!("field {name} not found in type {}", go_name(struct_name));
    let names = fields.iter().copied().chain(known.iter().map(|known| known.name));
    let hint = near_miss(name, names).map(|name| format!("did you mean {name}?"));
    at.scope.report(ErrorKind::Unmarshal, key, &path, message, hint);
}

/// Whether the value of an unsupported key asks for nothing: null, empty, or harmless.
fn says_nothing(at: Decoder<'_, '_>, value: NodeId, key: &KnownKey) -> bool {
    let value = Decoder { node: at.scope.document.resolve(value), ..at };
    match value.kind() {
        Kind::Sequence(children) => children.is_empty(),
        Kind::Mapping(pairs) => pairs.is_empty() && (key.is_harmless)("{}"),
        Kind::Scalar { text, .. } => match value.meaning() {
            Ok(Some(Meaning::Null)) => true,
            Ok(Some(Meaning::Bool(value))) => (key.is_harmless)(if value { "true" } else { "false" }),
            _ => (key.is_harmless)(text),
        },
        Kind::Alias(_) => false,
    }
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
