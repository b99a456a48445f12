//! tsdb: first lines follow.
