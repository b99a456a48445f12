//! xtask: first lines follow.

fn main() {}
