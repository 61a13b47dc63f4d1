//! What files hold, read on a thread of its own while the batch before is stored.

use super::claimed::FileEvidence;
use super::parts::{refused, without};
use super::rejects::Rejects;
use super::{LEASE_MS, LEASE_RENEWAL, PATIENCE, handler::count};
use crate::metrics::Metrics;
use crate::source::{Batch, Dump, DumpError, DumpProgress, Input, Selection, Survey};
use crate::store::{
    ArchiveRecord, Interval, Recent, SliceClaim, SliceEnd, SliceStep, Store, StoreError,
};
use crate::submission::{Observation, SubredditName, Undecodable};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Rows of one transaction: enough to share its cost, few enough for live work to come between.
const ROWS: usize = 2_000;
/// Between two tries of the same transaction while the database is away or full.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// Lines that were stored before and are passed over between two words of it.
const SKIPPED_AT_ONCE: u64 = 500_000;

/// Where loading stores, and what it takes.
#[derive(Debug)]
pub struct Load {
    /// Where to store.
    pub store: Store,
    /// What to count.
    pub metrics: std::sync::Arc<Metrics>,
    /// The clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
    /// Whose submissions are taken out of the files; none for everybody's.
    pub subreddit: Option<SubredditName>,
    /// Whether the files are said to hold all of the range.
    pub complete: bool,
    /// Ends it after the batch that it is at.
    pub stop: CancellationToken,
    /// Submissions of the files so far that are remembered, for what the files may prove.
    pub remembered: AtomicUsize,
}

/// Submissions that are remembered of all files together: 32 MB of them.
const MAX_REMEMBERED: usize = 4_000_000;

/// How loading one file ended.
#[derive(Debug)]
pub enum Loading {
    /// All of it is stored; what it may prove, where that is asked for.
    Whole(Option<FileEvidence>),
    /// Told to stop; it goes on from there.
    Stopped,
    /// Another process loads it, or it was paused or cancelled.
    Lost,
}

