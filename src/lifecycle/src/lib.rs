//! lifecycle: first lines follow.
