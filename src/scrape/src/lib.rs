//! scrape: first lines follow.
