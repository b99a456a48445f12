//! promtool: first lines follow.

fn main() {}
