//! Whether the database can do its work, and what processes say there of what else they depend on.

use super::content::prepare;
use super::statement::{Dialects, in_transaction, on_engine};
use super::{FetchRecord, PollRecord, Store, StoreError};
use crate::dependency::{Class, Evidence, Fault, Service, State, Trouble};
use crate::submission::made_up;
use sqlx::{Connection, PgConnection};
use std::time::Instant;

/// What was not said again for so long is forgotten.
const KEPT_MS: i64 = 86_400_000;
/// What a process said so long ago, or longer, is no news: it may be gone.
const FRESH_MS: i64 = 60_000;

const VERSION: Dialects =
    Dialects::same("SELECT version FROM _sqlx_migrations ORDER BY version DESC LIMIT 1");
const FORGET: Dialects = Dialects::same(
    "DELETE FROM dependencies WHERE (process = $1 AND name <> 'database') OR seen_ms < $2",
);
const SAY: Dialects = Dialects::same(
    "INSERT INTO dependencies (process, name, class, error, remedy, since_at, seen_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (process, name) DO UPDATE SET class = excluded.class, error = excluded.error,
         remedy = excluded.remedy, since_at = excluded.since_at, seen_ms = excluded.seen_ms",
);
const FAILING: Dialects = Dialects::same(
    "SELECT process, name, class, error, remedy, since_at, seen_ms
     FROM dependencies
     WHERE class IS NOT NULL AND seen_ms > $1 ORDER BY name, since_at, process",
);

/// The sessions that hold what a statement of this user has waited for so many seconds.
const BLOCKED: &str = "SELECT array_to_string(pg_blocking_pids(pid), ', ') FROM pg_stat_activity
     WHERE datname = current_database() AND usename = current_user AND wait_event_type = 'Lock'
       AND query_start <= clock_timestamp() - make_interval(secs => $1)
     ORDER BY query_start LIMIT 1";
/// So many seconds are no usual wait of one transaction for another.
const BLOCKED_AFTER: f64 = 10.0;
/// The same of what is tried again: a statement gives up after 30 s, and others come.
const STILL_BLOCKED_AFTER: f64 = 1.0;

/// A dependency that fails, as a running process says.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Failing {
    /// Which process.
    pub process: String,
    /// Of which dependency.
    pub name: String,
    /// In which way.
    pub class: String,
    /// What the driver said.
    pub error: String,
    /// What to do.
    pub remedy: String,
    /// Since when, seconds since the epoch.
    pub since_at: i64,
    /// When it said so last, milliseconds.
    pub seen_ms: i64,
}

