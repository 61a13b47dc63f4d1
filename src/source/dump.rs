//! Dumps: files of submission objects, as monthly archives and others are published: an object a line, an
//! array, listings, answers of an archive.
//!
//! Reads them as a stream, in memory that does not grow with the file: beside two buffers, only what
//! the decompressor needs, up to 2 GiB for the public dumps. All of it blocks.
//!
//! | file | owns |
//! |---|---|
//! | `stream`, `gzip` | bytes, decompressed by what they are |
//! | `text` | those bytes as UTF-8 |
//! | `sniff` | what a file is, by its beginning |
//! | `entries`, `document` | where one entry ends and the next begins |
//! | `pick` | which entries can be of one subreddit |
//! | `parts` | the objects that an entry wraps |
//! | `survey` | what the file holds as a whole |

mod document;
mod entries;
mod error;
mod gzip;
mod parts;
mod pick;
mod sniff;
mod stream;
mod survey;
mod text;

pub use error::DumpError;
pub use stream::Input;
pub use survey::Survey;

use crate::submission::{Observation, Refusal, SubredditName, decode_archived};
use entries::{Entries, Entry, KEPT, LONGEST};
use parts::{may_wrap, parts};
use pick::Picker;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::ops::Range;
use survey::Surveyor;

/// How much is passed over before a batch is handed out however small it is, decompressed bytes.
const BATCH_BYTES: u64 = 32 << 20;
/// How much a batch holds before it is handed out, bytes: of objects and refused text, with what each takes
/// beside its text.
const BATCH_HELD: usize = 8 << 20;
/// What an observation takes beside its texts, and a rejected entry.
const OVERHEAD: usize = 1 << 10;
/// So many entries are decoded whatever they are of: enough to tell what the file holds.
const PROBED: u64 = 100;
/// After so many that are no submission, a file is given up of which next to none is one.
const MANY: u64 = 1_000;
/// Next to none: less than one in so many.
const NEXT_TO_NONE: u64 = 100;
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

/// An entry, or a part of one, that is no submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The line of its file that the entry begins at, from 1.
    pub line: u64,
    /// As it was read, cut to 64 KiB.
    pub text: Vec<u8>,
    /// Why, in a few words.
    pub reason: String,
    /// Whether it is a comment.
    pub comment: bool,
}

/// Totals since the beginning of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpProgress {
    /// Entries passed, of any kind: lines, or elements of an array.
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

/// An opened dump: zstd frames (windows up to 2^31) and gzip members, any number of both, or plain, told by
/// their first bytes.
pub struct Dump {
    entries: Entries,
    picker: Option<Picker>,
    surveyor: Option<Surveyor>,
    selected: u64,
    rejected: u64,
    /// Those of them that are comments.
    comments: u64,
    /// Why the first of those is none.
    reason: Option<String>,
    /// Submissions, and entries that are not looked at since they are of another subreddit.
    good: u64,
    stopped: Option<DumpError>,
}

impl Dump {
    /// Opens an input and looks at its first bytes.
    ///
    /// # Errors
    /// It does not exist, cannot be read, or is compressed in another way.
    pub fn open(input: &Input) -> Result<Dump, DumpError> {
        Ok(Dump {
            entries: Entries::open(input)?,
            picker: None,
            surveyor: None,
            selected: 0,
            rejected: 0,
            comments: 0,
            reason: None,
            good: 0,
            stopped: None,
        })
    }

    /// Reads every entry whole, also those that are not selected or passed over, and surveys them: up to
    /// `room` of the selected subreddit and of `range`, whatever the selection's is.
    #[must_use]
    pub fn surveyed(mut self, selection: &Selection, range: Range<i64>, room: usize) -> Dump {
        self.prepare(selection);
        self.surveyor = Some(Surveyor::new(range, room));
        self
    }

    /// What was read so far, where it was surveyed.
    pub fn survey(&self) -> Option<Survey> {
        self.surveyor.as_ref().map(Surveyor::survey)
    }

