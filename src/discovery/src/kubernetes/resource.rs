//! What can be listed and watched: where it stands in the API, what is kept of it, and what a role asks for.

use prom_config::KubernetesSdConfig;
use serde::Deserialize;

use super::objects::{
    Bare, EndpointSlice, Endpoints, Ingress, Meta, Node, Pod, Service, Text, nullable,
};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Resource {
    Pods,
    Nodes,
    Services,
    Endpoints,
    EndpointSlices,
    Ingresses,
    Namespaces,
    ReplicaSets,
    Jobs,
}

/// An object as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    Pod(Box<Pod>),
    Node(Box<Node>),
    Service(Box<Service>),
    Endpoints(Box<Endpoints>),
    EndpointSlice(Box<EndpointSlice>),
    Ingress(Box<Ingress>),
    /// Only the metadata: of nodes and namespaces that lend it, of owners of owners.
    Bare(Box<Meta>),
}

/// One list to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) resource: Resource,
    /// All namespaces if there is none.
    pub(super) namespace: Option<String>,
    pub(super) label_selector: String,
    pub(super) field_selector: String,
    /// Targets are made of its objects; those of the others only add labels.
    pub(super) is_primary: bool,
    /// Nobody waits for it. Compat: endpoints do without owners that may not be listed.
    pub(super) is_optional: bool,
}

/// What is read of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    pub(super) resource_version: String,
    /// Where the next page begins; empty on the last one.
    pub(super) next: String,
}

#[derive(Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct RawPage<T> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageMeta {
    #[serde(rename = "resourceVersion", deserialize_with = "nullable")]
    resource_version: String,
    #[serde(rename = "continue", deserialize_with = "nullable")]
    next: String,
}

impl Resource {
    /// The name in roles, selectors and metrics.
    pub(super) fn role(self) -> &'static str {
        match self {
            Self::Pods => "pod",
            Self::Nodes => "node",
            Self::Services => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlices => "endpointslice",
            Self::Ingresses => "ingress",
            Self::Namespaces => "namespace",
            Self::ReplicaSets => "replicaset",
            Self::Jobs => "job",
        }
    }

    pub(super) fn of_role(role: &str) -> Option<Self> {
        let roles = [
            Self::Pods,
            Self::Nodes,
            Self::Services,
            Self::Endpoints,
            Self::EndpointSlices,
            Self::Ingresses,
        ];
        roles.into_iter().find(|resource| resource.role() == role)
    }

    /// Group and version, and the name of the list.
    fn place(self) -> (&'static str, &'static str) {
        const CORE: &str = "/api/v1";
        match self {
            Self::Pods => (CORE, "pods"),
            Self::Nodes => (CORE, "nodes"),
            Self::Services => (CORE, "services"),
            Self::Endpoints => (CORE, "endpoints"),
            Self::EndpointSlices => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Self::Ingresses => ("/apis/networking.k8s.io/v1", "ingresses"),
            Self::Namespaces => (CORE, "namespaces"),
            Self::ReplicaSets => ("/apis/apps/v1", "replicasets"),
            Self::Jobs => ("/apis/batch/v1", "jobs"),
        }
    }
}

impl Source {
    pub(super) fn path(&self) -> String {
        let (group, list) = self.resource.place();
        match &self.namespace {
            Some(namespace) => format!("{group}/namespaces/{namespace}/{list}"),
            None => format!("{group}/{list}"),
        }
    }

    /// Reads a page of the list.
    ///
    /// # Errors
    /// The text is no list of these objects.
    pub(super) fn read_page(&self, text: &[u8]) -> Result<Page, serde_json::Error> {
        match self.resource {
            Resource::Pods => page(text, |pod: Pod| Object::Pod(pod.into())),
            Resource::Nodes if self.is_primary => page(text, |it: Node| Object::Node(it.into())),
            Resource::Services => page(text, |it: Service| Object::Service(it.into())),
            Resource::Endpoints => page(text, |it: Endpoints| Object::Endpoints(it.into())),
            Resource::EndpointSlices => {
                page(text, |it: EndpointSlice| Object::EndpointSlice(it.into()))
            }
            Resource::Ingresses => page(text, |it: Ingress| Object::Ingress(it.into())),
            _ => page(text, |it: Bare| self.bare(it)),
        }
    }

