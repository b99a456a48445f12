//! What anonymous memory a process has from one moment to another.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::report;

/// How often is looked how much memory a server has.
const GLANCE: Duration = Duration::from_millis(5);

/// Looks at a process again and again; remembers its anonymous memory.
#[derive(Debug)]
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<f64>>,
}

/// What a watch has seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) peak_bytes: f64,
    pub(crate) median_bytes: f64,
}

impl Watch {
    pub(crate) fn begin(pid: u32) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let ended = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut seen = Vec::new();
            while !ended.load(Ordering::Acquire) {
                seen.extend(anonymous_bytes(pid));
                thread::sleep(GLANCE);
            }
            seen
        });
        Self { is_over, thread }
    }

    pub(crate) fn end(self) -> Seen {
        self.is_over.store(true, Ordering::Release);
        let seen = self.thread.join().unwrap_or_default();
        let peak_bytes = seen.iter().copied().fold(0.0, f64::max);
        Seen { peak_bytes, median_bytes: report::median(&seen) }
    }
}

fn anonymous_bytes(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kibibytes.context("/proc/<pid>/status")? * 1024.0)
}
