//! What the parts can do alone: nothing above them can be faster.

use crate::world::World;
use freshet::source::RequestClass;
use freshet::store::Store;
use futures::StreamExt;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::path::Path;
use std::time::Instant;

/// Submissions a second of one part by itself.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) part: &'static str,
    pub(crate) rate: f64,
}

/// The rows that a run has stored, copied into an empty table with the same columns and indexes.
pub(crate) async fn postgres(database: &str) -> anyhow::Result<Limit> {
    let mut filled = PgConnection::connect(database).await?;
    sqlx::raw_sql("CREATE DATABASE copied")
        .execute(&mut filled)
        .await?;
    let url = database.replace("/postgres?", "/copied?");
    let store = Store::connect(&url, 1).await?;
    store.migrate().await?;
    store.close().await;
    let mut rows: Vec<u8> = Vec::new();
    {
        let mut stream =
            sqlx::postgres::PgConnection::copy_out_raw(&mut filled, "COPY submissions TO STDOUT")
                .await?;
        while let Some(part) = stream.next().await {
            rows.extend_from_slice(&part?);
        }
    }
    let mut empty = PgConnection::connect(&url).await?;
    let begun = Instant::now();
    let mut copy = empty.copy_in_raw("COPY submissions FROM STDIN").await?;
    for part in rows.chunks(1 << 20) {
        copy.send(part).await?;
    }
    let copied = copy.finish().await?;
    Ok(Limit {
        part: "COPY of these rows into Postgres",
        rate: copied as f64 / begun.elapsed().as_secs_f64(),
    })
}

/// The rows that a run has stored, inserted into an empty table with the same columns and indexes,
/// in one transaction.
pub(crate) async fn sqlite(folder: &Path) -> anyhow::Result<Limit> {
    let copied = format!("sqlite://{}", folder.join("copied.db").display());
    let store = Store::connect(&copied, 1).await?;
    store.migrate().await?;
    store.close().await;
    let mut empty = SqliteConnection::connect(&copied).await?;
    sqlx::query("ATTACH $1 AS filled")
        .bind(folder.join("store.db").display().to_string())
        .execute(&mut empty)
        .await?;
    let begun = Instant::now();
    let done = sqlx::query("INSERT INTO submissions SELECT * FROM filled.submissions")
        .execute(&mut empty)
        .await?;
    Ok(Limit {
        part: "INSERT … SELECT of these rows into SQLite",
        rate: done.rows_affected() as f64 / begun.elapsed().as_secs_f64(),
    })
}

/// The same answers, asked for by a client that only decodes them.
pub(crate) async fn simulated_reddit(world: &World) -> anyhow::Result<Limit> {
    let reddit = world.client()?;
    let asked = &world.past[..world.past.len().min(100_000)];
    let begun = Instant::now();
    let mut pages = futures::stream::iter(asked.chunks(100))
        .map(|ids| reddit.info(ids, RequestClass::Fetch))
        .buffer_unordered(4);
    let mut came = 0;
    while let Some(page) = pages.next().await {
        came += page?.items.len();
    }
    Ok(Limit {
        part: "The simulated Reddit, asked and decoded only",
        rate: came as f64 / begun.elapsed().as_secs_f64(),
    })
}
