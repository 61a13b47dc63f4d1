//! Subreddits that were timed by a clock ahead of ours: another machine's, or ours before it was set
//! back. The first polls them, and is to be left alone; of the second nobody ever will.

use crate::store::{Store, StoreError, TimedAhead};
use crate::submission::SubredditName;
use std::collections::HashMap;

/// How often they are looked for.
const LOOK_MS: i64 = 2_000;
/// How late another scheduler may be with a poll before it counts as gone.
const LATE_MS: i64 = 10_000;

/// What was found ahead, and since when.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    looked_ms: Option<i64>,
    /// The row, and our time at which it was first seen so (milliseconds).
    seen: HashMap<SubredditName, (TimedAhead, i64)>,
}

impl Ahead {
    /// Makes due what nobody has polled for as long as it was to wait.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        now_ms: i64,
        longest_wait_ms: i64,
    ) -> Result<(), StoreError> {
        let recent = |looked: i64| (0..LOOK_MS).contains(&(now_ms - looked));
        if self.looked_ms.is_some_and(recent) {
            return Ok(());
        }
        let rows = store.timed_ahead(now_ms, longest_wait_ms).await?;
        let due = self.left(rows, now_ms);
        if !due.is_empty() {
            store.make_due(&due, now_ms).await?;
            tracing::warn!(
                subreddits = due.len(),
                "The clock was set back, or another scheduler's is ahead and polls no more: what was \
                 timed by it is due now"
            );
        }
        self.looked_ms = Some(now_ms);
        Ok(())
    }

    /// Those of these that nobody polls any more.
    fn left(&mut self, rows: Vec<TimedAhead>, now_ms: i64) -> Vec<TimedAhead> {
        let before = std::mem::take(&mut self.seen);
        let mut left = Vec::new();
        for row in rows {
            let since = match before.get(&row.subreddit) {
                // Later than now: the clock was set back meanwhile.
                Some((same, since)) if *same == row && *since <= now_ms => *since,
                _ => now_ms,
            };
            self.seen
                .insert(row.subreddit.clone(), (row.clone(), since));
            if now_ms - since >= row.wait_ms + LATE_MS {
                left.push(row);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a wait that began at 0 is over.
    const OVER: i64 = 60_000 + LATE_MS;

    fn row(name: &str, token: i64) -> TimedAhead {
        TimedAhead {
            subreddit: name.parse().unwrap(),
            token,
            next_poll_ms: 7_200_000,
            claimed_until_ms: None,
            wait_ms: 60_000,
        }
    }

    #[test]
    fn what_is_polled_by_another_is_left_to_it() {
        let mut ahead = Ahead::default();
        for poll in 0..10 {
            for late in [0, 30_000, OVER - 1] {
                let left = ahead.left(vec![row("rust", poll)], poll * OVER + late);
                assert!(left.is_empty(), "poll {poll}, {late} ms");
            }
        }
    }

    #[test]
    fn a_long_walk_whose_claim_is_renewed_is_left_to_whoever_walks() {
        let mut ahead = Ahead::default();
        for renewed in 0..60 {
            let mut row = row("rust", 1);
            row.claimed_until_ms = Some(3_600_000 + renewed * 5_000);
            assert!(ahead.left(vec![row], renewed * 5_000).is_empty());
        }
    }

    #[test]
    fn what_nobody_polls_is_due_when_its_wait_is_over() {
        let mut ahead = Ahead::default();
        let both = || vec![row("rust", 1), row("kettles", 1)];
        assert!(ahead.left(both(), 0).is_empty());
        let one = vec![row("rust", 1), row("kettles", 2)];
        assert_eq!(ahead.left(one, OVER), [row("rust", 1)]);
    }

    #[test]
    fn a_clock_that_is_set_back_once_more_begins_anew() {
        let mut ahead = Ahead::default();
        assert!(ahead.left(vec![row("rust", 1)], 3_600_000).is_empty());
        assert!(ahead.left(vec![row("rust", 1)], 0).is_empty());
        assert!(ahead.left(vec![row("rust", 1)], OVER - 1).is_empty());
        assert_eq!(ahead.left(vec![row("rust", 1)], OVER).len(), 1);
    }
}
