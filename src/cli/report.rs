//! `freshet status`: one screen.

mod past;

use super::moment::rfc3339;
use super::output::print_line;
use crate::app::{now_ms, open_store_to_read, reachable, try_queue};
use crate::config::{Config, display_url};
use crate::observe::{
    DependencyStatus, FreshnessStatus, QueueStatus, Status, SubredditStatus, read_status,
};
use crate::queue::Queue;
use crate::store::Store;
use anyhow::Context;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const SIMULATED: &str = "SIMULATED: these submissions are made up.";

/// Says beside the data what a reader of it has to know.
pub(super) async fn warn_if_simulated(store: &Store) -> anyhow::Result<()> {
    if store
        .is_simulated()
        .await
        .context("the database cannot be read")?
    {
        eprintln!("{SIMULATED}");
    }
    Ok(())
}

/// A running process answers from memory.
const LIVE_LIMIT: Duration = Duration::from_secs(2);

/// Reads the database, and asks the process that listens on `http.listen`, if there is one.
pub(super) async fn status(config: &Config, json: bool) -> anyhow::Result<()> {
    let store = match open_store_to_read(config).await {
        Ok(store) => store,
        Err(error) => {
            // A running process knows more: since when, and what else fails.
            for line in dependencies(&live_dependencies(config).await, now_ms() / 1000) {
                eprintln!("{line}");
            }
            return Err(error);
        }
    };
    // Most worth reading when something is away.
    let queue = try_queue(config).await;
    let mut status = read_status(&store, queue.as_ref(), None, now_ms())
        .await
        .context("the database cannot be read")?;
    store.close().await;
    // Another database's process may listen there: what it says of its budget is not ours.
    let live = live::<Status>(config)
        .await
        .filter(|live| same_service(live, &status));
    if let Some(live) = &live {
        status.budget = live.budget;
        if status.queue.engine.is_none() {
            status.queue = live.queue.clone();
        }
        status.simulated |= live.simulated;
        status.dependencies.clone_from(&live.dependencies);
    } else if queue.is_some() {
        let queue = DependencyStatus::asked("queue", true);
        status.dependencies.push(queue);
    }
    if json {
        return print_json(&status);
    }
    print(&status, config);
    if let Some(dashboards) = &config.monitoring.dashboards_url {
        print_line!("\nDashboards: {dashboards}");
    }
    if live.is_none() {
        eprintln!(
            "No process of this database answers at http://{} (http.listen).",
            config.http.listen
        );
    }
    Ok(())
}

async fn live<T: DeserializeOwned>(config: &Config) -> Option<T> {
    let client = reqwest::Client::builder()
        .timeout(LIVE_LIMIT)
        .no_proxy()
        .build()
        .ok()?;
    let url = format!("http://{}/api/v1/status", reachable(config.http.listen));
    client.get(url).send().await.ok()?.json().await.ok()
}

/// Of the process that listens on `http.listen`, also where it cannot read its database.
async fn live_dependencies(config: &Config) -> Vec<DependencyStatus> {
    #[derive(Deserialize)]
    struct Partial {
        dependencies: Vec<DependencyStatus>,
    }
    let live = live::<Partial>(config).await;
    live.map(|it| it.dependencies).unwrap_or_default()
}

/// Whoever said nothing for so long is gone, seconds: what fails is said again every 20.
const SILENT: i64 = 30;

/// A line for each, and one more for what to do. What only a process that is gone has said was so then.
fn dependencies(dependencies: &[DependencyStatus], now: i64) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, it) in dependencies.iter().enumerate() {
        let head = if place == 0 { "Depends on" } else { "" };
        let class = it.class.as_deref().unwrap_or("ok");
        let gone = it.seen_at.filter(|seen| now - seen > SILENT);
        let since = it.since.map_or(String::new(), |at| {
            format!(" for {}", span((gone.unwrap_or(now) - at).max(0)))
        });
        let (was, seen) = gone.map_or(("", String::new()), |seen| {
            ("was ", format!(", when last seen at {}", rfc3339(seen)))
        });
        let error = it.error.as_deref().filter(|it| !it.is_empty());
        let error = error.map_or(String::new(), |error| format!(": {}", shown(error)));
        let process = it.process.as_ref();
        let process = process.map_or(String::new(), |it| format!(" (says {})", shown(it)));
        lines.push(format!(
            "{head:<13}{:<9} {was}{class}{since}{seen}{process}{error}",
            shown(&it.name)
        ));
        if let Some(remedy) = it.remedy.as_deref().filter(|it| !it.is_empty()) {
            lines.push(format!("{:<13}{:<9} → {}", "", "", shown(remedy)));
        }
    }
    lines
}