    /// Reads one object.
    ///
    /// # Errors
    /// The text is none.
    pub(super) fn read_object(&self, text: &str) -> Result<Object, serde_json::Error> {
        Ok(match self.resource {
            Resource::Pods => Object::Pod(serde_json::from_str(text)?),
            Resource::Nodes if self.is_primary => Object::Node(serde_json::from_str(text)?),
            Resource::Services => Object::Service(serde_json::from_str(text)?),
            Resource::Endpoints => Object::Endpoints(serde_json::from_str(text)?),
            Resource::EndpointSlices => Object::EndpointSlice(serde_json::from_str(text)?),
            Resource::Ingresses => Object::Ingress(serde_json::from_str(text)?),
            _ => self.bare(serde_json::from_str(text)?),
        })
    }

    fn bare(&self, bare: Bare) -> Object {
        let mut meta = bare.metadata;
        if matches!(self.resource, Resource::ReplicaSets | Resource::Jobs) {
            // Of an owner only its own owner counts.
            meta.labels = Default::default();
            meta.annotations = Default::default();
        }
        Object::Bare(Box::new(meta))
    }
}

impl Object {
    pub(super) fn meta(&self) -> &Meta {
        match self {
            Self::Pod(it) => &it.metadata,
            Self::Node(it) => &it.metadata,
            Self::Service(it) => &it.metadata,
            Self::Endpoints(it) => &it.metadata,
            Self::EndpointSlice(it) => &it.metadata,
            Self::Ingress(it) => &it.metadata,
            Self::Bare(meta) => meta,
        }
    }

    pub(super) fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Self::Pod(it) => &mut it.metadata,
            Self::Node(it) => &mut it.metadata,
            Self::Service(it) => &mut it.metadata,
            Self::Endpoints(it) => &mut it.metadata,
            Self::EndpointSlice(it) => &mut it.metadata,
            Self::Ingress(it) => &mut it.metadata,
            Self::Bare(meta) => meta,
        }
    }

    /// Takes the version out, so that objects that mean the same are equal.
    pub(super) fn take_version(&mut self) -> Text {
        std::mem::take(&mut self.meta_mut().resource_version)
    }
}

fn page<T: for<'de> Deserialize<'de>>(
    text: &[u8],
    wrap: impl Fn(T) -> Object,
) -> Result<Page, serde_json::Error> {
    let raw: RawPage<T> = serde_json::from_slice(text)?;
    let PageMeta { resource_version, next } = raw.metadata;
    let mut objects: Vec<Object> = raw.items.into_iter().map(wrap).collect();
    for object in &mut objects {
        drop(object.take_version());
    }
    Ok(Page { objects, resource_version, next })
}

/// What an entry of the configuration follows; `own` is the namespace that this process runs in.
/// Compat: `Discovery.Run` of Prometheus `discovery/kubernetes`.
pub(super) fn sources(cfg: &KubernetesSdConfig, own: Option<&str>) -> Vec<Source> {
    let Some(role) = Resource::of_role(&cfg.role) else { return Vec::new() };
    let mut namespaces = cfg.namespaces.names.clone();
    namespaces.extend(own.filter(|_| cfg.namespaces.own_namespace).map(str::to_owned));
    let mut seen = std::collections::HashSet::new();
    namespaces.retain(|namespace| seen.insert(namespace.clone()));
    let mut scopes: Vec<_> = namespaces.into_iter().map(Some).collect();
    if scopes.is_empty() {
        scopes.push(None);
    }
    let is_of_service = matches!(role, Resource::Endpoints | Resource::EndpointSlices);
    let has_pods = role == Resource::Pods || is_of_service;
    let attach = &cfg.attach_metadata;
    let source = |resource: Resource, namespace: Option<&String>| {
        let selector = cfg.selectors.iter().find(|selector| selector.role == resource.role());
        Source {
            resource,
            namespace: namespace.cloned(),
            label_selector: selector.map(|it| it.label.clone()).unwrap_or_default(),
            field_selector: selector.map(|it| it.field.clone()).unwrap_or_default(),
            is_primary: resource == role,
            is_optional: is_of_service
                && matches!(resource, Resource::ReplicaSets | Resource::Jobs),
        }
    };
    if role == Resource::Nodes {
        return vec![source(Resource::Nodes, None)];
    }
    let mut sources = Vec::new();
    // What lends its labels comes first, so that most objects are made targets as they come.
    if attach.node && has_pods {
        sources.push(source(Resource::Nodes, None));
    }
    if attach.namespace {
        sources.push(source(Resource::Namespaces, None));
    }
    for scope in scopes.iter().map(Option::as_ref) {
        for (resource, is_needed) in [
            (Resource::ReplicaSets, has_pods && attach.deployment),
            (Resource::Jobs, has_pods && (attach.job || attach.cronjob)),
            (Resource::Services, is_of_service),
            (Resource::Pods, is_of_service),
            (role, true),
        ] {
            if is_needed {
                sources.push(source(resource, scope));
            }
        }
    }
    sources
}
