//! What a walk proves for one subreddit. Pure; the times come from Reddit's own clock.

use super::walk::{Ended, OLD_RUN, Walk};
use crate::config::DiscoverConfig;
use crate::store::{Claimed, GapCause};
use crate::submission::{Observation, SubredditName, fingerprint};
use std::cmp::Reverse;
use std::time::Duration;

/// A subreddit that is listed in company without an item of its own to show for it is listed alone
/// after this many seconds without proof at the latest.
pub const ALONE_EVERY: i64 = 1800;

/// Nobody removes nine of ten: a listing that shows so few at its end shows all there is.
const SURELY_ALL: i64 = 100;
/// Submissions that should be there and are not, from which on an end is doubted.
const HIDDEN_MANY: i64 = 30;

/// A silence that lasts this long is one, seconds.
const LONGEST_SILENCE: i64 = 1_200;
/// A silence that is seen once in so many is no longer taken for one.
const RARE_SILENCE: f64 = 0.01;
/// The pace is that of so many of the newest.
const PACES: [usize; 4] = [8, 16, 32, 64];

/// After how many seconds this one is: not all in the same minute, so that the many that became
/// silent together leave room in the budget.
pub fn alone_every(name: &SubredditName) -> i64 {
    // The upper half keeps neighbouring names far apart.
    let spread = (fingerprint(name.as_str()) >> 32).cast_signed() % (ALONE_EVERY / 2);
    ALONE_EVERY - spread
}

/// What a walk that came to its end means for one subreddit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Everything since the window's start was listed.
    Complete {
        /// The window's start.
        start: i64,
        /// Everything since then was listed too; at or before `start`.
        ground: i64,
    },
    /// The subreddit's own listing stopped short.
    Truncated {
        /// The window's start.
        start: i64,
        /// Everything since then was listed; what lies between is the gap.
        listed_since: i64,
        /// Why it stopped.
        cause: GapCause,
    },
    /// Listed in company, and nothing shows that the subreddit was in it, or not far enough back.
    Seen,
    /// The shared listing stopped short: to be walked alone.
    ToBeAlone,
}

/// Judges a walk that came to its end.
pub fn judge(
    walk: &Walk,
    ended: Ended,
    claimed: &Claimed,
    alone: bool,
    served_at: i64,
    config: &DiscoverConfig,
) -> Proof {
    let start = |overlap| window_start(claimed, overlap, served_at, config);
    let whole_start = start(config.overlap);
    let short_start = start(short_overlap(config));
    let (ended, ground) = match ended {
        Ended::End if may_hide_more(walk, short_start, served_at) => (Ended::Cap, i64::MAX),
        ended => (ended, walk.ground()),
    };
    // A shared listing drops members that are gone or renamed without a word, so silence proves
    // nothing: only an item of its own shows that a member was in it.
    let present = alone || walk.listed().iter().any(|item| belongs(item, claimed));
    for start in [whole_start, short_start] {
        if present && ground <= start {
            return Proof::Complete { start, ground };
        }
    }
    let cause = match ended {
        // Alone, the walk went at least as far as the short start, so this is a shared one.
        Ended::Older | Ended::End => return Proof::Seen,
        Ended::Cap => GapCause::Cap,
        Ended::AnchorVanished => GapCause::AnchorVanished,
        Ended::PageLimit => GapCause::PageLimit,
    };
    if !alone {
        return Proof::ToBeAlone;
    }
    Proof::Truncated {
        start: short_start,
        listed_since: listed_since(walk)
            .unwrap_or(served_at)
            .clamp(short_start, served_at.max(short_start)),
        cause,
    }
}

/// Whether what a listing's end shows may be the cap's. Items that were removed are not shown, and
/// keep their places among the 1,000 all the same. It is so where more than a page was shown and, at
/// the pace of what was, much more should lie between the oldest and the window's start.
fn may_hide_more(walk: &Walk, start: i64, served_at: i64) -> bool {
    let shown = i64::try_from(walk.own().count()).unwrap_or(i64::MAX);
    let times = walk.own().map(|item| item.submission.created_utc);
    let Some(oldest) = times.min().filter(|_| shown > SURELY_ALL) else {
        return false;
    };
    let span = served_at.saturating_sub(oldest).max(1);
    let expected = shown.saturating_mul(oldest.saturating_sub(start)) / span;
    expected >= HIDDEN_MANY
}

