//! Meta labels: their prefix, and what objects of all kinds add in the same way.

use prom_model::{Labels, LabelsBuilder};

use super::{
    cluster::Near,
    objects::{Meta, Pairs},
};
use crate::group::ADDRESS;

const PREFIX: &str = "__meta_kubernetes_";
const INSTANCE: &str = "instance";
const PRESENT: &str = "true";

/// Collects the labels of a target or a group; the last value of a name counts.
#[derive(Debug, Default)]
pub(super) struct MetaLabels {
    labels: LabelsBuilder,
    name: String,
}

impl MetaLabels {
    /// A target at an address.
    pub(super) fn of_target(address: &str) -> Self {
        let mut labels = Self::default();
        labels.labels.append(ADDRESS, address);
        labels
    }

    pub(super) fn instance(&mut self, instance: &str) {
        self.labels.append(INSTANCE, instance);
    }

    /// Adds `__meta_kubernetes_<name>`.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.add_named([name, ""], value);
    }

    /// As [`MetaLabels::add`], if there is a value.
    pub(super) fn add_some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// Adds `__meta_kubernetes_<prefix><name>`; what a label's name cannot hold becomes an underscore.
    pub(super) fn add_sanitized(&mut self, prefix: &str, name: &str, value: &str) {
        self.add_named([prefix, name], value);
    }

    /// Adds the name, the labels and the annotations of an object.
    pub(super) fn add_object(&mut self, what: &str, meta: &Meta) {
        self.add_named([what, "_name"], &meta.name);
        self.add_metadata(what, meta);
    }

    /// Adds what a namespace says of itself; its name stands in a label of its own already.
    pub(super) fn add_namespace(&mut self, near: &Near<'_>, namespace: &str) {
        if near.attach.namespace
            && let Some(meta) = near.namespace(namespace)
        {
            self.add_metadata("namespace", meta);
        }
    }

    /// Adds what a node says of itself, if it is known.
    pub(super) fn add_node(&mut self, near: &Near<'_>, node: Option<&str>) {
        if near.attach.node
            && let Some(meta) = node.and_then(|node| near.node(node))
        {
            self.add_object("node", meta);
        }
    }

    pub(super) fn build(self) -> Labels {
        self.labels.build()
    }

    fn add_metadata(&mut self, what: &str, meta: &Meta) {
        self.add_pairs(&format!("{what}_label"), &meta.labels);
        self.add_pairs(&format!("{what}_annotation"), &meta.annotations);
    }

    fn add_pairs(&mut self, prefix: &str, pairs: &Pairs) {
        let (value_prefix, present_prefix) = (format!("{prefix}_"), format!("{prefix}present_"));
        for (name, value) in &pairs.0 {
            self.add_named([&value_prefix, name], value);
            self.add_named([&present_prefix, name], PRESENT);
        }
    }

    /// Compat: `SanitizeLabelName` of Prometheus `util/strutil`.
    fn add_named(&mut self, parts: [&str; 2], value: &str) {
        self.name.clear();
        self.name.push_str(PREFIX);
        let chars = parts.iter().flat_map(|part| part.chars());
        self.name.extend(chars.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        self.labels.append(&self.name, value);
    }
}
