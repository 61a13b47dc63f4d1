//! Many submissions, read a page at a time.

use super::conformance;
use super::fixtures::{NOW, World, seen_with};
use freshet::store::Cursor;
use freshet::submission::{Observation, decode};

conformance!(
    each_submission_of_a_subreddit_is_read_once_and_in_order_whatever_the_page,
    a_range_holds_its_first_second_and_not_its_last,
    a_count_is_of_what_would_be_read,
    subreddits_are_told_one_after_the_other_whatever_their_spelling,
);

fn at(id: &str, created_utc: i64, subreddit: Option<&str>) -> Observation {
    let subreddit = subreddit.map_or(String::new(), |name| format!(r#","subreddit":"{name}""#));
    let json = format!(r#"{{"id":"{id}","created_utc":{created_utc}{subreddit}}}"#);
    decode(serde_json::value::RawValue::from_string(json).unwrap(), NOW).unwrap()
}

async fn read(world: &World, mut cursor: Cursor, limit: u32) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        let rows = world.store.submissions(&cursor, limit).await.unwrap();
        let Some(last) = rows.last() else {
            return read;
        };
        assert!(rows.len() <= limit as usize);
        cursor.created_utc = last.created_utc;
        cursor.id = last.id.as_str().to_owned();
        read.extend(rows.into_iter().map(|row| row.id.as_str().to_owned()));
    }
}

fn cursor(subreddit: Option<&str>) -> Cursor {
    Cursor {
        subreddit: subreddit.map(str::to_owned),
        created_utc: i64::MIN,
        id: String::new(),
        until: i64::MAX,
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
        let rust = read(&world, cursor(Some("rust")), limit).await;
        assert_eq!(rust, ["c", "10", "b", "z", "a"], "pages of {limit}");
        assert_eq!(read(&world, cursor(None), limit).await, ["none1", "none2"]);
    }
    assert!(read(&world, cursor(Some("nosuch")), 5).await.is_empty());
}

async fn a_range_holds_its_first_second_and_not_its_last(world: World) {
    let listed = [1, 2, 3, 4].map(|second| at(&second.to_string(), second, Some("rust")));
    world.list(&listed).await;
    let range = Cursor {
        created_utc: 2,
        until: 4,
        ..cursor(Some("rust"))
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
