//! One subreddit's share of a poll: its window, its gap, and when it is looked at next.

use super::group::is_quiet;
use super::pages::{WalkEnd, Walked};
use super::period::overflows_after;
use super::prove::{
    ALONE_EVERY, Proof, as_of, belongs, judge, listed_since, new_name, posts_per_hour, seconds,
    short_overlap, silence_until, window_start,
};
use super::walk::Walk;
use crate::config::DiscoverConfig;
use crate::source::UnavailableReason;
use crate::store::{
    Claimed, Doubts, GapCause, GapRecord, Interval, MemberRecord, SubredditState, SubredditUpdate,
    WindowOutcome, WindowRecord,
};
use std::time::Duration;

/// An unavailable subreddit is looked at again after this, then after twice as long, and so on.
const RECHECK_FIRST: Duration = Duration::from_secs(300);
const RECHECK_LONGEST: Duration = Duration::from_secs(6 * 3600);
/// Polls before it that a listing must have been empty in, to be believed.
const SILENT_POLLS: u32 = 2;
/// How long a subreddit must have been watched, seconds, whose first listings are to be believed if
/// they are empty: three polls of the usual interval take longer, those of a short one do not.
const SILENT_AT_FIRST: i64 = 90;

/// What is to be recorded for a member; `None` where it must be walked alone first.
pub(super) fn member(
    config: &DiscoverConfig,
    claimed: &Claimed,
    alone: bool,
    walked: &Walked,
    now_ms: i64,
) -> Option<MemberRecord> {
    let Walked {
        walk,
        end,
        served_at,
        ..
    } = walked;
    let served_at = *served_at;
    let claimed = &as_of(claimed, served_at);
    let settled = claimed.covered_until;
    // Out of order by seconds is usual, and so is one late here and there, within the overlap too.
    let settled = settled.map(|covered| covered.saturating_sub(seconds(short_overlap(config))));
    let doubts = walked.doubts(&claimed.claim.subreddit, settled);
    // What contradicts a shared listing may be another member's.
    let doubted = silenced(claimed, walk) || (alone && walked.contradicted);
    let proof = match end {
        WalkEnd::Ended(_) if let Some(name) = new_name(walk, &claimed.claim.subreddit, alone) => {
            return Some(unavailable(
                claimed,
                &UnavailableReason::Renamed(name),
                now_ms,
            ));
        }
        WalkEnd::Ended(_) if alone && doubted && !lasts(config, claimed, walked, now_ms) => {
            let mut record = failed(config, claimed, alone, walked, now_ms);
            record.update.failures = silent_polls(claimed).saturating_add(1);
            // It was answered: whatever refused it has ended.
            record.update.state = SubredditState::Active;
            record.update.reason = None;
            return Some(record);
        }
        // Only one clock tells when this was: it is stored, and proven later.
        WalkEnd::Ended(_) if !walked.is_dated() => Proof::Seen,
        WalkEnd::Ended(_) if walked.contradicted && !alone => Proof::Seen,
        WalkEnd::Ended(ended) => judge(walk, *ended, claimed, alone, served_at, config),
        WalkEnd::Unavailable(reason) => return Some(unavailable(claimed, reason, now_ms)),
        WalkEnd::Refused(_) | WalkEnd::OutOfPatience | WalkEnd::Stopped => {
            return Some(failed(config, claimed, alone, walked, now_ms));
        }
    };
    let silence_until = silence_until(walk, served_at, |item| alone || belongs(item, claimed));
    // What was proven before stays so.
    let proven_until = silence_until.max(claimed.covered_until.unwrap_or(i64::MIN));
    // Of what is shown the next walk in company lists all since the proof ended.
    let seen_until = if walk.own().any(|item| belongs(item, claimed)) {
        proven_until
    } else {
        served_at
    };
    let window = |start, end, outcome| {
        Some(WindowRecord {
            window_start: start,
            window_end: end,
            started_at: walked.started_at,
            finished_at: walked.finished_at,
            pages: walk.pages(),
            listed: listed(walk, claimed, alone),
            outcome,
        })
    };
    let silenced = silenced(claimed, walk);
    let posts_per_hour = if silenced && !alone {
        claimed.posts_per_hour
    } else {
        posts_per_hour(walk, claimed, alone, walked.shown_at())
    };
    let mut record = MemberRecord {
        claim: claimed.claim.clone(),
        window: None,
        proven: None,
        gap: None,
        update: SubredditUpdate {
            covered_until: None,
            seen_until: walked.is_dated().then_some(seen_until),
            posts_per_hour,
            // Counted on, so that what was believed once stays so.
            failures: if doubted {
                silent_polls(claimed).saturating_add(1)
            } else {
                0
            },
            state: SubredditState::Active,
            reason: None,
            next_poll_ms: next_poll_ms(config, posts_per_hour, now_ms),
        },
        doubts,
    };
    match proof {
        Proof::ToBeAlone => return None,
        Proof::Seen => {}
        Proof::Complete { start, ground } => {
            let end = proven_until.max(start);
            // A listing that showed its end proves everything down to its oldest item. Another proves no
            // more than it was walked for: below its last items may stand one that is newer.
            let oldest = walk.own().map(|item| item.submission.created_utc).min();
            let ground = oldest.filter(|_| ground == i64::MIN);
            // A listing that shows nothing tells nothing of time that was judged by what it showed before.
            let judged = claimed.covered_until.filter(|_| oldest.is_none() && alone);
            let start_proven = ground.map_or(start, |ground| ground.min(start));
            let proven = Interval {
                start: judged.map_or(start_proven, |judged| judged.max(start_proven)),
                end,
            };
            // Nothing of it is, where what cannot be read may be of any time.
            let outcome = match !proven.is_empty() && record.doubts.leave_of(proven).is_empty() {
                true => WindowOutcome::Truncated,
                false => WindowOutcome::Complete,
            };
            record.window = window(start, end, outcome);
            record.proven = Some(proven);
            record.update.covered_until = Some(end);
        }
        Proof::Truncated {
            start,
            listed_since,
            cause,
        } => {
            let end = proven_until.max(listed_since);
            record.window = window(start, end, WindowOutcome::Truncated);
            // What was silent before was corroborated by nothing that this walk listed.
            record.doubts.uncorroborated = claimed.covered_until.map(|until| (until, cause));
            // Down to the watermark all is proven.
            let unproven = claimed.covered_until.unwrap_or(start);
            record.gap = Some(GapRecord {
                interval: Interval {
                    start: unproven,
                    end: listed_since.max(unproven),
                },
                cause,
            });
            record.proven = Some(Interval {
                start: listed_since,
                end,
            });
            // Nothing is forgotten: what was not reached is the gap's.
            record.update.covered_until = Some(end);
        }
    }
    Some(record)
}

