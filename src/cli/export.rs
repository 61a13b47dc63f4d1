//! `freshet export`: stored submissions for other programs.

mod columns;
mod lines;
mod table;

use super::Usage;
use super::arguments::{ExportArguments, Format};
use super::moment::in_order;
use super::progress::{Progress, Reached};
use super::report::warn_if_simulated;
use crate::app::open_existing_store;
use crate::config::Config;
use crate::store::{Cursor, Store, StoreError};
use crate::submission::SubredditName;
use anyhow::Context;
use columns::Column;
use lines::Lines;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Rows in one read: a few megabytes, however much there is.
const ROWS: u32 = 1000;

/// The output went away: whoever read it has enough.
fn is_enough(error: &anyhow::Error) -> bool {
    // Some of the writers wrap it in an error of their own.
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

pub(super) async fn run(config: &Config, arguments: ExportArguments) -> anyhow::Result<()> {
    let (since, until) = (
        arguments.since.unwrap_or(i64::MIN),
        arguments.until.unwrap_or(i64::MAX),
    );
    in_order(since, until).map_err(Usage)?;
    if arguments.format == Format::Parquet
        && arguments.output.is_none()
        && io::stdout().is_terminal()
    {
        return Err(Usage(
            "a terminal cannot show Parquet; give it a file: --output FILE".to_owned(),
        )
        .into());
    }
    let columns = columns::chosen(arguments.columns.as_deref()).map_err(Usage)?;
    let store = open_existing_store(config).await?;
    warn_if_simulated(&store).await?;
    let written = match &arguments.output {
        None => {
            let lines = Lines::new(io::stdout(), arguments.format, columns);
            write(&store, &arguments, since, until, lines).await
        }
        Some(path) => to_file(&store, &arguments, since, until, path, columns).await,
    };
    store.close().await;
    match written {
        Err(error) if is_enough(&error) => Ok(()),
        written => written,
    }
}

/// Under another name until it is whole, so that no cut-off export is taken for one.
async fn to_file(
    store: &Store,
    arguments: &ExportArguments,
    since: i64,
    until: i64,
    path: &Path,
    columns: Vec<&'static Column>,
) -> anyhow::Result<()> {
    // A device or a pipe is no file to be put in the place of another.
    let special = std::fs::metadata(path).is_ok_and(|known| !known.is_file());
    let partial = if special {
        path.to_owned()
    } else {
        PathBuf::from(format!("{}.partial", path.display()))
    };
    let cannot = || format!("{} cannot be written", partial.display());
    let file = std::fs::File::create(&partial).with_context(cannot)?;
    let lines = Lines::new(&file, arguments.format, columns);
    let written = write(store, arguments, since, until, lines).await;
    if special {
        return written.with_context(cannot);
    }
    let written = written.with_context(cannot).and_then(|()| {
        file.sync_all().with_context(cannot)?;
        std::fs::rename(&partial, path)
            .with_context(|| format!("{} cannot be put in its place", path.display()))
    });
    if written.is_err() {
        // What failed is told; that the rest of it stays is no more than untidy.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

async fn write(
    store: &Store,
    arguments: &ExportArguments,
    since: i64,
    until: i64,
    lines: io::Result<Lines<impl Write + Send>>,
) -> anyhow::Result<()> {
    let mut lines = lines?;
    let mut written = Written::begin(store, arguments, since, until);
    let cursor = |subreddit| Cursor {
        subreddit,
        created_utc: since,
        id: String::new(),
        until,
    };
    if arguments.subreddits.is_empty() {
        let mut name = String::new();
        while let Some(next) = store.subreddit_after(&name).await? {
            name.clone_from(&next);
            each(store, cursor(Some(next)), &mut lines, &mut written).await?;
        }
        each(store, cursor(None), &mut lines, &mut written).await?;
    } else {
        let mut names: Vec<&str> = arguments.subreddits.iter().map(|it| it.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            each(
                store,
                cursor(Some(name.to_owned())),
                &mut lines,
                &mut written,
            )
            .await?;
        }
    }
    lines.finish()?;
    written.done();
    Ok(())
}

async fn each(
    store: &Store,
    mut cursor: Cursor,
    lines: &mut Lines<impl Write + Send>,
    written: &mut Written,
) -> anyhow::Result<()> {
    loop {
        let rows = store
            .submissions(&cursor, ROWS)
            .await
            .context("the database cannot be read")?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        cursor.created_utc = last.created_utc;
        cursor.id = last.id.as_str().to_owned();
        for row in &rows {
            lines.add(row)?;
        }
        written.add(rows.len()).await;
    }
}

/// How many there are of these subreddits, or of all; without those that name none.
async fn count(
    store: &Store,
    names: &[SubredditName],
    since: i64,
    until: i64,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for name in names {
        count += store.count_submissions(name.as_str(), since, until).await?;
    }
    let mut name = String::new();
    while names.is_empty()
        && let Some(next) = store.subreddit_after(&name).await?
    {
        count += store.count_submissions(&next, since, until).await?;
        name = next;
    }
    Ok(count)
}

/// How much is written, of how much: that is counted meanwhile.
struct Written {
    rows: u64,
    begun: Instant,
    counting: Option<AbortOnDropHandle<Result<u64, StoreError>>>,
    all: Option<u64>,
    progress: Progress,
}

impl Written {
    fn begin(store: &Store, arguments: &ExportArguments, since: i64, until: i64) -> Written {
        // Between the rows of a terminal it would only disturb.
        let shown = arguments.output.is_some() || !io::stdout().is_terminal();
        let (store, names) = (store.clone(), arguments.subreddits.clone());
        let count = async move { count(&store, &names, since, until).await };
        Written {
            rows: 0,
            begun: Instant::now(),
            counting: shown.then(|| AbortOnDropHandle::new(tokio::spawn(count))),
            all: None,
            progress: if shown {
                Progress::new()
            } else {
                Progress::silent()
            },
        }
    }

    async fn add(&mut self, rows: usize) {
        self.rows += rows as u64;
        if let Some(counted) = self.counting.take_if(|counting| counting.is_finished()) {
            // Without it the export is as good.
            self.all = counted.await.ok().and_then(Result::ok);
        }
        #[expect(clippy::cast_precision_loss, reason = "rows")]
        let share = self.all.map(|all| self.rows as f64 / all.max(1) as f64);
        self.progress.reached(&Reached {
            share,
            count: self.rows,
            what: "submissions",
            more: "",
            waits: false,
        });
    }

    fn done(self) {
        self.progress.end();
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!("{} submissions in {seconds:.1} s", self.rows);
    }
}
