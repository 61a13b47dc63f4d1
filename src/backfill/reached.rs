//! Which gaps the archive has come as far as, by how far it has come with their subreddits.
//!
//! A gap is worth a backfill once the archive holds what was posted in it, however long that takes. The
//! archive is asked for that seldom: not before it can be so far, not again before it can have come
//! on, and a few times at each look at most.

use super::handler::Broken;
use super::horizon::{Horizon, MARGIN};
use crate::liveness::{CALL, Progress};
use crate::source::ArcticShift;
use crate::store::{Gap, Store, StoreError};
use crate::submission::SubredditName;
use std::collections::HashMap;
use std::sync::Arc;

/// An older gap is tried without a question, seconds: an archive that no longer follows a subreddit says so.
const OLD: i64 = 86_400;
/// Requests to the archive at one look.
const MAX_REQUESTS: u32 = 6;
/// Between two questions for one subreddit, seconds.
const PAUSES: (i64, i64) = (60, 900);

/// How far the archive has come with one subreddit, and when it is asked again; seconds.
#[derive(Debug, Clone, Copy)]
struct Known {
    believed: i64,
    ask_at: i64,
}

/// How far the archive has come, as it is known here.
#[derive(Debug)]
pub(super) struct Reached {
    archive: ArcticShift,
    horizon: Arc<Horizon>,
    known: HashMap<SubredditName, Known>,
}

impl Reached {
    pub(super) fn new(archive: ArcticShift, horizon: Arc<Horizon>) -> Reached {
        Reached {
            archive,
            horizon,
            known: HashMap::new(),
        }
    }

    /// Those of these gaps that the archive has come as far as. Where it does not answer, what was known
    /// before counts.
    ///
    /// # Errors
    /// As the database answers.
    pub(super) async fn among(
        &mut self,
        gaps: Vec<Gap>,
        store: &Store,
        now_ms: i64,
        progress: &Progress,
    ) -> Result<Vec<Gap>, StoreError> {
        let now = now_ms / 1000;
        let mut wanted: HashMap<&SubredditName, i64> = HashMap::new();
        for gap in gaps.iter().filter(|gap| may_be_reached(gap, now)) {
            let end = wanted.entry(&gap.subreddit).or_insert(i64::MIN);
            *end = gap.interval.end.max(*end);
        }
        self.known.retain(|name, _| wanted.contains_key(name));
        let mut requests = 0;
        for (name, wanted) in wanted {
            let known = self.known.get(name).copied();
            if requests >= MAX_REQUESTS || known.is_some_and(|known| !known.is_due(wanted, now)) {
                continue;
            }
            let asked = self
                .horizon
                .at_least(wanted, &self.archive, store, name, now_ms);
            let believed = match progress.during(CALL, asked).await {
                Ok((believed, asked)) => {
                    requests += asked;
                    believed
                }
                Err(Broken::Store(error)) => return Err(error),
                // All the others would find out the same.
                Err(_) => {
                    tracing::debug!(subreddit = %name, "The archive does not say how far it has come");
                    break;
                }
            };
            progress.made();
            self.known
                .insert(name.clone(), Known::new(believed, wanted, now));
        }
        let is_reached = |gap: &Gap| {
            let known = self.known.get(&gap.subreddit);
            is_old(gap, now) || known.is_some_and(|known| gap.interval.end <= known.believed)
        };
        Ok(gaps.into_iter().filter(is_reached).collect())
    }
}

impl Known {
    /// The archive takes at least as long to come on as what it lacks has lasted.
    fn new(believed: i64, wanted: i64, now: i64) -> Known {
        let lacking = wanted.saturating_sub(believed);
        Known {
            believed,
            ask_at: now + lacking.clamp(PAUSES.0, PAUSES.1),
        }
    }

    /// Whether it is to be asked for; also where a clock that was ahead has said when.
    fn is_due(&self, wanted: i64, now: i64) -> bool {
        self.believed < wanted && !(now..=now + PAUSES.1).contains(&self.ask_at)
    }
}

fn is_old(gap: &Gap, now: i64) -> bool {
    gap.interval.end < now - OLD
}

/// An archive without any lag is believed so far.
fn may_be_reached(gap: &Gap, now: i64) -> bool {
    gap.interval.end <= now - MARGIN && !is_old(gap, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_asked_again_when_it_can_have_come_as_far_and_once_a_quarter_at_least() {
        for (lacking, pause) in [
            (1, 60),
            (60, 60),
            (61, 61),
            (600, 600),
            (901, 900),
            (i64::MAX, 900),
        ] {
            let (wanted, now) = (1_000_000_i64, 1_010_000);
            let known = Known::new(wanted.saturating_sub(lacking), wanted, now);
            for at in [now, now + pause - 1, now + pause] {
                assert!(!known.is_due(wanted, at), "{lacking}: {}", at - now);
            }
            assert!(known.is_due(wanted, now + pause + 1), "{lacking}");
            let back = known.ask_at - PAUSES.1 - 1;
            assert!(known.is_due(wanted, back), "the clock was set back");
        }
    }

    #[test]
    fn what_is_known_to_be_reached_is_not_asked_for() {
        let known = Known::new(500, 400, 10_000);
        assert!(!known.is_due(400, 20_000));
        assert!(!known.is_due(500, 20_000));
        assert!(known.is_due(501, 20_000), "a later gap");
    }
}
