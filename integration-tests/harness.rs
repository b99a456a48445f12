//! What the tests share: a server of their own, targets that behave or do not, patience.

mod http;
mod needs;
mod peer;
mod server;
mod small_disk;
mod target;

use std::time::{Duration, Instant};

pub(crate) use http::{Response, get, get_as, get_from, post, post_bytes, post_with_headers};
pub(crate) use needs::{Need, need, repository};
pub(crate) use peer::Peer;
pub(crate) use prom_testkit::copy_tree;
pub(crate) use server::{Server, ServerBuilder};
pub(crate) use small_disk::SmallDisk;
pub(crate) use target::Target;

/// How long anything that must come may take; the only waiting time of these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The switch that lets samples in by remote write, ours and the original's.
pub(crate) const RECEIVER: &str = "--web.enable-remote-write-receiver";
/// Discovered labels of every job that the installed original does not have yet.
pub(crate) const NEWER_JOB_LABELS: [&str; 3] = [
    "__always_scrape_classic_histograms__",
    "__convert_classic_histograms_to_nhcb__",
    "__scrape_native_histograms__",
];
/// How often an eventual condition is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Waits until `look` gives a value.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// Waits for what the server looks after at long intervals only.
#[track_caller]
pub(crate) fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = now() + patience;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(now() < deadline, "in vain: {what}");
        std::thread::sleep(GLANCE);
    }
}

#[expect(clippy::disallowed_methods, reason = "outside tests live in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