impl Store {
    /// Reads a little, and where `says` is given also writes: what the process of this name says of its
    /// dependencies. Success ends an outage.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn probe(
        &self,
        says: Option<(&str, &[State])>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        if let Store::Postgres(engine) = self
            && engine.dependency.is_doubtful()
        {
            // No session of before is used again: some may have been opened where the address led then.
            engine.validity.replace();
        }
        let version: Option<i64> = on_engine!(self, read, VERSION, |sql, pool| {
            Ok::<_, StoreError>(sqlx::query_scalar(sql).fetch_optional(pool).await?)
        })?;
        if version.is_none() {
            let fault = match self {
                Store::Postgres(_) => Fault::PostgresTablesMissing,
                Store::Sqlite(_) => Fault::DatabaseFileEmpty,
            };
            let said = "the table of migrations is empty";
            self.dependency().failed(Trouble::new(fault, said));
            return Err(StoreError::Failed {
                source: sqlx::Error::RowNotFound,
            });
        }
        match says {
            Some((process, states)) => {
                self.written(self.say(process, states, now_ms)).await?;
                if self.dependency().refuses() {
                    self.try_submission(now_ms).await?;
                }
                self.dependency().proved(Evidence::Write);
            }
            None => {
                // Nothing of what it refuses is asked of it here.
                self.dependency().takes();
                self.dependency().proved(Evidence::Read);
            }
        }
        Ok(())
    }

    /// Whether it takes a submission; success ends what refuses them.
    async fn try_submission(&self, now_ms: i64) -> Result<(), StoreError> {
        let tried = Box::pin(self.take_and_give_back(now_ms));
        let tried = self.noted(Evidence::Write, tried).await;
        match &tried {
            Ok(()) => self.dependency().takes(),
            Err(error) if error.is_outage() => {}
            Err(error) => {
                let trouble = Trouble::new(self.refusal(), error.told());
                self.dependency().fails(trouble);
            }
        }
        tried
    }

    /// What it is where it refuses something for a reason that no class is known for.
    pub fn refusal(&self) -> Fault {
        match self {
            Store::Postgres(_) => Fault::PostgresRefuses,
            Store::Sqlite(_) => Fault::DatabaseFileRefuses,
        }
    }

    /// Stores a made-up submission as a listing brings it and as a fetch does, and takes it back.
    pub(super) async fn take_and_give_back(&self, now_ms: i64) -> Result<(), StoreError> {
        let Some(made_up) = made_up(now_ms) else {
            return Ok(());
        };
        let observations = std::slice::from_ref(&made_up);
        let poll = PollRecord {
            listed: observations,
            undecodable: &[],
            members: &[],
            sweep: None,
            now_ms,
        };
        let fetch = FetchRecord {
            observations,
            undecodable: &[],
            deferred: &[],
            unavailable: &[],
            by: "",
            now_ms,
        };
        let batch = prepare(observations, matches!(self, Store::Postgres(_)));
        let (mut transaction, _) = self.write_poll(&poll).await?;
        let fetched = transaction.write_fetched(&fetch, &batch, Instant::now());
        fetched.await?;
        transaction.rollback().await
    }

    async fn say(&self, process: &str, states: &[State], now_ms: i64) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        in_transaction!(&mut transaction, FORGET, |sql, connection| {
            let query = sqlx::query(sql).bind(process).bind(now_ms - KEPT_MS);
            query.execute(connection).await.map(drop)
        })?;
        let others = states
            .iter()
            .filter(|it| it.service != Service::Database && it.trouble.is_some());
        let mut rows = vec![(Service::Database, None, now_ms.div_euclid(1000))];
        rows.extend(others.map(|it| (it.service, it.trouble.as_ref(), it.since)));
        for (service, trouble, since) in rows {
            in_transaction!(&mut transaction, SAY, |sql, connection| {
                let query = sqlx::query(sql)
                    .bind(process)
                    .bind(service.as_str())
                    .bind(trouble.map(|it| it.class.as_str()))
                    .bind(trouble.map_or("", |it| it.error.as_str()))
                    .bind(trouble.map_or("", |it| it.remedy))
                    .bind(since)
                    .bind(now_ms);
                query.execute(connection).await.map(drop)
            })?;
        }
        transaction.commit().await
    }

    /// Looks whether what this user asked of Postgres waits for a lock: other tables may work meanwhile.
    ///
    /// # Errors
    /// It does; or as the database answers.
    pub async fn look_for_blocked(&self) -> Result<(), StoreError> {
        let Store::Postgres(engine) = self else {
            return Ok(());
        };
        let trouble = engine.dependency.state().trouble;
        let after = match trouble.map(|it| it.class) {
            Some(Class::Locked) => STILL_BLOCKED_AFTER,
            _ => BLOCKED_AFTER,
        };
        let query = sqlx::query_scalar(BLOCKED).bind(after);
        let asked = Box::pin(async {
            if engine.pool.num_idle() > 0 {
                return Ok(query.fetch_optional(engine.read()).await?);
            }
            // All of them may be what waits.
            let options = engine.pool.connect_options();
            let mut own = PgConnection::connect_with(&options).await?;
            let found = query.fetch_optional(&mut own).await?;
            own.close().await?;
            Ok(found)
        });
        let blocking: Option<String> = self.noted(Evidence::Read, asked).await?;
        let Some(blocking) = blocking else {
            return Ok(());
        };
        let said = format!("a statement waits for a lock that another session holds ({blocking})");
        let trouble = Trouble::new(Fault::PostgresLocked, said.as_str());
        // Writes of other tables succeed meanwhile.
        engine.dependency.fails(trouble);
        Err(StoreError::Unavailable {
            source: sqlx::Error::Protocol(said),
        })
    }

    /// What running processes say of dependencies that fail; nothing of what none of them has said
    /// within a minute.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn failing(&self, now_ms: i64) -> Result<Vec<Failing>, StoreError> {
        on_engine!(self, read, FAILING, |sql, pool| {
            let query = sqlx::query_as(sql).bind(now_ms - FRESH_MS);
            Ok(query.fetch_all(pool).await?)
        })
    }
}