/// The counters only grow, so those of the same database are at least as large a moment later.
fn same_service(live: &Status, read: &Status) -> bool {
    let names = |status: &Status| -> Vec<String> {
        status
            .subreddits
            .iter()
            .map(|subreddit| subreddit.name.clone())
            .collect()
    };
    live.database == read.database
        && (read.queue.engine.is_none() || live.queue.engine == read.queue.engine)
        && live.discovered >= read.discovered
        && names(live) == names(read)
}

/// What is known of the queue. Where it cannot be seen from here, the database still tells whether
/// jobs come through.
fn queue_line(queue: &QueueStatus, config: &Config, now: i64) -> String {
    let Some(engine) = &queue.engine else {
        let seen = queue.heartbeat_at.map_or_else(
            || "no job has come through yet".to_owned(),
            |at| format!("the newest job came through {}", age(now - at)),
        );
        let url = config.queue.url.expose_secret();
        let shown = display_url(url);
        return if config.queue_in_memory() {
            format!("in memory; {seen}")
        } else if Queue::missing(url) {
            format!("{seen}\n             (no {shown} here; see queue.url)")
        } else {
            format!("? waiting, ? running ({shown}: it does not answer);\n             {seen}")
        };
    };
    let known = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
    let workers = queue
        .workers
        .map_or("? workers".to_owned(), |workers| counted(workers, "worker"));
    format!(
        "{} waiting, {} running, {workers} at work ({engine})",
        known(queue.waiting),
        known(queue.running),
    )
}

fn print(status: &Status, config: &Config) {
    let now = now_ms() / 1000;
    if status.simulated {
        print_line!("{SIMULATED}");
    }
    print_line!(
        "Submissions  {} stored, {} fetched, {} unavailable",
        status.discovered,
        status.fetched,
        status.unavailable
    );
    if status.undecodable > 0 {
        print_line!(
            "Kept raw     {} that could not be decoded",
            counted(status.undecodable.unsigned_abs(), "item")
        );
    }
    let queue = &status.queue;
    print_line!(
        "Backlog      {} in the database, {} due later, {} set aside ({})",
        queue.backlog,
        queue.deferred,
        queue.dead,
        status.database
    );
    print_line!("Queue        {}", queue_line(queue, config, now));
    if let Some(budget) = &status.budget {
        print_line!(
            "Budget       {:.0} requests a minute, {:.0} left in Reddit's window",
            budget.per_minute,
            budget.remaining
        );
    }
    if let Some(freshness) = &status.freshness {
        for line in freshness_lines(freshness) {
            print_line!("{line}");
        }
    }
    for line in dependencies(&status.dependencies, now) {
        print_line!("{line}");
    }
    if status.subreddits.is_empty() {
        print_line!("Subreddits   none is watched; add some with: freshet subreddits add NAME…");
    } else {
        print_line!("\n{}", subreddits(&status.subreddits, now));
    }
    for line in past::lines(&status.backfills) {
        print_line!("{line}");
    }
}

/// Whether the budget meets the freshness objective, and what it would take.
fn freshness_lines(freshness: &FreshnessStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if freshness.plan.objective_met {
        lines.push(
            "Objective    met: the budget allows every poll within discover.interval".to_owned(),
        );
    } else {
        lines.push(format!(
            "Objective    NOT met; it takes {:.0} requests a minute",
            freshness.plan.needed_per_minute
        ));
    }
    lines.push(format!(
        "Polls        at most {:.1} s apart; expected discovery lag {:.1} s",
        freshness.plan.longest_interval_seconds, freshness.plan.expected_lag_seconds
    ));
    let ids = if freshness.id_scan {
        format!(
            "on, {:.1} s behind the newest id",
            freshness.id_scan_lag_seconds
        )
    } else {
        "off here".to_owned()
    };
    lines.push(format!(
        "Proofs       every {:.0} s; id scan {ids}",
        freshness.plan.proof_period_seconds
    ));
    let requests = freshness.plan.requests_per_minute.iter();
    let mut made: Vec<_> = requests.filter(|(_, count)| **count > 0.0).collect();
    made.sort_by(|a, b| b.1.total_cmp(a.1));
    if !made.is_empty() {
        let made = made
            .iter()
            .map(|(class, count)| format!("{count:.0} {class}"));
        let made = made.collect::<Vec<_>>().join(", ");
        lines.push(format!("Requests     a minute: {made}"));
    }
    lines
}

