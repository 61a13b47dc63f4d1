//! Storing what a request for ids brought, in one transaction.

use super::plan::Answer;
use crate::config::Scope;
use crate::discover::Discover;
use crate::discover::count::{count_found, count_lag};
use crate::discover::record::repeat;
use crate::source::InfoPage;
use crate::store::{IdRecord, IdStored, StoreError};
use crate::submission::{Observation, Refusal, Undecodable};
use tokio_util::sync::CancellationToken;

/// Stores an answer, however long the database is away.
///
/// # Errors
/// As the database answers, where it is there.
pub(super) async fn record(
    discover: &Discover,
    page: InfoPage,
    answer: &Answer,
) -> Result<(), StoreError> {
    let InfoPage {
        items: mut observations,
        undecodable,
        order,
        // Other large answers wait until this one is stored.
        large: _large,
        ..
    } = page;
    drop(order);
    observations.retain(|item| {
        let id = item.submission.id.number();
        // Others were asked for as witnesses, or not at all.
        id.is_some_and(|id| answer.seen.contains(&id))
    });
    let whole = IdRecord {
        observations: &observations,
        undecodable: &undecodable,
        store_all: discover.config.scope == Scope::All,
        asked: answer.asked.clone(),
        seen: answer.seen.clone(),
        absent: answer.absent.clone(),
        gone: answer.gone.clone(),
        head: answer.head,
        now_ms: (discover.now_ms)(),
    };
    match persist(discover, &whole).await {
        Ok(stored) => count(discover, &observations, &stored),
        Err(error) if observations.is_empty() && undecodable.is_empty() => return Err(error),
        Err(error) => {
            tracing::warn!(%error, items = observations.len(), "What was given out by id is stored one by one");
            for item in &observations {
                alone(discover, item, &whole).await?;
            }
            let rest = IdRecord {
                observations: &[],
                undecodable: &[],
                ..whole
            };
            persist(discover, &rest).await?;
        }
    }
    let ids = &discover.metrics.discover.ids;
    let late = answer.late_ms.len() as u64;
    let count = |outcome: &str, number: u64| {
        ids.ids.with_label_values(&[outcome]).inc_by(number);
    };
    let tried = answer.absent.iter().filter(|retry| retry.tries > 0).count() as u64;
    count("seen", answer.seen.len() as u64 - late);
    count("late", late);
    count("absent", answer.absent.len() as u64 - tried);
    count("absent_for_good", answer.gone.len() as u64);
    for _ in 0..answer.seen.len() as u64 - late {
        ids.invisible_seconds.observe(0.0);
    }
    for late_ms in &answer.late_ms {
        #[expect(clippy::cast_precision_loss, reason = "a histogram counts in floats")]
        ids.invisible_seconds.observe(*late_ms as f64 / 1000.0);
    }
    Ok(())
}

/// Stores one submission; kept raw where the database will not have it.
async fn alone(
    discover: &Discover,
    item: &Observation,
    whole: &IdRecord<'_>,
) -> Result<(), StoreError> {
    let item = std::slice::from_ref(item);
    let nothing = IdRecord {
        store_all: whole.store_all,
        head: whole.head.min(0),
        now_ms: whole.now_ms,
        ..IdRecord::default()
    };
    let record = IdRecord {
        observations: item,
        ..nothing.clone()
    };
    match persist(discover, &record).await {
        Ok(stored) => count(discover, item, &stored),
        Err(error) => {
            let undecodable = item.iter().map(|item| Undecodable {
                raw: item.raw.clone(),
                cause: Refusal::NotStored,
                reason: format!("it could not be stored: {error}"),
                observed_ms: item.observed_ms,
            });
            let undecodable: Vec<Undecodable> = undecodable.collect();
            let kept = IdRecord {
                undecodable: &undecodable,
                ..nothing
            };
            persist(discover, &kept).await?;
        }
    }
    Ok(())
}

/// Repeats it while the database is away: a scan that is to stop drops it.
async fn persist(discover: &Discover, record: &IdRecord<'_>) -> Result<IdStored, StoreError> {
    let never = CancellationToken::new();
    repeat(discover, &never, || discover.store.record_ids(record)).await
}

/// Counts what was found and fetched at once.
fn count(discover: &Discover, observations: &[Observation], stored: &IdStored) {
    let metrics = &discover.metrics;
    let now_ms = (discover.now_ms)();
    metrics
        .ingest
        .unchanged
        .inc_by(stored.stored.unchanged.len() as u64);
    metrics
        .ingest
        .nul_stripped
        .inc_by(stored.stored.nul_stripped);
    metrics
        .discover
        .undecodable_dropped
        .inc_by(stored.stored.dropped);
    for index in stored.stored.changed.iter().chain(&stored.stored.unchanged) {
        let Some(item) = observations.get(*index) else {
            continue;
        };
        let submission = &item.submission;
        let name = submission.subreddit.as_deref().unwrap_or_default();
        metrics.watched.label(name, |subreddit| {
            let kind = submission.kind.as_str();
            metrics
                .ingest
                .stored
                .with_label_values(&[subreddit, kind])
                .inc();
        });
        if metrics.watched.is_history(name, submission.created_utc) {
            continue;
        }
        let created_ms = submission.created_utc.saturating_mul(1000);
        #[expect(clippy::cast_precision_loss, reason = "a histogram counts in floats")]
        let lag = now_ms.saturating_sub(created_ms) as f64 / 1000.0;
        metrics.ingest.lag_seconds.observe(lag);
    }
    let fresh = stored.fresh.iter();
    let fresh = fresh.filter_map(|index| observations.get(*index));
    count_found(metrics, fresh.clone());
    count_lag(metrics, fresh, now_ms);
}
