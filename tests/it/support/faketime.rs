//! A wall clock of a process' own.

use std::path::PathBuf;

/// Debian's libfaketime, for threads.
pub fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|file| file.exists())
        .expect("libfaketime is missing: apt-get install faketime")
}
