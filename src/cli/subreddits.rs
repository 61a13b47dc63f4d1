//! `freshet subreddits …`: the watched list.

mod list_file;

use super::arguments::SubredditsAction;
use super::output::print_line;
use super::pasted::all;
use super::report::{age, align_right, counted, print_json, shown, table};
use crate::app::{now_ms, open_existing_store, open_store, open_store_to_read};
use crate::config::Config;
use crate::observe::SubredditStatus;
use crate::store::{Added, Store, Subreddit};
use crate::submission::SubredditName;
use anyhow::{Context, bail};

/// As many are reported one by one.
const LISTED: usize = 100;

pub(super) async fn run(config: &Config, action: SubredditsAction) -> anyhow::Result<()> {
    // Adding the first subreddit may be the first command of all. The list is read before anything is
    // opened: one bad line adds nothing.
    let (store, action) = match action {
        SubredditsAction::Add { mut names, file } => {
            if let Some(file) = &file {
                names.extend(list_file::read(file)?);
            }
            (
                open_store(config).await?,
                SubredditsAction::Add { names, file },
            )
        }
        action @ SubredditsAction::List { .. } => (open_store_to_read(config).await?, action),
        action => (open_existing_store(config).await?, action),
    };
    let result = act(&store, action).await;
    store.close().await;
    result
}

async fn act(store: &Store, action: SubredditsAction) -> anyhow::Result<()> {
    match action {
        SubredditsAction::Add { names, .. } => add(store, &all(names)).await,
        SubredditsAction::Remove { names } => {
            let names = all(names);
            let gone = "is no longer watched; what is stored stays.";
            each(&names, gone, async |name| {
                store.remove_subreddit(name).await
            })
            .await
        }
        SubredditsAction::Pause { names } => {
            let names = all(names);
            let paused = "is paused; `freshet subreddits resume` goes on from where it was left.";
            each(&names, paused, async |name| {
                store.pause_subreddit(name).await
            })
            .await
        }
        SubredditsAction::Resume { names } => {
            let names = all(names);
            each(&names, "is polled again.", async |name| {
                store.resume_subreddit(name, now_ms()).await
            })
            .await
        }
        SubredditsAction::List { json } => {
            let listed = store.subreddits().await.context("the watched list")?;
            list(listed, json)
        }
    }
}

async fn add(store: &Store, names: &[SubredditName]) -> anyhow::Result<()> {
    let (mut added, mut already) = (0_u64, 0_u64);
    let each = names.len() <= LISTED;
    for name in names {
        let result = store.add_subreddit(name, now_ms() / 1000).await;
        match result.with_context(|| format!("r/{name} cannot be added to the watched list"))? {
            Added::New => {
                added += 1;
                if each {
                    eprintln!("r/{name} is watched now.");
                }
            }
            Added::Already(state) => {
                already += 1;
                if each {
                    eprintln!("r/{name} was watched already ({state}).");
                }
            }
        }
    }
    if !each {
        let added = counted(added, "subreddit");
        eprintln!("Added {added}; watched already: {already}.");
    }
    Ok(())
}

/// Acts on each; one that is not watched is an error, after the others were done.
async fn each(
    names: &[SubredditName],
    done: &str,
    act: impl AsyncFn(&SubredditName) -> Result<bool, crate::store::StoreError>,
) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for name in names {
        if act(name).await.context("the watched list")? {
            eprintln!("r/{name} {done}");
        } else {
            missing.push(format!("r/{name}"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let verb = if missing.len() == 1 { "is" } else { "are" };
    bail!(
        "{} {verb} not on the watched list; see: freshet subreddits list",
        missing.join(", ")
    )
}

fn list(listed: Vec<Subreddit>, json: bool) -> anyhow::Result<()> {
    let listed: Vec<SubredditStatus> = listed.into_iter().map(SubredditStatus::from).collect();
    if json {
        return print_json(&listed);
    }
    if listed.is_empty() {
        eprintln!("No subreddit is watched yet; add some with: freshet subreddits add NAME…");
        return Ok(());
    }
    let now = now_ms() / 1000;
    let mut rows = table(&["SUBREDDIT", "STATE", "STORED", "PROVEN", "ADDED"]);
    align_right(&mut rows, &[2]);
    for subreddit in listed {
        let state = shown(&subreddit.state_and_reason());
        rows.add_row([
            subreddit.name,
            state,
            subreddit.submissions.to_string(),
            subreddit
                .last_complete_at
                .map_or("not yet".to_owned(), |at| age(now - at)),
            age(now - subreddit.added_at),
        ]);
    }
    print_line!("{rows}");
    Ok(())
}
