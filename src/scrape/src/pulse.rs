//! The task that keeps the pools in line with discovery, and watches over their loops: while each of them
//! keeps its promise, the heart beats (I5). It scrapes nothing itself.

use std::{sync::Arc, time::Duration};

use prom_discovery::Changes;
use tokio::{
    select,
    time::{MissedTickBehavior, interval},
};

use crate::manager::Shared;

const TICK: Duration = Duration::from_secs(1);
/// Silence of the heart that is still no reason for a restart.
const HEART_DEADLINE: Duration = Duration::from_secs(10);

/// Runs until the service stops.
pub(crate) async fn run(shared: Arc<Shared>, mut changes: Changes) {
    let heart = shared.handle().heart("scraping", HEART_DEADLINE);
    let stop = shared.ctx().stop.clone();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_wedged = false;
    loop {
        select! {
            biased;
            () = stop.cancelled() => return,
            () = changes.next() => {
                let shared = Arc::clone(&shared);
                let workers = shared.ctx().workers.clone();
                if let Err(err) = workers.run(move || shared.sync_changed()).await {
                    tracing::error!(%err, "Targets could not be brought in line with discovery");
                }
            }
            _ = ticks.tick() => {
                let overdue = shared.overdue_target();
                if let Some(target) = overdue.as_ref().filter(|_| !is_wedged) {
                    let scrape_pool = &*target.pool;
                    tracing::error!(scrape_pool, target = target.url, "Scrape loop does not progress");
                }
                is_wedged = overdue.is_some();
                if !is_wedged {
                    heart.beat();
                }
            }
        }
    }
}