fn subreddits(subreddits: &[SubredditStatus], now: i64) -> Table {
    let mut rows = table(&[
        "SUBREDDIT",
        "STATE",
        "STORED",
        "HOURLY",
        "NEWEST",
        "PROVEN",
        "GAPS",
    ]);
    align_right(&mut rows, &[2, 3, 6]);
    for subreddit in subreddits {
        rows.add_row([
            subreddit.name.clone(),
            shown(match &subreddit.reason {
                Some(reason) => reason,
                None if subreddit.suspect && subreddit.is_active() => "suspect",
                None => &subreddit.state,
            }),
            subreddit.submissions.to_string(),
            subreddit
                .hourly(now)
                .map_or("–".to_owned(), |rate| format!("{rate:.1}")),
            subreddit
                .last_submission_at
                .map_or("–".to_owned(), |at| age(now - at)),
            subreddit
                .last_complete_at
                .map_or("not yet".to_owned(), |at| age(now - at)),
            subreddit.open_gaps.to_string(),
        ]);
    }
    rows
}

/// Whether a terminal would do something else than show it: move, colour, turn round what follows.
fn is_obeyed(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns
}

/// A stored text as it may be shown: what people wrote, on one line, and nothing for a terminal to obey.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Prints JSON. What it leaves in its strings for a terminal to obey is escaped there too.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(value)?;
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_obeyed(character) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    print_line!("{escaped}");
    Ok(())
}

/// A plain table, two spaces between its columns.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    let last = header.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table
}

/// Numbers stand below one another.
pub(super) fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// So many of a thing whose word takes an s.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Why a gap is open: the cause, and the reason that a listing ended for, unless both are the same.
pub(super) fn why(cause: &str, reason: Option<&str>) -> String {
    match reason.filter(|reason| *reason != cause) {
        Some(reason) => format!("{cause}, {reason}"),
        None => cause.to_owned(),
    }
}

/// How long ago, in the largest unit that says enough; at most ten characters for a year.
pub(super) fn age(seconds: i64) -> String {
    if seconds <= 0 {
        return "now".to_owned();
    }
    format!("{} ago", span(seconds))
}

/// How long, in the largest unit that says enough.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::PollPlan;

    #[test]
    fn what_a_process_said_that_is_gone_does_not_grow_older() {
        let said = DependencyStatus {
            since: Some(1_700_000_000),
            process: Some("worker".to_owned()),
            seen_at: Some(1_700_000_042),
            ..DependencyStatus::asked("reddit", false)
        };
        let line = |now| dependencies(std::slice::from_ref(&said), now).concat();
        let known = "was unreachable for 42 s, when last seen at 2023-11-14T22:14:02Z";
        for now in [1_700_000_073, 1_700_000_200] {
            assert!(line(now).contains(known), "{}", line(now));
        }
        let still = line(1_700_000_050);
        assert!(still.contains(" unreachable for 50 s (says"), "{still}");
    }

    #[test]
    fn a_cause_that_is_its_own_reason_is_named_once() {
        assert_eq!(why("cap", None), "cap");
        assert_eq!(why("cap", Some("too_old")), "cap, too_old");
        assert_eq!(
            why("anchor_vanished", Some("anchor_vanished")),
            "anchor_vanished"
        );
    }

    #[test]
    fn an_objective_out_of_reach_is_told_with_the_budget_that_would_be_needed_in_eighty_columns() {
        let far = FreshnessStatus {
            plan: PollPlan {
                objective_met: false,
                expected_lag_seconds: 1_234.5,
                longest_interval_seconds: 12_345.6,
                needed_per_minute: 123_456.0,
                proof_period_seconds: 900.0,
                requests_per_minute: [
                    ("backfill", 1_021.0),
                    ("fetch", 1_234.4),
                    ("poll", 10_999.6),
                    ("proof", 1_023.0),
                    ("refresh", 0.0),
                    ("repair", 1_022.0),
                ]
                .map(|(class, count)| (class.to_owned(), count))
                .into(),
            },
            id_scan: true,
            id_scan_lag_seconds: 12_345.6,
        };
        let lines = freshness_lines(&far);
        assert_eq!(
            lines,
            [
                "Objective    NOT met; it takes 123456 requests a minute",
                "Polls        at most 12345.6 s apart; expected discovery lag 1234.5 s",
                "Proofs       every 900 s; id scan on, 12345.6 s behind the newest id",
                "Requests     a minute: 11000 poll, 1234 fetch, 1023 proof, 1022 repair, 1021 backfill",
            ]
        );
        assert!(lines[..3].iter().all(|line| line.len() <= 80), "{lines:?}");
    }
}
