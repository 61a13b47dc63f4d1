//! Recording a poll that the database refused as a whole: which items are to blame, if any is.

use super::Discover;
use super::record::persist;
use crate::bisect::{Bisection, Step};
use crate::store::{PollRecord, PollStored, StoreError};
use crate::submission::{Observation, Refusal, Undecodable, made_up};
use std::collections::{HashMap, HashSet};
use tokio_util::sync::CancellationToken;

/// Stores what can be, and keeps raw what cannot: found by bisection, as each part is tried and taken
/// back. `None` where it is not known that the items are to blame: a window that is recorded without them
/// would never be looked at again.
pub(super) async fn write_in_parts(
    discover: &Discover,
    record: &PollRecord<'_>,
    stop: &CancellationToken,
) -> Option<PollStored> {
    let refused = refused(discover, record, stop).await?;
    let mut undecodable = record.undecodable.to_vec();
    undecodable.extend(refused.iter().filter_map(|(place, error)| {
        let item = record.listed.get(*place)?;
        Some(Undecodable {
            raw: item.raw.clone(),
            cause: Refusal::NotStored,
            reason: format!("it could not be stored: {error}"),
            observed_ms: item.observed_ms,
        })
    }));
    let places: Vec<usize> = (0..record.listed.len())
        .filter(|place| !refused.contains_key(place))
        .collect();
    let good = items(record, &places);
    // Nothing is proven of the seconds of those that are missing.
    let mut members = record.members.to_vec();
    let mut sweep = record.sweep.cloned();
    for item in refused.keys().filter_map(|place| record.listed.get(*place)) {
        for member in &mut members {
            member.doubts.not_stored(item, &member.claim.subreddit);
        }
        if let Some(sweep) = &mut sweep {
            sweep.doubts.not_stored(item, &sweep.due.subreddit);
        }
    }
    let rest = PollRecord {
        listed: &good,
        undecodable: &undecodable,
        members: &members,
        sweep: sweep.as_ref(),
        now_ms: record.now_ms,
    };
    match persist(discover, &rest, false, stop).await {
        Ok(mut stored) => {
            let fresh = stored.fresh.iter();
            stored.fresh = fresh
                .filter_map(|index| places.get(*index).copied())
                .collect();
            return Some(stored);
        }
        Err(error) if error.is_outage() => return None,
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

/// Which items are refused while others are taken, by their places, and why; none where that is not to
/// be told.
async fn refused(
    discover: &Discover,
    record: &PollRecord<'_>,
    stop: &CancellationToken,
) -> Option<HashMap<usize, String>> {
    let mut search = Bisection::default();
    search.add((0..record.listed.len()).collect::<Vec<usize>>());
    let mut refused: HashMap<usize, String> = HashMap::new();
    let good = made_up(record.now_ms)?;
    loop {
        match search.next(false) {
            Step::Try(places) => {
                let places = places.clone();
                match try_these(discover, record, &items(record, &places), stop).await {
                    // What was known already was not written.
                    Ok(stored) if stored.fresh.is_empty() => drop(search.harmless()),
                    Ok(_) => drop(search.passed()),
                    Err(error) if error.is_outage() => return None,
                    Err(error) => {
                        search.failed();
                        if let [place] = places.as_slice() {
                            refused.insert(*place, error.told());
                        }
                    }
                }
            }
            Step::Check => {
                let good = std::slice::from_ref(&good);
                match try_these(discover, record, good, stop).await {
                    Ok(_) => search.check_passed(),
                    Err(_) => search.check_failed(),
                }
            }
            Step::Done => break,
        }
    }
    let verdict = search.finish();
    let isolated: HashSet<usize> = verdict.isolated.into_iter().flatten().collect();
    refused.retain(|place, _| isolated.contains(place));
    verdict.undecided.is_empty().then_some(refused)
}

fn items(record: &PollRecord<'_>, places: &[usize]) -> Vec<Observation> {
    let items = places.iter().filter_map(|place| record.listed.get(*place));
    items.cloned().collect()
}

/// Only tried, so that what is new is still new to the poll and counted with it.
async fn try_these(
    discover: &Discover,
    record: &PollRecord<'_>,
    items: &[Observation],
    stop: &CancellationToken,
) -> Result<PollStored, StoreError> {
    let alone = PollRecord {
        listed: items,
        undecodable: &[],
        members: &[],
        sweep: None,
        now_ms: record.now_ms,
    };
    persist(discover, &alone, true, stop).await
}
