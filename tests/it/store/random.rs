//! Random histories against naive models.

use super::conformance;
use super::fixtures::{NOW, World, id, interval, member, name, seen_with};
use freshet::store::{GapCause, GapRecord, GapState, Interval};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;

conformance!(
    coverage_and_open_gaps_equal_sets_of_seconds,
    whatever_the_order_the_newest_observation_stands,
);

/// Runs a property whose cases need the database.
pub fn check<S: Strategy>(cases: u32, strategy: &S, property: impl AsyncFn(S::Value)) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    tokio::task::block_in_place(|| {
        let result = TestRunner::new(config).run(strategy, |value| {
            Handle::current().block_on(property(value));
            Ok(())
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
    });
}

fn any_interval() -> impl Strategy<Value = Interval> {
    (0i64..80, 0i64..25).prop_map(|(start, length)| interval(start, start + length))
}

async fn coverage_and_open_gaps_equal_sets_of_seconds(world: World) {
    let step = (
        prop::option::of((any_interval(), any::<bool>())),
        prop::option::of(any_interval()),
    );
    let number = AtomicUsize::new(0);
    check(12, &prop::collection::vec(step, 1..12), async |steps| {
        // A subreddit of its own for each case.
        let subreddit = format!("case{}", number.fetch_add(1, Ordering::Relaxed));
        let claim = world.claimed(&subreddit).await;
        let subreddit = name(&subreddit);
        let mut covered = BTreeSet::new();
        let mut missing: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for (left, proven) in steps {
            let mut record = member(&claim);
            record.proven = proven;
            record.gap = left.map(|(interval, cap)| GapRecord {
                interval,
                cause: if cap { GapCause::Cap } else { GapCause::Error },
            });
            if let Some(gap) = record.gap {
                let seconds = missing.entry(gap.cause.as_str()).or_default();
                seconds.extend(gap.interval.start..gap.interval.end);
            }
            if let Some(proven) = proven {
                covered.extend(proven.start..proven.end);
                for seconds in missing.values_mut() {
                    seconds.retain(|second| !(proven.start..proven.end).contains(second));
                }
            }
            world.record(record).await;
        }
        let coverage = world.store.coverage(&subreddit).await.unwrap();
        assert!(coverage.windows(2).all(|pair| pair[0].1 < pair[1].0));
        let held: BTreeSet<i64> = coverage
            .iter()
            .flat_map(|(start, end)| *start..*end)
            .collect();
        assert_eq!(held, covered);
        let gaps = world
            .store
            .gaps(Some(&subreddit), Some(GapState::Open))
            .await
            .unwrap();
        for cause in [GapCause::Cap, GapCause::Error] {
            let held: Vec<i64> = gaps
                .iter()
                .filter(|gap| gap.cause == cause)
                .flat_map(|gap| gap.interval.start..gap.interval.end)
                .collect();
            let expected = missing.remove(cause.as_str()).unwrap_or_default();
            assert_eq!(held.len(), expected.len(), "no second twice");
            assert_eq!(held.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    });
}

async fn whatever_the_order_the_newest_observation_stands(world: World) {
    // When it was seen, and whether by a listing or a fetch; in batches.
    let seen = (0i64..30, any::<bool>(), 0usize..4);
    let history = prop::collection::vec(prop::collection::vec(seen, 1..5), 1..8);
    let number = AtomicUsize::new(0);
    check(12, &history, async |batches| {
        let case = number.fetch_add(1, Ordering::Relaxed);
        let mut newest: BTreeMap<usize, (i64, bool)> = BTreeMap::new();
        for batch in batches {
            let (fetches, lists): (Vec<_>, Vec<_>) = batch.iter().partition(|seen| seen.1);
            let observe = |seen: &&(i64, bool, usize)| {
                let (at, _, which) = **seen;
                let fields = format!(r#","title":"seen at {at}""#);
                seen_with(&format!("c{case}x{which}"), NOW + at, &fields)
            };
            let listed: Vec<_> = lists.iter().map(observe).collect();
            world.list(&listed).await;
            let mut discovered: BTreeMap<usize, i64> = BTreeMap::new();
            for (at, _, which) in lists {
                let newest = discovered.entry(*which).or_insert(*at);
                *newest = (*newest).max(*at);
            }
            for (which, at) in discovered {
                newest.entry(which).or_insert((at, false));
            }
            let fetched: Vec<_> = fetches.iter().map(observe).collect();
            world.fetch(&fetched).await;
            for (at, _, which) in fetches {
                // What was only listed is older than any fetch: that comes of it, whatever the time.
                let standing = newest.entry(*which).or_insert((*at, true));
                let fetched_at = if standing.1 { standing.0 } else { *at };
                *standing = (fetched_at.max(*at), true);
            }
        }
        for (which, (at, fetched)) in newest {
            let row = world
                .store
                .submission(&id(&format!("c{case}x{which}")))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(row.observed_ms, NOW + at);
            assert_eq!(row.title, Some(format!("seen at {at}")));
            assert_eq!(row.fetched_at.is_some(), fetched);
        }
    });
}
