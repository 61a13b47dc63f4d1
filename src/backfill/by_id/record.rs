//! Storing what a request for ids brought, with what it means for the slice.

use super::Pass;
use crate::backfill::handler::{Broken, count};
use crate::liveness::CALL;
use crate::source::InfoPage;
use crate::store::{ArchiveStored, IdSliceStep, StoreError};
use crate::submission::{Observation, Refusal, Undecodable};
use std::time::Duration;
use tokio::time::sleep;

/// Between two tries of the same statement while the database is away.
const STORE_PAUSE: Duration = Duration::from_millis(500);

impl Pass<'_> {
    /// Stores what a page gave out, with what it means; one by one where the database refuses some of it.
    pub(super) async fn record(
        &self,
        page: &InfoPage,
        record: IdSliceStep<'_>,
    ) -> Result<(), Broken> {
        let whole = IdSliceStep {
            observations: &page.items,
            undecodable: &page.undecodable,
            ..record.clone()
        };
        let error = match self.store(&whole).await {
            Err(Broken::Store(error)) if !page.items.is_empty() => error,
            stored => return stored,
        };
        tracing::warn!(%error, items = page.items.len(), "What was given out by id is stored one by one");
        for item in &page.items {
            let alone = IdSliceStep {
                observations: std::slice::from_ref(item),
                ..self.nothing()
            };
            match self.store(&alone).await {
                Err(Broken::Store(error)) => {
                    let refused = [refused(item, &error)];
                    let kept = IdSliceStep {
                        undecodable: &refused,
                        ..self.nothing()
                    };
                    self.store(&kept).await?;
                }
                stored => stored?,
            }
        }
        let rest = IdSliceStep {
            undecodable: &page.undecodable,
            ..record
        };
        self.store(&rest).await
    }

    async fn store(&self, record: &IdSliceStep<'_>) -> Result<(), Broken> {
        let mut recent = self.recent.lock().await;
        let (stored, contradicted) = loop {
            match self
                .during(self.backfiller.store.record_id_slice(record, &mut recent))
                .await
            {
                Err(error) if error.is_outage() => self.store_is_away(&error).await?,
                stored => break stored?.ok_or(Broken::Lost)?,
            }
        };
        self.backfiller.unstored.stored();
        let fresh = stored.fresh.len();
        let stored = stored.stored;
        let counted = ArchiveStored {
            fresh: fresh as u64,
            renewed: stored.changed.len().saturating_sub(fresh) as u64,
            known: (stored.unchanged.len() + stored.stale.len()) as u64,
            dropped: stored.dropped,
            contradicted,
        };
        count(&self.backfiller.metrics, &self.claim.source, counted);
        Ok(())
    }

    pub(super) async fn during<T>(&self, call: impl Future<Output = T>) -> T {
        let done = self.backfiller.progress.during(CALL, call).await;
        self.backfiller.progress.made();
        done
    }

    pub(super) async fn store_is_away(&self, error: &StoreError) -> Result<(), Broken> {
        self.backfiller.unstored.failed(error);
        self.step.may_go_on()?;
        self.during(sleep(STORE_PAUSE)).await;
        Ok(())
    }
}

fn refused(item: &Observation, error: &StoreError) -> Undecodable {
    Undecodable {
        raw: item.raw.clone(),
        cause: Refusal::NotStored,
        reason: format!("it could not be stored: {error}"),
        observed_ms: item.observed_ms,
    }
}
