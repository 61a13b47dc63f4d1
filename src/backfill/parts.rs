//! A page of the past that the database refuses as a whole: which of its items are to blame, if any is.

use super::LEASE_MS;
use crate::bisect::{Bisection, Step};
use crate::store::{ArchiveRecord, PollRecord, Recent, SliceClaim, SliceStep, Store, StoreError};
use crate::submission::{Observation, Refusal, Undecodable, made_up};
use std::collections::BTreeMap;

/// What the items that the database refuses are kept as, by their places; all others are stored. `None`
/// where it is not known that the items are to blame, or the claim is lost. `reached` is how far the slice
/// has come without them, `recent` what the source brought before.
pub(super) async fn refused(
    store: &Store,
    claim: &SliceClaim,
    reached: i64,
    items: &[Observation],
    recent: &mut Recent,
    now_ms: i64,
) -> Option<BTreeMap<usize, Undecodable>> {
    let mut search = Bisection::default();
    search.add((0..items.len()).collect::<Vec<usize>>());
    let mut refused: BTreeMap<usize, Undecodable> = BTreeMap::new();
    let good = made_up(now_ms)?;
    loop {
        match search.next(false) {
            Step::Try(places) => {
                let places = places.clone();
                let part: Vec<Observation> = places
                    .iter()
                    .filter_map(|place| items.get(*place).cloned())
                    .collect();
                match write(store, claim, reached, &part, recent, now_ms).await {
                    Ok(None) => return None,
                    // What was known already was not written.
                    Ok(Some(0)) => drop(search.harmless()),
                    Ok(Some(_)) => drop(search.passed()),
                    Err(error) if error.is_outage() => return None,
                    Err(error) => {
                        search.failed();
                        if let ([place], [item]) = (places.as_slice(), part.as_slice()) {
                            let kept = Undecodable {
                                raw: item.raw.clone(),
                                cause: Refusal::NotStored,
                                reason: format!("it could not be stored: {}", error.told()),
                                observed_ms: item.observed_ms,
                            };
                            refused.insert(*place, kept);
                        }
                    }
                }
            }
            Step::Check => {
                let trial = PollRecord {
                    listed: std::slice::from_ref(&good),
                    undecodable: &[],
                    members: &[],
                    sweep: None,
                    now_ms,
                };
                match store.try_poll(&trial).await {
                    Ok(_) => search.check_passed(),
                    Err(_) => search.check_failed(),
                }
            }
            Step::Done => break,
        }
    }
    let verdict = search.finish();
    refused.retain(|place, _| verdict.isolated.iter().flatten().any(|it| it == place));
    verdict.undecided.is_empty().then_some(refused)
}

/// Stores some items of a page, and nothing of how far the slice has come; how many were written.
async fn write(
    store: &Store,
    claim: &SliceClaim,
    reached: i64,
    items: &[Observation],
    recent: &mut Recent,
    now_ms: i64,
) -> Result<Option<u64>, StoreError> {
    let step = SliceStep {
        unseen: &[],
        claim,
        reached,
        listed: 0,
        refused: 0,
        requests: 0,
        claimed_until_ms: now_ms + LEASE_MS,
        end: None,
    };
    let record = ArchiveRecord {
        observations: items,
        undecodable: &[],
        refresh: claim.refresh,
        now_ms,
    };
    let stored = store.record_slice_after(&step, &record, recent).await?;
    Ok(stored.map(|stored| stored.archived.fresh + stored.archived.renewed))
}

/// What is left of a page without those at these places.
pub(super) fn without(
    items: &[Observation],
    refused: &BTreeMap<usize, Undecodable>,
) -> Vec<Observation> {
    let places = items.iter().enumerate();
    let left = places.filter(|(place, _)| !refused.contains_key(place));
    left.map(|(_, item)| item.clone()).collect()
}
