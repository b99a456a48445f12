//! What is to be watched: the texts a configuration is made of, the patterns under which more may appear,
//! and files that are only named in it. How they are watched is no matter of this file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::Sources;

use super::fingerprint::Fingerprint;

/// Files and patterns of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSet {
    /// With what was read, if the next change is a change of that.
    pub(super) files: BTreeMap<PathBuf, Option<Fingerprint>>,
    pub(super) patterns: Vec<PathBuf>,
}

impl WatchSet {
    /// One file.
    pub fn of_file(path: &Path) -> Self {
        Self { files: BTreeMap::from([(path.to_owned(), None)]), patterns: Vec::new() }
    }

    /// All that `sources` were asked for. What was read from the disk is what later content is compared
    /// with, so nothing is missed that happens between the reading and the watching.
    pub fn of_sources(sources: &Sources) -> Self {
        let mut files: BTreeMap<PathBuf, Option<Fingerprint>> =
            sources.paths().map(|path| (path.to_owned(), None)).collect();
        if sources.is_of_disk() {
            for text in sources.texts() {
                files.insert(text.path.clone(), Some(Fingerprint::of_bytes(&text.bytes)));
            }
        }
        Self { files, patterns: sources.patterns().to_vec() }
    }

    /// Also these files.
    pub fn add_files(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        for file in files {
            self.files.entry(file).or_default();
        }
    }

    /// Also what `other` holds; what is in both is compared with what this one read.
    pub fn add(&mut self, other: &Self) {
        self.add_files(other.files.keys().cloned());
        for pattern in &other.patterns {
            if !self.patterns.contains(pattern) {
                self.patterns.push(pattern.clone());
            }
        }
    }
}
