//! What reading a dump costs.
fn main() {}
