//! Postgres: connecting, migrating, and the statements that send many rows at once.

pub(super) mod copying;
mod lane;
pub(super) mod submissions;

pub(super) use lane::Lane;

use super::{StoreError, schema};
use crate::dependency::{Dependency, Service, Validity};
use crate::network::Address;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a caller waits for a connection before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection that has been idle for longer is tried before it is used; a busy one is not,
/// because the trial costs a round trip.
const TRIED_AFTER: Duration = Duration::from_secs(2);

/// What the session that migrates is told: twice that is the patience of a program that starts.
const MIGRATION: &str = "SET lock_timeout = '15s'; SET client_min_messages = warning";

/// While a migration runs the server is asked this often whether it lives, waited for so long, and given
/// up after so many silences.
const LIVES_EVERY: Duration = Duration::from_secs(5);
const SILENCES: u32 = 3;

/// How to connect there, by its address as it is now. The driver knows only the authorities that are
/// built in: where it is to verify the server, it is told of the others.
fn options(address: &Address) -> Result<PgConnectOptions, StoreError> {
    let malformed = || StoreError::Url("not a well-formed postgres:// URL".to_owned());
    let url = address.now();
    let url = Url::parse(url.expose_secret()).map_err(|_| malformed())?;
    let names = ["sslrootcert", "ssl-root-cert", "ssl-ca"];
    let brings_its_own = url.query_pairs().any(|(name, _)| names.contains(&&*name));
    let mode = url.query_pairs().find(|(name, _)| *name == "sslmode");
    if mode.is_some_and(|(_, mode)| mode.parse::<PgSslMode>().is_err()) {
        let modes = "disable, allow, prefer, require, verify-ca or verify-full";
        return Err(StoreError::Url(format!("its sslmode is none of {modes}")));
    }
    let mut options = PgConnectOptions::from_url(&url).map_err(|_| malformed())?;
    let verifies = matches!(
        options.get_ssl_mode(),
        PgSslMode::VerifyCa | PgSslMode::VerifyFull
    );
    if verifies
        && !brings_its_own
        && let Some(trusted) = address.trust().all()
    {
        options = options.ssl_root_cert_from_pem(trusted.into_bytes());
    }
    Ok(options.application_name("freshet"))
}

/// A server.
#[derive(Debug, Clone)]
pub struct Postgres {
    pub(super) pool: PgPool,
    /// Whether a pooler stands before it that hands out a session for each transaction.
    pub(super) pooled: bool,
    pub(super) dependency: Dependency,
    /// A session of a server that takes no writes is closed: the address may lead to another by now.
    pub(super) validity: Arc<Validity>,
}

/// What a session that only reads is told besides.
const READING: &str = "SET default_transaction_read_only = on";

impl Postgres {
    pub(super) async fn connect(
        address: &Address,
        connections: u32,
        reading: bool,
    ) -> Result<Postgres, StoreError> {
        let probed = lane::probe(options(address)?);
        let probed = tokio::time::timeout(ACQUIRE_TIMEOUT, probed).await;
        let (options, pooled) = probed.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        let validity = Arc::new(Validity::new());
        let valid = Arc::clone(&validity);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(move |connection, state| {
                let valid = valid.covers(state.age);
                Box::pin(async move {
                    Ok(valid && (state.idle_for < TRIED_AFTER || connection.ping().await.is_ok()))
                })
            })
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    // Behind a pooler the session is everybody's: see `lane`.
                    if !pooled {
                        connection.execute(lane::SESSION).await?;
                        if reading {
                            connection.execute(READING).await?;
                        }
                    }
                    Ok(())
                })
            })
            .after_release(|connection, _| {
                Box::pin(async move {
                    // Else every connection keeps room for the largest batch that it ever sent.
                    connection.shrink_buffers();
                    // What was rolled back is none any more: this one was left amid a COPY.
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options)
            .await?;
        if pooled {
            tracing::info!(
                "The database is behind a connection pooler: settings are made for each transaction, and \
                 statements are prepared anew"
            );
        }
        let engine = Postgres {
            pool,
            pooled,
            dependency: Dependency::new(Service::Database),
            validity,
        };
        // Another one refuses every row that holds a character which it does not have. SQL_ASCII takes
        // what it is given, and that is UTF-8: so the driver speaks to every server.
        let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
            .fetch_one(engine.read())
            .await?;
        if !reading && !matches!(encoding.as_str(), "UTF8" | "SQL_ASCII") {
            return Err(StoreError::Encoding(encoding));
        }
        Ok(engine)
    }

    /// New connections are made to the address as it is now; those that are open stay.
    pub(super) fn renew(&self, address: &Address) -> Result<(), StoreError> {
        let options = options(address)?;
        self.pool.set_connect_options(if self.pooled {
            lane::behind_a_pooler(options)
        } else {
            options
        });
        Ok(())
    }

    /// Begins a transaction.
    pub(super) async fn begin(
        &self,
    ) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
        if self.pooled {
            self.pool.begin_with(lane::TRANSACTION).await
        } else {
            self.pool.begin().await
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let mut migrator = schema::postgres();
        if self.pooled {
            let migrated = lane::migrate(&self.pool, &mut migrator);
            return tokio::select! {
                migrated = migrated => Ok(migrated?),
                gone = self.gone() => Err(gone),
            };
        }
        // A session of its own: the settings above are not for it. A step may take its time; another
        // program's lock is waited for only so long, and then named.
        let options = (*self.pool.connect_options()).clone();
        let mut connection = super::within_deadline(async {
            let mut connection = sqlx::PgConnection::connect_with(&options).await?;
            connection.execute(MIGRATION).await?;
            Ok(connection)
        })
        .await?;
        tokio::select! {
            migrated = migrator.run_direct(None, &mut connection, false) => migrated?,
            gone = self.gone() => return Err(gone),
        }
        connection.close().await?;
        Ok(())
    }

    pub(super) async fn clock_ms(&self) -> Result<i64, StoreError> {
        let asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        super::within_deadline(async {
            Ok(sqlx::query_scalar(asked).fetch_one(self.read()).await?)
        })
        .await
    }

    /// Ends once the server has gone silent: who only reads from it would wait for ever.
    async fn gone(&self) -> StoreError {
        let mut silences = 0;
        loop {
            tokio::time::sleep(LIVES_EVERY).await;
            let asked = sqlx::query("SELECT 1").execute(self.read());
            match tokio::time::timeout(LIVES_EVERY, asked).await {
                Ok(Ok(_)) => silences = 0,
                _ => silences += 1,
            }
            if silences == SILENCES {
                return StoreError::deadline(LIVES_EVERY * 2 * SILENCES);
            }
        }
    }

    pub(super) fn read(&self) -> Lane<'_> {
        Lane {
            pool: &self.pool,
            pooled: self.pooled,
        }
    }

    pub(super) fn write(&self) -> Lane<'_> {
        self.read()
    }
}
