//! Cases of the YAML rules.
