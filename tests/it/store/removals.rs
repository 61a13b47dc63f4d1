//! The last complete copy stands, whatever comes after a removal, and in whatever order it comes.

use super::archived::record;
use super::conformance;
use super::fixtures::{NOW, World, id, ids, raw, seen_with};
use super::random::check;
use freshet::submission::{Observation, decode};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

conformance!(
    a_fetch_that_shows_a_removal_keeps_what_was_listed,
    every_way_to_remove_keeps_the_copy_and_is_noted,
    an_older_complete_copy_fills_what_was_only_seen_removed,
    a_submission_that_is_back_is_as_it_was_seen_last,
    a_listing_mends_what_a_removal_has_left,
    a_later_edit_overwrites_however_short_it_is,
    one_batch_may_hold_the_copy_and_its_removal,
    rows_of_older_versions_keep_their_copy,
    what_a_copy_leaves_out_is_what_another_says,
    a_removal_fills_in_nothing_that_a_copy_leaves_out,
    whatever_the_order_of_arrival_the_row_is_the_same,
);

const POST: &str = r#","subreddit":"Rust","author":"somebody","title":"My story","selftext":"A long text","is_self":true,"url":"https://example.org/1","permalink":"/r/Rust/comments/1/","domain":"self.Rust","edited":false"#;

/// Ways in which Reddit shows a removal; each shows less than the one before.
const REMOVALS: [&str; 5] = [
    r#","subreddit":"Rust","author":"somebody","title":"My story","selftext":"A long text","is_self":true,"url":"https://example.org/1","removed_by_category":"moderator""#,
    r#","subreddit":"Rust","author":"[deleted]","title":"My story","selftext":"A long text","is_self":true,"url":"https://example.org/1""#,
    r#","subreddit":"Rust","author":"somebody","title":"My story","selftext":"[removed]","is_self":true,"url":"https://example.org/1","removed_by_category":"moderator""#,
    r#","subreddit":"Rust","author":"[deleted]","title":"My story","selftext":"[deleted]","is_self":true,"url":"https://www.reddit.com/r/Rust/comments/1/","removed_by_category":"deleted""#,
    r#","subreddit":"Rust","author":"[deleted]","title":"[ Removed by Reddit ]","selftext":"","is_self":true,"url":"https://www.reddit.com/r/Rust/comments/1/","removed_by_category":"reddit""#,
];

/// A submission as it was whole, or after a removal, at `NOW + at`. The score tells when it was.
fn shown(name: &str, at: i64, fields: &str) -> Observation {
    seen_with(name, NOW + at, &format!("{fields},\"score\":{at}"))
}

/// Copies that leave out, or have as null, what every submission has.
async fn what_a_copy_leaves_out_is_what_another_says(world: World) {
    let edited =
        r#""selftext":"Edited","edited":1789999500.0,"author":null,"subreddit":null,"url":null"#;
    let mut number = 0;
    for (first, second) in [(0, 10), (10, 0)] {
        for way in ["fetches", "archives", "a batch", "lists"] {
            number += 1;
            let name = format!("p{number}");
            let whole = shown(&name, first, POST);
            let lacking = shown(&name, second, &format!(",{edited}"));
            match way {
                "fetches" => {
                    world.fetch(std::slice::from_ref(&whole)).await;
                    world.fetch(std::slice::from_ref(&lacking)).await;
                }
                "archives" => {
                    for one in [&whole, &lacking] {
                        let record = record(std::slice::from_ref(one));
                        world.store.record_archived(&record).await.unwrap();
                    }
                }
                "a batch" => {
                    world.fetch(&[whole, lacking]).await;
                }
                _ => {
                    let record = record(std::slice::from_ref(&lacking));
                    world.store.record_archived(&record).await.unwrap();
                    world.list(&[whole]).await;
                }
            }
            let row = world.store.submission(&id(&name)).await.unwrap().unwrap();
            let there = (
                &row.subreddit,
                &row.author,
                &row.title,
                &row.url,
                row.is_self,
            );
            let all = ["Rust", "somebody", "My story", "https://example.org/1"];
            let [subreddit, author, title, url] = all.map(|it| Some(it.to_owned()));
            assert_eq!(
                there,
                (&subreddit, &author, &title, &url, Some(true)),
                "{way}, {first}"
            );
            let newest = if second > first {
                "Edited"
            } else {
                "A long text"
            };
            assert_eq!(row.selftext.as_deref(), Some(newest), "{way}, {first}");
        }
    }
}

