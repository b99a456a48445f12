//! telemetry: first lines follow.
