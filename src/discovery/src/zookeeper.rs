//! `serverset_sd_configs` and `nerve_sd_configs`: nodes of ZooKeeper, each with a member of a service.
//!
//! [`wire`] and [`session`] speak the protocol, [`tree`] knows the nodes, [`member`] what they say; here a
//! session is held, lost and begun anew. What was found stays until something else is known.
//! Compat: Prometheus `discovery/zookeeper` and `util/treecache`.

mod member;
mod session;
mod tree;
mod wire;

use std::{collections::BTreeSet, time::Duration};

use prom_config::DiscoveryConfig;
use prom_model::Labels;
use prom_telemetry::{Counter, Gauge, Registry};
use tokio::{
    select,
    time::{Instant, sleep},
};

use self::{
    member::Format,
    session::Session,
    tree::{NODE_COUNT_MAX, Tree},
};
use crate::{TargetGroup, delivery::Delivery, group::sharing};

/// Nodes that are asked for before their answers are read.
const NODE_COUNT_AT_ONCE: usize = 64;
/// Paths that do not exist are looked for again so often. Compat: the retry of `treecache`.
const MISSING_RETRY: Duration = Duration::from_secs(10);
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Under the names of the original. Compat: Prometheus `util/treecache`.
#[derive(Clone, Debug)]
pub(crate) struct ZookeeperMetrics {
    failures: Counter,
    watchers: Gauge,
}

/// One entry of either mechanism.
#[derive(Debug)]
struct Follower<'d> {
    delivery: &'d Delivery,
    metrics: &'d ZookeeperMetrics,
    roots: &'d [String],
    timeout: Duration,
    format: Format,
    tree: Tree,
    /// As counted in the metric.
    watched_count: usize,
}

/// What both mechanisms say in the same way.
#[derive(Debug)]
struct Entry<'c> {
    servers: &'c [String],
    roots: &'c [String],
    timeout: Duration,
    format: Format,
}

impl<'c> Entry<'c> {
    fn of(cfg: &'c DiscoveryConfig) -> Option<Self> {
        let (servers, roots, timeout, format) = match cfg {
            DiscoveryConfig::Serverset(cfg) => {
                (&cfg.servers, &cfg.paths, cfg.timeout, Format::Serverset)
            }
            DiscoveryConfig::Nerve(cfg) => (&cfg.servers, &cfg.paths, cfg.timeout, Format::Nerve),
            _ => return None,
        };
        Some(Self { servers, roots, timeout, format })
    }
}

impl ZookeeperMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            failures: registry.counter(
                "prometheus_treecache_zookeeper_failures_total",
                "The total number of ZooKeeper failures.",
            ),
            watchers: registry.gauge(
                "prometheus_treecache_watcher_goroutines",
                "The current number of watcher goroutines.",
            ),
        }
    }
}

/// All groups there are at this moment, for tools.
///
/// # Errors
/// No server answers.
pub(crate) async fn discover(cfg: &DiscoveryConfig) -> Result<Vec<TargetGroup>, String> {
    let Some(entry) = Entry::of(cfg) else { return Ok(Vec::new()) };
    let mut failure = "no server is named".to_owned();
    for server in entry.servers {
        let mut tree = Tree::default();
        let found = async {
            let mut session = Session::connect(server, entry.timeout).await?;
            read(&mut session, &mut tree, entry.roots.to_vec()).await?;
            session.close();
            Ok(())
        };
        match found.await {
            Ok(()) => return Ok(groups(&tree, entry.format).collect()),
            Err(err) => failure = err,
        }
    }
    Err(failure)
}

/// Follows the nodes until nobody wants the targets any more.
pub(crate) async fn run(delivery: Delivery, metrics: ZookeeperMetrics) {
    let Some(Entry { servers, roots, timeout, format }) = Entry::of(&delivery.provider.cfg) else {
        return;
    };
    let stop = delivery.provider.stop.clone();
    let mut follower = Follower {
        delivery: &delivery,
        metrics: &metrics,
        roots,
        timeout,
        format,
        tree: Tree::default(),
        watched_count: 0,
    };
    select! {
        biased;
        () = stop.cancelled() => {}
        () = follower.follow(servers) => {}
    }
}

impl Follower<'_> {
    /// Server after server, for ever.
    async fn follow(&mut self, servers: &[String]) {
        let mut wait = WAIT_MIN;
        for server in servers.iter().cycle() {
            let began = Instant::now();
            let err = match Session::connect(server, self.timeout).await {
                Ok(mut session) => {
                    let ended = self.hold(&mut session).await;
                    session.close();
                    ended
                }
                Err(err) => err,
            };
            self.report(&err);
            self.watch_count(0);
            if began.elapsed() > WAIT_MAX {
                wait = WAIT_MIN;
            }
            sleep(wait).await;
            wait = (2 * wait).min(WAIT_MAX);
        }
    }

    /// Reads everything anew and then what changes; why that ended.
    async fn hold(&mut self, session: &mut Session) -> String {
        match self.try_hold(session).await {
            Ok(()) => "the session ended".to_owned(),
            Err(err) => err,
        }
    }

    async fn try_hold(&mut self, session: &mut Session) -> Result<(), String> {
        let mut tree = Tree::default();
        read(session, &mut tree, self.roots.to_vec()).await?;
        self.tree = tree;
        loop {
            self.deliver();
            let missing: Vec<_> =
                self.roots.iter().filter(|root| !self.tree.contains(root)).cloned().collect();
            for root in &missing {
                self.report(&format!("path {root} does not exist"));
            }
            let until = Instant::now() + MISSING_RETRY;
            let changed = session.changes(until).await?;
            // Nothing can watch over what does not exist.
            let due = if Instant::now() >= until { missing } else { Vec::new() };
            let paths: BTreeSet<_> = changed.into_iter().chain(due).collect();
            read(session, &mut self.tree, paths.into_iter().collect()).await?;
        }
    }

    fn deliver(&mut self) {
        self.watch_count(self.tree.count());
        let groups = groups(&self.tree, self.format);
        self.delivery.deliver(sharing(groups, &self.delivery.provider.latest().groups));
    }

    fn report(&self, err: &str) {
        self.metrics.failures.inc();
        let provider = &self.delivery.provider;
        let (discovery, config) = (provider.cfg.name(), &*provider.set);
        tracing::error!(discovery, config, err, "Error during read of Zookeeper");
        self.delivery.fail();
    }

    fn watch_count(&mut self, count: usize) {
        self.metrics.watchers.add(count as f64 - self.watched_count as f64);
        self.watched_count = count;
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.watch_count(0);
    }
}

/// A group for each node that stands for a target.
fn groups(tree: &Tree, format: Format) -> impl Iterator<Item = TargetGroup> {
    tree.iter().filter_map(move |(path, data)| {
        let target = format.target(path, data)?;
        Some(TargetGroup { source: path.into(), targets: vec![target], labels: Labels::empty() })
    })
}

/// Reads some nodes and all below them that are not known yet.
async fn read(
    session: &mut Session,
    tree: &mut Tree,
    mut paths: Vec<String>,
) -> Result<(), String> {
    while !paths.is_empty() {
        let batch = paths.split_off(paths.len().saturating_sub(NODE_COUNT_AT_ONCE));
        let nodes = session.read_nodes(&batch).await?;
        for (path, node) in batch.iter().zip(nodes) {
            paths.extend(tree.note(path, node));
        }
        if tree.count() + paths.len() > NODE_COUNT_MAX {
            return Err(format!("more than {NODE_COUNT_MAX} nodes"));
        }
    }
    Ok(())
}
