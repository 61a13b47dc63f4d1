//! Many submissions, read a page at a time, whatever their columns contain.

use super::conformance;
use super::fixtures::{NOW, World, seen_with};
use crate::support::odd_rows::{insert_odd_rows, stored_ids};
use freshet::store::{Cell, CellType, Selection};
use freshet::submission::{Observation, decode};

conformance!(
    each_submission_of_a_subreddit_is_read_once_and_in_order_whatever_the_page,
    a_range_holds_its_first_second_and_not_its_last,
    a_count_is_of_what_would_be_read,
    subreddits_are_told_one_after_the_other_whatever_their_spelling,
    whatever_any_column_contains_each_stored_id_is_read_once,
);

fn at(id: &str, created_utc: i64, subreddit: Option<&str>) -> Observation {
    let subreddit = subreddit.map_or(String::new(), |name| format!(r#","subreddit":"{name}""#));
    let json = format!(r#"{{"id":"{id}","created_utc":{created_utc}{subreddit}}}"#);
    decode(serde_json::value::RawValue::from_string(json).unwrap(), NOW).unwrap()
}

fn selection(subreddit: Option<&str>) -> Selection {
    Selection {
        columns: vec![("id", CellType::Text)],
        subreddits: subreddit.into_iter().map(str::to_owned).collect(),
        since: None,
        until: None,
    }
}

async fn read(world: &World, selection: Selection, limit: u32) -> Vec<String> {
    let mut reader = world.store.read_submissions(selection);
    let mut read = Vec::new();
    loop {
        let rows = reader.next_page(limit).await.unwrap();
        if rows.is_empty() {
            return read;
        }
        assert!(rows.len() <= limit as usize);
        read.extend(rows.into_iter().map(|row| match &row[0] {
            Cell::Text(id) => id.clone(),
            other => panic!("the id is {other:?}"),
        }));
    }
}

async fn each_submission_of_a_subreddit_is_read_once_and_in_order_whatever_the_page(world: World) {
    let listed = [
        at("b", 7, Some("Rust")),
        at("z", 7, Some("rust")),
        at("10", 7, Some("RUST")),
        at("a", 8, Some("Rust")),
        at("c", 0, Some("Rust")),
        at("other", 7, Some("Rustic")),
        at("none2", 7, None),
        at("none1", 7, None),
    ];
    world.list(&listed).await;
    for limit in 1..=6 {
        let rust = read(&world, selection(Some("rust")), limit).await;
        assert_eq!(rust, ["c", "10", "b", "z", "a"], "pages of {limit}");
        let all = read(&world, selection(None), limit).await;
        let expected = ["c", "10", "b", "z", "a", "other", "none1", "none2"];
        assert_eq!(all, expected, "pages of {limit}");
    }
    assert!(read(&world, selection(Some("nosuch")), 5).await.is_empty());
}

async fn a_range_holds_its_first_second_and_not_its_last(world: World) {
    let listed = [1, 2, 3, 4].map(|second| at(&second.to_string(), second, Some("rust")));
    world.list(&listed).await;
    let range = Selection {
        since: Some(2),
        until: Some(4),
        ..selection(Some("rust"))
    };
    assert_eq!(read(&world, range, 10).await, ["2", "3"]);
}

async fn a_count_is_of_what_would_be_read(world: World) {
    let listed = [1, 2, 3, 4].map(|second| at(&second.to_string(), second, Some("Rust")));
    let others = [at("zig3", 3, Some("zig")), at("none3", 3, None)];
    world.list(&[&listed[..], &others].concat()).await;
    for (subreddit, since, until, count) in [
        ("rust", i64::MIN, i64::MAX, 4),
        ("rust", 2, 4, 2),
        ("zig", 3, 4, 1),
        ("zig", 4, 9, 0),
        ("nosuch", i64::MIN, i64::MAX, 0),
    ] {
        let counted = world.store.count_submissions(subreddit, since, until);
        assert_eq!(counted.await.unwrap(), count, "{subreddit} {since} {until}");
    }
}

async fn subreddits_are_told_one_after_the_other_whatever_their_spelling(world: World) {
    assert_eq!(world.store.subreddit_after("").await.unwrap(), None);
    let spelt = ["Rust", "rust", "AskReddit", "zig", "a_b"];
    let listed: Vec<Observation> = spelt
        .iter()
        .enumerate()
        .map(|(place, name)| at(&place.to_string(), 1, Some(name)))
        .chain([seen_with("none", NOW, "")])
        .collect();
    world.list(&listed).await;
    let (mut names, mut name) = (Vec::new(), String::new());
    while let Some(next) = world.store.subreddit_after(&name).await.unwrap() {
        name.clone_from(&next);
        names.push(next);
    }
    assert_eq!(names, ["a_b", "askreddit", "rust", "zig"]);
}

async fn whatever_any_column_contains_each_stored_id_is_read_once(world: World) {
    insert_odd_rows(&world, 1).await;
    let stored = stored_ids(&world).await;
    for limit in [1, 7, 1000] {
        let mut read = read(&world, selection(None), limit).await;
        read.sort_unstable();
        assert_eq!(read, stored, "pages of {limit}");
    }
}