/// Why a file could not be loaded to its end; all before it is stored.
#[derive(Debug, thiserror::Error)]
pub enum FileLoad {
    /// The file.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// There was nothing in it.
    #[error(
        "{name} is empty: nothing was read, and nothing is proven{}",
        advice(name)
    )]
    Empty {
        /// The file.
        name: String,
    },
    /// The database.
    #[error("what was read could not be stored: {}", .0.told())]
    Store(#[from] StoreError),
    /// Where refused lines are kept.
    #[error("{} cannot be written, where lines are kept that are no submission: {source}", path.display())]
    Rejects {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn advice(name: &str) -> &'static str {
    if name == STDIN {
        ". Did the command before the pipe fail?"
    } else {
        ""
    }
}

/// What standard input is called where files are named.
const STDIN: &str = "-";

impl Load {
    /// Loads what is left of a file; `told` hears of each batch.
    ///
    /// # Errors
    /// What the file, the database or the disk said; everything before it is stored.
    pub async fn load(
        &self,
        claim: &SliceClaim,
        input: Input,
        rejects: &mut Rejects,
        mut told: impl FnMut(DumpProgress),
    ) -> Result<Loading, FileLoad> {
        let name = claim.name.clone().unwrap_or_default();
        let skip = u64::try_from(claim.reached).unwrap_or_default();
        // Whoever resumes takes what was asked for at first, whatever "two days ago" means by now.
        let selection = Selection {
            subreddit: self.subreddit.clone(),
            start: claim.slice_start,
            end: claim.slice_end,
        };
        let changed = changed_at(&input);
        let now_ms = self.now_ms;
        let surveyed = self
            .complete
            .then(|| (selection.start..selection.end, self.room()));
        let (sender, mut batches) = mpsc::channel::<Read>(1);
        // A thread that a quiet standard input may hold for ever: nobody waits for it at the end.
        let reading = std::thread::spawn(move || {
            if let Err(error) = read(&input, skip, &selection, surveyed, now_ms, &sender) {
                let _ = sender.blocking_send(Read::Failed(error));
            }
        });
        let mut survey = None;
        let mut recent = Recent::default();
        let mut last = DumpProgress::default();
        let mut renewal = tokio::time::interval(LEASE_RENEWAL);
        loop {
            let batch = tokio::select! {
                () = self.stop.cancelled() => return Ok(Loading::Stopped),
                _ = renewal.tick() => {
                    let until_ms = (self.now_ms)() + LEASE_MS;
                    // Where the database does not answer, the next batch finds out.
                    if let Ok(false) = self.store.renew_slice(claim, until_ms).await {
                        return Ok(Loading::Lost);
                    }
                    continue;
                }
                batch = batches.recv() => batch,
            };
            let batch = match batch {
                None => break,
                Some(Read::Batch(batch)) => batch,
                Some(Read::Failed(error)) => return Err(error.into()),
                Some(Read::Survey(read)) => {
                    self.remember(&read);
                    survey = Some(*read);
                    continue;
                }
            };
            rejects.keep(&name, &batch.rejected)?;
            last = batch.progress;
            if !self.store_batch(claim, &batch, &mut recent, None).await? {
                return Ok(Loading::Lost);
            }
            told(last);
        }
        // It has hung up. A panic over there is one here.
        if let Err(panic) = reading.join() {
            std::panic::resume_unwind(panic);
        }
        if last.lines == 0 && skip == 0 {
            return Err(FileLoad::Empty { name });
        }
        let rejected = last.rejected.max(claim.refused.unsigned_abs());
        let evidence = survey.map(|survey| FileEvidence {
            name,
            survey,
            changed,
            rejected,
        });
        let end = SliceEnd {
            // That is for all files together to say.
            proven: &[],
            reason: (rejected > 0).then_some("some of it is no submission"),
            // Whoever is killed before that is said goes on with it.
            ends_backfill: !self.complete,
        };
        let nothing = Batch {
            progress: last,
            ..Batch::default()
        };
        Ok(
            if self
                .store_batch(claim, &nothing, &mut recent, Some(end))
                .await?
            {
                Loading::Whole(evidence)
            } else {
                Loading::Lost
            },
        )
    }

    /// Reads a file again that was stored before, for what it may prove; none where it was told to stop.
    ///
    /// # Errors
    /// What the file said.
    pub async fn survey(
        &self,
        name: &str,
        range: Interval,
        input: Input,
    ) -> Result<Option<FileEvidence>, FileLoad> {
        let selection = Selection {
            subreddit: self.subreddit.clone(),
            start: range.start,
            end: range.start,
        };
        let changed = changed_at(&input);
        let now_ms = self.now_ms;
        let surveyed = Some((range.start..range.end, self.room()));
        let (sender, mut batches) = mpsc::channel::<Read>(1);
        std::thread::spawn(move || {
            if let Err(error) = read(&input, 0, &selection, surveyed, now_ms, &sender) {
                let _ = sender.blocking_send(Read::Failed(error));
            }
        });
        let mut rejected = 0;
        loop {
            let read = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                read = batches.recv() => read,
            };
            match read {
                None => return Ok(None),
                Some(Read::Batch(batch)) => rejected = batch.progress.rejected,
                Some(Read::Failed(error)) => return Err(error.into()),
                Some(Read::Survey(survey)) => {
                    self.remember(&survey);
                    return Ok(Some(FileEvidence {
                        name: name.to_owned(),
                        survey: *survey,
                        changed,
                        rejected,
                    }));
                }
            }
        }
    }

    /// How many submissions of the next file can be remembered.
    fn room(&self) -> usize {
        MAX_REMEMBERED.saturating_sub(self.remembered.load(Ordering::Relaxed))
    }

    fn remember(&self, survey: &Survey) {
        self.remembered
            .fetch_add(survey.remembered(), Ordering::Relaxed);
    }

    /// Stores a batch and how far the file has come; false where the claim is lost.
    async fn store_batch(
        &self,
        claim: &SliceClaim,
        batch: &Batch,
        recent: &mut Recent,
        end: Option<SliceEnd<'_>>,
    ) -> Result<bool, StoreError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let (mut good, mut kept): (Option<Vec<Observation>>, Vec<Undecodable>) = (None, Vec::new());
        loop {
            let now_ms = (self.now_ms)();
            let step = SliceStep {
                unseen: &[],
                claim,
                reached: i64::try_from(batch.progress.lines)
                    .unwrap_or(i64::MAX)
                    .max(claim.reached),
                listed: batch.observations.len() as u64,
                refused: (batch.rejected.len() + kept.len()) as u64,
                requests: 0,
                claimed_until_ms: now_ms + LEASE_MS,
                end,
            };
            let record = ArchiveRecord {
                observations: good.as_deref().unwrap_or(&batch.observations),
                undecodable: &kept,
                refresh: claim.refresh,
                now_ms,
            };
            match self.store.record_slice_after(&step, &record, recent).await {
                Ok(Some(stored)) => {
                    count(&self.metrics, &claim.source, stored.archived);
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(error)
                    if error.is_unavailable()
                        && tokio::time::Instant::now() < deadline
                        && !self.stop.is_cancelled() =>
                {
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                // One line spoils a batch for all: ever smaller parts tell which; that one is kept raw.
                Err(error) if !error.is_unavailable() && good.is_none() => {
                    let (all, reached) = (&batch.observations, claim.reached);
                    let Some(refused) =
                        refused(&self.store, claim, reached, all, recent, now_ms).await
                    else {
                        return Err(error);
                    };
                    good = Some(without(all, &refused));
                    kept = refused.into_values().collect();
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What the reading thread says.
enum Read {
    Batch(Batch),
    /// At the end of a file that was surveyed.
    Survey(Box<Survey>),
    Failed(DumpError),
}

/// Reads until the end, an error, or nobody listens.
fn read(
    input: &Input,
    skip: u64,
    selection: &Selection,
    surveyed: Option<(Range<i64>, usize)>,
    now_ms: fn() -> i64,
    batches: &mpsc::Sender<Read>,
) -> Result<(), DumpError> {
    let mut dump = Dump::open(input)?;
    if let Some((range, room)) = surveyed {
        dump = dump.surveyed(selection, range, room);
    }
    // Piece by piece, so that somebody hears of it.
    let mut left = skip;
    while left > 0 {
        let piece = left.min(SKIPPED_AT_ONCE);
        dump.skip_lines(piece)?;
        left -= piece;
        let nothing = Batch {
            progress: dump.progress(),
            ..Batch::default()
        };
        if batches.blocking_send(Read::Batch(nothing)).is_err() {
            return Ok(());
        }
    }
    while let Some(batch) = dump.next_batch(selection, ROWS, now_ms())? {
        if batches.blocking_send(Read::Batch(batch)).is_err() {
            return Ok(());
        }
    }
    if let Some(survey) = dump.survey() {
        let _ = batches.blocking_send(Read::Survey(Box::new(survey)));
    }
    Ok(())
}

/// When a file was last written, seconds since the epoch.
fn changed_at(input: &Input) -> Option<i64> {
    let Input::File(path) = input else {
        return None;
    };
    let changed = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}
