//! T2: anonymous memory at its highest, over a day of samples whose time runs faster than ours, with the
//! compactions that come due on the way, and over the replay after a SIGKILL; and what is left afterwards.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    contender::{Contender, Kind},
    load::{Load, Sender},
    report,
    sizes::Sizes,
    write::table,
};

/// How much time the samples cover, at least.
const HOURS_MIN: f64 = 24.0;
/// Samples of each series in a request.
const STEPS_PER_REQUEST: usize = 4;
/// How often is looked how much memory a server has.
const GLANCE: Duration = Duration::from_millis(20);
/// How long a server has to come to rest.
const REST: Duration = Duration::from_secs(15);

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let hours = sizes.hours.max(HOURS_MIN);
    let kinds = [Kind::Ours, Kind::Original];
    let mut contenders = Contender::start_all(&kinds)?;
    let mut senders = Sender::connect_all(&contenders)?;
    let load = Load::new(sizes.series_count, hours)?;
    let watches: Vec<Watch> = contenders.iter().map(|c| Watch::begin(c.pid())).collect();
    load.send(&mut senders, 0..Load::steps_in(hours), STEPS_PER_REQUEST)?;
    drop(senders);
    thread::sleep(REST);
    let peaks: Vec<f64> = watches.into_iter().map(Watch::end).collect();
    let title =
        format!("{} series, {hours} hours of samples: most anonymous memory", load.series_count);
    table(&contenders, &title, "MiB", &peaks, mebibytes);
    tell_now(&contenders, "at rest after it")?;

    let (mut of_replay, mut steady) = (Vec::new(), Vec::new());
    for contender in &mut contenders {
        contender.end("KILL")?;
        contender.spawn_again()?;
        let watch = Watch::begin(contender.pid());
        contender.wait_until_ready()?;
        of_replay.push(watch.end());
        thread::sleep(REST);
        steady.push(contender.memory_bytes("RssAnon")?);
    }
    table(&contenders, "replay after SIGKILL: most anonymous memory", "MiB", &of_replay, mebibytes);
    table(&contenders, "at rest after it", "MiB", &steady, mebibytes);
    for ((contender, peak), steady) in contenders.iter().zip(of_replay).zip(steady) {
        let ratio = peak / steady;
        report::line(&format!("{}: replay takes {ratio:.2} of the rest", contender.kind.name()));
    }
    Ok(())
}

fn tell_now(contenders: &[Contender], title: &str) -> Result<()> {
    let now = contenders.iter().map(|c| c.memory_bytes("RssAnon")).collect::<Result<Vec<_>>>()?;
    table(contenders, title, "MiB", &now, mebibytes);
    Ok(())
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}

/// Looks at a process again and again; remembers the most anonymous memory.
struct Watch {
    is_over: Arc<AtomicBool>,
    peak_bytes: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn begin(pid: u32) -> Self {
        let (is_over, peak_bytes) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ended, peak) = (Arc::clone(&is_over), Arc::clone(&peak_bytes));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                if let Ok(bytes) = anonymous_bytes(pid) {
                    peak.fetch_max(bytes, Ordering::AcqRel);
                }
                thread::sleep(GLANCE);
            }
        });
        Self { is_over, peak_bytes, thread }
    }

    fn end(self) -> f64 {
        self.is_over.store(true, Ordering::Release);
        drop(self.thread.join());
        self.peak_bytes.load(Ordering::Acquire) as f64
    }
}

fn anonymous_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kibibytes.context("/proc/<pid>/status")? * 1024)
}
