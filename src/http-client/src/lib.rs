//! http-client: first lines follow.
