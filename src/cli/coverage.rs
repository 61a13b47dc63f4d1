//! `freshet coverage`: which times are proven complete, and which may miss submissions.

use super::Usage;
use super::arguments::CoverageArguments;
use super::moment::{in_order, rfc3339};
use super::output::print_line;
use super::report::{align_right, counted, print_json, shown, span, table, warn_if_simulated, why};
use crate::app::{now_ms, open_store_to_read};
use crate::config::Config;
use crate::store::{Gap, GapState, Interval, Store};
use crate::submission::SubredditName;
use anyhow::{Context, bail};
use serde::Serialize;
use std::ops::Range;

/// Characters of the bar: with two before it, it fits 80 columns.
const CELLS: i64 = 76;

/// What is known of one subreddit between two moments.
#[derive(Debug, Serialize)]
struct Coverage {
    subreddit: String,
    /// Seconds since the epoch, as all times here.
    since: i64,
    until: i64,
    proven_seconds: i64,
    gap_seconds: i64,
    unproven_seconds: i64,
    /// From `since` to `until`, each where the one before it ends.
    intervals: Vec<Stretch>,
}

/// A time of which one thing is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Stretch {
    start: i64,
    end: i64,
    #[serde(flatten)]
    known: Known,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Known {
    /// Everything that the listing showed of it is stored.
    Proven,
    /// It may miss submissions, and why; why it is open still.
    Gap {
        cause: &'static str,
        reason: Option<&'static str>,
    },
    /// Neither: no poll has looked there yet, or nobody will.
    Unproven,
}

pub(super) async fn run(config: &Config, arguments: CoverageArguments) -> anyhow::Result<()> {
    let now = now_ms() / 1000;
    let until = arguments.until.unwrap_or(now);
    if let Some(since) = arguments.since {
        in_order(since, until).map_err(Usage)?;
    }
    let store = open_store_to_read(config).await?;
    let read = read(&store, &arguments, until).await;
    let warned = warn_if_simulated(&store).await;
    store.close().await;
    let read = read?;
    warned?;
    if arguments.json {
        return print_json(&read);
    }
    if read.is_empty() {
        eprintln!("No subreddit is watched yet; add some with: freshet subreddits add NAME…");
        return Ok(());
    }
    for coverage in &read {
        print(coverage, arguments.subreddit.is_some());
    }
    print_line!("█ proven  ▒ in part  · not proven  ! may miss submissions");
    Ok(())
}

async fn read(
    store: &Store,
    arguments: &CoverageArguments,
    until: i64,
) -> anyhow::Result<Vec<Coverage>> {
    let watched = store.subreddits().await.context("the watched list")?;
    let watched = watched.into_iter().map(|row| (row.name, row.added_at));
    let chosen: Vec<(SubredditName, Option<i64>)> = match &arguments.subreddit {
        None => watched.map(|(name, at)| (name, Some(at))).collect(),
        Some(name) => {
            let added = watched.into_iter().find(|(watched, _)| watched == name);
            vec![(name.clone(), added.map(|(_, at)| at))]
        }
    };
    let mut read = Vec::with_capacity(chosen.len());
    for (name, added_at) in chosen {
        let proven = store.coverage(&name).await.context("the coverage")?;
        let gaps = store.gaps(Some(&name), None).await.context("the gaps")?;
        if added_at.is_none() && proven.is_empty() && gaps.is_empty() {
            bail!(
                "r/{name} is not on the watched list, and nothing is known of it; see: freshet subreddits list"
            );
        }
        let begins = proven.iter().map(|(start, _)| *start);
        let begins = begins.chain(gaps.iter().map(|gap| gap.interval.start));
        let since = arguments.since.or(begins.min()).or(added_at);
        let since = since.unwrap_or(until).min(until);
        read.push(Coverage::new(&name, since..until, &proven, &gaps));
    }
    Ok(read)
}

impl Coverage {
    fn new(
        name: &SubredditName,
        range: Range<i64>,
        proven: &[(i64, i64)],
        gaps: &[Gap],
    ) -> Coverage {
        let intervals = stretches(range.clone(), proven, gaps);
        let seconds = |wanted: fn(&Known) -> bool| {
            let those = intervals.iter().filter(|stretch| wanted(&stretch.known));
            those.map(|stretch| stretch.end - stretch.start).sum()
        };
        Coverage {
            subreddit: name.to_string(),
            since: range.start,
            until: range.end,
            proven_seconds: seconds(|known| *known == Known::Proven),
            gap_seconds: seconds(|known| matches!(known, Known::Gap { .. })),
            unproven_seconds: seconds(|known| *known == Known::Unproven),
            intervals,
        }
    }

    fn gaps(&self) -> usize {
        let is_gap = |stretch: &&Stretch| matches!(stretch.known, Known::Gap { .. });
        self.intervals.iter().filter(is_gap).count()
    }
}

/// Cuts a time into what is known of its parts. Of ground that is both, the gap is what counts.
fn stretches(range: Range<i64>, proven: &[(i64, i64)], gaps: &[Gap]) -> Vec<Stretch> {
    let mut marks: Vec<(Interval, Known)> = Vec::new();
    for gap in gaps.iter().filter(|gap| gap.state != GapState::Repaired) {
        let known = Known::Gap {
            cause: gap.cause.as_str(),
            reason: gap.reason.map(|reason| reason.as_str()),
        };
        marks.push((gap.interval, known));
    }
    for (start, end) in proven {
        let (start, end) = (*start, *end);
        marks.push((Interval { start, end }, Known::Proven));
    }
    let bounds = marks
        .iter()
        .flat_map(|(interval, _)| [interval.start, interval.end]);
    let mut bounds: Vec<i64> = bounds.filter(|bound| range.contains(bound)).collect();
    bounds.extend([range.start, range.end]);
    bounds.sort_unstable();
    bounds.dedup();
    let mut cut: Vec<Stretch> = Vec::new();
    for pair in bounds.windows(2) {
        let &[start, end] = pair else { continue };
        let holds =
            |(interval, _): &&(Interval, Known)| interval.start <= start && end <= interval.end;
        let known = marks
            .iter()
            .find(holds)
            .map_or(Known::Unproven, |(_, known)| known.clone());
        match cut.last_mut() {
            Some(last) if last.known == known => last.end = end,
            _ => cut.push(Stretch { start, end, known }),
        }
    }
    cut
}

