//! `file_sd_configs`: files of targets, found by pattern, watched, and looked at again now and then.
//! All entries of a discovery share one watcher and one task; a file is read once, however many name it.

mod table;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prom_config::{Changed, DiscoveryConfig, Sources, WatchOptions, WatchSet, Watcher};
use prom_lifecycle::Handle;
use prom_telemetry::clock;
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{delivery::Delivery, metrics::Metrics};

pub(crate) use table::FileTable;
use table::found_by;
pub use table::read_target_file;

/// No entry asks more often, however short its interval is.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// When there is nothing to look at again.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// Keeps the files of all entries, and tells them apart for their sets.
#[derive(Debug)]
pub(crate) struct FileHub {
    orders: watch::Sender<Arc<Order>>,
}

/// Which entries there are from now on.
#[derive(Debug, Default)]
struct Order {
    entries: Vec<Delivery>,
    /// What new entries have read, and what that is to be compared with.
    read: Option<FileTable>,
    set: WatchSet,
}

/// One entry with the time of its next look.
#[derive(Debug)]
struct Entry {
    delivery: Delivery,
    patterns: Vec<PathBuf>,
    interval: Duration,
    due: Instant,
}

/// The task that watches.
struct Keeper {
    handle: Handle,
    metrics: Arc<Metrics>,
    /// Worked on by one blocking job after the other.
    table: Arc<Mutex<FileTable>>,
    entries: Vec<Entry>,
    watcher: Option<Watcher>,
}

impl FileHub {
    pub(crate) fn new(handle: &Handle, metrics: &Arc<Metrics>) -> Self {
        let (orders, receiver) = watch::channel(Arc::default());
        let keeper = Keeper {
            handle: handle.clone(),
            metrics: Arc::clone(metrics),
            table: Arc::new(Mutex::new(FileTable::new(metrics))),
            entries: Vec::new(),
            watcher: None,
        };
        drop(handle.spawn_vital("file discovery", keeper.run(receiver)));
        Self { orders }
    }

    /// Keeps these entries and no others; `read` is what new ones have read. Touches no file itself.
    pub(crate) fn follow(&self, all: Vec<Delivery>, (read, sources): (FileTable, Sources)) {
        let is_of_files = |it: &Delivery| matches!(it.provider.cfg, DiscoveryConfig::File(_));
        let entries: Vec<_> = all.into_iter().filter(is_of_files).collect();
        if entries.is_empty() && self.orders.borrow().entries.is_empty() {
            return;
        }
        let set = WatchSet::of_sources(&sources);
        // An order that is replaced before anybody obeyed it costs one more reading of its files.
        self.orders.send_replace(Arc::new(Order { entries, read: Some(read), set }));
    }
}

impl Keeper {
    async fn run(mut self, mut orders: watch::Receiver<Arc<Order>>) {
        let stop = self.handle.cancellation();
        loop {
            let due = self.entries.iter().map(|entry| entry.due).min();
            let due = due.unwrap_or_else(|| Instant::now() + FOREVER);
            select! {
                biased;
                () = stop.cancelled() => return,
                ordered = orders.changed() => {
                    if ordered.is_err() {
                        // The discovery is gone; nobody asks for files any more.
                        return stop.cancelled().await;
                    }
                    let order = Arc::clone(&orders.borrow_and_update());
                    self.obey(&order).await;
                }
                changed = next_change(self.watcher.as_mut()) => self.deliver(changed.files).await,
                () = sleep_until(due) => self.refresh_due().await,
            }
        }
    }

    /// Entries that stay keep the time of their next look (I4).
    async fn obey(&mut self, order: &Arc<Order>) {
        let mut old = std::mem::take(&mut self.entries);
        for delivery in &order.entries {
            let same = |entry: &Entry| Arc::ptr_eq(&entry.delivery.provider, &delivery.provider);
            match old.iter().position(same) {
                Some(index) => self.entries.push(old.swap_remove(index)),
                None => self.entries.extend(Entry::new(delivery)),
            }
        }
        let (order, table, watcher) =
            (Arc::clone(order), Arc::clone(&self.table), self.watcher.take());
        let patterns: Vec<PathBuf> =
            self.entries.iter().flat_map(|entry| entry.patterns.clone()).collect();
        let watching = self.handle.blocking(move || {
            if let Some(read) = &order.read {
                table.lock().unwrap_or_else(PoisonError::into_inner).add(read);
            }
            if patterns.is_empty() {
                return None;
            }
            let mut set = order.set.clone();
            set.add(&watched(&patterns));
            let new = || Watcher::new(&WatchSet::default(), WatchOptions::default());
            let mut watcher = watcher.unwrap_or_else(new);
            watcher.set(&set);
            Some(watcher)
        });
        match watching.await {
            Ok(watcher) => self.watcher = watcher,
            Err(err) => {
                tracing::warn!(%err, "Files of targets are not watched, only looked at again");
            }
        }
        self.deliver(Vec::new()).await;
    }

    /// Looks again at the files of all entries that are due, whatever the watcher says.
    async fn refresh_due(&mut self) {
        let now = Instant::now();
        let mut patterns = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.due <= now) {
            entry.due = now + entry.interval;
            patterns.extend(entry.patterns.iter().cloned());
        }
        let began = clock::monotonic();
        let found = self.handle.blocking(move || found_by(&patterns)).await;
        if let Ok(files) = found {
            self.deliver(files).await;
            let duration = clock::monotonic() - began;
            self.metrics.files.scan_duration.observe(duration.as_secs_f64());
        }
    }

    /// Reads these files again and gives each entry what its patterns stand for now.
    async fn deliver(&self, files: Vec<PathBuf>) {
        let table = Arc::clone(&self.table);
        let entries = self.entries.iter();
        let asked: Vec<_> = entries
            .map(|entry| (Arc::clone(&entry.delivery.provider.set), entry.patterns.clone()))
            .collect();
        let update = move || {
            // What a panic leaves is a file that is not known, which is read again.
            table.lock().unwrap_or_else(PoisonError::into_inner).update(&files, &asked)
        };
        match self.handle.blocking(update).await {
            Ok(found) => {
                for (entry, groups) in self.entries.iter().zip(found) {
                    entry.delivery.deliver(groups);
                }
            }
            Err(err) => tracing::error!(%err, "Files of targets could not be read"),
        }
    }
}

impl Entry {
    fn new(delivery: &Delivery) -> Option<Self> {
        let DiscoveryConfig::File(cfg) = &delivery.provider.cfg else { return None };
        let interval = cfg.refresh_interval.max(REFRESH_INTERVAL_MIN);
        Some(Self {
            delivery: delivery.clone(),
            patterns: cfg.files.clone(),
            interval,
            due: Instant::now() + interval,
        })
    }
}

async fn next_change(watcher: Option<&mut Watcher>) -> Changed {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}

/// What files are found by; none is read.
fn watched(patterns: &[PathBuf]) -> WatchSet {
    let mut named = Sources::of_disk();
    for pattern in patterns {
        // A pattern that is none finds nothing, as the check of the configuration has told.
        drop(named.glob(pattern));
    }
    WatchSet::of_sources(&named)
}