/// What a removal shows in the place of an author and a text fills in nothing.
async fn a_removal_fills_in_nothing_that_a_copy_leaves_out(world: World) {
    let lacking = r#","subreddit":"Rust","title":"My story","is_self":true,"author":null"#;
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (number, order) in orders.into_iter().enumerate() {
        for together in [false, true] {
            let name = format!("r{number}{together}");
            let copies = [
                shown(&name, 5, POST),
                shown(&name, 10, lacking),
                shown(&name, 20, REMOVALS[3]),
            ];
            let copies = order.map(|place| copies[place].clone());
            let parts: Vec<&[Observation]> = match together {
                true => vec![&copies],
                false => copies.chunks(1).collect(),
            };
            for part in parts {
                world.store.record_archived(&record(part)).await.unwrap();
            }
            let row = world.store.submission(&id(&name)).await.unwrap().unwrap();
            let texts = (row.author.as_deref(), row.selftext.as_deref());
            let whole = (Some("somebody"), Some("A long text"));
            assert_eq!(texts, whole, "{order:?}, together: {together}");
            assert_eq!(row.removed_by.as_deref(), Some("deleted"), "{order:?}");
        }
    }
}

/// The row holds this copy, and the rest as it was seen last.
async fn stands(world: &World, copy: &Observation, last: &Observation) {
    in_its_row(world, copy, last).await;
    let odd =
        "SELECT count(*) FROM submissions WHERE (removed_raw IS NULL) <> (content_ms IS NULL)";
    assert_eq!(world.number(odd).await, 0);
}

/// The same of the one row.
pub async fn in_its_row(world: &World, copy: &Observation, last: &Observation) {
    let row = world
        .store
        .submission(&copy.submission.id)
        .await
        .unwrap()
        .unwrap();
    let (wrote, now) = (&copy.submission, &last.submission);
    assert_eq!(
        (
            &row.author,
            &row.title,
            &row.selftext,
            &row.url,
            &row.domain,
            row.edited,
            row.is_self
        ),
        (
            &wrote.author,
            &wrote.title,
            &wrote.selftext,
            &wrote.url,
            &wrote.domain,
            wrote.edited,
            wrote.is_self
        )
    );
    assert_eq!(row.raw, copy.raw.get());
    assert_eq!(
        (
            row.observed_ms,
            row.score,
            &row.removed_by,
            row.over_18,
            &row.link_flair_text
        ),
        (
            last.observed_ms,
            now.score,
            &now.removed_by,
            now.over_18,
            &now.link_flair_text
        )
    );
    let other = copy.raw.get() != last.raw.get();
    assert_eq!(row.removed_raw.as_deref(), other.then(|| last.raw.get()));
    let removed = !last.submission.completeness().is_whole();
    assert_eq!(row.removed_ms, removed.then_some(last.observed_ms));
}

async fn archive(world: &World, kept: &[Observation]) {
    world.store.record_archived(&record(kept)).await.unwrap();
}

async fn a_fetch_that_shows_a_removal_keeps_what_was_listed(world: World) {
    let listed = shown("a1", 0, POST);
    world.list(std::slice::from_ref(&listed)).await;
    let removed = shown("a1", 5, REMOVALS[2]);
    let stored = world.fetch(std::slice::from_ref(&removed)).await;
    assert_eq!(stored.changed, [0]);
    stands(&world, &listed, &removed).await;
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(row.removed_by.as_deref(), Some("moderator"));
    assert!(row.fetched_at.is_some());
    // The same again is nothing new, but when it was seen.
    let mut again = removed.clone();
    again.observed_ms += 7;
    assert_eq!(
        world.fetch(std::slice::from_ref(&again)).await.unchanged,
        [0]
    );
    stands(&world, &listed, &again).await;
    super::archived_meetings::counters_are_true(&world).await;
}

