//! What a whole backfill proves, beside what each of its slices does, and when it is done.

use super::Interval;
use super::gaps::GapChanges;
use super::statement::{Dialects, Transaction, in_transaction};
use super::{Store, StoreError};

/// Two backfills of a subreddit that nobody watches have no row in common.
pub(super) const ONE_AT_A_TIME: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('coverage ' || $1, 0))";
/// On its first slice, as one number and one text.
const NOTE: Dialects = Dialects::same(
    "UPDATE slices SET proven_seconds = $2, reason = coalesce($3, reason)
     WHERE backfill = $1 AND part = (SELECT min(part) FROM slices WHERE backfill = $1)",
);

const FINISH: Dialects = Dialects::same(
    "UPDATE backfills SET state = 'done', finished_at = $2
     WHERE id = $1 AND state = 'running'
       AND NOT EXISTS (SELECT 1 FROM slices WHERE backfill = $1 AND state = 'waiting')",
);

impl Transaction {
    /// Adds to a subreddit's coverage what was proven, and closes the gaps within; how many.
    pub(super) async fn prove(
        &mut self,
        name: &str,
        proven: &[Interval],
        by: &'static str,
        now: i64,
    ) -> Result<u64, StoreError> {
        let mut gaps_repaired = 0;
        // Whoever polls it changes coverage and gaps under this lock, too.
        self.lock_subreddits(&[name]).await?;
        if let Transaction::Postgres(transaction) = self {
            let query = sqlx::query(ONE_AT_A_TIME).bind(name);
            query.execute(&mut **transaction).await?;
        }
        for proven in proven {
            self.cover(&[(name, *proven)]).await?;
            let changes = GapChanges {
                subreddit: name,
                left: None,
                proven: Some(*proven),
            };
            gaps_repaired += self.change_gaps(&[changes], by, now).await?.repaired;
        }
        Ok(gaps_repaired)
    }

    /// A backfill none of whose slices waits is done.
    pub(super) async fn finish_backfill(
        &mut self,
        backfill: i64,
        now: i64,
    ) -> Result<(), StoreError> {
        in_transaction!(self, FINISH, |sql, connection| {
            let query = sqlx::query(sql).bind(backfill).bind(now);
            query.execute(connection).await?;
        });
        Ok(())
    }
}

impl Store {
    /// Records what a backfill proves as a whole but for the seconds of what was not stored, and why not
    /// more, and that it is done, unless a slice of it is left; how many gaps that closed.
    ///
    /// # Errors
    /// As the database answers; then nothing was recorded, or all of it where the answer was lost.
    pub async fn prove_backfill(
        &self,
        backfill: i64,
        subreddit: &str,
        proven: &[Interval],
        reason: Option<&str>,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        self.written(async {
            let mut transaction = self.begin().await?;
            let now = now_ms.div_euclid(1000);
            // The backfill's row first, as whoever records a slice does.
            transaction.finish_backfill(backfill, now).await?;
            let proven = transaction.without_unstored(backfill, proven).await?;
            let gaps_repaired = transaction
                .prove(subreddit, &proven, "backfill", now)
                .await?;
            let seconds: i64 = proven.iter().map(|it| it.end - it.start).sum();
            in_transaction!(&mut transaction, NOTE, |sql, connection| {
                let query = sqlx::query(sql).bind(backfill).bind(seconds).bind(reason);
                query.execute(connection).await?;
            });
            transaction.commit().await?;
            Ok(gaps_repaired)
        })
        .await
    }
}
