//! Walks through archives that are honest, short of rows, or lie.

use super::*;
use proptest::prelude::*;

fn id(number: usize) -> SubmissionId {
    format!("a{number}").parse().unwrap()
}

/// An archive that answers with pages of up to `limit` rows, or of what is asked for at least.
fn walk_through(created: &[i64], range: Interval, limit: u32) -> (Walk, u64, u32) {
    walk_of(created, range, limit, MOST)
}

/// The same of one that gives out `cap` rows at most, whatever it is asked for.
fn walk_of(created: &[i64], range: Interval, limit: u32, cap: u32) -> (Walk, u64, u32) {
    let mut rows: Vec<(SubmissionId, i64)> = created
        .iter()
        .enumerate()
        .map(|(number, created)| (id(number), *created))
        .collect();
    rows.sort_by_key(|(_, created)| *created);
    let (mut walk, mut counted, mut requests) = (Walk::new(range, i64::MAX), 0, 0);
    while let Ok(ask) = walk.next() {
        let asked_for = limit.max(ask.at_least).min(MOST);
        let within =
            |row: &&(SubmissionId, i64)| ask.interval.start <= row.1 && row.1 < ask.interval.end;
        let mut items: Vec<_> = rows.iter().filter(within).cloned().collect();
        if ask.order == Order::NewestFirst {
            items.reverse();
        }
        items.truncate(asked_for.min(cap) as usize);
        let full = items.len() == asked_for as usize;
        walk.take(&Answer {
            items: &items,
            full,
            asked_for,
        });
        counted += walk.counted();
        assert!(walk.reached() < range.end, "it is not judged yet");
        requests += 1;
        assert!(requests < 10_000, "it ends");
    }
    counted += walk.rest();
    (walk, counted, requests)
}

#[test]
fn an_empty_slice_is_asked_for_both_ways_round_and_in_halves() {
    let (walk, counted, requests) = walk_through(&[], Interval { start: 0, end: 9 }, 10);
    assert_eq!((counted, requests), (0, 4));
    assert_eq!(
        walk.next()
            .unwrap_err()
            .proven(Interval { start: 0, end: 9 }),
        [Interval { start: 0, end: 9 }]
    );
}

#[test]
fn more_of_one_second_than_a_page_shows_is_not_proven() {
    let range = Interval { start: 0, end: 20 };
    let created: Vec<i64> = std::iter::repeat_n(7, 150).chain([3, 12]).collect();
    let (walk, ..) = walk_through(&created, range, 10);
    let ended = walk.next().unwrap_err();
    let proven = ended.proven(range);
    let expected = [
        Interval { start: 0, end: 7 },
        Interval { start: 8, end: 20 },
    ];
    assert_eq!(proven, expected);
}

#[test]
fn what_only_shows_the_other_way_round_is_walked_for_again() {
    let range = Interval { start: 0, end: 20 };
    let mut walk = Walk::new(range, i64::MAX);
    let nothing = Answer {
        items: &[],
        full: false,
        asked_for: 100,
    };
    walk.take(&nothing);
    let items = [(id(1), 5)];
    let shown = Answer {
        items: &items,
        ..nothing
    };
    walk.take(&shown);
    assert_eq!(walk.next().unwrap().order, Order::OldestFirst);
    assert_eq!(walk.reached(), 0);
}

#[test]
fn what_the_archive_may_not_hold_yet_is_asked_for_again() {
    let mut walk = Walk::new(Interval { start: 0, end: 100 }, 50);
    let items = [(id(1), 40), (id(2), 90)];
    walk.take(&Answer {
        items: &items,
        full: true,
        asked_for: 2,
    });
    assert_eq!((walk.reached(), walk.counted()), (50, 1));
}

#[test]
fn a_full_page_of_what_is_no_submission_proves_nothing() {
    let range = Interval {
        start: 0,
        end: 1_000_000,
    };
    let mut walk = Walk::new(range, i64::MAX);
    walk.take(&Answer {
        items: &[],
        full: true,
        asked_for: MOST,
    });
    assert!(walk.next().unwrap_err().proven(range).is_empty());
}

