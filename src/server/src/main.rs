//! server: first lines follow.

fn main() {}
