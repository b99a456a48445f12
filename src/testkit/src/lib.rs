//! testkit: first lines follow.
