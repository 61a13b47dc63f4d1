//! What the engines can do alone.

use freshet::store::Store;
use futures::StreamExt;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::path::Path;
use std::time::{Duration, Instant};

/// All rows of the store, copied into an empty table with the same columns and indexes by one COPY.
pub(crate) async fn postgres(url: &str) -> anyhow::Result<Duration> {
    let mut filled = PgConnection::connect(url).await?;
    sqlx::raw_sql("CREATE DATABASE copied")
        .execute(&mut filled)
        .await?;
    let copied = url.replace("/postgres?", "/copied?");
    let store = Store::connect(&copied, 1).await?;
    store.migrate().await?;
    store.close().await;
    let mut rows: Vec<u8> = Vec::new();
    {
        let out = "COPY submissions TO STDOUT (FORMAT binary)";
        let mut stream = filled.copy_out_raw(out).await?;
        while let Some(part) = stream.next().await {
            rows.extend_from_slice(&part?);
        }
    }
    let mut empty = PgConnection::connect(&copied).await?;
    let begun = Instant::now();
    let mut copy = empty
        .copy_in_raw("COPY submissions FROM STDIN (FORMAT binary)")
        .await?;
    for part in rows.chunks(1 << 20) {
        copy.send(part).await?;
    }
    copy.finish().await?;
    let spent = begun.elapsed();
    empty.close().await?;
    sqlx::raw_sql("DROP DATABASE copied")
        .execute(&mut filled)
        .await?;
    Ok(spent)
}

/// All rows of the store, inserted into an empty table with the same columns and indexes by one
/// statement.
pub(crate) async fn sqlite(folder: &Path) -> anyhow::Result<Duration> {
    let file = folder.join("copied.db");
    let url = format!("sqlite://{}", file.display());
    let store = Store::connect(&url, 1).await?;
    store.migrate().await?;
    store.close().await;
    let mut empty = SqliteConnection::connect(&url).await?;
    sqlx::query("ATTACH $1 AS filled")
        .bind(folder.join("store.db").display().to_string())
        .execute(&mut empty)
        .await?;
    let begun = Instant::now();
    sqlx::query("INSERT INTO submissions SELECT * FROM filled.submissions")
        .execute(&mut empty)
        .await?;
    let spent = begun.elapsed();
    empty.close().await?;
    std::fs::remove_file(file)?;
    Ok(spent)
}