/// Whether a listing shows nothing at all of a subreddit that is known to have posted, or of which
/// nothing is known yet. Now and then Reddit serves that for minutes.
fn silenced(claimed: &Claimed, walk: &Walk) -> bool {
    // What r/all and r/popular show counts as the submissions of others: only its pace tells of it.
    let posted = claimed.last_submission_at.is_some() || claimed.posts_per_hour > 0.0;
    (posted || claimed.covered_until.is_none()) && walk.own().next().is_none()
}

/// Whether a listing has been doubted for so long that it is believed.
fn lasts(config: &DiscoverConfig, claimed: &Claimed, walked: &Walked, now_ms: i64) -> bool {
    let polls = silent_polls(claimed);
    if walked.contradicted {
        // Counted: the last proof may be older than the first doubt.
        let half_an_hour = ALONE_EVERY / seconds(config.proof_period).max(1);
        return i64::from(polls) >= half_an_hour.max(i64::from(SILENT_POLLS));
    }
    let long = match claimed.covered_until {
        Some(covered) => walked.served_at.saturating_sub(covered) >= ALONE_EVERY,
        // By our clock. Where that was set back since, the polls alone have to do.
        None => {
            let watched = now_ms.div_euclid(1000).saturating_sub(claimed.added_at);
            !(0..SILENT_AT_FIRST).contains(&watched)
        }
    };
    long && polls >= SILENT_POLLS
}

/// Polls in a row so far that were answered and doubted. Of an unavailable subreddit the
/// failures are refusals.
fn silent_polls(claimed: &Claimed) -> u32 {
    match claimed.state {
        SubredditState::Unavailable => 0,
        _ => claimed.failures,
    }
}

