//! Watches Consul: one request for the catalog and one for each service wait at the server until there is
//! something new, and are then made again. All of them are driven by the task of their entry.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use prom_config::ConsulSdConfig;
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Consul, Indexed};
use crate::{TargetGroup, delivery::Delivery, group::sharing, polled::Means, rest::AskError};

/// After a failure. Compat: `retryInterval` of the original.
#[cfg(not(test))]
const RETRY_INTERVAL: Duration = Duration::from_secs(15);
#[cfg(test)]
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// However long a server wants to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// The first services wait so long for the others, so that a new entry does not show a few of its targets first.
const FIRST_WAIT: Duration = Duration::from_secs(5);

type Watches = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>;

/// What a watch has come to.
enum Event {
    Services(Watched, Result<Indexed<BTreeMap<String, bool>>, AskError>),
    Service(String, Watched, Result<Indexed<TargetGroup>, AskError>),
    /// Nobody wants to know any more.
    Ended,
}

/// Where a watch is.
#[derive(Clone, Debug)]
struct Watched {
    index: u64,
    begun_at: Instant,
    stop: CancellationToken,
}

struct Service {
    stop: CancellationToken,
    /// Nothing until the first answer.
    group: Option<TargetGroup>,
    /// It was asked for once, with whatever success.
    is_tried: bool,
}

struct Watcher {
    consul: Arc<Consul>,
    datacenter: Arc<str>,
    refresh_interval: Duration,
    services: BTreeMap<String, Service>,
    watches: Watches,
    /// The catalog has been read, or is not needed.
    has_names: bool,
    stop: CancellationToken,
}

/// Watches until nobody wants the targets any more.
pub(crate) async fn run(delivery: Delivery, cfg: ConsulSdConfig, means: Means) {
    let stop = delivery.provider.stop.clone();
    let consul = Arc::new(Consul::new(&cfg, &means));
    let datacenter = select! {
        biased;
        () = stop.cancelled() => return,
        datacenter = find_datacenter(&consul, &delivery) => datacenter,
    };
    let mut watcher = Watcher {
        has_names: !consul.has_catalog(),
        refresh_interval: cfg.refresh_interval,
        services: BTreeMap::new(),
        watches: FuturesUnordered::new(),
        stop: stop.clone(),
        datacenter: datacenter.into(),
        consul,
    };
    if watcher.has_names {
        cfg.services.iter().for_each(|name| watcher.begin(name));
    } else {
        let watched = Watched { index: 0, begun_at: Instant::now(), stop: stop.clone() };
        watcher.watch_services(watched, Duration::ZERO);
    }
    let first_until = Instant::now() + FIRST_WAIT;
    let mut is_new = false;
    loop {
        let is_first_over = Instant::now() >= first_until;
        if is_new && (is_first_over || watcher.is_complete()) {
            let groups = watcher.services.values().filter_map(|service| service.group.clone());
            let groups = groups.filter(|group| !group.targets.is_empty());
            delivery.deliver(sharing(groups, &delivery.provider.latest().groups));
            is_new = false;
        }
        select! {
            biased;
            () = stop.cancelled() => return,
            Some(event) = watcher.watches.next() => is_new |= watcher.take(event, &delivery),
            () = sleep_until(first_until), if !is_first_over => {}
        }
        // What is there already is taken in one go.
        while let Some(Some(event)) = watcher.watches.next().now_or_never() {
            is_new |= watcher.take(event, &delivery);
        }
    }
}

async fn find_datacenter(consul: &Consul, delivery: &Delivery) -> String {
    loop {
        match consul.datacenter().await {
            Ok(datacenter) => return datacenter,
            Err(err) => {
                tracing::error!(discovery = "consul", %err, "Error retrieving datacenter name");
                delivery.fail();
                sleep(pause(&err)).await;
            }
        }
    }
}

