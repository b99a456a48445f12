//! Cases of the relabelling rules.
