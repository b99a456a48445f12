//! A file system that is too small for a block: the compaction waits, nothing else does. Needs root, to mount.

use std::{fs, path::PathBuf, process::Command};

use prom_model::Labels;
use prom_storage::{Appendable, FloatSample};
use prom_telemetry::clock;
use prom_testkit::needed;
use prom_tsdb::{Db, Options};

const DISK_SIZE: &str = "size=64m";
/// Leaves less than what must stay free.
const BALLAST_SIZE_BYTES: usize = 52 << 20;
const HOURS: i64 = 4;

/// A mounted file system of its own.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", DISK_SIZE, "tmpfs"]).arg(folder.path());
        let is_mounted = mount.output().is_ok_and(|done| done.status.success());
        let path = is_mounted.then(|| folder.path().to_owned());
        let _path: PathBuf = needed("the right to mount a file system", path)?;
        Some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

fn append(db: &Db, t: i64) {
    let mut appender = db.appender();
    let mut samples = Vec::new();
    for number in 0..20 {
        let number = number.to_string();
        let labels = Labels::from_pairs([("__name__", "m"), ("n", number.as_str())]);
        let series = appender.series(&labels).unwrap();
        samples.push(FloatSample { series, timestamp_ms: t, value: 1.0 });
    }
    appender.append(&samples, &mut Vec::new());
    appender.commit().unwrap();
}

#[test]
fn a_block_that_does_not_fit_waits_for_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![7; BALLAST_SIZE_BYTES]).unwrap();
    let data = disk.0.path().join("data");
    let db = super::open(&data, Options::default());
    let begin = clock::now_ms() - HOURS * 3_600_000;
    for minute in 0..HOURS * 60 {
        append(&db, begin + minute * 60_000);
    }
    db.do_upkeep().unwrap();
    let reason = db.disk_shortage().unwrap();
    assert!(reason.contains("a block of the head is put off"), "{reason}");
    assert_eq!(db.blocks(), []);
    append(&db, begin + HOURS * 3_600_000);
    fs::remove_file(ballast).unwrap();
    db.do_upkeep().unwrap();
    assert_eq!(db.disk_shortage(), None);
    assert!(!db.blocks().is_empty());
    db.close().unwrap();
}