impl Watcher {
    /// Whether the targets are other ones than before.
    fn take(&mut self, event: Event, delivery: &Delivery) -> bool {
        match event {
            Event::Ended => false,
            Event::Services(watched, Ok(answer)) => {
                let is_new = answer.index != watched.index;
                let changed = is_new && self.take_services(&answer.answer);
                let watched = Watched { index: answer.index, ..watched };
                self.watch_services(watched, Duration::ZERO);
                changed
            }
            Event::Services(watched, Err(err)) => {
                tracing::error!(discovery = "consul", %err, "Error refreshing service list");
                delivery.fail();
                self.watch_services(watched, pause(&err));
                false
            }
            Event::Service(name, watched, answer) => {
                let Some(service) = self.services.get_mut(&name) else { return false };
                service.is_tried = true;
                match answer {
                    Ok(answer) => {
                        let is_new = answer.index != watched.index || service.group.is_none();
                        if is_new {
                            service.group = Some(answer.answer);
                        }
                        let watched = Watched { index: answer.index, ..watched };
                        self.watch_service(name, watched, Duration::ZERO);
                        is_new
                    }
                    Err(err) => {
                        let service = &*name;
                        tracing::error!(discovery = "consul", service, %err, "Error refreshing service");
                        delivery.fail();
                        self.watch_service(name, watched, pause(&err));
                        // Others may have waited for it.
                        true
                    }
                }
            }
        }
    }

    /// Begins and ends watches; a service that is there but not wanted any more is watched on, as in the
    /// original: its filter leaves nothing of it.
    fn take_services(&mut self, found: &BTreeMap<String, bool>) -> bool {
        self.services.retain(|name, service| {
            let is_there = found.contains_key(name);
            if !is_there {
                service.stop.cancel();
            }
            is_there
        });
        for (name, _) in found.iter().filter(|(_, is_wanted)| **is_wanted) {
            if !self.services.contains_key(name) {
                self.begin(name);
            }
        }
        self.has_names = true;
        true
    }

    fn begin(&mut self, name: &str) {
        let stop = self.stop.child_token();
        let service = Service { stop: stop.clone(), group: None, is_tried: false };
        self.services.insert(name.to_owned(), service);
        let watched = Watched { index: 0, begun_at: Instant::now(), stop };
        self.watch_service(name.to_owned(), watched, Duration::ZERO);
    }

    fn is_complete(&self) -> bool {
        self.has_names && self.services.values().all(|service| service.is_tried)
    }

    fn watch_services(&mut self, watched: Watched, pause: Duration) {
        let (consul, next_at) = (Arc::clone(&self.consul), self.next_at(&watched, pause));
        self.watches.push(Box::pin(async move {
            sleep_until(next_at).await;
            let begun_at = Instant::now();
            let answer = consul.services(watched.index).await;
            Event::Services(Watched { begun_at, ..watched }, answer)
        }));
    }

    fn watch_service(&mut self, name: String, watched: Watched, pause: Duration) {
        let (consul, next_at) = (Arc::clone(&self.consul), self.next_at(&watched, pause));
        let datacenter = Arc::clone(&self.datacenter);
        self.watches.push(Box::pin(async move {
            let stop = watched.stop.clone();
            let watch = async {
                sleep_until(next_at).await;
                let begun_at = Instant::now();
                let answer = consul.service(&datacenter, &name, watched.index).await;
                Event::Service(name, Watched { begun_at, ..watched }, answer)
            };
            select! {
                biased;
                () = stop.cancelled() => Event::Ended,
                event = watch => event,
            }
        }));
    }

    /// The first attempt is made at once, each other one an interval after the beginning of the last one.
    fn next_at(&self, watched: &Watched, pause: Duration) -> Instant {
        if watched.index == 0 && pause.is_zero() {
            return watched.begun_at;
        }
        (watched.begun_at + self.refresh_interval).max(Instant::now() + pause)
    }
}

fn pause(error: &AskError) -> Duration {
    error.retry_after.unwrap_or_default().clamp(RETRY_INTERVAL, RETRY_AFTER_MAX)
}
