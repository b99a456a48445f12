//! `kubernetes_sd_configs`: objects of an API server, listed once and then watched.
//!
//! [`reflector`] follows one list and tells what it sees; [`cluster`] keeps what is known and makes groups of
//! it, each kind of object in its own module; here both are put together, and groups are delivered.
//! Only the fields that targets are made of are read ([`objects`]).
//! Compat: Prometheus `discovery/kubernetes`.
//!
//! Differences to the original, all of which bring targets nearer to what the cluster says: a change of a pod
//! reaches the targets of services at once, also of slices; a namespace that is new reaches its targets
//! whenever it is seen; a node that has lost its addresses has no target.

mod api;
mod cluster;
mod endpoints;
mod endpointslice;
mod frames;
mod ingress;
mod kubeconfig;
mod labels;
mod login;
mod metrics;
mod node;
mod objects;
mod once;
mod pod;
mod reflector;
mod resource;
mod service;

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use prom_config::{DiscoveryConfig, KubernetesSdConfig};
use prom_http_client::BufferPool;
use prom_lifecycle::Handle;
use prom_telemetry::{Registry, clock};
use tokio::{
    select,
    sync::mpsc,
    task::yield_now,
    time::{Instant, sleep, sleep_until},
};

use self::{
    api::{Api, Surroundings, find_access},
    cluster::{Change, Cluster, Seen, SourceIndex},
    metrics::{KubernetesMetrics, QueueMetrics},
    objects::Text,
    reflector::{News, Reflector},
    resource::{Object, Source, sources},
};
use crate::{delivery::Delivery, polled::Means};

pub(crate) use once::discover;

/// What may wait to be taken over: pages of lists and single objects.
const NEWS_COUNT_MAX: usize = 16;
/// How long changes are collected before groups are made of them.
const COLLECT_DURATION: Duration = Duration::from_millis(100);
/// Groups that are made before others get their turn.
const GROUP_COUNT_AT_ONCE: usize = 128;
/// Between attempts to find a way to the server.
const WAIT_MIN: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// What all entries share.
#[derive(Clone, Debug)]
pub(crate) struct KubernetesMeans {
    user_agent: &'static str,
    answers: BufferPool,
    metrics: KubernetesMetrics,
    around: Surroundings,
}

/// Takes over what the reflectors of one entry tell.
struct Keeper<'d> {
    delivery: &'d Delivery,
    sources: Vec<Arc<Source>>,
    cluster: Cluster,
    /// Lists that have not been read as a whole yet. Until all are, nothing is delivered.
    unread: HashSet<SourceIndex>,
    was_delivered: bool,
    metrics: KubernetesMetrics,
    queue: QueueMetrics,
    /// The role, whose events are counted.
    role: String,
}

impl KubernetesMeans {
    pub(crate) fn new(means: &Means, registry: &Registry) -> Self {
        Self {
            user_agent: means.user_agent,
            answers: means.answers.clone(),
            metrics: KubernetesMetrics::new(registry),
            around: Surroundings::real(),
        }
    }
}

/// Follows the server until nobody wants the targets any more.
pub(crate) async fn run(delivery: Delivery, handle: Handle, means: KubernetesMeans) {
    let DiscoveryConfig::Kubernetes(cfg) = &delivery.provider.cfg else { return };
    let stop = delivery.provider.stop.clone();
    let follow = async {
        let api = find_api(cfg, &delivery, &handle, &means).await;
        follow(cfg, &delivery, api, &handle, &means).await;
    };
    select! {
        biased;
        () = stop.cancelled() => {}
        () = follow => {}
    }
}

/// Tries until there is a way to the server.
async fn find_api(
    cfg: &KubernetesSdConfig,
    delivery: &Delivery,
    handle: &Handle,
    means: &KubernetesMeans,
) -> Api {
    let mut wait = WAIT_MIN;
    loop {
        let (asked, around) = (cfg.clone(), means.around.clone());
        let found = handle.blocking(move || find_access(&asked, &around)).await;
        match found.map_err(|error| error.to_string()).flatten() {
            Ok(access) => {
                if wait > WAIT_MIN {
                    // A reload has reset it, perhaps.
                    let failed_configs = &delivery.metrics.failed_configs;
                    failed_configs.set((failed_configs.get() - 1.0).max(0.0));
                }
                return Api::new(access, means.user_agent);
            }
            Err(err) => {
                if wait == WAIT_MIN {
                    delivery.metrics.failed_configs.inc();
                }
                let (discovery, config) = ("kubernetes", &*delivery.provider.set);
                tracing::error!(discovery, config, err, "Cannot create service discovery");
                delivery.fail();
            }
        }
        sleep(wait).await;
        wait = (2 * wait).min(WAIT_MAX);
    }
}

