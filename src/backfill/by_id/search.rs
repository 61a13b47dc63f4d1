//! At which id a time begins. Knows no network and no clock: places of the counter go out, when what stands
//! there was created comes in.
//!
//! A place is a few ids in a row, whose time is the one in the middle: what was scheduled weeks before it was
//! created, and what is missing, does not matter.

use std::collections::BTreeMap;

/// So many ids in a row are asked for at each place.
const IN_A_ROW: i64 = 10;
/// Places of one request.
const PLACES: i64 = 10;
/// So many of a place's must exist for it to have a time.
const EXIST: usize = 3;
/// Close enough.
const CLOSE: i64 = 200;
/// How far below the top the first place is, and how much further each of the next is.
const NEAR: i64 = 100;
const FACTOR: i64 = 4;
/// Requests that are made to find a time.
const MOST_REQUESTS: u32 = 24;

/// Which end of a time is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// An id below all that were created then.
    Start,
    /// An id above them.
    End,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub id: i64,
    /// False where nothing older stands below it: this may be all that there is.
    pub known: bool,
}

#[derive(Debug)]
pub(super) struct Search {
    target: i64,
    side: Side,
    /// Below the time, and whether something that is older was seen there.
    low: Option<(i64, bool)>,
    /// After the time.
    high: i64,
    /// How far below the top the next place is.
    distance: i64,
    top: i64,
    requests: u32,
}

impl Search {
    /// For a time (seconds) that is before that of `top`.
    pub(super) fn new(target: i64, side: Side, top: i64) -> Search {
        Search {
            target,
            side,
            low: None,
            high: top,
            distance: NEAR,
            top,
            requests: 0,
        }
    }

    /// Where to look next, each for [`ids_at`]; none once it is found.
    pub(super) fn places(&self) -> Option<Vec<i64>> {
        match self.low {
            Some((low, _)) if self.high - low <= CLOSE => None,
            Some((low, _)) => {
                let part = (self.high - low) / (PLACES + 1);
                Some((1..=PLACES).map(|place| low + part * place).collect())
            }
            None => {
                let mut places: Vec<i64> = (0..PLACES)
                    .scan(self.distance, |far, _| {
                        let place = self.top.saturating_sub(*far).max(0);
                        *far = far.saturating_mul(FACTOR);
                        Some(place)
                    })
                    .collect();
                places.sort_unstable();
                places.dedup();
                Some(places)
            }
        }
    }

    /// Goes on from when what was given out of these places was created, by id; false where it leads nowhere.
    pub(super) fn answer(&mut self, places: &[i64], created: &BTreeMap<i64, i64>) -> bool {
        self.requests += 1;
        let known: Vec<(i64, i64)> = places
            .iter()
            .filter_map(|place| Some((*place, time_at(*place, created)?)))
            .collect();
        let is_above = |time: i64| match self.side {
            Side::Start => time >= self.target,
            Side::End => time > self.target,
        };
        let mut above = known.iter().filter(|(_, time)| is_above(*time));
        let below = known.iter().filter(|(_, time)| !is_above(*time));
        // Where ids are out of order around it, whichever leaves more between the two.
        let (high, low) = match self.side {
            Side::Start => {
                let high = above.next().map(|(id, _)| *id);
                let low = below.filter(|(id, _)| high.is_none_or(|high| *id < high));
                (high, low.max().map(|(id, _)| *id))
            }
            Side::End => {
                let low = below.max().map(|(id, _)| *id);
                let high = above.find(|(id, _)| low.is_none_or(|low| *id > low));
                (high.map(|(id, _)| *id), low)
            }
        };
        self.high = high.map_or(self.high, |high| high.min(self.high));
        let lowest_known = known.first().map_or(self.high, |(id, _)| *id);
        let deserted = places.iter().rev().find(|place| **place < lowest_known);
        match (low, deserted) {
            (Some(low), _) => self.low = Some((low, true)),
            (None, Some(place)) if self.low.is_none_or(|(_, known)| !known) => {
                self.low = Some((*place, false));
            }
            (None, _) => self.distance = self.distance.saturating_mul(FACTOR.pow(PLACES as u32)),
        }
        let at_zero = places == [0];
        self.requests < MOST_REQUESTS && !at_zero
    }

