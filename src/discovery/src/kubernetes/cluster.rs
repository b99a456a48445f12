//! What is known of a cluster, and the groups that are made of it. Whatever a group looks up while it is made
//! is noted, found or not; when that changes, exactly the groups that looked are made anew.
//! Nothing here speaks to a server.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use prom_config::KubernetesMetadata;

use super::{
    endpoints, endpointslice, ingress, node,
    objects::{Meta, Pod, Reference, Service, Text, key},
    pod,
    resource::{Object, Resource},
    service,
};
use crate::TargetGroup;

/// Longer texts are rarely the same.
const INTERNED_SIZE_BYTES_MAX: usize = 64;
/// So many texts are kept before those that nobody uses are looked for.
const INTERNED_COUNT_MIN: usize = 4096;

/// Which of the followed lists something came from.
pub(super) type SourceIndex = usize;
/// What a group has looked up.
type Asked = (Resource, Text);

/// All objects that count at this moment, and their groups.
#[derive(Debug)]
pub(super) struct Cluster {
    attach: KubernetesMetadata,
    primaries: BTreeMap<Text, Primary>,
    others: Others,
    /// Who looked up what.
    askers: HashMap<Asked, BTreeSet<Text>>,
    /// Objects whose groups are to be made anew.
    dirty: BTreeSet<Text>,
    /// Some group is gone.
    has_removed: bool,
    texts: Texts,
}

/// What groups look up while they are made.
pub(super) struct Near<'n> {
    pub(super) attach: &'n KubernetesMetadata,
    others: &'n Others,
    asked: RefCell<HashSet<Asked>>,
}

type Others = HashMap<Asked, Other>;

/// An object that targets are made of.
#[derive(Debug)]
struct Primary {
    seen: Seen,
    /// Let go of when nothing could make another group of it.
    object: Option<Object>,
    group: Option<Arc<TargetGroup>>,
    asked: Box<[Asked]>,
}

/// An object that only lends labels.
#[derive(Debug)]
struct Other {
    seen: Seen,
    object: Object,
}

/// Where an object was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) source: SourceIndex,
    /// The number of the list, or of the watch that followed it.
    pub(super) list: u64,
}

/// One object for each text that is used often.
#[derive(Debug, Default)]
struct Texts {
    known: HashSet<Text>,
    sweep_at: usize,
}

/// What an object did to what was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Updated,
}

impl Cluster {
    pub(super) fn new(attach: KubernetesMetadata) -> Self {
        Self {
            attach,
            primaries: BTreeMap::new(),
            others: HashMap::new(),
            askers: HashMap::new(),
            dirty: BTreeSet::new(),
            has_removed: false,
            texts: Texts::default(),
        }
    }

    /// Takes an object over that groups are made of.
    pub(super) fn put_primary(&mut self, seen: Seen, mut object: Object) -> Change {
        self.texts.intern(object.meta_mut());
        let key = object.meta().key();
        self.dirty.insert(Arc::clone(&key));
        match self.primaries.get_mut(&key) {
            Some(primary) => {
                primary.seen = seen;
                primary.object = Some(object);
                Change::Updated
            }
            None => {
                let object = Some(object);
                let fresh = Primary { seen, object, group: None, asked: Box::default() };
                self.primaries.insert(key, fresh);
                Change::Added
            }
        }
    }

    /// Takes an object over that lends its labels.
    pub(super) fn put_other(
        &mut self,
        seen: Seen,
        resource: Resource,
        mut object: Object,
    ) -> Change {
        self.texts.intern(object.meta_mut());
        let asked = (resource, object.meta().key());
        let old = self.others.insert(asked.clone(), Other { seen, object });
        if old.as_ref().map(|old| &old.object) != self.others.get(&asked).map(|new| &new.object) {
            self.mark_askers(&asked);
        }
        if old.is_some() { Change::Updated } else { Change::Added }
    }

    /// Lets go of an object; whether it was known.
    pub(super) fn remove(&mut self, resource: Resource, is_primary: bool, key: &Text) -> bool {
        if is_primary {
            let removed = self.primaries.remove(key);
            if let Some(primary) = &removed {
                self.dirty.remove(key);
                self.has_removed = true;
                self.unlink(key, &primary.asked);
            }
            return removed.is_some();
        }
        let asked = (resource, Arc::clone(key));
        let is_known = self.others.remove(&asked).is_some();
        if is_known {
            self.mark_askers(&asked);
        }
        is_known
    }

    /// The objects of a source that a whole list of it did not name any more.
    pub(super) fn missing_of(&self, resource: Resource, is_primary: bool, list: Seen) -> Vec<Text> {
        let is_missing = |seen: &Seen| seen.source == list.source && seen.list != list.list;
        if is_primary {
            let missing = self.primaries.iter().filter(|(_, primary)| is_missing(&primary.seen));
            return missing.map(|(key, _)| Arc::clone(key)).collect();
        }
        let missing = self
            .others
            .iter()
            .filter(|((of, _), other)| *of == resource && is_missing(&other.seen));
        missing.map(|((_, key), _)| Arc::clone(key)).collect()
    }

