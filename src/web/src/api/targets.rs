//! `/targets`, `/scrape_pools` and the metadata that targets tell about their metrics.
