//! Rows of archives, the API's and the dumps': Reddit's own objects, with a note of when they were
//! got from Reddit.

use crate::submission::{Observation, Undecodable, decode};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Reads one row. Its `observed_ms` is when the archive got it from Reddit, but never later than
/// `now_ms`, the moment of asking; where no row tells, its creation, so that it is written over nothing
/// that was seen by anybody.
///
/// # Errors
/// The row itself, where it is no JSON object or holds no submission that can be named and dated.
pub fn read(raw: Box<RawValue>, now_ms: i64) -> Result<Observation, Undecodable> {
    let mut item = decode(raw, now_ms)?;
    let created = item.submission.created_utc;
    // A retrieval before the creation is a retrieval that was never noted.
    let seconds = retrieved(&item.raw).map_or(created, |at| at.max(created));
    item.observed_ms = seconds.saturating_mul(1_000).min(now_ms);
    Ok(item)
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow, default)]
    retrieved_on: Option<&'a RawValue>,
    /// Of early dumps.
    #[serde(borrow, default)]
    retrieved_utc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    _meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    retrieved_2nd_on: Option<&'a RawValue>,
}

/// The last retrieval that a row tells of, seconds since the epoch.
fn retrieved(raw: &RawValue) -> Option<i64> {
    let row: Row<'_> = serde_json::from_str(raw.get()).ok()?;
    let second = row
        ._meta
        .and_then(|meta| serde_json::from_str::<Meta<'_>>(meta.get()).ok())
        .and_then(|meta| meta.retrieved_2nd_on);
    [row.retrieved_on, row.retrieved_utc, second]
        .into_iter()
        .filter_map(|value| seconds(value?))
        .max()
}

/// A time as an integer, a float or text.
fn seconds(value: &RawValue) -> Option<i64> {
    let text = value.get().trim_matches('"').trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let seconds: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is no time becomes a bound"
    )]
    seconds.is_finite().then_some(seconds.floor() as i64)
}
