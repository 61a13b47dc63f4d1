//! What is stored before a measurement begins.

use crate::world::World;
use anyhow::Context;
use freshet::source::{Reddit, RequestClass};
use freshet::store::{FetchRecord, PollRecord, Store};
use freshet::submission::SubmissionId;
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::time::Instant;

/// Submissions in one transaction.
const IN_ONE: usize = 1000;

/// The state of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Empty,
    /// The past of the world is fetched and stored.
    Stored,
    /// It waits to be fetched, behind everything live.
    Waiting,
}

impl Before {
    pub(crate) const ALL: [Before; 3] = [Before::Empty, Before::Stored, Before::Waiting];
}

impl fmt::Display for Before {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Before::Empty => "empty",
            Before::Stored => "stored",
            Before::Waiting => "waiting",
        })
    }
}

/// Brings the store into this state.
pub(crate) async fn fill(store: &Store, world: &World, before: Before) -> anyhow::Result<()> {
    if before == Before::Empty {
        return Ok(());
    }
    let begun = Instant::now();
    let reddit = world.client()?;
    let lanes = if store.engine() == "postgres" { 3 } else { 2 };
    futures::stream::iter(world.past.chunks(IN_ONE))
        .map(|ids| put(store, &reddit, ids, before))
        .buffer_unordered(lanes)
        .try_collect::<Vec<()>>()
        .await?;
    eprintln!(
        "{} submissions stored beforehand in {:.0?}",
        world.past.len(),
        begun.elapsed()
    );
    Ok(())
}

async fn put(
    store: &Store,
    reddit: &Reddit,
    ids: &[SubmissionId],
    before: Before,
) -> anyhow::Result<()> {
    let mut items = Vec::with_capacity(IN_ONE);
    for hundred in ids.chunks(100) {
        let page = reddit.info(hundred, RequestClass::Fetch).await?;
        items.extend(page.items);
    }
    anyhow::ensure!(items.len() == ids.len(), "an id was not given out");
    let now_ms = chrono::Utc::now().timestamp_millis();
    if before == Before::Stored {
        let record = FetchRecord {
            observations: &items,
            undecodable: &[],
            deferred: &[],
            unavailable: &[],
            by: "w",
            now_ms,
        };
        store.record_fetches(&record).await.context("storing")?;
    } else {
        let record = PollRecord {
            listed: &items,
            undecodable: &[],
            members: &[],
            sweep: None,
            now_ms,
        };
        store.record_poll(&record).await.context("storing")?;
    }
    Ok(())
}