/// Until when a silence above the newest item is believed: as long as one in a hundred lasts at the pace of
/// what is listed, whichever part of it was the slowest, or [`LONGEST_SILENCE`]. A longer one may be a listing
/// that stands still, which looks no different. In company, part of it may: that of `own`.
pub fn silence_until(walk: &Walk, served_at: i64, own: impl Fn(&Observation) -> bool) -> i64 {
    // Of r/all nothing counts as its own.
    let nothing_is_own = walk.own().next().is_none();
    let items = walk.listed().iter();
    let items = items.filter(|item| nothing_is_own || walk.is_own(item));
    let times = items.map(|item| (item.submission.created_utc, own(item)));
    let mut times: Vec<(i64, bool)> = times.filter(|(at, _)| *at <= served_at).collect();
    times.sort_unstable_by_key(|(at, _)| Reverse(*at));
    let all: Vec<i64> = times.iter().map(|(at, _)| *at).collect();
    let own: Vec<i64> = times.iter().filter(|it| it.1).map(|(at, _)| *at).collect();
    usual_silence(&all, served_at).min(usual_silence(&own, served_at))
}

/// The same of creation times, newest first.
fn usual_silence(times: &[i64], served_at: i64) -> i64 {
    let Some(newest) = times.first() else {
        return served_at;
    };
    let silence = served_at.saturating_sub(*newest);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "days in seconds, and at most 64"
    )]
    let usual = PACES.iter().filter_map(|count| {
        let span = newest.saturating_sub(*times.get(*count)?).max(1);
        // After `count` arrivals in a span, the chance of none in a time `t` is (1 + t/span)^-count.
        let times = RARE_SILENCE.powf(-1.0 / *count as f64) - 1.0;
        Some((span as f64 * times).ceil() as i64)
    });
    match usual.max() {
        Some(usual) if silence < LONGEST_SILENCE => newest.saturating_add(silence.min(usual)),
        // So few tell of no pace.
        _ => served_at,
    }
}

/// How far down a walk that was cut short has listed everything: one second after the newest
/// creation time in its last few items, for it may have stopped in the midst of that second, and as
/// much later as the listing was out of order.
pub fn listed_since(walk: &Walk) -> Option<i64> {
    let last = walk.own().rev().take(OLD_RUN);
    let newest = last.map(|item| item.submission.created_utc).max();
    newest.map(|newest| newest.saturating_add(1).saturating_add(walk.disorder()))
}

/// Submissions per hour as a walk shows them: the count over the span that it listed, at least a
/// minute and at most a day. Falls slowly, so that a pause does not hide a busy subreddit.
pub fn posts_per_hour(walk: &Walk, claimed: &Claimed, alone: bool, served_at: i64) -> f64 {
    let oldest = listed_since(walk).unwrap_or(served_at);
    let span = served_at.saturating_sub(oldest).clamp(60, 86_400);
    let since = served_at.saturating_sub(span);
    let recent = walk
        .own()
        .filter(|item| item.submission.created_utc > since);
    let count = recent
        .filter(|item| alone || belongs(item, claimed))
        .count();
    #[expect(
        clippy::cast_precision_loss,
        reason = "at most some thousand items, and a day of seconds"
    )]
    let shown = count as f64 * 3600.0 / span as f64;
    shown.max(claimed.posts_per_hour * 0.7)
}

/// The least that a window reaches back, whatever it costs: what appears out of order appears
/// within seconds.
pub fn short_overlap(config: &DiscoverConfig) -> Duration {
    config
        .overlap
        .min(config.interval.max(Duration::from_secs(60)))
}

/// Where a window begins: this far below the watermark, or as far back as first windows look.
pub fn window_start(
    claimed: &Claimed,
    overlap: Duration,
    served_at: i64,
    config: &DiscoverConfig,
) -> i64 {
    match claimed.covered_until {
        Some(covered) => covered.saturating_sub(seconds(overlap)),
        None => served_at.saturating_sub(seconds(config.first_window)),
    }
}

