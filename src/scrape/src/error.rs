//! Why a configuration cannot be taken over. What goes wrong in one scrape is text beside its target.

/// A configuration that cannot be scraped by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScrapeError {
    #[error(transparent)]
    Discovery(#[from] prom_discovery::DiscoveryError),
    #[error("can't create json log file: open {}: {reason}", .path.display())]
    FailureLog { path: std::path::PathBuf, reason: String },
}
