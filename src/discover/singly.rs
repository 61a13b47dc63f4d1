//! Recording a poll that the database refused as a whole: which items are to blame, if any is.

use super::Discover;
use super::record::persist;
use crate::store::{PollRecord, PollStored, StoreError};
use crate::submission::{Observation, Refusal, Undecodable, decode};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

/// What each item came to by itself.
#[derive(Default)]
struct Tried<'a> {
    good: Vec<Observation>,
    /// Where the good ones stand in the record.
    places: Vec<usize>,
    refused: Vec<(&'a Observation, String)>,
    /// Whether any was written, and not only found to be known.
    written: bool,
}

impl Tried<'_> {
    /// Whether it is not the items: nothing was written, and all that was to be is refused with the
    /// same words.
    fn all_alike(&self) -> bool {
        let mut pairs = self.refused.windows(2);
        !self.written
            && self.refused.len() > 1
            && pairs.all(|pair| matches!(pair, [(_, one), (_, other)] if one == other))
    }

    /// What was refused, to be kept raw.
    fn undecodable(&self) -> impl Iterator<Item = Undecodable> {
        self.refused.iter().map(|(item, error)| Undecodable {
            raw: item.raw.clone(),
            cause: Refusal::NotStored,
            reason: format!("it could not be stored: {error}"),
            observed_ms: item.observed_ms,
        })
    }
}

/// Stores what can be, and keeps raw what cannot. `None` where it is not known that the items are to
/// blame: a window that is recorded without them would never be looked at again.
pub(super) async fn write_singly(
    discover: &Discover,
    record: &PollRecord<'_>,
    stop: &CancellationToken,
) -> Option<PollStored> {
    let tried = try_each(discover, record, stop).await.ok()?;
    if tried.all_alike() {
        return None;
    }
    // Where nothing was written there is nothing to compare with, but one that is good.
    if !tried.written && !tried.refused.is_empty() {
        try_one(discover, record, &made_up(record.now_ms)?, stop)
            .await
            .ok()?;
    }
    let mut undecodable = record.undecodable.to_vec();
    undecodable.extend(tried.undecodable());
    let rest = PollRecord {
        listed: &tried.good,
        undecodable: &undecodable,
        ..*record
    };
    // Where all else can be written now, what is refused still is so by its own fault: had it been the
    // database's, which has passed, it would be taken.
    let written = match persist(discover, &rest, true, stop).await {
        Ok(_) => {
            for (item, _) in &tried.refused {
                match try_one(discover, record, item, stop).await {
                    Err(error) if !error.is_unavailable() => {}
                    _ => return None,
                }
            }
            persist(discover, &rest, false, stop).await
        }
        Err(error) => Err(error),
    };
    match written {
        Ok(mut stored) => {
            let fresh = stored.fresh.iter();
            stored.fresh = fresh
                .filter_map(|index| tried.places.get(*index).copied())
                .collect();
            return Some(stored);
        }
        Err(error) if error.is_unavailable() => return None,
        Err(_) => {}
    }
    // It is not the items. They are kept; only their windows stay open.
    let kept = PollRecord {
        members: &[],
        sweep: None,
        ..rest
    };
    if let Err(error) = persist(discover, &kept, false, stop).await {
        tracing::error!(%error, "What was listed could not be stored");
    }
    None
}

/// Each by itself; an error where the process stops while the database is away.
async fn try_each<'a>(
    discover: &Discover,
    record: &PollRecord<'a>,
    stop: &CancellationToken,
) -> Result<Tried<'a>, StoreError> {
    let mut tried = Tried::default();
    for (place, item) in record.listed.iter().enumerate() {
        match try_one(discover, record, item, stop).await {
            Ok(stored) => {
                tried.good.push(item.clone());
                tried.places.push(place);
                tried.written |= !stored.fresh.is_empty();
            }
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => tried.refused.push((item, error.told())),
        }
    }
    Ok(tried)
}

/// A submission that nothing is wrong with and that there never is: its id is above all 64-bit numbers.
fn made_up(now_ms: i64) -> Option<Observation> {
    let created_utc = now_ms.div_euclid(1000);
    let json = format!(r#"{{"id":"zzzzzzzzzzzzz","created_utc":{created_utc}}}"#);
    decode(RawValue::from_string(json).ok()?, now_ms).ok()
}

/// Only tried, so that what is new is still new to the poll and counted with it.
async fn try_one(
    discover: &Discover,
    record: &PollRecord<'_>,
    item: &Observation,
    stop: &CancellationToken,
) -> Result<PollStored, StoreError> {
    let alone = PollRecord {
        listed: std::slice::from_ref(item),
        undecodable: &[],
        members: &[],
        sweep: None,
        now_ms: record.now_ms,
    };
    persist(discover, &alone, true, stop).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_up_submission_is_one_that_decodes() {
        let made_up = made_up(1_790_000_000_000).unwrap();
        assert_eq!(made_up.submission.created_utc, 1_790_000_000);
    }
}
