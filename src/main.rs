//! The command line; see the library for everything else.

fn main() {}