/// As it is known at this time of Reddit's. Nothing can be proven of what is to come: a watermark
/// that lies there was moved by a wrong clock, and counts up to now.
pub fn as_of(claimed: &Claimed, served_at: i64) -> Claimed {
    Claimed {
        covered_until: claimed.covered_until.map(|at| at.min(served_at)),
        seen_until: claimed.seen_until.map(|at| at.min(served_at)),
        ..claimed.clone()
    }
}

/// Whole seconds of a length of time.
pub fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The name that a subreddit has now, where a listing of it alone shows submissions of one other
/// name and none of its own.
pub fn new_name(walk: &Walk, asked: &SubredditName, alone: bool) -> Option<SubredditName> {
    if !alone || matches!(asked.as_str(), "all" | "popular") {
        return None;
    }
    let names = walk.listed().iter().map(|item| {
        let name = item.submission.subreddit.as_deref();
        name.and_then(|name| name.parse::<SubredditName>().ok())
    });
    // Advertisements have none.
    let mut names = names.flatten();
    let first = names.next()?;
    (first != *asked && names.all(|name| name == first)).then_some(first)
}

pub fn belongs(item: &crate::submission::Observation, claimed: &Claimed) -> bool {
    let name = claimed.claim.subreddit.as_str();
    item.submission
        .subreddit
        .as_deref()
        .is_some_and(|other| other.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::walk::Page;
    use crate::submission::decode;
    use serde_json::value::RawValue;

    const NOW: i64 = 1_790_000_000;

    /// Until how many seconds ago a silence is believed after these many arrivals, so many seconds apart, the
    /// last so many seconds ago.
    fn believed(count: i64, apart: i64, ago: i64) -> i64 {
        let times: Vec<i64> = (0..count).map(|at| NOW - ago - at * apart).collect();
        NOW - usual_silence(&times, NOW)
    }

    #[test]
    fn a_silence_is_believed_for_as_long_as_is_usual_at_the_pace_of_what_is_listed() {
        assert_eq!(believed(0, 1, 0), 0, "nothing is listed");
        assert_eq!(believed(8, 10, 600), 0, "too few tell of no pace");
        assert_eq!(believed(100, 10, 20), 0, "as usual");
        assert_eq!(believed(100, 10, 600), 600 - 63, "six arrivals are missing");
        assert_eq!(
            believed(100, 600, 1_100),
            0,
            "two are missing of a quiet one"
        );
        assert_eq!(believed(100, 10, LONGEST_SILENCE), 0, "it lasts");
        assert_eq!(believed(100, 0, 60), 60 - 1, "all at once");
        // Of a pace that falls, the last is what counts.
        let slow = (0..9).map(|at| NOW - 300 - at * 100);
        let fast = (0..100).map(|at| NOW - 1_200 - at);
        let times: Vec<i64> = slow.chain(fast).collect();
        assert_eq!(usual_silence(&times, NOW), NOW);
    }

    #[test]
    fn what_stands_still_among_others_is_not_proven_by_them() {
        let item = |name: &str, number: i64, created: i64| {
            let json = format!(
                r#"{{"id":"{name}{number}","subreddit":"{name}","created_utc":{created}}}"#
            );
            decode(RawValue::from_string(json).unwrap(), 0).unwrap()
        };
        let still = (0..30).map(|at| item("still", at, NOW - 900 - at * 30));
        let busy = (0..60).map(|at| item("busy", at, NOW - at * 30));
        let items: Vec<_> = busy.chain(still).collect();
        let mut walk = Walk::new(0);
        walk.take(Page {
            order: items.iter().map(|it| it.submission.id.fullname()).collect(),
            items,
            ..Page::default()
        });
        let until = |name: &str| {
            silence_until(&walk, NOW, |item| {
                item.submission.subreddit.as_deref() == Some(name)
            })
        };
        assert_eq!(until("busy"), NOW);
        assert!(
            (NOW - 800..NOW - 600).contains(&until("still")),
            "{}",
            NOW - until("still")
        );
    }
}
