//! What files of targets held when they were last read well, and reading them. It watches nothing.
//! Compat: Prometheus `discovery/file/file.go`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use prom_config::{Sources, StaticConfig, parse_target_file};
use prom_telemetry::clock;

use crate::{
    TargetGroup,
    group::sharing,
    json::parse_groups,
    metrics::{FileMetrics, Metrics},
};

/// Tells where a target was found.
const FILE_LABEL: &str = "__meta_filepath";

/// The last good groups by file.
#[derive(Clone, Debug)]
pub(crate) struct FileTable {
    files: BTreeMap<PathBuf, Vec<Arc<TargetGroup>>>,
    /// Read, and found bad: not tried again before they change.
    bad: BTreeSet<PathBuf>,
    metrics: FileMetrics,
}

impl FileTable {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let metrics = metrics.files.clone();
        Self { files: BTreeMap::new(), bad: BTreeSet::new(), metrics }
    }

    /// The groups of an entry that is new; `sources` remembers what was read.
    pub(crate) fn read_new(
        &mut self,
        set: &str,
        patterns: &[PathBuf],
        sources: &mut Sources,
    ) -> Vec<Arc<TargetGroup>> {
        let began = clock::monotonic();
        let mut found = Vec::new();
        for pattern in patterns {
            found.extend(sources.glob(pattern).unwrap_or_default());
        }
        found.sort();
        found.dedup();
        for file in &found {
            if !self.files.contains_key(file) && !self.bad.contains(file) {
                self.read(set, file, sources);
            }
        }
        self.metrics.scan_duration.observe((clock::monotonic() - began).as_secs_f64());
        self.groups(&found)
    }

    /// Takes over what was read elsewhere, and later.
    pub(crate) fn add(&mut self, newer: &Self) {
        for (file, groups) in &newer.files {
            self.bad.remove(file);
            self.note_mtime(file);
            self.files.insert(file.clone(), groups.clone());
        }
        self.bad.extend(newer.bad.iter().cloned());
    }

    /// Reads these files again, and others that nobody has read; then the groups of each entry, which is a
    /// name for the log and patterns. Forgets files that no entry has any more.
    pub(crate) fn update(
        &mut self,
        files: &[PathBuf],
        entries: &[(Arc<str>, Vec<PathBuf>)],
    ) -> Vec<Vec<Arc<TargetGroup>>> {
        let mut changed: BTreeSet<&PathBuf> = files.iter().collect();
        let mut sources = Sources::of_disk();
        let mut all = BTreeSet::new();
        let mut groups = Vec::with_capacity(entries.len());
        for (set, patterns) in entries {
            let found = found_by(patterns);
            for file in &found {
                let is_known = self.files.contains_key(file) || self.bad.contains(file);
                if changed.remove(file) || !is_known {
                    self.read(set, file, &mut sources);
                    self.note_mtime(file);
                }
            }
            groups.push(self.groups(&found));
            all.extend(found);
        }
        let known = self.files.keys().chain(&self.bad);
        let gone: Vec<PathBuf> = known.filter(|file| !all.contains(*file)).cloned().collect();
        gone.iter().for_each(|file| self.forget(file));
        groups
    }

    fn groups(&self, files: &[PathBuf]) -> Vec<Arc<TargetGroup>> {
        let groups = files.iter().filter_map(|file| self.files.get(file)).flatten();
        groups.filter(|group| !group.targets.is_empty()).map(Arc::clone).collect()
    }

    /// Reads a file; if that fails it keeps what it held before.
    fn read(&mut self, set: &str, file: &Path, sources: &mut Sources) {
        match read_groups(file, sources) {
            Ok(groups) => {
                self.bad.remove(file);
                let old = self.files.remove(file).unwrap_or_default();
                self.files.insert(file.to_owned(), sharing(to_groups(file, &groups), &old));
            }
            Err(err) => {
                self.bad.insert(file.to_owned());
                self.metrics.read_errors.inc();
                let path = file.display();
                tracing::error!(discovery = "file", config = set, path = %path, err, "Error reading file");
            }
        }
    }

    fn forget(&mut self, file: &Path) {
        self.files.remove(file);
        self.bad.remove(file);
        self.metrics.mtime.remove(&[&file.display().to_string()]);
    }

    /// Of a file that was read well at some time.
    fn note_mtime(&self, file: &Path) {
        if self.bad.contains(file) {
            return;
        }
        let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
        if let Some(since) = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
            let name = file.display().to_string();
            self.metrics.mtime.with(&[&name]).set(since.as_secs_f64());
        }
    }
}

/// All files that some patterns stand for, each once, in order.
pub(crate) fn found_by(patterns: &[PathBuf]) -> Vec<PathBuf> {
    let mut sources = Sources::of_disk();
    let found = patterns.iter().flat_map(|pattern| sources.glob(pattern).unwrap_or_default());
    let mut found: Vec<PathBuf> = found.collect();
    found.sort();
    found.dedup();
    found
}

/// The groups of one file of targets, as discovery finds them.
///
/// # Errors
/// The file cannot be read, or what is wrong with it.
pub fn read_target_file(file: &Path) -> Result<Vec<TargetGroup>, String> {
    Ok(to_groups(file, &read_groups(file, &mut Sources::of_disk())?))
}

fn read_groups(file: &Path, sources: &mut Sources) -> Result<Vec<StaticConfig>, String> {
    let extension = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let bytes = sources.read(file).map_err(|errors| errors.first_line())?;
    match extension.as_str() {
        "json" => parse_groups(&bytes),
        "yml" | "yaml" => parse_target_file(file, &bytes).map_err(|errors| errors.first_line()),
        _ if extension.is_empty() => Err("invalid file extension: \"\"".to_owned()),
        _ => Err(format!("invalid file extension: \".{extension}\"")),
    }
}

fn to_groups(file: &Path, groups: &[StaticConfig]) -> Vec<TargetGroup> {
    let name = file.display().to_string();
    let label = Some((FILE_LABEL, name.as_str()));
    let group = |(index, cfg)| TargetGroup::of_addresses(format!("{name}:{index}"), cfg, label);
    groups.iter().enumerate().map(group).collect()
}
