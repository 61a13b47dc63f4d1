//! Plans over made-up archives.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn interval(start: i64, end: i64) -> Interval {
    Interval { start, end }
}

#[test]
fn what_is_covered_is_left_out() {
    let range = interval(0, 100);
    assert_eq!(uncovered(range, &[]), [range]);
    assert_eq!(
        uncovered(range, &[(-5, 10), (20, 30), (90, 120)]),
        [interval(10, 20), interval(30, 90)]
    );
    assert!(uncovered(range, &[(0, 100)]).is_empty());
    assert!(uncovered(range, &[(-9, 300)]).is_empty());
}

#[test]
fn slices_cover_what_is_missing_without_holes() {
    let missing = [interval(0, 100_000), interval(200_000, 200_010)];
    let slices = cut(&missing, 30_000);
    assert_eq!(slices.len(), 5);
    assert_eq!((slices[0].start, slices[3].end), (0, 100_000));
    for pair in slices[..4].windows(2) {
        assert_eq!(pair[0].end, pair[1].start);
    }
    assert_eq!((slices[4].start, slices[4].end), (200_000, 200_010));
}

/// An archive with a submission at each of these times, asked for so many rows at once.
fn planned(created: &[i64], range: Interval, rows: usize) -> Plan {
    let length = range.end - range.start;
    let (mut samples, mut from) = (Vec::<Sample>::new(), 0);
    let page = |before: Interval, newest_first: bool| {
        let within = |at: &&i64| before.start <= **at && **at < before.end;
        let mut created: Vec<i64> = created.iter().filter(within).copied().collect();
        created.sort_unstable();
        if newest_first {
            created.reverse();
        }
        created.truncate(rows);
        let item = |at: &i64| {
            let json = format!(r#"{{"id":"a{at}","created_utc":{at}}}"#);
            let raw = serde_json::value::RawValue::from_string(json).unwrap();
            crate::submission::decode_archived(raw, i64::MAX).unwrap()
        };
        ArchivePage {
            items: created.iter().map(item).collect(),
            undecodable: Vec::new(),
            unreadable: Vec::new(),
            full: created.len() == rows,
            asked_for: u32::try_from(rows).unwrap(),
            requests: 1,
            asked_ms: 0,
            served_at: 0,
            seconds: 0.5,
            large: None,
        }
    };
    while from < length {
        let before = place(&[range], from).unwrap();
        let sample = sample(&page(before, true), before, from, length);
        from = sample.to;
        samples.push(sample);
    }
    if samples.last().is_some_and(|last| last.judged_seconds > 0) {
        samples.push(oldest(&page(range, false), range, length));
    }
    let budget = NonZeroU32::new(60).unwrap();
    from_samples(&[range], length, &samples, budget, 4)
}

#[test]
fn an_estimate_follows_its_samples() {
    let created: Vec<i64> = (0..20_000).map(|number| number * 50).collect();
    let plan = planned(&created, interval(0, 1_000_000), 100);
    let submissions = plan.estimate.submissions;
    assert!((19_900..=20_300).contains(&submissions), "{submissions}");
    assert!(
        (11..=15).contains(&plan.estimate.samples),
        "{:?}",
        plan.estimate
    );
    assert_eq!(plan.slices.len() as u64, submissions.div_ceil(1_000));
    for slice in &plan.slices[1..] {
        let expected = slice.expected.unwrap();
        assert!((900..=1_010).contains(&expected), "{expected}");
    }
}

#[test]
fn few_submissions_are_counted_with_one_page() {
    let plan = planned(&[5, 70_000, 9_000_000], interval(0, 10_000_000), 100);
    assert_eq!((plan.estimate.submissions, plan.estimate.samples), (3, 1));
    let expected: u32 = plan.slices.iter().filter_map(|it| it.expected).sum();
    assert_eq!(expected, 3);
}

/// So many a day, more by day than by night, the busiest moment so long before `end`.
fn with_a_rhythm(per_day: f64, range: Interval, busiest: f64, random: &mut ChaCha8Rng) -> Vec<i64> {
    const SWING: f64 = 0.6;
    let most = per_day / DAY as f64 * (1.0 + SWING);
    let (mut created, mut at) = (Vec::new(), range.start as f64);
    loop {
        at -= (1.0 - random.random::<f64>()).ln() / most;
        if at >= range.end as f64 {
            return created;
        }
        let part = (at / DAY as f64 - busiest) * std::f64::consts::TAU;
        if random.random::<f64>() * (1.0 + SWING) < 1.0 + SWING * part.cos() {
            created.push(at as i64);
        }
    }
}

/// Whatever the time of day: pages at the same hour of each day are all busy, or all quiet.
#[test]
fn an_estimate_is_near_the_truth_at_any_time_of_day() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (per_day, days) in [
        (20.0, 30),
        (1_000.0, 1),
        (1_000.0, 3),
        (1_000.0, 8),
        (1_000.0, 30),
        (6_000.0, 2),
        (6_000.0, 5),
    ] {
        let mut off = Vec::new();
        for eighth in 0..8 {
            let range = interval(0, days * DAY);
            let busiest = f64::from(eighth) / 8.0;
            let created = with_a_rhythm(per_day, range, busiest, &mut random);
            let estimate = planned(&created, range, 100).estimate.submissions;
            off.push((estimate as f64 / created.len() as f64 - 1.0).abs());
        }
        let mean = off.iter().sum::<f64>() / off.len() as f64;
        let worst = off.iter().copied().fold(0.0, f64::max);
        assert!(mean < 0.1 && worst < 0.2, "{per_day} {days}: {off:?}");
    }
}

#[test]
fn a_range_of_twice_the_length_is_never_estimated_to_hold_less() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for round in 0..40 {
        let per_day = [30.0, 300.0, 3_000.0][round % 3];
        let whole = interval(0, 8 * DAY);
        let created = with_a_rhythm(per_day, whole, random.random(), &mut random);
        let mut before = 0;
        for hours in [3, 6, 12, 24, 48, 96, 192] {
            let range = interval(whole.end - hours * 3_600, whole.end);
            let estimate = planned(&created, range, 100).estimate.submissions;
            assert!(before <= estimate, "{per_day} {hours}: {before} {estimate}");
            before = estimate;
        }
    }
}

/// As a walk of each slice asks: its pages and their end the other way round, or halves where nothing is.
#[test]
fn requests_are_estimated_as_slices_need_them() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for (per_day, days) in [(0.05, 300), (2.0, 300), (200.0, 30), (5_000.0, 4)] {
        let range = interval(0, days * DAY);
        let created = with_a_rhythm(per_day, range, 0.3, &mut random);
        let plan = planned(&created, range, 100);
        let needed = plan.slices.iter().map(|slice| {
            let within = |at: &&i64| slice.start <= **at && **at < slice.end;
            match created.iter().filter(within).count() {
                0 => 5,
                count => 2 + (count - 1) / 99,
            }
        });
        let needed = needed.sum::<usize>() + plan.slices.len().min(4);
        let off = plan.estimate.requests as f64 / needed as f64 - 1.0;
        assert!(off.abs() < 0.12, "{per_day}: {needed} {:?}", plan.estimate);
    }
}
