//! A small disk for the files of the embedded engines, which can be filled.
//!
//! It is mounted in a name space of its own, in which this executable starts itself again for the
//! run: that works with and without root, and the disk is gone with the last process.

use super::evidence::Eve;
use crate::cells::{CELLS, Engines, Strike};
use crate::course::{self, Length, Run};
use crate::judge::Judged;
use crate::site::Site;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The first argument of the executable that finds the disk mounted.
pub const WORD: &str = "on-a-small-disk";
/// Holds what a run stores twice over.
const SIZE: &str = "size=128m";
const FULL: (u64, u64) = (8, 30);

static MOUNTED: OnceLock<PathBuf> = OnceLock::new();

/// The disk, where this is the executable that runs on it.
pub fn mounted() -> Option<&'static Path> {
    MOUNTED.get().map(PathBuf::as_path)
}

/// Mounts a disk and does the run there.
///
/// # Errors
/// Why this machine lets nobody mount one.
///
/// # Panics
/// Where the run could not go on.
pub fn run_on_a_small_one(run: Run) -> Result<Judged, String> {
    let folder = TempDir::new().unwrap();
    let refused = mount(folder.path(), &["true"])
        .stdout(Stdio::null())
        .output();
    let refused = refused.map_err(|error| format!("unshare cannot be run: {error}"))?;
    if !refused.status.success() {
        let why = String::from_utf8_lossy(&refused.stderr);
        return Err(format!("no disk can be mounted here: {}", why.trim()));
    }
    let this = std::env::current_exe().unwrap();
    let (this, place) = (this.to_str().unwrap(), folder.path().to_str().unwrap());
    let length = serde_json::to_string(&run.length).unwrap();
    let seed = run.seed.to_string();
    let output = mount(folder.path(), &[this, WORD, place, &length, &seed])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the run could not go on");
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

/// The run itself; what it showed goes to standard output.
pub fn inside(arguments: &[String]) {
    let [place, length, seed] = arguments else {
        panic!("{WORD} FOLDER LENGTH SEED");
    };
    MOUNTED.set(place.into()).unwrap();
    let cell = CELLS.iter().find(|cell| cell.strike == Strike::DiskFull);
    let run = Run {
        cell: cell.unwrap(),
        engines: Engines::Files,
        length: serde_json::from_str::<Length>(length).unwrap(),
        seed: seed.parse().unwrap(),
    };
    let judged = course::run(run).unwrap();
    println!("{}", serde_json::to_string(&judged).unwrap());
}

/// A command that finds the disk there.
fn mount(at: &Path, command: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout.trim_ascii() != b"0" {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = format!("mount -t tmpfs -o {SIZE} none \"$0\" && exec \"$@\"");
    unshare.args(["sh", "-c", &script]).arg(at).args(command);
    unshare
}

/// Fills it, and after a while frees it.
pub async fn full(site: &Site, eve: &Eve) {
    let filler = mounted().unwrap().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let block = vec![0_u8; size];
        while file.write_all(&block).is_ok() {}
    }
    site.run.length.last(FULL).await;
    eve.until_full(site).await;
    drop(file);
    std::fs::remove_file(filler).unwrap();
}
