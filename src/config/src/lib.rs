//! config: first lines follow.
