//! Data on standard output.

use crate::observe::flush_log;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

/// Prints a line, as `println` does; but a reader that has enough ends the program without a complaint.
macro_rules! print_line {
    () => { $crate::cli::output::write_line(format_args!("")) };
    ($($text:tt)+) => { $crate::cli::output::write_line(format_args!($($text)+)) };
}
pub(in crate::cli) use print_line;

/// Ends the program where nothing can be written any more: there is nothing left for it to do.
pub(in crate::cli) fn write_line(text: Arguments<'_>) {
    if let Err(error) = writeln!(stdout().lock(), "{text}") {
        if error.kind() == ErrorKind::BrokenPipe {
            exit(0);
        }
        eprintln!("freshet: standard output cannot be written: {error}");
        exit(1);
    }
}

fn exit(status: i32) -> ! {
    flush_log();
    std::process::exit(status)
}