fn print(coverage: &Coverage, in_full: bool) {
    let length = coverage.until - coverage.since;
    #[expect(clippy::cast_precision_loss, reason = "seconds of some years")]
    let percent = 100.0 * coverage.proven_seconds as f64 / length.max(1) as f64;
    // Never "100.0 %" of what is not all of it.
    let percent = (percent * 10.0).floor() / 10.0;
    let gaps = match coverage.gaps() {
        0 => "no gap".to_owned(),
        gaps => counted(gaps as u64, "gap"),
    };
    print_line!(
        "r/{}: {percent:.1} % of {} proven, {gaps}",
        shown(&coverage.subreddit),
        span(length)
    );
    print_line!("  {}", bar(coverage));
    print_line!(
        "  from {} until {}\n",
        rfc3339(coverage.since),
        rfc3339(coverage.until)
    );
    if !in_full {
        return;
    }
    let mut rows = table(&["FROM", "UNTIL", "LENGTH", ""]);
    align_right(&mut rows, &[2]);
    for stretch in &coverage.intervals {
        let known = match &stretch.known {
            Known::Proven => "proven".to_owned(),
            Known::Unproven => "not proven".to_owned(),
            Known::Gap { cause, reason } => format!("gap: {}", why(cause, *reason)),
        };
        let length = span(stretch.end - stretch.start);
        rows.add_row([rfc3339(stretch.start), rfc3339(stretch.end), length, known]);
    }
    print_line!("{rows}\n");
}

/// One character for each equal part of the time, at least a second long.
fn bar(coverage: &Coverage) -> String {
    let length = coverage.until - coverage.since;
    let cells = length.clamp(0, CELLS);
    let bound = |cell: i64| {
        let at = i128::from(cell) * i128::from(length) / i128::from(cells);
        coverage.since + i64::try_from(at).unwrap_or(length)
    };
    let cell = |cell: i64| {
        let (start, end) = (bound(cell), bound(cell + 1));
        let within = |stretch: &&Stretch| stretch.start < end && start < stretch.end;
        let (mut proven, mut unproven) = (false, false);
        for stretch in coverage.intervals.iter().filter(within) {
            match stretch.known {
                Known::Gap { .. } => return '!',
                Known::Proven => proven = true,
                Known::Unproven => unproven = true,
            }
        }
        match (proven, unproven) {
            (true, false) => '█',
            (true, true) => '▒',
            (false, _) => '·',
        }
    };
    (0..cells).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{GapCause, GapReason};

    fn gap(start: i64, end: i64, state: GapState) -> Gap {
        Gap {
            id: 1,
            subreddit: "rust".parse().unwrap(),
            interval: Interval { start, end },
            cause: GapCause::Cap,
            state,
            opened_at: 0,
            repaired_by: None,
            repaired_at: None,
            tried_at: None,
            reason: Some(GapReason::BeyondListing),
        }
    }

    fn open() -> Known {
        Known::Gap {
            cause: "cap",
            reason: Some("beyond_listing"),
        }
    }

    #[test]
    fn every_second_is_told_once_and_a_gap_counts_more_than_a_proof() {
        let gaps = [gap(40, 60, GapState::Open), gap(70, 75, GapState::Repaired)];
        let cut = stretches(0..100, &[(10, 50), (60, 90)], &gaps);
        let told: Vec<(i64, i64, Known)> = cut
            .into_iter()
            .map(|it| (it.start, it.end, it.known))
            .collect();
        let expected = [
            (0, 10, Known::Unproven),
            (10, 40, Known::Proven),
            (40, 60, open()),
            (60, 90, Known::Proven),
            (90, 100, Known::Unproven),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_reaches_beyond_the_range_is_cut_at_its_ends() {
        let cut = stretches(20..30, &[(0, 25)], &[gap(25, 99, GapState::Unrepairable)]);
        let bounds: Vec<(i64, i64)> = cut.iter().map(|it| (it.start, it.end)).collect();
        assert_eq!(bounds, [(20, 25), (25, 30)]);
        assert_eq!(cut[1].known, open());
        assert!(stretches(30..30, &[(0, 99)], &[]).is_empty());
    }

    #[test]
    fn the_bar_shows_the_smallest_gap_and_only_whole_proof_as_whole() {
        let name = "rust".parse().unwrap();
        let gaps = [gap(5_000, 5_001, GapState::Open)];
        let coverage = Coverage::new(&name, 0..76_000, &[(0, 5_000), (5_001, 70_500)], &gaps);
        let bar: Vec<char> = bar(&coverage).chars().collect();
        assert_eq!(bar.len(), 76);
        assert_eq!(bar[4..7], ['█', '!', '█']);
        assert_eq!(bar[69..], ['█', '▒', '·', '·', '·', '·', '·']);
        assert_eq!(
            coverage.proven_seconds + coverage.gap_seconds + coverage.unproven_seconds,
            76_000
        );
        let short = Coverage::new(&name, 0..3, &[(0, 3)], &[]);
        assert_eq!(super::bar(&short), "███");
    }
}
