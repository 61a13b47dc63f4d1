//! What was stored when, beside the truth.

use crate::world::World;
use anyhow::ensure;
use freshet::simulator::{Endpoint, RequestStats, Truth};
use freshet::store::Store;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use std::collections::HashMap;

pub(crate) const HEADING: &str = "\
| | missed: normal | late | removed at once | stored as listed p50 | p95 | fetched p50 | p95 \
| listing requests | info | other | most in a minute | CPU s | peak MB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// Visible so long after its creation, it was approved late.
const LATE_MS: i64 = 30_000;
/// Visible so shortly, it was removed at once.
const AT_ONCE_MS: i64 = 15_000;

/// For all alike: when each row appears, and when it has the state of a fetch.
const POSTGRES: &str = "
CREATE TABLE seen (id text, fetched boolean, at_ms bigint NOT NULL, PRIMARY KEY (id, fetched));
CREATE FUNCTION note_seen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen VALUES (NEW.id, NEW.status = 'fetched',
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER note_seen AFTER INSERT OR UPDATE ON submissions
    FOR EACH ROW EXECUTE FUNCTION note_seen();";
const SQLITE: &str = "
CREATE TABLE seen (id TEXT, fetched INTEGER, at_ms INTEGER NOT NULL, PRIMARY KEY (id, fetched));
CREATE TRIGGER note_insert AFTER INSERT ON submissions BEGIN
    INSERT OR IGNORE INTO seen VALUES (NEW.id, NEW.status = 'fetched',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
CREATE TRIGGER note_update AFTER UPDATE ON submissions BEGIN
    INSERT OR IGNORE INTO seen VALUES (NEW.id, NEW.status = 'fetched',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;";
const PEERS: &str = "CREATE TABLE submissions (id TEXT PRIMARY KEY, status TEXT NOT NULL)";
const SEEN: &str = "SELECT id, CASE WHEN fetched THEN 1 ELSE 0 END, at_ms FROM seen";

pub(crate) enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// When a submission was stored, and when as fetched, milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    stored: Option<i64>,
    fetched: Option<i64>,
}

impl Database {
    /// With freshet's schema, or that of the peers.
    pub(crate) async fn prepared(url: &str, freshet: bool) -> anyhow::Result<Database> {
        if freshet {
            let store = Store::connect(url, 1).await?;
            store.migrate().await?;
            store.close().await;
        }
        let mut database = if url.starts_with("sqlite:") {
            Database::Sqlite(SqliteConnection::connect(&format!("{url}?mode=rwc")).await?)
        } else {
            Database::Postgres(PgConnection::connect(url).await?)
        };
        if !freshet {
            match &mut database {
                Database::Sqlite(connection) => {
                    connection.execute("PRAGMA journal_mode = WAL").await?;
                    connection.execute(PEERS).await?;
                }
                Database::Postgres(connection) => {
                    connection.execute(PEERS).await?;
                }
            }
        }
        match &mut database {
            Database::Sqlite(connection) => connection.execute(SQLITE).await.map(drop)?,
            Database::Postgres(connection) => connection.execute(POSTGRES).await.map(drop)?,
        }
        Ok(database)
    }

    /// In the time of a world that is behind by so much.
    pub(crate) async fn seen(&mut self, behind_ms: i64) -> anyhow::Result<HashMap<String, Seen>> {
        let rows: Vec<(String, i32, i64)> = match self {
            Database::Sqlite(connection) => sqlx::query_as(SEEN).fetch_all(connection).await?,
            Database::Postgres(connection) => sqlx::query_as(SEEN).fetch_all(connection).await?,
        };
        let mut seen: HashMap<String, Seen> = HashMap::new();
        for (id, fetched, at_ms) in rows {
            let (seen, at_ms) = (seen.entry(id).or_default(), at_ms - behind_ms);
            seen.stored = Some(seen.stored.map_or(at_ms, |known| known.min(at_ms)));
            if fetched == 1 {
                seen.fetched = Some(at_ms);
            }
        }
        Ok(seen)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Late,
    RemovedAtOnce,
}

/// One run.
pub(crate) struct Measured {
    /// Of what became visible from then on.
    pub(crate) from_ms: i64,
    pub(crate) until_ms: i64,
    pub(crate) interval_ms: i64,
    pub(crate) truth: Vec<Truth>,
    pub(crate) seen: HashMap<String, Seen>,
    pub(crate) requests: RequestStats,
}

impl Measured {
    /// Each with when it became visible.
    fn visible(&self) -> impl Iterator<Item = (&Truth, Kind, i64)> {
        self.truth.iter().filter_map(|truth| {
            let (visible_ms, until_ms) = *truth.listed_ms.first()?;
            let measured = (self.from_ms..self.until_ms).contains(&visible_ms);
            let kind = if visible_ms - truth.created_utc * 1_000 > LATE_MS {
                Kind::Late
            } else if until_ms.is_some_and(|until_ms| until_ms - visible_ms < AT_ONCE_MS) {
                Kind::RemovedAtOnce
            } else {
                Kind::Normal
            };
            measured.then_some((truth, kind, visible_ms))
        })
    }

    /// Not stored, of those that were visible for two intervals before the end; and how many those are.
    fn missed(&self, kind: Kind) -> (usize, usize) {
        let due = || self.due(kind);
        (
            due().filter(|it| !self.seen.contains_key(&it.0.id)).count(),
            due().count(),
        )
    }

    /// Those that were visible for two intervals before the end, and since when.
    fn due(&self, kind: Kind) -> impl Iterator<Item = (&Truth, i64)> {
        let before = self.until_ms - 2 * self.interval_ms;
        self.visible()
            .filter(move |(_, of, at)| *of == kind && *at < before)
            .map(|(truth, _, at)| (truth, at))
    }

    /// A line for each normal submission that was missed: which, and when it became visible.
    pub(crate) fn told_missed(&self) -> impl Iterator<Item = String> {
        let missed = self.due(Kind::Normal);
        let missed = missed.filter(|it| !self.seen.contains_key(&it.0.id));
        missed.map(|(truth, at)| {
            let seconds = (at - self.from_ms) / 1_000;
            let after = at / 1_000 - truth.created_utc;
            let (id, name) = (&truth.id, &truth.subreddit);
            format!("missed {id} of r/{name}, visible from second {seconds} on, {after} s after its creation")
        })
    }

    /// # Errors
    /// Where a normal submission was missed, none could be, or more requests came than the budget has.
    pub(crate) fn checked(&self, world: &World) -> anyhow::Result<()> {
        let (missed, all) = self.missed(Kind::Normal);
        ensure!(all > 0, "no submission was visible for two intervals");
        ensure!(missed == 0, "freshet missed {missed} of {all}");
        let (most, allowed) = (
            self.requests.biggest_minute,
            u64::from(world.requests_per_minute),
        );
        ensure!(
            most <= allowed,
            "{most} requests came in a minute that allows {allowed}"
        );
        Ok(())
    }

    /// Of the normal ones, from being visible to being stored, seconds. One that is not counts as waiting
    /// until the end; what was visible for less than an interval then is left out.
    fn delays(&self, stored: impl Fn(&Seen) -> Option<i64>) -> String {
        let last = self.until_ms - self.interval_ms;
        let normal = self
            .visible()
            .filter(|(_, kind, at)| *kind == Kind::Normal && *at < last);
        let mut any = false;
        let mut delays: Vec<i64> = normal
            .map(|(truth, _, visible_ms)| {
                let at_ms = self.seen.get(&truth.id).and_then(&stored);
                any |= at_ms.is_some();
                (at_ms.unwrap_or(self.until_ms) - visible_ms).max(0)
            })
            .collect();
        if !any {
            return "– | –".to_owned();
        }
        delays.sort_unstable();
        let quantile = |share: usize| delays[(delays.len() - 1) * share / 100] as f64 / 1_000.0;
        format!("{:.1} | {:.1}", quantile(50), quantile(95))
    }

    pub(crate) fn columns(&self) -> String {
        let (listing, info) = (
            self.requests.of(Endpoint::Listing),
            self.requests.of(Endpoint::Info),
        );
        let all: u64 = self
            .requests
            .requests
            .values()
            .flat_map(|it| it.values())
            .sum();
        let missed = |kind| {
            let (missed, all) = self.missed(kind);
            format!("{missed} of {all}")
        };
        let columns = [
            missed(Kind::Normal),
            missed(Kind::Late),
            missed(Kind::RemovedAtOnce),
            self.delays(|seen| seen.stored),
            self.delays(|seen| seen.fetched),
            listing.to_string(),
            info.to_string(),
            (all - listing - info).to_string(),
            self.requests.biggest_minute.to_string(),
        ];
        columns.join(" | ")
    }
}
