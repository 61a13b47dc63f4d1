//! Up to when an archive can be believed: it takes submissions in as they appear, and may be late.
//!
//! What it holds says how far it has come. Nothing dated after the archive's answer counts, by our clock
//! or by its own, and one submission alone moves nothing: a forged or wrong time would otherwise prove
//! time that the archive has not reached, for every subreddit.

use super::handler::Broken;
use crate::source::{ArchivePage, ArcticShift, Order, SourceError};
use crate::store::Store;
use crate::submission::SubredditName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A subreddit in which somebody posts every few seconds: its newest in an archive tells how far that
/// has come, also where the one that is backfilled is quiet.
const BUSY: &str = "askreddit";
/// Seconds by which an archive may take submissions in out of order.
pub(super) const MARGIN: i64 = 900;
/// How many submissions must agree: the horizon is the time of the oldest of the newest so many.
const WITNESSES: usize = 3;
/// The newest of a quiet subreddit counts by itself where the whole archive has come nearly as far, seconds.
const NEARLY: i64 = 3_600;

/// How far an archive has come with one subreddit, by what it shows; the lowest number where it shows
/// too little. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    newest: i64,
    /// Several are as new as this, or newer.
    agreed: i64,
}

const NOTHING: Reached = Reached {
    newest: i64::MIN,
    agreed: i64::MIN,
};

/// How far the archive has come with each subreddit that it was asked about.
#[derive(Debug, Default)]
pub struct Horizon(Mutex<HashMap<SubredditName, Reached>>);

impl Horizon {
    /// Up to when the archive holds all of a subreddit; it is only asked where it is not known to have
    /// come as far as `wanted` (seconds), and twice at most. How often it was comes back too. `now_ms`
    /// is our clock.
    ///
    /// # Errors
    /// As archive and database answer.
    pub(super) async fn at_least(
        &self,
        wanted: i64,
        archive: &ArcticShift,
        store: &Store,
        subreddit: &SubredditName,
        now_ms: i64,
    ) -> Result<(i64, u32), Broken> {
        let (own, asked) = self.reached(wanted, archive, subreddit, now_ms).await?;
        let own_believed = own.agreed.saturating_sub(MARGIN);
        let busy: Option<SubredditName> = BUSY.parse().ok();
        let Some(busy) = busy.filter(|_| own_believed < wanted) else {
            return Ok((own_believed, asked));
        };
        let (busy, more) = self.reached(wanted, archive, &busy, now_ms).await?;
        let everywhere = busy.agreed.max(own.agreed);
        let believed = everywhere.saturating_sub(MARGIN);
        // The archive may no longer follow this one: then it lacks what others have found since.
        let known = store.newest_submission(subreddit, believed).await?;
        let believed = if known.is_some_and(|known| known > own.newest) {
            let own = if own.newest <= everywhere.saturating_add(NEARLY) {
                own.newest
            } else {
                own.agreed
            };
            believed.min(own.saturating_sub(MARGIN))
        } else {
            believed
        };
        Ok((believed, asked + more))
    }

    async fn reached(
        &self,
        wanted: i64,
        archive: &ArcticShift,
        name: &SubredditName,
        now_ms: i64,
    ) -> Result<(Reached, u32), SourceError> {
        let known = self.known().get(name).copied().unwrap_or(NOTHING);
        if known.agreed.saturating_sub(MARGIN) >= wanted {
            return Ok((known, 0));
        }
        // What is dated later hides nothing then.
        let end = now_ms.div_euclid(1000) + 1;
        let page = archive.page(name, 0, end, Order::NewestFirst, 1).await?;
        let reached = shown(&page);
        let reached = Reached {
            newest: reached.newest.max(known.newest),
            agreed: reached.agreed.max(known.agreed),
        };
        self.known().insert(name.clone(), reached);
        Ok((reached, page.requests))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<SubredditName, Reached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a page of the newest says. Of a subreddit with fewer submissions than it takes, the oldest
/// counts.
fn shown(page: &ArchivePage) -> Reached {
    let created = page.items.iter().map(|item| item.submission.created_utc);
    let mut created: Vec<i64> = created.filter(|at| *at <= page.served_at).collect();
    created.sort_unstable_by(|one, other| other.cmp(one));
    let witness = created.get(WITNESSES - 1).or_else(|| created.last());
    Reached {
        newest: created.first().copied().unwrap_or(i64::MIN),
        agreed: witness.copied().unwrap_or(i64::MIN),
    }
}