proptest! {
    /// An archive may give out fewer than it is asked for: what is proven then was all seen.
    #[test]
    fn short_pages_lose_nothing(
        created in prop::collection::vec(0i64..400, 0..300), cap in 8u32..40,
    ) {
        let range = Interval { start: 0, end: 400 };
        let (walk, ..) = walk_of(&created, range, MOST, cap);
        let most = (0..400)
            .map(|second| created.iter().filter(|at| **at == second).count())
            .max()
            .unwrap_or_default();
        // Of more within one second than it ever gives out, nobody could know.
        prop_assume!(most < cap as usize);
        prop_assert_eq!(walk.seen.len(), created.len());
        prop_assert_eq!(walk.next().unwrap_err().proven(range), vec![range]);
    }

    /// Every submission of the range is seen and counted once, whatever page ends cut.
    #[test]
    fn everything_is_seen_once(
        created in prop::collection::vec(0i64..60, 0..300),
        start in 0i64..30, length in 1i64..40, limit in 1u32..40,
    ) {
        let range = Interval { start, end: start + length };
        let within = |at: &&i64| start <= **at && **at < range.end;
        let expected = created.iter().filter(within).count();
        let most = (range.start..range.end)
            .map(|second| created.iter().filter(|at| **at == second).count())
            .max()
            .unwrap_or_default();
        prop_assume!(most < MOST as usize);
        let (walk, counted, _) = walk_through(&created, range, limit);
        prop_assert_eq!(walk.seen.len(), expected);
        prop_assert_eq!(counted, expected as u64);
        let ended = walk.next().unwrap_err();
        prop_assert_eq!(ended.proven(range), vec![range]);
    }

    /// Of four answers in a row, two may be lies: empty, or cut off wherever the lie will have it. What is proven
    /// then was all seen.
    #[test]
    fn what_a_lying_archive_proves_was_all_seen(
        created in prop::collection::vec(0i64..600, 0..250),
        lies in prop::collection::vec((0u8..3, 0usize..60), 0..40),
        cap in 20u32..=MOST,
    ) {
        let range = Interval { start: 0, end: 600 };
        let mut rows: Vec<(SubmissionId, i64)> = created
            .iter()
            .enumerate()
            .map(|(number, created)| (id(number), *created))
            .collect();
        rows.sort_by_key(|(_, created)| *created);
        let most = (0..600)
            .map(|second| created.iter().filter(|at| **at == second).count())
            .max()
            .unwrap_or_default();
        prop_assume!(most < cap as usize / 2);
        let mut walk = Walk::new(range, i64::MAX);
        let (mut last, mut asked) = (Vec::<bool>::new(), 0);
        while let Ok(ask) = walk.next() {
            let within = |row: &&(SubmissionId, i64)| {
                ask.interval.start <= row.1 && row.1 < ask.interval.end
            };
            let mut items: Vec<_> = rows.iter().filter(within).cloned().collect();
            if ask.order == Order::NewestFirst {
                items.reverse();
            }
            items.truncate(cap as usize);
            let recent = last.iter().rev().take(3).filter(|lied| **lied).count();
            let lie = lies.get(asked).filter(|_| recent < 2);
            let before = items.len();
            match lie {
                Some((1, _)) => items.clear(),
                Some((2, kept)) => items.truncate(*kept),
                _ => {}
            }
            last.push(items.len() < before);
            walk.take(&Answer {
                items: &items,
                full: items.len() == MOST as usize,
                asked_for: MOST,
            });
            walk.counted();
            asked += 1;
            prop_assert!(asked < 10_000, "it ends");
        }
        for proven in walk.next().unwrap_err().proven(range) {
            for (id, created) in &rows {
                let within = proven.start <= *created && *created < proven.end;
                prop_assert!(!within || walk.seen.contains(id), "{} of {}", id, created);
            }
        }
    }
}
