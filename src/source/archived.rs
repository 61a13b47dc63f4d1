//! Submission objects as archives keep them.

use crate::submission::{Observation, Undecodable, decode_archived};
use serde_json::value::RawValue;

/// One archived object → one observation, dated by what the object tells of its retrieval; never
/// later than `now_ms`, milliseconds since the epoch.
///
/// # Errors
/// The object itself, where it is no submission with an id and a time.
pub fn read(raw: Box<RawValue>, now_ms: i64) -> Result<Observation, Undecodable> {
    decode_archived(raw, now_ms)
}