async fn every_way_to_remove_keeps_the_copy_and_is_noted(world: World) {
    let link = r#","subreddit":"Rust","author":"somebody","title":"A link","selftext":"","is_self":false,"url":"https://example.org/x","domain":"example.org","crosspost_parent":"t3_zz""#;
    let mut ways: Vec<(&str, String)> =
        REMOVALS.iter().map(|it| (POST, (*it).to_owned())).collect();
    for way in [
        r#""selftext":"[deleted]""#,
        r#""title":"[deleted by user]","removed_by_category":"deleted""#,
        r#""url":"/r/Rust/comments/1/","domain":"self.Rust","is_self":true,"removed_by_category":"deleted""#,
        r#""url":null,"removed_by_category":"content_takedown""#,
        r#""author":"[deleted]""#,
        r#""removed_by_category":"copyright_takedown""#,
        r#""selftext":"[ Removed by reddit in response to a copyright notice. ]""#,
    ] {
        ways.push((link, format!("{link},{way}")));
    }
    for (number, (whole, removed)) in ways.iter().enumerate() {
        for by_fetch in [false, true] {
            let name = format!("w{number}x{}", u8::from(by_fetch));
            let (whole, removed) = (shown(&name, 0, whole), shown(&name, 5, removed));
            for seen in [&whole, &removed] {
                let seen = std::slice::from_ref(seen);
                if by_fetch {
                    world.fetch(seen).await;
                } else {
                    archive(&world, seen).await;
                }
            }
            stands(&world, &whole, &removed).await;
        }
    }
}

async fn an_older_complete_copy_fills_what_was_only_seen_removed(world: World) {
    for (number, removal) in REMOVALS.iter().enumerate() {
        let name = format!("o{number}");
        let (removed, whole) = (shown(&name, 9, removal), shown(&name, 2, POST));
        world.fetch(std::slice::from_ref(&removed)).await;
        stands(&world, &removed, &removed).await;
        let before = world.store.submission(&id(&name)).await.unwrap().unwrap();
        archive(&world, std::slice::from_ref(&whole)).await;
        stands(&world, &whole, &removed).await;
        let row = world.store.submission(&id(&name)).await.unwrap().unwrap();
        assert_eq!(
            (row.status, row.fetched_at),
            (before.status, before.fetched_at)
        );
        // Also one that comes late by a fetch.
        let name = format!("f{number}");
        let (removed, whole) = (shown(&name, 9, removal), shown(&name, 2, POST));
        world.fetch(std::slice::from_ref(&removed)).await;
        assert_eq!(world.fetch(std::slice::from_ref(&whole)).await.changed, [0]);
        stands(&world, &whole, &removed).await;
    }
    super::archived_meetings::counters_are_true(&world).await;
}

async fn a_submission_that_is_back_is_as_it_was_seen_last(world: World) {
    let whole = shown("b1", 0, POST);
    let removed = shown("b1", 5, REMOVALS[3]);
    let back = shown("b1", 9, &POST.replace("A long", "A longer"));
    for seen in [&whole, &removed, &back] {
        world.fetch(std::slice::from_ref(seen)).await;
    }
    stands(&world, &back, &back).await;
    // As before in every byte, when it is back.
    let same = seen_with("b1", NOW + 12, &format!("{POST},\"score\":9"));
    for seen in [&shown("b1", 11, REMOVALS[3]), &same] {
        world.fetch(std::slice::from_ref(seen)).await;
    }
    stands(&world, &same, &same).await;
}

async fn a_listing_mends_what_a_removal_has_left(world: World) {
    let removed = shown("l1", 5, REMOVALS[3]);
    archive(
        &world,
        &[
            removed.clone(),
            shown("l2", 5, POST),
            shown("l3", 5, REMOVALS[3]),
        ],
    )
    .await;
    // Listed before it was removed, and found in the archive first.
    let listed = shown("l1", 2, POST);
    let back = shown("l3", 8, POST);
    let stored = world
        .list(&[listed.clone(), shown("l2", 8, POST), back.clone()])
        .await;
    assert!(stored.fresh.is_empty());
    stands(&world, &listed, &removed).await;
    stands(&world, &back, &back).await;
    // What nothing was removed from is the fetches' business.
    let row = world.store.submission(&id("l2")).await.unwrap().unwrap();
    assert_eq!(row.score, Some(5));
    // What was not given out any more is listed again, and whole.
    world.give_up(&ids(&["l1"])).await;
    let again = shown("l1", 20, POST);
    world.list(std::slice::from_ref(&again)).await;
    stands(&world, &again, &again).await;
    super::archived_meetings::counters_are_true(&world).await;
}

