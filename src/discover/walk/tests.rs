//! Walks over made-up listings, against what those really hold.

use super::*;
use crate::submission::decode;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn item(id: &str, created_utc: i64) -> Observation {
    let json = format!(r#"{{"id":"{id}","created_utc":{created_utc}}}"#);
    decode(RawValue::from_string(json).unwrap(), 0).unwrap()
}

/// What a listing does wrong while it is walked.
#[derive(Debug, Clone, Default)]
struct Troubles {
    /// Answers (counted from 0) that are empty though they should not be.
    glitches: Vec<usize>,
    /// Answers that stop short, after so many items, with a null `after`.
    cuts: Vec<(usize, usize)>,
    /// Before an answer, items that are removed: a number into the listing.
    removals: Vec<(usize, usize)>,
    /// Places of items that come without a time.
    undated: Vec<usize>,
}

/// A listing as Reddit serves it: by anchors into a list of at most `cap` places.
struct Listing {
    /// Id and time, from the top; `None` where one was removed.
    places: Vec<Option<(String, i64)>>,
    answers: usize,
    troubles: Troubles,
}

impl Listing {
    fn new(times: &[i64], cap: usize, troubles: Troubles) -> Listing {
        let places = times
            .iter()
            .take(cap)
            .enumerate()
            .map(|(place, time)| Some((format!("i{place}"), *time)));
        Listing {
            places: places.collect(),
            answers: 0,
            troubles,
        }
    }

    fn answer(&mut self, request: &PageRequest) -> Page {
        let answer = self.answers;
        self.answers += 1;
        for (at, place) in self.troubles.removals.clone() {
            if at == answer && place < self.places.len() {
                self.places[place] = None;
            }
        }
        if self.troubles.glitches.contains(&answer) {
            return Page::default();
        }
        let start = match &request.after {
            None => 0,
            Some(anchor) => {
                let id = anchor.trim_start_matches("t3_");
                match self
                    .places
                    .iter()
                    .position(|place| place.as_ref().is_some_and(|(other, _)| other == id))
                {
                    Some(place) => place + 1,
                    // It has left the listing.
                    None => return Page::default(),
                }
            }
        };
        let visible = self.places[start..].iter().flatten();
        let mut shown: Vec<&(String, i64)> = visible.take(request.limit as usize).collect();
        let full = shown.len() == request.limit as usize;
        let mut after = shown
            .last()
            .filter(|_| full)
            .map(|(id, _)| format!("t3_{id}"));
        if let Some((_, length)) = self.troubles.cuts.iter().find(|(at, _)| *at == answer) {
            shown.truncate(*length);
            after = None;
        }
        let mut page = Page {
            order: shown.iter().map(|(id, _)| format!("t3_{id}")).collect(),
            after,
            ..Page::default()
        };
        for (id, time) in shown {
            let place: usize = id[1..].parse().unwrap();
            if self.troubles.undated.contains(&place) {
                let unread = Unread {
                    id: id.parse().ok(),
                    ..Unread::default()
                };
                page.unread.push((page.items.len(), unread));
            } else {
                page.items.push(item(id, *time));
            }
        }
        page
    }

    fn walk(&mut self, reach: i64) -> (Walk, Ended) {
        let mut walk = Walk::new(reach);
        loop {
            match walk.next() {
                Ok(request) => walk.take(self.answer(&request)),
                Err(ended) => return (walk, ended),
            }
        }
    }
}

/// `count` times, one a second, newest first, ending at `oldest`.
fn steady(count: usize, oldest: i64) -> Vec<i64> {
    (0..i64::try_from(count).unwrap())
        .rev()
        .map(|second| oldest + second)
        .collect()
}

#[test]
fn a_quiet_listing_costs_one_page() {
    let (walk, ended) = Listing::new(&steady(100, 1_000), 1_000, Troubles::default()).walk(1_080);
    assert_eq!((ended, walk.pages()), (Ended::Older, 1));
    assert!(walk.ground() <= 1_080);
}

#[test]
fn a_walk_goes_on_until_enough_items_in_a_row_are_older() {
    let (walk, ended) = Listing::new(&steady(400, 1_000), 1_000, Troubles::default()).walk(1_201);
    // 199 are at or above the reach: two pages show one older item, the third shows many.
    assert_eq!((ended, walk.pages()), (Ended::Older, 3));
}

#[test]
fn an_old_post_on_top_ends_nothing() {
    let mut times = steady(300, 1_000);
    times.insert(0, 5);
    times.insert(99, 6);
    let (walk, ended) = Listing::new(&times, 1_000, Troubles::default()).walk(1_100);
    assert_eq!(ended, Ended::Older);
    assert!(
        walk.listed()
            .iter()
            .any(|item| item.submission.created_utc == 1_100)
    );
}

#[test]
fn what_stands_below_its_place_says_by_how_much_another_may() {
    let mut times = steady(100, 10_000);
    let disorder = |times: &[i64]| {
        Listing::new(times, 1_000, Troubles::default())
            .walk(10_020)
            .0
            .disorder()
    };
    assert_eq!(disorder(&times), 0);
    // Old ones on top are above their place.
    times.insert(0, 100);
    times.insert(30, 200);
    assert!(disorder(&times) < 10);
    times.insert(60, 10_099);
    assert!(
        (90..110).contains(&disorder(&times)),
        "{}",
        disorder(&times)
    );
    times.insert(90, 9_000_000);
    assert_eq!(disorder(&times), MOST_DISORDER);
}

#[test]
fn the_end_of_a_short_listing_is_shown_more_than_once() {
    for count in [1, 2, 37, 100, 200, 499] {
        let (walk, ended) = Listing::new(&steady(count, 1_000), 1_000, Troubles::default()).walk(0);
        assert_eq!(ended, Ended::End, "{count}");
        assert_eq!(walk.listed().len(), count);
        assert_eq!(walk.ground(), i64::MIN);
    }
}

#[test]
fn an_empty_listing_is_asked_for_more_than_once() {
    let (walk, ended) = Listing::new(&[], 1_000, Troubles::default()).walk(0);
    assert_eq!((ended, walk.pages()), (Ended::End, 3));
    let glitch = Troubles {
        glitches: vec![0, 1],
        ..Troubles::default()
    };
    let (walk, ended) = Listing::new(&steady(50, 1_000), 1_000, glitch).walk(1_020);
    assert_eq!((ended, walk.listed().len()), (Ended::Older, 50));
}

#[test]
fn the_cap_is_not_taken_for_the_end() {
    for count in [500, 999, 1_000, 3_000] {
        let (walk, ended) = Listing::new(&steady(count, 1_000), 1_000, Troubles::default()).walk(0);
        assert_eq!(ended, Ended::Cap, "{count}");
        assert_eq!(walk.listed().len(), count.min(1_000));
        assert_ne!(walk.ground(), i64::MIN);
    }
}

#[test]
fn a_vanished_anchor_is_stepped_around() {
    // The last item of the first page is removed before the second is asked for.
    let troubles = Troubles {
        removals: vec![(1, 99)],
        ..Troubles::default()
    };
    let (walk, ended) = Listing::new(&steady(300, 1_000), 1_000, troubles).walk(1_050);
    assert_eq!(ended, Ended::Older);
    let inside = |item: &&Observation| item.submission.created_utc >= 1_050;
    assert_eq!(walk.listed().iter().filter(inside).count(), 250);
}

#[test]
fn many_vanished_anchors_are_admitted() {
    let removals = (0..100).map(|place| (1, place)).collect();
    let troubles = Troubles {
        removals,
        ..Troubles::default()
    };
    let (walk, ended) = Listing::new(&steady(300, 1_000), 1_000, troubles).walk(1_050);
    assert_eq!(ended, Ended::AnchorVanished);
    assert_eq!(walk.listed().len(), 100);
}

#[test]
fn a_cut_page_is_not_taken_for_the_end() {
    let troubles = Troubles {
        cuts: vec![(0, 40), (2, 7)],
        ..Troubles::default()
    };
    let (walk, ended) = Listing::new(&steady(300, 1_000), 1_000, troubles).walk(1_050);
    assert_eq!(ended, Ended::Older);
    assert!(
        walk.listed()
            .iter()
            .filter(|item| item.submission.created_utc >= 1_050)
            .count()
            == 250
    );
}

#[test]
fn a_listing_that_never_stops_promising_more_comes_to_an_end() {
    let mut walk = Walk::new(0);
    let mut next = 0;
    while walk.next().is_ok() {
        let ids: Vec<String> = (next..next + 50)
            .map(|number| format!("n{number}"))
            .collect();
        next += 50;
        walk.take(Page {
            order: ids.iter().map(|id| format!("t3_{id}")).collect(),
            items: ids.iter().map(|id| item(id, 9_000)).collect(),
            after: Some("t3_more".to_owned()),
            ..Page::default()
        });
    }
    assert_eq!(walk.next(), Err(Ended::PageLimit));
}

#[test]
fn a_listing_of_huge_objects_is_given_up_before_it_fills_the_memory() {
    let padding = "x".repeat(10 << 20);
    let huge = |page: usize| {
        let json = format!(r#"{{"id":"h{page}","created_utc":9000,"padding":"{padding}"}}"#);
        let mut page = Page {
            order: vec![format!("t3_h{page}")],
            after: Some("t3_more".to_owned()),
            ..Page::default()
        };
        let raw = RawValue::from_string(json).unwrap();
        page.items.push(decode(raw, 0).unwrap());
        page
    };
    let mut walk = Walk::new(0);
    let mut pages = 0;
    while walk.next().is_ok() {
        walk.take(huge(pages));
        pages += 1;
    }
    assert_eq!(walk.next(), Err(Ended::PageLimit));
    assert_eq!(pages, 4, "40 MB, and the page that would have gone beyond");
    assert_eq!(walk.listed().len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever goes wrong, a walk that claims ground has listed all that stood above it throughout.
    #[test]
    fn claimed_ground_was_listed(
        steps in proptest::collection::vec(0_i64..20, 0..1_400),
        resurfaced in proptest::collection::vec((0_usize..300, 0_i64..500), 0..4),
        glitches in proptest::collection::vec(0_usize..8, 0..3),
        cuts in proptest::collection::vec((0_usize..8, 1_usize..90), 0..3),
        removals in proptest::collection::vec((0_usize..8, 0_usize..1_000), 0..40),
        reach in 0_i64..14_000,
    ) {
        let mut time = 600;
        let mut times: Vec<i64> = steps.iter().map(|step| { time += step; time }).collect();
        times.reverse();
        for (place, old) in &resurfaced {
            times.insert((*place).min(times.len()), *old);
        }
        let all = times.clone();
        let troubles = Troubles { glitches, cuts, removals, ..Troubles::default() };
        let mut listing = Listing::new(&times, 1_000, troubles);
        let (walk, ended) = listing.walk(reach);
        let ground = walk.ground();
        if matches!(ended, Ended::Older) {
            prop_assert!(ground <= reach);
        }
        let listed: HashSet<String> =
            walk.listed().iter().map(|item| item.submission.id.to_string()).collect();
        // Items below the cap were never visible, and the removed ones were not throughout.
        for (id, created) in listing.places.iter().flatten() {
            prop_assert!(*created < ground || listed.contains(id), "{id} at {created} is missing above {ground}");
        }
        if ended == Ended::End {
            prop_assert!(all.len() <= 1_000, "the cap was taken for the end");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was listed without a time was created in the time that its neighbours say, wherever it stands.
    #[test]
    fn what_has_no_time_lies_where_its_neighbours_say(
        steps in proptest::collection::vec(0_i64..20, 1..400),
        resurfaced in proptest::collection::vec((0_usize..300, 0_i64..500), 0..3),
        glitches in proptest::collection::vec(0_usize..8, 0..2),
        cuts in proptest::collection::vec((0_usize..8, 1_usize..90), 0..2),
        undated in proptest::collection::vec(0_usize..400, 1..30),
        reach in 600_i64..8_000,
    ) {
        let mut time = 600;
        let mut times: Vec<i64> = steps.iter().map(|step| { time += step; time }).collect();
        times.reverse();
        for (place, old) in &resurfaced {
            times.insert((*place).min(times.len()), *old);
        }
        // Nothing says so of what reappeared itself.
        let undated = undated.into_iter().filter(|place| times.get(*place).is_some_and(|at| *at >= 600));
        let troubles = Troubles { glitches, cuts, undated: undated.collect(), ..Troubles::default() };
        let undated = troubles.undated.clone();
        let (walk, _) = Listing::new(&times, 1_000, troubles).walk(reach);
        let unread = walk.unread();
        for place in undated {
            let id = format!("i{place}");
            let listed = walk.order.contains(&format!("t3_{id}"));
            let own = unread.iter().filter(|(it, _)| it.id.as_ref().is_some_and(|it| it.as_str() == id));
            let within = |interval: &Interval| (interval.start..interval.end).contains(&times[place]);
            let own: Vec<_> = own.map(|(_, interval)| *interval).collect();
            prop_assert!(!listed || own.iter().any(within), "{id} at {}: {own:?}", times[place]);
        }
    }
}
