//! The `prometheus` binary: flags, wiring, nothing else.

mod flags;

fn main() {
    if let Ok(f) = flags::Flags::parse(std::env::args_os()) {
        drop((f.to_map(), flags::Options::new(&f)));
    }
}