async fn a_later_edit_overwrites_however_short_it_is(world: World) {
    let edited = |at: i64, text: &str| shown("e1", at, &POST.replace("A long text", text));
    for (at, text) in [
        (0, "A long text"),
        (1, "short"),
        (2, ""),
        (3, "[removed] one word"),
        (4, "x"),
    ] {
        let seen = edited(at, text);
        world.fetch(std::slice::from_ref(&seen)).await;
        stands(&world, &seen, &seen).await;
    }
    // The newest of the complete copies stands, not the longest.
    let removed = shown("e1", 9, REMOVALS[2]);
    world.fetch(std::slice::from_ref(&removed)).await;
    let late = edited(6, "between");
    archive(&world, std::slice::from_ref(&late)).await;
    stands(&world, &late, &removed).await;
    archive(&world, &[edited(5, "earlier")]).await;
    stands(&world, &late, &removed).await;
}

async fn one_batch_may_hold_the_copy_and_its_removal(world: World) {
    for (number, backwards) in [false, true].into_iter().enumerate() {
        let name = format!("h{number}");
        let mut batch = vec![
            shown(&name, 1, &POST.replace("A long", "An old")),
            shown(&name, 2, POST),
            shown(&name, 5, REMOVALS[2]),
            shown(&name, 7, REMOVALS[4]),
        ];
        let (whole, removed) = (batch[1].clone(), batch[3].clone());
        if backwards {
            batch.reverse();
        }
        archive(&world, &batch).await;
        stands(&world, &whole, &removed).await;
        archive(&world, &batch).await;
        stands(&world, &whole, &removed).await;
    }
}

async fn rows_of_older_versions_keep_their_copy(world: World) {
    let whole = shown("v1", 0, POST);
    let removed = shown("v2", 5, REMOVALS[2]);
    archive(
        &world,
        &[whole.clone(), removed.clone(), shown("v3", 0, POST)],
    )
    .await;
    world
        .run("UPDATE submissions SET completeness = NULL, removed_ms = NULL")
        .await;
    let later = shown("v1", 9, REMOVALS[4]);
    let earlier = shown("v2", 2, POST);
    archive(&world, &[later.clone(), earlier.clone()]).await;
    stands(&world, &whole, &later).await;
    stands(&world, &earlier, &removed).await;
    // And once more, on what was made of them.
    let last = shown("v1", 12, REMOVALS[3]);
    archive(&world, std::slice::from_ref(&last)).await;
    stands(&world, &whole, &last).await;
}

/// How much the ways show, from the text over the title and the address to the author.
const RANKS: [i16; 5] = [15, 14, 7, 6, 2];

async fn whatever_the_order_of_arrival_the_row_is_the_same(world: World) {
    // What is shown, by when; the places of the batches that hold it; and how they come.
    let seen = (0usize..9, 0i64..4_000);
    let history = (
        prop::collection::vec((seen, 0usize..5), 1..9),
        any::<bool>(),
    );
    let number = AtomicUsize::new(0);
    check(24, &history, async |(history, fetched)| {
        let name = format!("p{}", number.fetch_add(1, Ordering::Relaxed));
        let mut batches = vec![Vec::new(); 5];
        let mut all: Vec<(i16, Observation)> = Vec::new();
        for (place, ((way, at), batch)) in history.into_iter().enumerate() {
            // No two at the same time.
            let at = at * 10 + place as i64;
            let (rank, fields) = match REMOVALS.get(way) {
                Some(removal) => (RANKS[way], (*removal).to_owned()),
                None => (16, POST.replace("A long", &format!("Text {way}"))),
            };
            let observation = shown(&name, at, &fields);
            batches[batch].push(observation.clone());
            all.push((rank, observation));
        }
        for batch in batches {
            if fetched {
                world.fetch(&batch).await;
            } else {
                archive(&world, &batch).await;
            }
        }
        let last = all.iter().max_by_key(|(_, it)| it.observed_ms).unwrap();
        let copy = all
            .iter()
            .max_by_key(|(rank, it)| (*rank, it.observed_ms))
            .unwrap();
        stands(&world, &copy.1, &last.1).await;
    });
}

/// The ranks above are those of the program.
#[test]
fn each_way_shows_as_much_as_is_said() {
    for (removal, rank) in REMOVALS.iter().zip(RANKS) {
        let json = format!(r#"{{"id":"a","created_utc":1{removal}}}"#);
        let seen = decode(raw(&json), NOW).unwrap().submission;
        assert_eq!(seen.completeness().as_number(), rank, "{removal}");
    }
}
