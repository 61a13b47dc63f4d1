//! The payload of a job and the identity of its task.
//!
//! Owns what is written into the queue's rows. Knows no engine and no worker.

use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::submission::{SubmissionId, fingerprint};

/// The newest version that this build reads. Jobs outlive deploys: what an older build left behind
/// must stay readable, what a newer one wrote must be refused without harm. So each sort of job is
/// written as the first version that had it: an older worker takes the others, and drops this one.
const VERSION: u32 = 3;
const FETCH_VERSION: u32 = 1;
const HEARTBEAT_VERSION: u32 = 2;
const SLICE_VERSION: u32 = 3;

/// What the jobs of one queue are about: each has one kind of work, and heartbeats.
pub trait Work: Clone + fmt::Debug + fmt::Display + Eq + Hash + Send + Sync + 'static {
    /// The `queue` label of the metrics.
    const LABEL: &'static str;

    /// Another for each work in a queue: above 0, which is the heartbeats', and below 2 to the 69th.
    #[doc(hidden)]
    fn number(&self) -> u128;

    /// The job that asks for it.
    #[doc(hidden)]
    fn job(&self, pushed_ms: Option<i64>) -> Job;

    /// What a job asks for, and when it was pushed; none where it is another kind of work.
    #[doc(hidden)]
    fn asked(job: Job) -> Option<(Self, Option<i64>)>;
}

/// The number of a slice of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SliceId(pub i64);

impl fmt::Display for SliceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Fetch one submission.
    Fetch {
        /// Which.
        id: SubmissionId,
        /// When it was pushed, milliseconds since the epoch; `None` where the payload leaves it
        /// out, since a missing time is no reason to lose a job.
        pushed_ms: Option<i64>,
    },
    /// Bring in one slice of a backfill.
    Slice {
        /// Which.
        id: SliceId,
        /// As above.
        pushed_ms: Option<i64>,
    },
    /// Note in the database that this job came through.
    Heartbeat {
        /// When it was pushed, milliseconds since the epoch.
        sent_ms: i64,
    },
}

impl Work for SubmissionId {
    const LABEL: &'static str = "fetch";

    /// The lower the older, as a rule.
    fn number(&self) -> u128 {
        // A leading one keeps "1" and "01" apart. 2 × 36^13 is below 2^69.
        self.as_str().bytes().fold(1_u128, |number, byte| {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                _ => byte - b'a' + 10,
            };
            number * 36 + u128::from(digit)
        })
    }

    fn job(&self, pushed_ms: Option<i64>) -> Job {
        let id = self.clone();
        Job::Fetch { id, pushed_ms }
    }

    fn asked(job: Job) -> Option<(Self, Option<i64>)> {
        match job {
            Job::Fetch { id, pushed_ms } => Some((id, pushed_ms)),
            Job::Slice { .. } | Job::Heartbeat { .. } => None,
        }
    }
}

impl Work for SliceId {
    const LABEL: &'static str = "backfill";

    fn number(&self) -> u128 {
        u128::from(self.0.unsigned_abs()) + 1
    }

    fn job(&self, pushed_ms: Option<i64>) -> Job {
        Job::Slice {
            id: *self,
            pushed_ms,
        }
    }

    fn asked(job: Job) -> Option<(Self, Option<i64>)> {
        match job {
            Job::Slice { id, pushed_ms } => Some((id, pushed_ms)),
            Job::Fetch { .. } | Job::Heartbeat { .. } => None,
        }
    }
}