async fn follow(
    cfg: &KubernetesSdConfig,
    delivery: &Delivery,
    api: Api,
    handle: &Handle,
    means: &KubernetesMeans,
) {
    let sources = sources(cfg, api.own_namespace.as_deref());
    let sources: Vec<_> = sources.into_iter().map(Arc::new).collect();
    let (sender, receiver) = mpsc::channel(NEWS_COUNT_MAX);
    let reflectors = sources.iter().enumerate().map(|(index, source)| Reflector {
        index,
        source: Arc::clone(source),
        api: api.clone(),
        handle: handle.clone(),
        answers: means.answers.clone(),
        metrics: means.metrics.clone(),
        news: sender.clone(),
        config: Arc::clone(&delivery.provider.set),
    });
    let reflecting = join_all(reflectors.map(Reflector::run));
    let mut keeper = Keeper {
        delivery,
        unread: (0..sources.len()).collect(),
        sources,
        cluster: Cluster::new(cfg.attach_metadata.clone()),
        was_delivered: false,
        metrics: means.metrics.clone(),
        queue: means.metrics.queue(&cfg.role),
        role: cfg.role.clone(),
    };
    select! {
        () = keeper.run(receiver) => {}
        _ = reflecting => {}
    }
}

impl Keeper<'_> {
    async fn run(&mut self, mut news: mpsc::Receiver<News>) {
        let mut due = None;
        loop {
            select! {
                told = news.recv() => match told {
                    Some(told) => self.take(told),
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    self.deliver().await;
                }
            }
            let has_changed = self.cluster.has_changed() || !self.was_delivered;
            if due.is_none() && self.unread.is_empty() && has_changed {
                due = Some(Instant::now() + COLLECT_DURATION);
            }
        }
    }

    fn take(&mut self, news: News) {
        let before = self.cluster.dirty_count();
        match news {
            News::Objects { seen, objects } => {
                for object in objects {
                    self.put(seen, object);
                }
            }
            News::Listed { seen } => {
                let source = Arc::clone(&self.sources[seen.source]);
                for key in self.cluster.missing_of(source.resource, source.is_primary, seen) {
                    self.remove(&source, &key);
                }
                self.unread.remove(&seen.source);
            }
            News::Gone { source, key } => {
                let source = Arc::clone(&self.sources[source]);
                self.remove(&source, &key);
            }
            News::Failed { source } => {
                if self.sources[source].is_optional {
                    self.unread.remove(&source);
                }
                if !self.was_delivered {
                    self.delivery.fail();
                }
            }
        }
        let dirty_count = self.cluster.dirty_count();
        self.queue.items.inc_by(dirty_count.saturating_sub(before) as u64);
        self.queue.depth.set(dirty_count as f64);
    }

    fn put(&mut self, seen: Seen, object: Object) {
        let source = Arc::clone(&self.sources[seen.source]);
        let change = match source.is_primary {
            true => self.cluster.put_primary(seen, object),
            false => self.cluster.put_other(seen, source.resource, object),
        };
        self.count(&source, if change == Change::Added { "add" } else { "update" });
    }

    fn remove(&mut self, source: &Source, key: &Text) {
        if self.cluster.remove(source.resource, source.is_primary, key) {
            self.count(source, "delete");
        }
    }

    /// Compat: the event handlers of the original's roles.
    fn count(&self, source: &Source, event: &str) {
        let role = source.resource.role();
        let is_counted = source.is_primary
            || role == "service"
            || (role == "pod" && self.role == "endpoints" && event == "update");
        if is_counted {
            self.metrics.events.with(&[role, event]).inc();
        }
    }

    async fn deliver(&mut self) {
        let began = clock::monotonic();
        let count = self.cluster.dirty_count();
        while self.cluster.dirty_count() > 0 {
            self.cluster.make_groups(GROUP_COUNT_AT_ONCE);
            yield_now().await;
        }
        self.was_delivered = true;
        self.delivery.deliver(self.cluster.groups());
        self.cluster.note_delivered();
        self.queue.depth.set(0.0);
        let seconds = (clock::monotonic() - began).as_secs_f64();
        for _ in 0..count {
            self.queue.work_duration.observe(seconds / count as f64);
        }
        self.queue.latency.observe(COLLECT_DURATION.as_secs_f64() + seconds);
    }
}
