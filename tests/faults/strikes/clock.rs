//! The wall clock of freshet's processes, set while they run; the monotonic clock stays.

use crate::support::faketime::faketime;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "clock";

/// What a process needs to be under this clock.
pub fn environment(folder: &Path) -> Vec<(String, String)> {
    step(folder, 0);
    let file = folder.join(FILE).display().to_string();
    [
        ("LD_PRELOAD", faketime().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        // The file is looked at again this often, seconds.
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}

/// Sets it to so many seconds from the true time.
pub fn step(folder: &Path, seconds: i64) {
    let next = folder.join("clock.next");
    std::fs::write(&next, format!("{seconds:+}\n")).unwrap();
    // Nobody is to read half of it.
    std::fs::rename(next, folder.join(FILE)).unwrap();
    if seconds != 0 {
        // Until everybody has looked at the file.
        std::thread::sleep(Duration::from_secs(2));
    }
}
