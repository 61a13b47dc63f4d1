//! Objects that are not stored as submissions: kept raw, in a room of fixed size.
//!
//! Whoever answers decides how many there are and how large, so the oldest go once the room is full.

use super::StoreError;
use super::content::{Deltas, hash};
use super::statement::{Dialects, Transaction, in_transaction};
use crate::submission::Undecodable;

/// What the table may hold, in bytes of objects and of what stands beside each.
const ROOM: i64 = 16 * 1024 * 1024;
/// What is left once the oldest had to go.
const LEFT: i64 = ROOM - ROOM / 16;
/// What one transaction may add; of more, some are not kept.
const AT_ONCE: i64 = ROOM / 4;
/// What is kept of one object.
const LONGEST_RAW: usize = 64 * 1024;
/// What a row takes beside its object. The statements below and the migration count the same.
const BESIDE: i64 = 200;

/// A later sight of the same object counts; the same sight recorded again does not.
const KEEP: Dialects = Dialects::same(
    "INSERT INTO undecodable (hash, raw, reason, times, first_seen_ms, last_seen_ms)
     VALUES ($1, $2, $3, 1, $4, $4)
     ON CONFLICT (hash) DO UPDATE
     SET times = undecodable.times + 1, last_seen_ms = excluded.last_seen_ms
     WHERE excluded.last_seen_ms > undecodable.last_seen_ms
     RETURNING times",
);
const HELD: Dialects =
    Dialects::same("SELECT CAST(sum(undecodable_bytes) AS bigint) FROM counters");
/// The oldest, until `$1` bytes are free. In Postgres not those that somebody else sees again just now.
const MAKE_ROOM: Dialects = Dialects {
    postgres: "DELETE FROM undecodable
     WHERE hash IN (
         SELECT hash FROM (
             SELECT hash, bytes, sum(bytes) OVER (ORDER BY last_seen_ms, hash) AS freed
             FROM (SELECT hash, last_seen_ms, octet_length(raw) + 200 AS bytes FROM undecodable
                   ORDER BY last_seen_ms, hash LIMIT 5000 FOR UPDATE SKIP LOCKED) AS oldest
         ) AS running
         WHERE freed - bytes < $1)
     RETURNING CAST(octet_length(raw) + 200 AS bigint)",
    sqlite: "DELETE FROM undecodable
     WHERE hash IN (
         SELECT hash FROM (
             SELECT hash, bytes, sum(bytes) OVER (ORDER BY last_seen_ms, hash) AS freed
             FROM (SELECT hash, last_seen_ms, length(CAST(raw AS BLOB)) + 200 AS bytes FROM undecodable
                   ORDER BY last_seen_ms, hash LIMIT 5000) AS oldest
         ) AS running
         WHERE freed - bytes < $1)
     RETURNING CAST(length(CAST(raw AS BLOB)) + 200 AS bigint)",
};

impl Transaction {
    /// Keeps objects that are no submission, in place of the oldest where there is no room left; returns
    /// how many went or were not kept.
    pub(super) async fn keep_undecodable(
        &mut self,
        objects: impl Iterator<Item = &Undecodable>,
        deltas: &mut Deltas,
    ) -> Result<u64, StoreError> {
        let mut objects: Vec<_> = objects.map(|object| (hash(&object.raw), object)).collect();
        objects.sort_by_key(|(hash, object)| (*hash, object.observed_ms));
        let (mut added, mut dropped) = (0, 0);
        for (hash, object) in objects {
            if added >= AT_ONCE {
                dropped += 1;
                continue;
            }
            let (raw, reason) = kept(object);
            let times: Option<i64> = in_transaction!(self, KEEP, |sql, connection| {
                let query = sqlx::query_scalar(sql)
                    .bind(hash.as_slice())
                    .bind(raw)
                    .bind(reason)
                    .bind(object.observed_ms);
                query.fetch_optional(connection).await?
            });
            if times == Some(1) {
                added += i64::try_from(raw.len()).unwrap_or(i64::MAX) + BESIDE;
                deltas.undecodable += 1;
            }
        }
        deltas.undecodable_bytes += added;
        if added > 0 {
            dropped += self.make_room(deltas).await?;
        }
        Ok(dropped)
    }

    async fn make_room(&mut self, deltas: &mut Deltas) -> Result<u64, StoreError> {
        let held: i64 = in_transaction!(self, HELD, |sql, connection| {
            sqlx::query_scalar(sql).fetch_one(connection).await?
        });
        let mut held = held + deltas.undecodable_bytes;
        if held <= ROOM {
            return Ok(0);
        }
        let mut dropped = 0;
        while held > LEFT {
            let freed: Vec<i64> = in_transaction!(self, MAKE_ROOM, |sql, connection| {
                let query = sqlx::query_scalar(sql).bind(held - LEFT);
                query.fetch_all(connection).await?
            });
            if freed.is_empty() {
                break;
            }
            let bytes: i64 = freed.iter().sum();
            held -= bytes;
            deltas.undecodable_bytes -= bytes;
            deltas.undecodable -= freed.len() as i64;
            dropped += freed.len() as u64;
        }
        Ok(dropped)
    }
}

/// What is kept of an object, and the reason, which says so where it is not all.
fn kept(object: &Undecodable) -> (&str, String) {
    let (raw, reason) = (object.raw.get(), object.reason.replace('\0', ""));
    if raw.len() <= LONGEST_RAW {
        return (raw, reason);
    }
    let end = (0..=LONGEST_RAW)
        .rev()
        .find(|end| raw.is_char_boundary(*end));
    let cut = &raw[..end.unwrap_or_default()];
    let reason = format!("{reason} (kept: {} of {} bytes)", cut.len(), raw.len());
    (cut, reason)
}
