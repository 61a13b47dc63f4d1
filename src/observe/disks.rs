//! The space left where data lies.

use crate::metrics::Metrics;
use rustix::fs::statvfs;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// Bytes that can still be written, and that there are.
#[derive(Debug, Clone, Copy)]
struct Space {
    available: u64,
    size: u64,
}

/// What was measured of each folder.
type Measured = Vec<(PathBuf, std::io::Result<Space>)>;

/// Measures the file systems of some folders.
///
/// A network's file system that hangs keeps whoever asks it, for ever. So a thread of its own asks, one
/// at a time, and what it found is taken up at the next look.
#[derive(Debug)]
pub(super) struct Disks {
    folders: Vec<PathBuf>,
    asked: Option<JoinHandle<Measured>>,
}

impl Disks {
    pub(super) fn new(mut folders: Vec<PathBuf>) -> Disks {
        folders.sort();
        folders.dedup();
        Disks {
            folders,
            asked: None,
        }
    }

    /// Takes up what was measured since the last look, and has it measured again.
    pub(super) async fn look(&mut self, metrics: &Metrics) {
        match &mut self.asked {
            Some(asked) if !asked.is_finished() => return,
            Some(asked) => show(asked.await.unwrap_or_default(), metrics),
            None => {}
        }
        let folders = self.folders.clone();
        self.asked = Some(tokio::task::spawn_blocking(move || {
            let measure = |folder: PathBuf| {
                let space = space(&folder);
                (folder, space)
            };
            folders.into_iter().map(measure).collect()
        }));
    }
}

fn show(measured: Measured, metrics: &Metrics) {
    for (folder, space) in measured {
        let name = folder.display().to_string();
        match space {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a disk of more than 8 PB is measured to the nearest KB"
            )]
            Ok(Space { available, size }) => {
                let of = |gauge: &prometheus::GaugeVec| gauge.with_label_values(&[&name]);
                of(&metrics.disk_available).set(available as f64);
                of(&metrics.disk_size).set(size as f64);
            }
            Err(error) => {
                tracing::debug!(folder = name, %error, "The space left cannot be measured");
                let _ = metrics.disk_available.remove_label_values(&[&name]);
                let _ = metrics.disk_size.remove_label_values(&[&name]);
            }
        }
    }
}

/// Bytes that can still be written to a folder.
///
/// # Errors
/// As the system says.
pub fn space_left(folder: &Path) -> std::io::Result<u64> {
    space(folder).map(|space| space.available)
}

fn space(folder: &Path) -> std::io::Result<Space> {
    let measured = statvfs(folder)?;
    Ok(Space {
        // Without what is kept for root.
        available: measured.f_bavail.saturating_mul(measured.f_frsize),
        size: measured.f_blocks.saturating_mul(measured.f_frsize),
    })
}
