//! All servers and who asks them on one processor. Where a short answer wakes a thread of another, idle
//! processor, that wake takes longer than the answer, twice, and is the same for every server: on a small
//! virtual machine 0.04 ms each.

use std::{fs, process};

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity},
};

use crate::contender::Contender;

/// Ends when it is dropped.
pub(crate) struct OneProcessor {
    pids: Vec<u32>,
    /// What was allowed before.
    before: CpuSet,
}

impl OneProcessor {
    pub(crate) fn confine(contenders: &[Contender]) -> Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut one = CpuSet::new();
        let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| before.is_set(*cpu));
        one.set(last.context("no processor")?);
        let pids = contenders.iter().map(Contender::pid).chain([process::id()]).collect();
        let this = Self { pids, before };
        this.allow(&one)?;
        Ok(this)
    }

    /// To every thread there is; new ones are allowed what those are that start them.
    fn allow(&self, processors: &CpuSet) -> Result<()> {
        for pid in &self.pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let id = task?.file_name().to_str().and_then(|name| name.parse().ok());
                let thread = id.and_then(Pid::from_raw).context("/proc/<pid>/task")?;
                match sched_setaffinity(Some(thread), processors) {
                    // it has ended meanwhile
                    Err(Errno::SRCH) => {}
                    done => done?,
                }
            }
        }
        Ok(())
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        drop(self.allow(&self.before));
    }
}
