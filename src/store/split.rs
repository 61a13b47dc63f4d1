//! A slice in two: what is left of it fails as a whole, while the archive gives out other times.

use super::slices::SliceClaim;
use super::statement::{Dialects, in_transaction};
use super::{Store, StoreError};

/// What became of a slice that was to be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Both parts wait; the claim has ended.
    Halved,
    /// It is one second, and all of it fails. The claim holds.
    Alone,
    /// The claim was lost.
    Lost,
}

const RANGE: Dialects =
    Dialects::same("SELECT reached, slice_start, slice_end FROM slices WHERE id = $1");
/// Of what was expected of the whole, each part has its share.
const SHORTEN: Dialects = Dialects::same(
    "UPDATE slices
     SET slice_end = $2, expected = expected * ($2 - slice_start) / (slice_end - slice_start),
         due_ms = $3, fed_ms = NULL, claimed_by = NULL, claimed_until_ms = NULL,
         attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END
     WHERE id = $1",
);
const ADD: Dialects = Dialects::same(
    "INSERT INTO slices (backfill, part, name, slice_start, slice_end, reached, state, due_ms, expected)
     SELECT backfill, (SELECT max(part) + 1 FROM slices WHERE backfill = s.backfill), name,
            CAST($2 AS bigint), CAST($3 AS bigint), CAST($2 AS bigint), 'waiting',
            CAST($4 AS bigint),
            expected * (CAST($3 AS bigint) - CAST($2 AS bigint)) / (slice_end - slice_start)
     FROM slices AS s WHERE id = $1",
);

impl Store {
    /// Splits what is left of a slice, from which on it can be done in parts: each waits, due at once, and
    /// no attempt is spent.
    ///
    /// # Errors
    /// As the database answers; then the claim ends with its lease.
    pub async fn split_slice(&self, claim: &SliceClaim, now_ms: i64) -> Result<Split, StoreError> {
        self.written(async {
            let mut transaction = self.begin().await?;
            if !transaction.holds(claim).await? {
                transaction.rollback().await?;
                return Ok(Split::Lost);
            }
            let (reached, start, end): (i64, i64, i64) =
                in_transaction!(&mut transaction, RANGE, |sql, connection| {
                    let query = sqlx::query_as(sql).bind(claim.id);
                    query.fetch_one(connection).await?
                });
            let middle = match end - reached {
                ..=0 => end,
                1 => reached,
                left => reached + left / 2,
            };
            if middle <= start || middle >= end {
                transaction.rollback().await?;
                return Ok(Split::Alone);
            }
            // First, as it takes its share of what was expected.
            in_transaction!(&mut transaction, ADD, |sql, connection| {
                let query = sqlx::query(sql)
                    .bind(claim.id)
                    .bind(middle)
                    .bind(end)
                    .bind(now_ms);
                query.execute(connection).await?;
            });
            in_transaction!(&mut transaction, SHORTEN, |sql, connection| {
                let query = sqlx::query(sql).bind(claim.id).bind(middle).bind(now_ms);
                query.execute(connection).await?;
            });
            transaction.commit().await?;
            Ok(Split::Halved)
        })
        .await
    }
}