/// Why a payload is no job of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    /// Not the JSON that any version writes.
    #[error("the payload is no job")]
    Syntax(#[from] serde_json::Error),
    /// Written by a build that speaks another version.
    #[error("the payload is of version {0}")]
    Version(u32),
    /// The id names no submission.
    #[error(transparent)]
    Id(#[from] crate::submission::InvalidName),
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    v: u32,
    #[serde(flatten)]
    body: Body,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Fetch {
        id: String,
        #[serde(default)]
        pushed_ms: Option<i64>,
    },
    Slice {
        id: i64,
        #[serde(default)]
        pushed_ms: Option<i64>,
    },
    Heartbeat {
        sent_ms: i64,
    },
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

impl Job {
    /// The payload as it is stored.
    pub(super) fn encode(&self) -> String {
        let (v, body) = match self {
            Job::Fetch { id, pushed_ms } => (
                FETCH_VERSION,
                Body::Fetch {
                    id: id.as_str().to_owned(),
                    pushed_ms: *pushed_ms,
                },
            ),
            Job::Slice { id, pushed_ms } => {
                let (id, pushed_ms) = (id.0, *pushed_ms);
                (SLICE_VERSION, Body::Slice { id, pushed_ms })
            }
            Job::Heartbeat { sent_ms } => {
                let sent_ms = *sent_ms;
                (HEARTBEAT_VERSION, Body::Heartbeat { sent_ms })
            }
        };
        serde_json::to_string(&Envelope { v, body }).expect("strings and numbers are always JSON")
    }

    /// When it was pushed, milliseconds since the epoch, where it says so.
    pub(super) fn pushed_ms(&self) -> Option<i64> {
        match self {
            Job::Fetch { pushed_ms, .. } | Job::Slice { pushed_ms, .. } => *pushed_ms,
            Job::Heartbeat { sent_ms } => Some(*sent_ms),
        }
    }

    /// Reads a payload of any origin; fields that this build does not know are passed over.
    pub(super) fn decode(payload: &[u8]) -> Result<Job, Malformed> {
        // The version first: another version may well have another shape.
        let VersionOnly { v } = serde_json::from_slice(payload)?;
        if !(1..=VERSION).contains(&v) {
            return Err(Malformed::Version(v));
        }
        let Envelope { body, .. } = serde_json::from_slice(payload)?;
        Ok(match body {
            Body::Fetch { id, pushed_ms } => Job::Fetch {
                id: id.parse()?,
                pushed_ms,
            },
            Body::Slice { id, pushed_ms } => Job::Slice {
                id: SliceId(id),
                pushed_ms,
            },
            Body::Heartbeat { sent_ms } => Job::Heartbeat { sent_ms },
        })
    }
}

/// The task id of some work in a queue: the same for the same work, so that pushing twice makes one
/// job.
///
/// It has the form of a ULID, the one form both engines keep: apalis-sqlite reads nothing else,
/// and apalis takes an id of digits alone for a number, which loses leading zeros and thereby the
/// job. The upper bits come from the queue's name, since the id is the key of the whole table in
/// SQLite; the lower ones hold the work's number, so that what is older sorts first.
pub(super) fn task_id(queue: &str, work: &impl Work) -> String {
    in_queue(queue, work.number())
}

/// The one task id of heartbeats in a queue: a second one is not pushed while the first is there.
pub(super) fn heartbeat_task_id(queue: &str) -> String {
    // The number of no submission.
    in_queue(queue, 0)
}

fn in_queue(queue: &str, number: u128) -> String {
    crockford((u128::from(fingerprint(queue) >> 5) << 69) | number)
}

/// The 26 characters of a ULID.
fn crockford(value: u128) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    (0..26)
        .rev()
        .map(|place| char::from(ALPHABET[((value >> (place * 5)) & 31) as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn id(text: &str) -> SubmissionId {
        text.parse().unwrap()
    }

    #[test]
    fn a_payload_is_read_back_as_it_was_written() {
        let job = Job::Fetch {
            id: id("1abc"),
            pushed_ms: Some(7),
        };
        let payload = job.encode();
        assert_eq!(payload, r#"{"v":1,"fetch":{"id":"1abc","pushed_ms":7}}"#);
        assert_eq!(Job::decode(payload.as_bytes()).unwrap(), job);
    }

    #[test]
    fn an_older_worker_reads_fetches_and_refuses_what_is_newer_by_its_version() {
        let fetch = Job::Fetch {
            id: id("1abc"),
            pushed_ms: None,
        };
        assert!(fetch.encode().starts_with(r#"{"v":1,"#));
        let beat = Job::Heartbeat { sent_ms: 7 };
        let payload = beat.encode();
        assert_eq!(payload, r#"{"v":2,"heartbeat":{"sent_ms":7}}"#);
        assert_eq!(Job::decode(payload.as_bytes()).unwrap(), beat);
        let slice = SliceId(9).job(Some(7));
        let payload = slice.encode();
        assert_eq!(payload, r#"{"v":3,"slice":{"id":9,"pushed_ms":7}}"#);
        assert_eq!(Job::decode(payload.as_bytes()).unwrap(), slice);
    }

    #[test]
    fn unknown_fields_and_a_missing_time_lose_no_job() {
        let job = Job::decode(br#"{"v":1,"fetch":{"id":"1abc","reason":"x"},"more":[1]}"#).unwrap();
        assert_eq!(
            job,
            Job::Fetch {
                id: id("1abc"),
                pushed_ms: None
            }
        );
    }

    #[test]
    fn what_is_no_job_is_told_apart() {
        assert!(matches!(
            Job::decode(br#"{"v":4,"fetch":7}"#),
            Err(Malformed::Version(4))
        ));
        assert!(Job::decode(br#"{"v":0}"#).is_err());
        for text in ["", "null", "\u{0}", r#"{"v":1}"#, r#"{"v":1,"drop":{}}"#] {
            let result = Job::decode(text.as_bytes());
            assert!(matches!(result, Err(Malformed::Syntax(_))), "{text}");
        }
        assert!(matches!(
            Job::decode(br#"{"v":1,"fetch":{"id":"a b"}}"#),
            Err(Malformed::Id(_))
        ));
    }

    #[test]
    fn task_ids_are_distinct_stable_ulids_that_sort_by_age() {
        let texts = [
            "0",
            "1",
            "01",
            "001",
            "z",
            "10",
            "1abc",
            "7",
            "007",
            "zzzzzzzzzzzzz",
        ];
        let submissions = texts.iter().map(|text| task_id("q", &id(text)));
        let ids: HashSet<String> = submissions.chain([heartbeat_task_id("q")]).collect();
        assert_eq!(ids.len(), texts.len() + 1);
        for one in &ids {
            let parsed: apalis::prelude::TaskId = one.parse().unwrap();
            assert!(matches!(parsed, apalis::prelude::TaskId::Ulid(_)), "{one}");
            assert_eq!(&parsed.to_string(), one);
        }
        assert!(task_id("q", &id("1abc")) < task_id("q", &id("1abd")));
        assert!(task_id("q", &id("zzzz")) < task_id("q", &id("1aaaa")));
        assert_ne!(task_id("q", &id("1")), task_id("r", &id("1")));
    }
}
