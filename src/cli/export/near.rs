//! Whether the named subreddits are known, and which known names are near to one that is not.

use super::database;
use crate::config::edit_distance;
use crate::store::Store;
use anyhow::bail;
use std::collections::BTreeSet;

/// Stored names that are compared; looking at each takes a look into the index.
const MAX_COMPARED: usize = 5_000;
const MAX_SUGGESTIONS: usize = 3;

/// Fails where one is neither watched nor stored; says where nothing is stored of a watched one.
pub(super) async fn check(store: &Store, subreddits: &[String]) -> anyhow::Result<()> {
    if subreddits.is_empty() {
        return Ok(());
    }
    let watched = store.subreddits().await.map_err(database)?;
    let mut known: BTreeSet<String> = watched.into_iter().map(|it| it.name.to_string()).collect();
    let mut missing = Vec::new();
    for name in subreddits {
        if store.has_submissions(name).await.map_err(database)? {
            continue;
        }
        if known.contains(name) {
            eprintln!("Note: r/{name} is watched, but none of its submissions is stored yet.");
        } else {
            missing.push(name.as_str());
        }
    }
    let Some(first) = missing.first() else {
        return Ok(());
    };
    let mut name = String::new();
    for _ in 0..MAX_COMPARED {
        match store.subreddit_after(&name).await {
            Ok(Some(next)) => name = next,
            // Without suggestions the answer is as true.
            Ok(None) | Err(_) => break,
        }
        known.insert(name.clone());
    }
    let near = nearest(first, &known);
    let hint = if near.is_empty() {
        "\n  What is watched: freshet subreddits list".to_owned()
    } else {
        format!("\n  Did you mean {}?", near.join(" or "))
    };
    let missing: Vec<String> = missing.iter().map(|name| format!("r/{name}")).collect();
    let verb = if missing.len() == 1 { "is" } else { "are" };
    bail!(
        "{} {verb} not watched, and no submission of {} is stored; nothing was written{hint}",
        missing.join(", "),
        if missing.len() == 1 { "it" } else { "them" }
    )
}

fn nearest(name: &str, known: &BTreeSet<String>) -> Vec<String> {
    let limit = (name.len() / 3).max(1);
    let mut near: Vec<(usize, &String)> = known
        .iter()
        .filter_map(|known| {
            let begins = name.len() >= 3 && known.starts_with(name);
            let distance = edit_distance(name, known);
            (distance <= limit || begins).then_some((distance, known))
        })
        .collect();
    near.sort_unstable();
    let near = near.into_iter().take(MAX_SUGGESTIONS);
    near.map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_far_ones_not_at_all() {
        let known = ["kettles", "kettle", "rust", "rustjerk", "zig"].map(str::to_owned);
        let known = BTreeSet::from(known);
        assert_eq!(nearest("ketles", &known), ["kettles", "kettle"]);
        assert_eq!(nearest("rus", &known), ["rust", "rustjerk"]);
        assert!(nearest("haskell", &known).is_empty());
    }
}
