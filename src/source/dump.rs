//! Dumps: files of newline-delimited submission objects, as monthly archives and others are published.
//!
//! Reads them as a stream, in memory that does not grow with the file: beside two buffers, only what
//! the decompressor needs, up to 2 GiB for the public dumps. All of it blocks.

mod error;
mod lines;
mod pick;
mod stream;

pub use error::DumpError;
pub use stream::Input;

use crate::submission::{Observation, SubredditName, decode_archived};
use lines::{KEPT, LONGEST_LINE, Line, Lines};
use pick::Picker;
use serde_json::value::RawValue;

/// How much is passed over before a batch is handed out however small it is, decompressed bytes.
const BATCH_BYTES: u64 = 32 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is taken out of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// In any spelling; none: all.
    pub subreddit: Option<SubredditName>,
    /// Created at this second since the epoch or later.
    pub start: i64,
    /// Created before this second since the epoch.
    pub end: i64,
}

/// Some observations, in the order of the file.
#[derive(Debug, Default)]
pub struct Batch {
    /// What was selected.
    pub observations: Vec<Observation>,
    /// What is no submission, selected or not.
    pub rejected: Vec<Rejected>,
    /// Where the reading is after it.
    pub progress: DumpProgress,
}

/// A line that is no submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its number in its file, from 1.
    pub line: u64,
    /// As it was read, without its end, cut to 1 MiB.
    pub text: Vec<u8>,
    /// Why, in a few words.
    pub reason: String,
}

/// Totals since the beginning of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpProgress {
    /// Lines passed, of any kind.
    pub lines: u64,
    /// Observations handed out.
    pub selected: u64,
    /// Lines that are no submission.
    pub rejected: u64,
    /// Decompressed bytes in the lines passed.
    pub bytes: u64,
    /// Bytes used of the file as it lies on disk.
    pub read: u64,
    /// The file's size on disk, where it is a file.
    pub size: Option<u64>,
}

/// An opened dump: zstd (any number of frames, windows up to 2^31), gzip (any number of members) or
/// plain, told by its first bytes.
pub struct Dump {
    lines: Lines,
    picker: Option<Picker>,
    selected: u64,
    rejected: u64,
}

impl Dump {
    /// Opens an input and looks at its first bytes.
    ///
    /// # Errors
    /// It does not exist, cannot be read, or is compressed in another way.
    pub fn open(input: &Input) -> Result<Dump, DumpError> {
        Ok(Dump {
            lines: Lines::open(input)?,
            picker: None,
            selected: 0,
            rejected: 0,
        })
    }

    /// Passes over lines that an earlier run has stored: as many as its [`DumpProgress::lines`].
    ///
    /// # Errors
    /// There are fewer, or what [`Dump::next_batch`] fails with.
    pub fn skip_lines(&mut self, lines: u64) -> Result<(), DumpError> {
        let skipped = self.lines.count + lines;
        for _ in 0..lines {
            if self.lines.next().is_none() {
                return Err(self.lines.failure().unwrap_or(DumpError::Shorter {
                    file: self.lines.file().to_owned(),
                    lines: self.lines.count,
                    skipped,
                }));
            }
        }
        Ok(())
    }

    /// The next observations: `most` of them, or fewer where much was passed over or the input ends.
    /// None at the end. `now_ms`, milliseconds since the epoch, is the latest that they are dated.
    ///
    /// # Errors
    /// Damage and failed reads, after the last batch of what lies before; every later call says the
    /// same.
    pub fn next_batch(
        &mut self,
        selection: &Selection,
        most: usize,
        now_ms: i64,
    ) -> Result<Option<Batch>, DumpError> {
        self.prepare(selection);
        let mut batch = Batch::default();
        let before = (self.lines.count, self.lines.passed);
        while batch.observations.len() < most.max(1) && self.lines.passed - before.1 < BATCH_BYTES {
            let Some(line) = self.lines.next() else {
                if self.lines.count > before.0 {
                    break;
                }
                return self.lines.failure().map_or(Ok(None), Err);
            };
            match self.read(line, selection, now_ms) {
                Ok(Some(observation)) => batch.observations.push(observation),
                Ok(None) => {}
                Err(rejected) => batch.rejected.push(rejected),
            }
        }
        self.selected += batch.observations.len() as u64;
        self.rejected += batch.rejected.len() as u64;
        batch.progress = self.progress();
        Ok(Some(batch))
    }

    /// Where the reading is.
    pub fn progress(&self) -> DumpProgress {
        DumpProgress {
            lines: self.lines.count,
            selected: self.selected,
            rejected: self.rejected,
            bytes: self.lines.passed,
            read: self.lines.stream().read(),
            size: self.lines.stream().size(),
        }
    }

    fn prepare(&mut self, selection: &Selection) {
        if self.picker.as_ref().map(Picker::name) != selection.subreddit.as_ref() {
            self.picker = selection.subreddit.as_ref().map(Picker::new);
        }
    }

    /// The line's observation, where it is selected.
    fn read(
        &self,
        line: Line,
        selection: &Selection,
        now_ms: i64,
    ) -> Result<Option<Observation>, Rejected> {
        let rejected = |text: &[u8], reason: String| Rejected {
            line: self.lines.count,
            text: text[..text.len().min(KEPT)].to_vec(),
            reason,
        };
        let place = match line {
            Line::Whole(place) => place,
            Line::TooLong(place) => {
                let reason = format!("it is longer than {LONGEST_LINE} bytes");
                return Err(rejected(self.lines.text(place), reason));
            }
        };
        let whole = self.lines.text(place);
        let mut text = whole.trim_ascii();
        if self.lines.count == 1 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        if text.is_empty()
            || self
                .picker
                .as_ref()
                .is_some_and(|it| !it.worth_parsing(text))
        {
            return Ok(None);
        }
        let observation = observe(text, now_ms).map_err(|reason| rejected(whole, reason))?;
        Ok(self.selects(selection, &observation).then_some(observation))
    }

    fn selects(&self, selection: &Selection, observation: &Observation) -> bool {
        let submission = &observation.submission;
        let named = |wanted: &Picker| {
            let name = submission.subreddit.as_deref().unwrap_or_default();
            name.eq_ignore_ascii_case(wanted.name().as_str())
        };
        self.picker.as_ref().is_none_or(named)
            && (selection.start..selection.end).contains(&submission.created_utc)
    }
}

/// One line that is an object, or why it is no submission.
fn observe(text: &[u8], now_ms: i64) -> Result<Observation, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let raw = RawValue::from_string(text.to_owned())
        .map_err(|error| format!("it is not JSON: {error}"))?;
    decode_archived(raw, now_ms).map_err(|undecodable| undecodable.reason)
}
