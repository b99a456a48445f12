//! What the server gives its query engine: limits of memory, the file of active queries, the query log.

use std::{fmt, fs, io, path::Path, sync::Arc};

use prom_config::Config;
use prom_promql::{DEFAULT_BYTES_MAX, DEFAULT_TOTAL_BYTES_MAX, Engine, QueryJournal, QueryLog};
use prom_web::{ActiveQueryFile, QueryLogFile};

/// Share of the machine's memory that queries get where no flag says how much.
const MEMORY_SHARE: u64 = 2;

/// Bytes that one query and all queries together may take; 0 leaves it to the size of the machine.
pub(crate) fn memory_limits(of_one_bytes: u64, of_all_bytes: u64) -> (u64, u64) {
    let of_all_bytes = match of_all_bytes {
        0 => memory_bytes().map_or(DEFAULT_TOTAL_BYTES_MAX, |bytes| bytes / MEMORY_SHARE),
        bytes => bytes,
    };
    let of_one_bytes = match of_one_bytes {
        0 => DEFAULT_BYTES_MAX.min(of_all_bytes / MEMORY_SHARE),
        bytes => bytes,
    };
    (of_one_bytes, of_all_bytes)
}

/// Opens the file of active queries. Queries are answered without it, too.
pub(crate) fn journal(folder: &Path, slot_count: usize) -> Option<Arc<dyn QueryJournal>> {
    match ActiveQueryFile::open(folder, slot_count) {
        Ok(file) => Some(Arc::new(file)),
        Err(err) => {
            tracing::error!(
                component = "activeQueryTracker",
                folder = %folder.display(),
                err = %err,
                "Error opening query log file"
            );
            None
        }
    }
}

/// The query log of a configuration, open and not yet written to.
pub(crate) struct PreparedQueryLog(Option<QueryLog>);

impl PreparedQueryLog {
    /// Opens the log that `config` asks for.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn of(config: &Config) -> io::Result<Self> {
        let path = &config.global.query_log_file;
        if path.as_os_str().is_empty() {
            return Ok(Self(None));
        }
        let file = QueryLogFile::open(path)
            .map_err(|err| io::Error::new(err.kind(), format!("open {}: {err}", path.display())))?;
        Ok(Self(Some(Arc::new(move |query| file.log(query)))))
    }

    /// Queries that end from now on are logged there.
    pub(crate) fn take_over(self, engine: &Engine) {
        engine.set_query_log(self.0);
    }
}

impl fmt::Debug for PreparedQueryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreparedQueryLog").field(&self.0.is_some()).finish()
    }
}

/// Memory of the machine.
fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_gets_at_most_what_all_have() {
        assert_eq!(memory_limits(7, 9), (7, 9));
        assert_eq!(memory_limits(0, 1000), (500, 1000));
        assert_eq!(memory_limits(0, 100 << 30), (DEFAULT_BYTES_MAX, 100 << 30));
        let (of_one, of_all) = memory_limits(0, 0);
        assert!(of_one <= of_all && of_one > 0);
    }
}
