//! The process around the library: see `lib.rs`.

fn main() {}