/// An outage: the watermark stays, so the next poll reaches back to it; the gap says meanwhile what
/// may be missing, and ends when a window covers it.
fn failed(
    config: &DiscoverConfig,
    claimed: &Claimed,
    alone: bool,
    walked: &Walked,
    now_ms: i64,
) -> MemberRecord {
    let end = walked.served_at;
    let start = window_start(claimed, short_overlap(config), end, config);
    // Down to the watermark all is proven. Before there is one, there is no window that a gap could
    // be in: the first one begins where the first poll that succeeds says.
    let gap = claimed.covered_until.map(|covered| GapRecord {
        interval: Interval {
            start: covered,
            end: listed_since(&walked.walk)
                .unwrap_or(end)
                .clamp(covered, end.max(covered)),
        },
        cause: GapCause::Error,
    });
    MemberRecord {
        claim: claimed.claim.clone(),
        window: Some(WindowRecord {
            window_start: start,
            window_end: end.max(start),
            started_at: walked.started_at,
            finished_at: walked.finished_at,
            pages: walked.walk.pages(),
            listed: listed(&walked.walk, claimed, alone),
            outcome: WindowOutcome::Failed,
        }),
        proven: None,
        gap,
        update: SubredditUpdate {
            next_poll_ms: next_poll_ms(config, claimed.posts_per_hour, now_ms),
            ..unchanged(claimed)
        },
        doubts: walked.doubts(&claimed.claim.subreddit, None),
    }
}

/// How many of the listed are this member's; all, of a walk alone.
fn listed(walk: &Walk, claimed: &Claimed, alone: bool) -> u32 {
    let own = walk.own().filter(|item| alone || belongs(item, claimed));
    u32::try_from(own.count()).unwrap_or(u32::MAX)
}

fn unavailable(claimed: &Claimed, reason: &UnavailableReason, now_ms: i64) -> MemberRecord {
    let failures = match claimed.state {
        SubredditState::Unavailable => claimed.failures,
        _ => 0,
    };
    let times = failures.min(16);
    let wait = RECHECK_FIRST
        .saturating_mul(1 << times)
        .min(RECHECK_LONGEST);
    if claimed.state != SubredditState::Unavailable {
        tracing::warn!(subreddit = %claimed.claim.subreddit, %reason, "The subreddit is unavailable; it is looked at again now and then");
    }
    MemberRecord {
        claim: claimed.claim.clone(),
        window: None,
        proven: None,
        gap: None,
        update: SubredditUpdate {
            failures: failures.saturating_add(1),
            state: SubredditState::Unavailable,
            reason: Some(reason.to_string()),
            next_poll_ms: now_ms + milliseconds(wait),
            ..unchanged(claimed)
        },
        doubts: Doubts::default(),
    }
}

fn unchanged(claimed: &Claimed) -> SubredditUpdate {
    SubredditUpdate {
        covered_until: None,
        seen_until: None,
        posts_per_hour: claimed.posts_per_hour,
        failures: claimed.failures,
        state: claimed.state,
        reason: claimed.reason.clone(),
        next_poll_ms: 0,
    }
}

/// One proof period on. Quiet subreddits meet at the same instants, so that they find company.
fn next_poll_ms(config: &DiscoverConfig, posts_per_hour: f64, now_ms: i64) -> i64 {
    // A busy one before its listing may overflow.
    let rate = posts_per_hour / 3_600.0;
    let overflow = Duration::from_secs_f64(overflows_after(rate, rate).min(86_400.0));
    let period = config.proof_period.min(overflow.max(config.interval));
    let interval = milliseconds(period).max(1);
    if !is_quiet(posts_per_hour, config) {
        return now_ms + interval;
    }
    let meeting = (now_ms.div_euclid(interval) + 1) * interval;
    if meeting - now_ms < interval / 2 {
        meeting + interval
    } else {
        meeting
    }
}

/// Longer than any subreddit waits for its next poll, quiet or unavailable.
pub(super) fn longest_wait_ms(config: &DiscoverConfig) -> i64 {
    milliseconds(config.proof_period.max(RECHECK_LONGEST)).saturating_mul(2)
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
