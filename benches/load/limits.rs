//! What the engines can do alone.

use freshet::store::Store;
use futures::StreamExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

/// A dump, decompressed and forgotten.
pub(crate) fn decompression(dump: &Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut decoder = zstd::Decoder::new(File::open(dump)?)?;
    let mut buffer = vec![0; 1 << 19];
    while decoder.read(&mut buffer)? > 0 {}
    Ok(begun.elapsed())
}

/// Makes a database on the server of another.
pub(crate) async fn create_database(url: &str, name: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let create = format!("CREATE DATABASE {name}");
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

/// All rows of the store, copied into an empty table with the same columns and indexes by one COPY.
pub(crate) async fn postgres(url: &str) -> anyhow::Result<Duration> {
    create_database(url, "copied").await?;
    let mut filled = PgConnection::connect(url).await?;
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
pub(crate) async fn sqlite(folder: &Path, name: &str) -> anyhow::Result<Duration> {
    let file = folder.join("copied.db");
    let url = format!("sqlite://{}", file.display());
    let store = Store::connect(&url, 1).await?;
    store.migrate().await?;
    store.close().await;
    let mut empty = SqliteConnection::connect(&url).await?;
    sqlx::query("ATTACH $1 AS filled")
        .bind(folder.join(name).display().to_string())
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
