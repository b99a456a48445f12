//! web: first lines follow.
