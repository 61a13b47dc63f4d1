//! Up to when an archive can be believed: it takes submissions in as they appear, and may be late.

use super::handler::Broken;
use crate::source::{ArcticShift, Order, SourceError};
use crate::store::Store;
use crate::submission::SubredditName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A subreddit in which somebody posts every few seconds: its newest in an archive tells how far that
/// has come, also where the one that is backfilled is quiet.
const BUSY: &str = "askreddit";
/// Seconds by which an archive may take submissions in out of order.
const MARGIN: i64 = 900;

/// The newest submission (seconds) of each subreddit that an archive was asked about; none has the
/// lowest number.
#[derive(Debug, Default)]
pub struct Horizon(Mutex<HashMap<SubredditName, i64>>);

impl Horizon {
    /// Up to when the archive holds all of a subreddit; it is only asked where it is not known to have
    /// come as far as `wanted` (seconds), and twice at most. How often it was comes back too.
    ///
    /// # Errors
    /// As archive and database answer.
    pub(super) async fn at_least(
        &self,
        wanted: i64,
        archive: &ArcticShift,
        store: &Store,
        subreddit: &SubredditName,
    ) -> Result<(i64, u32), Broken> {
        let (own, asked) = self.newest(wanted, archive, subreddit).await?;
        let own_believed = own.saturating_sub(MARGIN);
        let busy: Option<SubredditName> = BUSY.parse().ok();
        let Some(busy) = busy.filter(|_| own_believed < wanted) else {
            return Ok((own_believed, asked));
        };
        let (busy, more) = self.newest(wanted, archive, &busy).await?;
        let believed = busy.saturating_sub(MARGIN).max(own_believed);
        // The archive may no longer follow this one: then it lacks what others have found since.
        let known = store.newest_submission(subreddit, believed).await?;
        let believed = if known.is_some_and(|known| known > own) {
            own_believed
        } else {
            believed
        };
        Ok((believed, asked + more))
    }

    async fn newest(
        &self,
        wanted: i64,
        archive: &ArcticShift,
        name: &SubredditName,
    ) -> Result<(i64, u32), SourceError> {
        let known = self.known().get(name).copied().unwrap_or(i64::MIN);
        if known.saturating_sub(MARGIN) >= wanted {
            return Ok((known, 0));
        }
        let page = archive
            .page(name, 0, i64::from(u32::MAX), Order::NewestFirst, 1)
            .await?;
        let created = page.items.iter().map(|item| item.submission.created_utc);
        let newest = created.max().unwrap_or(known).max(known);
        self.known().insert(name.clone(), newest);
        Ok((newest, page.requests))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<SubredditName, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
