//! `freshet export`: stored submissions for other programs.

mod columns;
mod format;
mod lines;
mod near;
mod strict;
mod table;
mod target;

use super::Usage;
use super::arguments::{ExportArguments, Format, Times};
use super::moment::in_order;
use super::progress::{Progress, Reached};
use super::report::{counted, warn_if_simulated};
use crate::app::{Stop, open_store_to_read};
use crate::config::Config;
use crate::store::{Selection, Store, StoreError};
use anyhow::{Context, anyhow};
use lines::{Layout, Lines};
use std::io::{self, IsTerminal};
use std::time::Instant;
use target::Target;
use tokio_util::task::AbortOnDropHandle;

/// Rows in one read: a few megabytes, however much there is.
const ROWS: u32 = 1000;

/// The output went away: its reader has enough.
fn is_enough(error: &anyhow::Error) -> bool {
    // Some of the writers wrap it in an error of their own.
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The database's own words: an output error must not be taken for one, nor the other way round.
fn database(error: StoreError) -> anyhow::Error {
    anyhow!("the database cannot be read: {}", error.advised())
}

pub(super) async fn run(config: &Config, arguments: ExportArguments) -> anyhow::Result<()> {
    let (since, until) = (arguments.since, arguments.until);
    in_order(since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX)).map_err(Usage)?;
    let layout = layout(&arguments)?;
    let store = open_store_to_read(config).await?;
    let exported = export(&store, &arguments, layout).await;
    store.close().await;
    match exported {
        Err(error) if is_enough(&error) => Ok(()),
        exported => exported,
    }
}

/// What is written, or what is wrong with the flags that say so.
fn layout(arguments: &ExportArguments) -> Result<Layout, Usage> {
    let output = arguments.output.as_deref();
    let format = format::chosen(arguments.format, arguments.json, output).map_err(Usage)?;
    if format == Format::Parquet && output.is_none() && io::stdout().is_terminal() {
        return Err(Usage(
            "a terminal cannot display Parquet; give it a file: --output FILE".to_owned(),
        ));
    }
    for (given, flag) in [(arguments.csv_safe, "--csv-safe"), (arguments.bom, "--bom")] {
        if given && format != Format::Csv {
            return Err(Usage(format!("{flag} is for CSV only; add --format csv")));
        }
    }
    Ok(Layout {
        format,
        columns: columns::chosen(arguments.columns.as_deref()).map_err(Usage)?,
        calendar: match arguments.times {
            Some(times) => times == Times::Utc,
            None => format == Format::Parquet,
        },
        csv_safe: arguments.csv_safe,
        bom: arguments.bom,
    })
}

async fn export(store: &Store, arguments: &ExportArguments, layout: Layout) -> anyhow::Result<()> {
    warn_if_simulated(store).await?;
    let mut subreddits: Vec<String> = arguments.subreddits().map(|it| it.to_string()).collect();
    subreddits.sort_unstable();
    subreddits.dedup();
    // Before the output is touched: a typo must not replace a file with nothing.
    near::check(store, &subreddits).await?;
    let selection = Selection {
        columns: layout
            .columns
            .iter()
            .map(|column| column.stored())
            .collect(),
        subreddits,
        since: arguments.since,
        until: arguments.until,
    };
    // Between the rows of a terminal progress would only disturb.
    let shown = arguments.output.is_some() || !io::stdout().is_terminal();
    let target = Target::open(arguments.output.as_deref())?;
    if !target.is_pending() {
        return write(store, selection, layout, target, shown).await;
    }
    let mut stop = Stop::listen().context("signals cannot be received")?;
    let name = target.name();
    tokio::select! {
        biased;
        () = stop.next() => Err(anyhow!("interrupted; {name} is as it was before")),
        written = write(store, selection, layout, target, shown) => written,
    }
}

async fn write(
    store: &Store,
    selection: Selection,
    layout: Layout,
    target: Target,
    shown: bool,
) -> anyhow::Result<()> {
    let name = target.name();
    let cannot = || format!("{name} cannot be written");
    let mut written = Written::begin(store, &selection, shown);
    let writer = target.writer().with_context(cannot)?;
    let mut lines = Lines::new(writer, layout).with_context(cannot)?;
    let mut reader = store.read_submissions(selection);
    loop {
        let rows = reader.next_page(ROWS).await.map_err(database)?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            lines.add(row).with_context(cannot)?;
        }
        written.add(rows.len()).await;
    }
    let notes = lines.finish().with_context(cannot)?;
    target.finish()?;
    written.done(&notes);
    Ok(())
}

/// How many rows are selected, where counting them is cheap enough for a progress bar.
async fn count(store: &Store, selection: &Selection) -> Result<Option<u64>, StoreError> {
    let (since, until) = (selection.since, selection.until);
    if selection.subreddits.is_empty() {
        let all = store.totals().await?.submissions().unsigned_abs();
        return Ok((since.is_none() && until.is_none()).then_some(all));
    }
    let (since, until) = (since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
    let mut count = 0;
    for name in &selection.subreddits {
        count += store.count_submissions(name, since, until).await?;
    }
    Ok(Some(count))
}

/// How much is written, of how much: that is counted meanwhile.
struct Written {
    rows: u64,
    begun: Instant,
    counting: Option<AbortOnDropHandle<Result<Option<u64>, StoreError>>>,
    all: Option<u64>,
    progress: Progress,
}

impl Written {
    fn begin(store: &Store, selection: &Selection, shown: bool) -> Written {
        let (store, selection) = (store.clone(), selection.clone());
        let count = async move { count(&store, &selection).await };
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
            self.all = counted.await.ok().and_then(Result::ok).flatten();
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

    fn done(self, notes: &[String]) {
        self.progress.end();
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!("{} in {seconds:.1} s", counted(self.rows, "submission"));
        for note in notes {
            eprintln!("{note}");
        }
    }
}
