//! Parse, configure, run, and turn the result into an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    freshet::cli::main()
}
