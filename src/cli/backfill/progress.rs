//! How far a backfill, or one of its files, has come.

use crate::cli::progress::{Progress, Reached};
use crate::cli::report::shown;
use crate::source::DumpProgress;
use crate::store::Backfill;

/// Shows how a backfill gets on that is done in slices of time.
pub(super) struct SlicesProgress {
    progress: Progress,
    trouble: Option<String>,
}

impl SlicesProgress {
    pub(super) fn new() -> SlicesProgress {
        SlicesProgress {
            progress: Progress::new(),
            trouble: None,
        }
    }

    pub(super) fn reached(&mut self, backfill: &Backfill) {
        #[expect(clippy::cast_precision_loss, reason = "seconds of some years")]
        let share = backfill.seconds_done as f64 / backfill.seconds.max(1) as f64;
        // Once something was set aside, that is what it tells of.
        let waits = backfill.trouble.is_some() && backfill.slices_failed == 0;
        if backfill.trouble != self.trouble {
            self.trouble.clone_from(&backfill.trouble);
            match &self.trouble {
                Some(trouble) if waits => {
                    self.progress.line(&format!("Waiting: {}", shown(trouble)));
                }
                Some(trouble) => self
                    .progress
                    .line(&format!("Set aside: {}", shown(trouble))),
                None => self.progress.line("Going on."),
            }
        }
        let slices = format!(
            ", {}/{} slices",
            backfill.slices_done + backfill.slices_failed,
            backfill.slices
        );
        self.progress.reached(&Reached {
            share: Some(share),
            count: backfill.listed.unsigned_abs(),
            what: "found",
            more: &slices,
            waits,
        });
    }

    pub(super) fn end(self) {
        self.progress.end();
    }
}

/// Tells of a file.
pub(super) fn file(progress: &mut Progress, name: &str, read: DumpProgress) {
    let size = read.size.filter(|size| *size > 0);
    #[expect(clippy::cast_precision_loss, reason = "bytes of a file")]
    let share = size.map(|size| read.read as f64 / size as f64);
    let name = name.rsplit('/').next().unwrap_or(name);
    let name: String = name.chars().take(24).collect();
    progress.reached(&Reached {
        share,
        count: read.selected,
        what: "found",
        more: &format!(", of {} lines, {}", read.lines, shown(&name)),
        waits: false,
    });
}