    /// Passes over entries that an earlier run has stored: as many as its [`DumpProgress::lines`].
    ///
    /// # Errors
    /// There are fewer, or what [`Dump::next_batch`] fails with.
    pub fn skip_lines(&mut self, lines: u64) -> Result<(), DumpError> {
        let skipped = self.entries.count + lines;
        for _ in 0..lines {
            let Some(entry) = self.entries.next() else {
                return Err(self.entries.failure().unwrap_or(DumpError::Shorter {
                    file: self.entries.input().name(),
                    lines: self.entries.count,
                    skipped,
                }));
            };
            if self.surveyor.is_some() {
                let nothing = Selection {
                    subreddit: None,
                    start: 0,
                    end: 0,
                };
                // Stored before, if it is selected.
                let mut passed = Batch::default();
                self.read(entry, &nothing, i64::MAX, &mut passed);
            } else {
                self.good += 1;
            }
        }
        Ok(())
    }

    /// The next observations: about `most` of them, or fewer where much was passed over or the input ends.
    /// None at the end. `now_ms`, milliseconds since the epoch, is the latest that they are dated.
    ///
    /// # Errors
    /// Damage, failed reads, and a file that holds next to no submission, after the last batch of what lies
    /// before; every later call says the same.
    pub fn next_batch(
        &mut self,
        selection: &Selection,
        most: usize,
        now_ms: i64,
    ) -> Result<Option<Batch>, DumpError> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        self.prepare(selection);
        let mut batch = Batch::default();
        let mut held = 0;
        let before = (self.entries.count, self.entries.passed);
        while batch.observations.len() < most.max(1)
            && held < BATCH_HELD
            && self.entries.passed - before.1 < BATCH_BYTES
            && !self.is_hopeless()
        {
            let Some(entry) = self.entries.next() else {
                break;
            };
            held += self.read(entry, selection, now_ms, &mut batch);
        }
        if self.entries.count == before.0 {
            let failure = self.entries.failure();
            let Some(error) = failure.or_else(|| self.no_submissions()) else {
                return Ok(None);
            };
            self.stopped = Some(error.clone());
            return Err(error);
        }
        batch.progress = self.progress();
        Ok(Some(batch))
    }

    /// Where the reading is.
    pub fn progress(&self) -> DumpProgress {
        DumpProgress {
            lines: self.entries.count,
            selected: self.selected,
            rejected: self.rejected,
            bytes: self.entries.passed,
            read: self.entries.stream().read(),
            size: self.entries.stream().size(),
        }
    }

    fn prepare(&mut self, selection: &Selection) {
        if self.picker.as_ref().map(Picker::name) != selection.subreddit.as_ref() {
            self.picker = selection.subreddit.as_ref().map(Picker::new);
        }
    }

    /// Whether so much is no submission that the rest will be none either.
    fn is_hopeless(&self) -> bool {
        let next_to_none = self.good.saturating_mul(NEXT_TO_NONE) < self.rejected;
        // A file of comments is told by its first ones: of others, later lines may be better.
        let of_comments = self.good == 0 && self.comments >= PROBED;
        next_to_none && (self.rejected >= MANY || of_comments)
    }

    /// Why a file is given up that holds next to no submission.
    fn no_submissions(&self) -> Option<DumpError> {
        let input = self.entries.input();
        if self.rejected == 0 && self.good == 0 && self.entries.count > 0 {
            return Some(DumpError::Blank { file: input.name() });
        }
        if self.rejected == 0 || self.good > 0 && !self.is_hopeless() {
            return None;
        }
        let reason = self.reason.clone().unwrap_or_default();
        let advice = match self.entries.looks {
            Some(looks) => looks.advice(input),
            None if self.comments * 2 > self.rejected => {
                ". It is a file of comments (their names begin with RC); those of submissions begin with RS"
                    .to_owned()
            }
            None => String::new(),
        };
        Some(DumpError::NoSubmissions {
            file: input.name(),
            entries: self.entries.count,
            rejected: self.rejected,
            reason,
            advice,
        })
    }

    /// Adds an entry's observations to a batch where they are selected; what they hold, bytes.
    fn read(
        &mut self,
        entry: Entry,
        selection: &Selection,
        now_ms: i64,
        batch: &mut Batch,
    ) -> usize {
        let parts = match self.decode(entry, now_ms) {
            Decoded::Nothing => return 0,
            Decoded::Passed => {
                self.good += 1;
                return 0;
            }
            Decoded::Parts(parts) => parts,
        };
        let mut held = 0;
        let mut parts = VecDeque::from(parts);
        while let Some(part) = parts.pop_front() {
            match part {
                Ok(observation) => {
                    self.good += 1;
                    let submission = &observation.submission;
                    let own = self.is_own(submission.subreddit.as_deref());
                    let created = submission.created_utc;
                    if self.picker.is_some() && is_of_unknown(&observation) {
                        let text = observation.raw.get().as_bytes();
                        let reason = "nothing in it tells its subreddit".to_owned();
                        parts.push_back(Err(self.rejected(text, reason)));
                        continue;
                    }
                    if let Some(surveyor) = &mut self.surveyor {
                        let id = submission.id.as_str();
                        surveyor.take(created, id, submission.subreddit.as_deref(), own);
                    }
                    if own && (selection.start..selection.end).contains(&created) {
                        // The text, the columns, and both again on their way into the database.
                        held += OVERHEAD + 3 * observation.raw.get().len();
                        self.selected += 1;
                        batch.observations.push(observation);
                    }
                }
                Err(rejected) => {
                    held += OVERHEAD + rejected.text.len();
                    self.rejected += 1;
                    self.comments += u64::from(rejected.comment);
                    if self.reason.is_none() {
                        self.reason = Some(rejected.reason.clone());
                    }
                    batch.rejected.push(rejected);
                }
            }
        }
        held
    }

    fn decode(&self, entry: Entry, now_ms: i64) -> Decoded {
        let rejected = |text: &[u8], reason: String| self.rejected(text, reason);
        let place = match entry {
            Entry::Whole(place) => place,
            Entry::TooLong(place) => {
                let reason = format!("it is longer than {LONGEST} bytes");
                let text = self.entries.text(place);
                return Decoded::Parts(vec![Err(rejected(text, reason))]);
            }
        };
        let whole = self.entries.text(place);
        let text = whole.trim_ascii();
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        if text.is_empty() {
            return Decoded::Nothing;
        }
        let passes = |picker: &Picker| !picker.worth_parsing(text);
        let decoded = self.entries.count <= PROBED || self.surveyor.is_some();
        if !decoded && self.picker.as_ref().is_some_and(passes) {
            return Decoded::Passed;
        }
        let observe = |text: &str| {
            observe(text, now_ms).map_err(|(reason, comment)| Rejected {
                comment,
                ..rejected(text.as_bytes(), reason)
            })
        };
        Decoded::Parts(match std::str::from_utf8(text) {
            Err(error) => vec![Err(rejected(whole, format!("it is not UTF-8: {error}")))],
            Ok(text) if may_wrap(text.as_bytes()) => parts(text)
                .into_iter()
                .map(|part| match part {
                    Ok(object) => observe(object),
                    Err((text, reason)) => Err(rejected(text.as_bytes(), reason)),
                })
                .collect(),
            Ok(text) => vec![observe(text)],
        })
    }

    fn rejected(&self, text: &[u8], reason: String) -> Rejected {
        Rejected {
            line: self.entries.line,
            text: text[..text.len().min(KEPT)].to_vec(),
            reason,
            comment: false,
        }
    }

    fn is_own(&self, subreddit: Option<&str>) -> bool {
        let named = |wanted: &Picker| {
            subreddit.is_some_and(|name| name.eq_ignore_ascii_case(wanted.name().as_str()))
        };
        self.picker.as_ref().is_none_or(named)
    }
}

/// Whether it may be of any subreddit: it names none, and is no advertisement.
fn is_of_unknown(observation: &Observation) -> bool {
    #[derive(Deserialize)]
    struct Advertisement {
        promoted: Option<bool>,
    }
    let named = observation.submission.subreddit.as_deref();
    named.is_none_or(|name| name.parse::<SubredditName>().is_err()) && {
        let read = serde_json::from_str::<Advertisement>(observation.raw.get());
        !read.is_ok_and(|it| it.promoted == Some(true))
    }
}

/// What an entry is.
enum Decoded {
    /// Empty.
    Nothing,
    /// Of another subreddit, and not looked at.
    Passed,
    /// The observations that it holds, or what is none.
    Parts(Vec<Result<Observation, Rejected>>),
}

/// An object's observation, or why it is no submission and whether it is a comment.
fn observe(text: &str, now_ms: i64) -> Result<Observation, (String, bool)> {
    let raw = RawValue::from_string(text.to_owned())
        .map_err(|error| (format!("it is not JSON: {error}"), false))?;
    let comment = |cause| matches!(cause, Refusal::Comment);
    decode_archived(raw, now_ms).map_err(|it| (it.reason, comment(it.cause)))
}
