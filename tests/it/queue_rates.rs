//! How fast the queue is: printed, not judged. `cargo test --release rates -- --ignored --nocapture`
