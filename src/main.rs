//! Parse, configure, run, and turn the result into an exit status.

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    freshet::cli::main()
}