    /// Whether groups are to be made anew or gone.
    pub(super) fn has_changed(&self) -> bool {
        self.has_removed || !self.dirty.is_empty()
    }

    /// Everybody knows of all groups.
    pub(super) fn note_delivered(&mut self) {
        self.has_removed = false;
    }

    /// How many groups are to be made anew.
    pub(super) fn dirty_count(&self) -> usize {
        self.dirty.len()
    }

    /// Makes up to `count_max` groups anew.
    pub(super) fn make_groups(&mut self, count_max: usize) {
        for _ in 0..count_max {
            let Some(key) = self.dirty.pop_first() else { return };
            self.make_group(&key);
        }
    }

    /// All groups that have targets; those that did not change are the same objects as before.
    pub(super) fn groups(&self) -> Vec<Arc<TargetGroup>> {
        let groups = self.primaries.values().filter_map(|primary| primary.group.as_ref());
        groups.filter(|group| !group.targets.is_empty()).map(Arc::clone).collect()
    }

    fn make_group(&mut self, key: &Text) {
        let Some(primary) = self.primaries.get_mut(key) else { return };
        let Some(object) = &primary.object else { return };
        let near = Near { attach: &self.attach, others: &self.others, asked: RefCell::default() };
        let group = group_of(object, &near);
        let asked: Box<[Asked]> = near.asked.into_inner().into_iter().collect();
        if asked.is_empty() {
            primary.object = None;
        }
        match &primary.group {
            Some(old) if **old == group => {}
            _ => primary.group = Some(Arc::new(group)),
        }
        let before = std::mem::replace(&mut primary.asked, asked.clone());
        self.unlink(key, &before);
        for asked in asked {
            self.askers.entry(asked).or_default().insert(Arc::clone(key));
        }
    }

    fn unlink(&mut self, key: &Text, asked: &[Asked]) {
        for asked in asked {
            if let Some(askers) = self.askers.get_mut(asked) {
                askers.remove(key);
                if askers.is_empty() {
                    self.askers.remove(asked);
                }
            }
        }
    }

    fn mark_askers(&mut self, asked: &Asked) {
        let askers = self.askers.get(asked).into_iter().flatten();
        self.dirty.extend(askers.map(Arc::clone));
    }
}

impl<'n> Near<'n> {
    pub(super) fn node(&self, name: &str) -> Option<&'n Meta> {
        self.other(Resource::Nodes, key("", name)).map(Object::meta)
    }

    pub(super) fn namespace(&self, name: &str) -> Option<&'n Meta> {
        self.other(Resource::Namespaces, key("", name)).map(Object::meta)
    }

    pub(super) fn replica_set(&self, namespace: &str, name: &str) -> Option<&'n Meta> {
        self.other(Resource::ReplicaSets, key(namespace, name)).map(Object::meta)
    }

    pub(super) fn job(&self, namespace: &str, name: &str) -> Option<&'n Meta> {
        self.other(Resource::Jobs, key(namespace, name)).map(Object::meta)
    }

    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&'n Service> {
        match self.other(Resource::Services, key(namespace, name))? {
            Object::Service(service) => Some(service),
            _ => None,
        }
    }

    /// The pod that an address stands for, if it stands for one.
    pub(super) fn pod_of(&self, reference: Option<&Reference>) -> Option<&'n Pod> {
        let reference = reference.filter(|reference| &*reference.kind == "Pod")?;
        match self.other(Resource::Pods, key(&reference.namespace, &reference.name))? {
            Object::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    fn other(&self, resource: Resource, key: Text) -> Option<&'n Object> {
        let asked = (resource, key);
        let found = self.others.get(&asked).map(|other| &other.object);
        self.asked.borrow_mut().insert(asked);
        found
    }
}

impl Texts {
    fn intern(&mut self, meta: &mut Meta) {
        for pairs in [&mut meta.labels, &mut meta.annotations] {
            for (name, value) in &mut pairs.0 {
                self.share(name);
                self.share(value);
            }
        }
        for owner in &mut meta.owners {
            self.share(&mut owner.kind);
        }
        self.share(&mut meta.namespace);
        if self.known.len() > self.sweep_at.max(INTERNED_COUNT_MIN) {
            self.known.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = 2 * self.known.len();
        }
    }

    fn share(&mut self, text: &mut Text) {
        if text.len() > INTERNED_SIZE_BYTES_MAX {
            return;
        }
        match self.known.get(text) {
            Some(known) => *text = Arc::clone(known),
            None => drop(self.known.insert(Arc::clone(text))),
        }
    }
}

fn group_of(object: &Object, near: &Near<'_>) -> TargetGroup {
    match object {
        Object::Pod(it) => pod::group(it, near),
        Object::Node(it) => node::group(it),
        Object::Service(it) => service::group(it, near),
        Object::Endpoints(it) => endpoints::group(it, near),
        Object::EndpointSlice(it) => endpointslice::group(it, near),
        Object::Ingress(it) => ingress::group(it, near),
        // Never listed as what targets are made of.
        Object::Bare(meta) => TargetGroup {
            source: meta.key(),
            targets: Vec::new(),
            labels: prom_model::Labels::empty(),
        },
    }
}

#[cfg(test)]
mod tests;
