//! Attempts given back: they came to nothing that was their own fault.

use super::statement::{Dialects, on_engine};
use super::submissions::json;
use super::{Store, StoreError};
use crate::submission::SubmissionId;

/// Ends attempts of `$2` as if they had not been, each due again then, with `$3` more omissions. Where
/// somebody else has begun since, all of that is theirs: only the attempt that did not seem to end is
/// taken back, once. Of a fetch that `$2` has nothing to do with any more nothing changes.
pub(super) const GIVE_BACK: Dialects = Dialects {
    postgres: "UPDATE fetches AS f
     SET attempts = CASE WHEN started_by = $2 AND NOT started THEN attempts
                         WHEN attempts > 0 THEN attempts - 1 ELSE 0 END,
         omissions = omissions + CASE WHEN started_by = $2 AND started THEN $3 ELSE 0 END,
         history = CASE WHEN started_by = $2 THEN history
                        ELSE nullif(history - (-1), '[]'::jsonb) END,
         started = CASE WHEN started_by = $2 THEN false ELSE started END,
         fed_ms = CASE WHEN started_by = $2 THEN NULL ELSE fed_ms END,
         due_ms = CASE WHEN started_by = $2 THEN n.again_ms ELSE due_ms END
     FROM (SELECT value->>0 AS again, (value->>1)::bigint AS again_ms
           FROM json_array_elements($1::text::json)) AS n
     WHERE f.id = n.again AND dead_at IS NULL
         AND (started_by = $2 OR (history -> -1 ->> 'by' = $2
                                  AND history -> -1 ->> 'ended_ms' IS NULL))",
    sqlite: "UPDATE fetches AS f
     SET attempts = CASE WHEN started_by = $2 AND NOT started THEN attempts
                         WHEN attempts > 0 THEN attempts - 1 ELSE 0 END,
         omissions = omissions + CASE WHEN started_by = $2 AND started THEN $3 ELSE 0 END,
         history = CASE WHEN started_by = $2 THEN history
                        ELSE nullif(json_remove(history, '$[#-1]'), '[]') END,
         started = CASE WHEN started_by = $2 THEN false ELSE started END,
         fed_ms = CASE WHEN started_by = $2 THEN NULL ELSE fed_ms END,
         due_ms = CASE WHEN started_by = $2 THEN n.again_ms ELSE due_ms END
     FROM (SELECT value->>0 AS again, value->>1 AS again_ms FROM json_each($1)) AS n
     WHERE f.id = n.again AND dead_at IS NULL
         AND (started_by = $2 OR (history ->> '$[#-1].by' = $2
                                  AND history ->> '$[#-1].ended_ms' IS NULL))",
};

impl Store {
    /// Gives attempts back that never came to an answer of their own (an outage of Reddit): one
    /// less, due then (milliseconds). `by` is who began them; what somebody else has begun since goes
    /// on as it is.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn return_fetches(
        &self,
        ids: &[SubmissionId],
        by: &str,
        due_ms: i64,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<(&str, i64)> = ids.iter().map(|id| (id.as_str(), due_ms)).collect();
        rows.sort_unstable();
        let rows = &json(&rows)?;
        on_engine!(self, write, GIVE_BACK, |sql, pool| {
            let query = sqlx::query(sql).bind(rows).bind(by).bind(0_i32);
            query.execute(pool).await?;
            Ok(())
        })
    }
}
