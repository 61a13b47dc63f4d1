//! Where the counter of ids stands now: by what a listing shows, and by looking ever further ahead.

use crate::discover::Discover;
use crate::discover::ids::{request_ids, waited};
use crate::source::{MAX_INFO_IDS, RequestClass, SourceError};
use crate::store::StoreError;
use crate::submission::{Observation, SubredditName};
use std::collections::HashSet;

/// Names in a listing that is to show new submissions.
const NAMES: u32 = 100;
/// So many ids in a row are asked for at each place.
const IN_A_ROW: i64 = 10;
const PLACES: i64 = MAX_INFO_IDS as i64 / IN_A_ROW;
/// So many of them exist where the counter has been; a few may have been made by hand.
const EXIST: usize = 3;
/// Close enough to go on step by step.
const CLOSE: i64 = 300;
/// From each place to the next, while nobody knows how far ahead it is.
const FACTOR: i64 = 4;
/// Requests that are made to find it.
const MOST_REQUESTS: usize = 12;
/// What was created so few seconds ago stands at the top of the counter.
const NOW: i64 = 10;
/// An id that is so far from the others of a listing was made by hand, or long ago.
const FAR: i64 = 1_000_000;

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// Reddit does not say.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An id at or a little below the top of the counter, which was seen; none where nothing was ever posted.
/// `known` was seen before.
pub(super) async fn locate(
    discover: &Discover,
    known: Option<i64>,
) -> Result<Option<i64>, Unknown> {
    let all: Vec<SubredditName> = "all".parse().into_iter().collect();
    let listed = match listed(discover, &all).await {
        Ok(Some((id, created)))
            if known.is_none_or(|known| known <= id) && is_now(discover, created) =>
        {
            return Ok(Some(id));
        }
        Ok(listed) => listed.map(|(id, _)| id),
        Err(SourceError::Unavailable { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let listed = match listed {
        Some(listed) => Some(listed),
        None => {
            let busiest = discover.store.busiest(NAMES).await?;
            match listed_by(discover, &busiest).await? {
                Some(listed) => Some(listed),
                None => newest(&discover.store.newest_ids().await?),
            }
        }
    };
    let Some(from) = listed.max(known) else {
        return Ok(None);
    };
    Ok(Some(ahead(discover, from).await?))
}

/// Whether what was created then is at the top, or so close to it that steps lead there.
fn is_now(discover: &Discover, created: i64) -> bool {
    (0..=NOW).contains(&discover.reddit.now().saturating_sub(created))
}

async fn listed_by(
    discover: &Discover,
    names: &[SubredditName],
) -> Result<Option<i64>, SourceError> {
    if names.is_empty() {
        return Ok(None);
    }
    match listed(discover, names).await {
        // One of them is private: its polls find out which.
        Err(SourceError::Unavailable { .. }) => Ok(None),
        listed => Ok(listed?.map(|(id, _)| id)),
    }
}

/// The newest id of a listing, and when it was created (seconds).
async fn listed(
    discover: &Discover,
    names: &[SubredditName],
) -> Result<Option<(i64, i64)>, SourceError> {
    let page = discover
        .reddit
        .new_page(names, None, 100, RequestClass::Poll);
    let page = waited(discover, page).await?;
    discover.progress.made();
    let item = |item: &Observation| {
        let submission = &item.submission;
        Some((submission.id.number()?, submission.created_utc))
    };
    let items: Vec<(i64, i64)> = page.items.iter().filter_map(item).collect();
    let ids: Vec<i64> = items.iter().map(|(id, _)| *id).collect();
    let newest = newest(&ids);
    Ok(items.into_iter().find(|(id, _)| Some(*id) == newest))
}

/// The highest of these that is not far from the rest.
fn newest(ids: &[i64]) -> Option<i64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let middle = *ids.get(ids.len() / 2)?;
    ids.into_iter().rev().find(|id| *id - middle <= FAR)
}

/// The highest id that is seen from here on, or nearly so.
async fn ahead(discover: &Discover, from: i64) -> Result<i64, SourceError> {
    let mut search = Search::new(from);
    for _ in 0..MOST_REQUESTS {
        let Some(starts) = search.places() else { break };
        let ids = starts.iter().flat_map(|start| *start..*start + IN_A_ROW);
        let answer = request_ids(discover, ids, &[], RequestClass::Poll).await?;
        let page = answer.page;
        let seen = page
            .items
            .iter()
            .filter_map(|item| item.submission.id.number());
        search.seen(&starts, &seen.collect());
    }
    Ok(search.low)
}

/// The counter has been at `low`, and was not yet at `high`, as far as that is known.
struct Search {
    low: i64,
    high: Option<i64>,
}

impl Search {
    fn new(from: i64) -> Search {
        Search {
            low: from,
            high: None,
        }
    }

    /// Where to look next; none once it is close.
    fn places(&self) -> Option<Vec<i64>> {
        match self.high {
            Some(high) if high - self.low <= CLOSE => None,
            Some(high) => {
                let part = (high - self.low) / (PLACES + 1);
                Some((1..=PLACES).map(|place| self.low + part * place).collect())
            }
            None => {
                let mut far = 100;
                let mut places = Vec::new();
                for _ in 0..PLACES {
                    places.push(self.low + far);
                    far *= FACTOR;
                }
                Some(places)
            }
        }
    }

    fn seen(&mut self, places: &[i64], seen: &HashSet<i64>) {
        let exist = |start: &&i64| {
            let row = **start..**start + IN_A_ROW;
            row.filter(|id| seen.contains(id)).count() >= EXIST
        };
        let last = places.iter().filter(exist).max();
        let beyond = places
            .iter()
            .find(|start| last.is_none_or(|last| *start > last));
        if let Some(last) = last {
            let row = *last..*last + IN_A_ROW;
            self.low = row.filter(|id| seen.contains(id)).max().unwrap_or(*last);
        }
        self.high = beyond
            .copied()
            .or(self.high.filter(|high| *high > self.low));
    }
}

/// The share of ids that exist, of the hundred up to this one.
pub(super) async fn share_below(discover: &Discover, top: i64) -> Result<f64, SourceError> {
    let first = top.saturating_sub(MAX_INFO_IDS as i64 - 1).max(0);
    let answer = request_ids(discover, first..=top, &[], RequestClass::Poll).await?;
    let page = answer.page;
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
    let share = page.order.len() as f64 / (top - first + 1).max(1) as f64;
    Ok(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_found_in_a_few_requests_however_far_ahead_it_is() {
        for ahead in [0, 7, 99, 100, 101, 5_000, 77_777, 1_500_000, 80_000_000] {
            let top = 4_000_000_000 + ahead;
            let mut search = Search::new(4_000_000_000);
            let mut requests = 0;
            while let Some(places) = search.places() {
                requests += 1;
                assert!(places.len() * 10 <= MAX_INFO_IDS);
                let ids = places.iter().flat_map(|start| *start..*start + IN_A_ROW);
                // One in fifty never appears.
                search.seen(
                    &places,
                    &ids.filter(|id| *id <= top && id % 50 != 0).collect(),
                );
            }
            assert!(requests <= MOST_REQUESTS, "{requests} for {ahead}");
            assert!(search.low <= top);
            assert!(
                top - search.low <= CLOSE,
                "{} for {ahead}",
                top - search.low
            );
        }
    }

    #[test]
    fn an_id_that_was_made_by_hand_or_weeks_ago_is_not_the_newest() {
        assert_eq!(newest(&[]), None);
        assert_eq!(newest(&[5]), Some(5));
        let ids = [
            3_900_000_000,
            4_000_000_000,
            4_000_000_007,
            4_000_000_003,
            90_000_000_000,
        ];
        assert_eq!(newest(&ids), Some(4_000_000_007));
    }
}
