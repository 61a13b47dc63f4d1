//! Up to when an archive can be believed: it takes submissions in as they appear, and may be late.

use crate::source::{ArcticShift, Order, SourceError};
use crate::submission::SubredditName;
use std::sync::atomic::{AtomicI64, Ordering};

/// A subreddit in which somebody posts every few seconds: its newest in an archive tells how far that
/// has come, also where the one that is backfilled is quiet.
const BUSY: &str = "askreddit";
/// Seconds by which an archive may take submissions in out of order.
const MARGIN: i64 = 900;

/// Up to when (seconds) an archive is known to hold what there is.
#[derive(Debug)]
pub struct Horizon(AtomicI64);

impl Default for Horizon {
    fn default() -> Horizon {
        Horizon(AtomicI64::new(i64::MIN))
    }
}

impl Horizon {
    /// Asks the archive where it is not known that it has come as far as `wanted` (seconds); at most
    /// two requests, whose number comes back too.
    ///
    /// # Errors
    /// As the archive answers.
    pub(super) async fn at_least(
        &self,
        wanted: i64,
        archive: &ArcticShift,
        subreddit: &SubredditName,
    ) -> Result<(i64, u32), SourceError> {
        let mut requests = 0;
        let busy: Option<SubredditName> = BUSY.parse().ok();
        for name in [Some(subreddit), busy.as_ref()].into_iter().flatten() {
            if self.0.load(Ordering::Relaxed) >= wanted {
                break;
            }
            let page = archive
                .page(name, 0, i64::from(u32::MAX), Order::NewestFirst, 1)
                .await?;
            requests += page.requests;
            let created = page.items.iter().map(|item| item.submission.created_utc);
            if let Some(newest) = created.max() {
                self.0.fetch_max(newest - MARGIN, Ordering::Relaxed);
            }
        }
        Ok((self.0.load(Ordering::Relaxed), requests))
    }
}