    /// The id at or below which (or above which) the time begins (or ends).
    pub(super) fn found(&self) -> Found {
        match (self.side, self.low) {
            (Side::Start, Some((low, known))) => Found { id: low, known },
            (Side::Start, None) => Found {
                id: 0,
                known: false,
            },
            (Side::End, _) => Found {
                id: (self.high + IN_A_ROW).min(self.top + 1),
                known: true,
            },
        }
    }
}

/// The ids that stand at a place.
pub(super) fn ids_at(place: i64) -> std::ops::Range<i64> {
    place..place + IN_A_ROW
}

/// When a place was reached.
pub(super) fn time_at(place: i64, created: &BTreeMap<i64, i64>) -> Option<i64> {
    let mut times: Vec<i64> = created
        .range(ids_at(place))
        .map(|(_, time)| *time)
        .collect();
    times.sort_unstable();
    (times.len() >= EXIST).then(|| times[times.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A counter from `first` on at so many ids a second, of which one in `hole` is missing, and one in a
    /// hundred was created long after its neighbours.
    struct World {
        first: i64,
        top: i64,
        per_second: f64,
        hole: i64,
    }

    impl World {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a test"
        )]
        fn time(&self, id: i64) -> i64 {
            1_000_000 + ((id - self.first) as f64 / self.per_second) as i64
        }

        fn created(&self, places: &[i64]) -> BTreeMap<i64, i64> {
            let ids = places.iter().flat_map(|place| ids_at(*place));
            let ids = ids.filter(|id| (self.first..=self.top).contains(id) && id % self.hole != 0);
            ids.map(|id| {
                let scheduled = if id % 100 == 7 { 9_000_000 } else { 0 };
                (id, self.time(id) + scheduled)
            })
            .collect()
        }

        /// What was found, for how many requests.
        fn find(&self, target: i64, side: Side) -> (Option<Found>, u32) {
            let mut search = Search::new(target, side, self.top);
            while let Some(places) = search.places() {
                let created = self.created(&places);
                if !search.answer(&places, &created) {
                    return (None, search.requests);
                }
            }
            (Some(search.found()), search.requests)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn every_id_of_a_time_lies_between_where_it_was_found_to_begin_and_to_end(
            count in 3_000_i64..50_000_000,
            per_second in 0.05..40.0_f64,
            hole in 3_i64..200,
            place in 0.05..0.9_f64,
        ) {
            let first = 4_000_000_000;
            let world = World { first, top: first + count, per_second, hole };
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a test")]
            let id = first + (count as f64 * place) as i64;
            let target = world.time(id);
            for side in [Side::Start, Side::End] {
                let (found, requests) = world.find(target, side);
                let found = found.unwrap();
                prop_assert!(found.known);
                let right = match side {
                    Side::Start => world.time(found.id) < target,
                    Side::End => world.time(found.id) > target,
                };
                prop_assert!(right, "{found:?}");
                prop_assert!((found.id - id).abs() <= 2 * CLOSE + 5 * IN_A_ROW + per_second as i64 + 1, "{found:?} {id}");
                prop_assert!(requests <= 14, "{requests}");
            }
        }
    }

    #[test]
    fn before_the_counter_began_nothing_is_known() {
        let world = World {
            first: 4_000_000_000,
            top: 4_000_050_000,
            per_second: 2.0,
            hole: 50,
        };
        let (found, _) = world.find(999_000, Side::Start);
        let found = found.unwrap();
        assert!(!found.known);
        assert!(
            (world.first - CLOSE - 5..=world.first).contains(&found.id),
            "{found:?}"
        );
        let (end, _) = world.find(999_000, Side::End);
        assert!(end.unwrap().id >= world.first);
    }

    #[test]
    fn where_next_to_no_id_exists_the_search_ends() {
        let world = World {
            first: 4_000_000_000,
            top: 4_000_000_001,
            per_second: 2.0,
            hole: 50,
        };
        let (found, requests) = world.find(0, Side::Start);
        assert!(found.is_none_or(|found| !found.known));
        assert!(requests <= MOST_REQUESTS);
    }
}
