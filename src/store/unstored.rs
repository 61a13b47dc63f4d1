//! Submissions that a backfill met and that are not stored: what it proves leaves out their seconds.

use super::statement::{Dialects, Transaction, in_transaction};
use super::submissions::json;
use super::{ArchiveRecord, Interval, StoreError, without};
use crate::submission::decode;

const NOTE: Dialects = Dialects {
    postgres: "INSERT INTO unstored (backfill, created_utc)
     SELECT $1, value::text::bigint FROM json_array_elements($2::text::json)
     ON CONFLICT DO NOTHING",
    sqlite: "INSERT INTO unstored (backfill, created_utc)
     SELECT $1, value FROM json_each($2) WHERE true
     ON CONFLICT DO NOTHING",
};
const WITHIN: Dialects = Dialects::same(
    "SELECT created_utc FROM unstored
     WHERE backfill = $1 AND created_utc >= $2 AND created_utc < $3 ORDER BY created_utc",
);

const NOTE_UNSEEN: Dialects = Dialects {
    postgres: "INSERT INTO unseen (backfill, interval_start, interval_end)
     SELECT $1, (value->>0)::bigint, (value->>1)::bigint FROM json_array_elements($2::text::json)
     ON CONFLICT DO NOTHING",
    sqlite: "INSERT INTO unseen (backfill, interval_start, interval_end)
     SELECT $1, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each($2) WHERE true
     ON CONFLICT DO NOTHING",
};
const UNSEEN: Dialects = Dialects::same(
    "SELECT interval_start, interval_end FROM unseen
     WHERE backfill = $1 AND interval_end > $2 AND interval_start < $3",
);
/// Of one page; more are noted as one that holds them all.
const MAX_UNSEEN: usize = 64;

impl Transaction {
    /// Notes what of a record is a submission and not stored as one: refused by the database before, and
    /// kept raw.
    pub(super) async fn note_unstored(
        &mut self,
        backfill: i64,
        record: &ArchiveRecord<'_>,
    ) -> Result<(), StoreError> {
        let mut seconds = Vec::new();
        for refused in record.undecodable {
            if refused.cause.is_a_submission()
                && let Ok(it) = decode(refused.raw.clone(), refused.observed_ms)
            {
                seconds.push(it.submission.created_utc);
            }
        }
        if seconds.is_empty() {
            return Ok(());
        }
        seconds.sort_unstable();
        seconds.dedup();
        let seconds = json(&seconds)?;
        in_transaction!(self, NOTE, |sql, connection| {
            let query = sqlx::query(sql).bind(backfill).bind(seconds);
            query.execute(connection).await?;
        });
        Ok(())
    }

    /// Notes times of which a backfill was not shown everything, or could not read it.
    pub(super) async fn note_unseen(
        &mut self,
        backfill: i64,
        unseen: &[Interval],
    ) -> Result<(), StoreError> {
        let Some(all) = unseen.iter().copied().reduce(Interval::hull) else {
            return Ok(());
        };
        let unseen = if unseen.len() > MAX_UNSEEN {
            &[all]
        } else {
            unseen
        };
        let pairs: Vec<[i64; 2]> = unseen.iter().map(|it| [it.start, it.end]).collect();
        let pairs = json(&pairs)?;
        in_transaction!(self, NOTE_UNSEEN, |sql, connection| {
            let query = sqlx::query(sql).bind(backfill).bind(pairs);
            query.execute(connection).await?;
        });
        Ok(())
    }

    /// What is left of what a backfill proves without the seconds and times that were noted.
    pub(super) async fn without_unstored(
        &mut self,
        backfill: i64,
        proven: &[Interval],
    ) -> Result<Vec<Interval>, StoreError> {
        let mut left = Vec::with_capacity(proven.len());
        for interval in proven {
            let seconds: Vec<i64> = in_transaction!(self, WITHIN, |sql, connection| {
                let query = sqlx::query_scalar(sql)
                    .bind(backfill)
                    .bind(interval.start)
                    .bind(interval.end);
                query.fetch_all(connection).await?
            });
            let mut start = interval.start;
            for second in seconds {
                left.push(Interval { start, end: second });
                start = second + 1;
            }
            let end = interval.end;
            left.push(Interval { start, end });
        }
        left.retain(|it| !it.is_empty());
        let Some(all) = left.iter().copied().reduce(Interval::hull) else {
            return Ok(left);
        };
        let unseen: Vec<(i64, i64)> = in_transaction!(self, UNSEEN, |sql, connection| {
            let query = sqlx::query_as(sql)
                .bind(backfill)
                .bind(all.start)
                .bind(all.end);
            query.fetch_all(connection).await?
        });
        let unseen = unseen
            .into_iter()
            .map(|(start, end)| Interval { start, end });
        Ok(without(&left, &unseen.collect::<Vec<_>>()))
    }
}
