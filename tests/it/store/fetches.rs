//! Recording fetches.

use super::conformance;
use super::fixtures::{NOW, World, id, ids, left_out, nothing, raw, seen, seen_with};
use freshet::store::{FetchRecord, FetchStored, Status, Totals};
use freshet::submission::Undecodable;

conformance!(
    a_fetched_submission_replaces_the_listed_one_and_ends_its_fetch,
    an_equal_object_is_marked_as_fetched_and_not_rewritten,
    an_older_observation_is_not_written_yet_its_fetch_ends,
    what_a_listing_saw_by_a_clock_that_is_ahead_is_no_newer,
    what_a_clock_saw_that_was_set_back_is_no_newer,
    an_id_that_was_never_listed_is_inserted,
    what_is_not_given_out_any_more_keeps_its_listed_copy,
    what_was_left_out_of_an_overtaken_answer_is_not_unavailable,
    what_was_left_out_is_asked_for_again_and_costs_no_attempt,
    of_one_id_twice_in_a_batch_the_newest_is_kept,
    a_record_repeated_after_a_lost_answer_changes_nothing,
    totals_equal_what_is_counted,
    an_object_of_any_depth_is_stored_with_its_columns,
);

async fn a_fetched_submission_replaces_the_listed_one_and_ends_its_fetch(world: World) {
    world.list(&[seen("a1", NOW)]).await;
    let fetched = seen_with(
        "a1",
        NOW + 1,
        r#","subreddit":"Rust","title":"new","score":9"#,
    );
    let stored = world.fetch(std::slice::from_ref(&fetched)).await;
    assert_eq!(
        stored,
        FetchStored {
            changed: vec![0],
            ..FetchStored::default()
        }
    );
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Fetched);
    assert_eq!((row.title.as_deref(), row.score), (Some("new"), Some(9)));
    assert_eq!(
        (row.fetched_at, row.discovered_at),
        (Some(NOW / 1000), NOW / 1000)
    );
    assert_eq!(
        (row.raw.as_str(), row.observed_ms),
        (fetched.raw.get(), NOW + 1)
    );
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
}

async fn an_equal_object_is_marked_as_fetched_and_not_rewritten(world: World) {
    // Large and random enough that Postgres keeps it apart from the row.
    let mut state = 1_u64;
    let noise: String = (0..20_000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + (state >> 33) as u8 % 26)
        })
        .collect();
    let fields = format!(r#","title":"t","noise":"{noise}""#);
    world.list(&[seen_with("a1", NOW, &fields)]).await;
    let chunks = "SELECT CAST(reltoastrelid AS bigint) FROM pg_class WHERE relname = 'submissions'";
    let before = if world.is_postgres() {
        assert!(world.number(chunks).await > 0);
        toast_transactions(&world).await
    } else {
        Vec::new()
    };
    let stored = world.fetch(&[seen_with("a1", NOW + 5, &fields)]).await;
    assert_eq!((stored.unchanged, stored.changed), (vec![0], vec![]));
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!((row.status, row.observed_ms), (Status::Fetched, NOW + 5));
    assert_eq!(row.fetched_at, Some(NOW / 1000));
    if world.is_postgres() {
        assert!(!before.is_empty(), "the object is kept apart");
        assert_eq!(toast_transactions(&world).await, before);
        let changed = format!("{fields},\"more\":1");
        world.fetch(&[seen_with("a1", NOW + 6, &changed)]).await;
        assert_ne!(toast_transactions(&world).await, before);
    }
}

/// Which transactions wrote the chunks that Postgres keeps apart from the rows.
async fn toast_transactions(world: &World) -> Vec<String> {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(&world.url).await.unwrap();
    let table: String = sqlx::query_scalar(
        "SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname = 'submissions'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let sql = format!("SELECT xmin::text || ' ' || chunk_id::text FROM {table} ORDER BY 1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

async fn an_older_observation_is_not_written_yet_its_fetch_ends(world: World) {
    world.list(&[seen("a1", NOW)]).await;
    world
        .fetch(&[seen_with("a1", NOW + 10, r#","title":"newest""#)])
        .await;
    let old = r#","title":"old""#;
    let stored = world.fetch(&[seen_with("a1", NOW + 9, old)]).await;
    assert_eq!(stored.stale, [0]);
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(
        (row.title.as_deref(), row.observed_ms),
        (Some("newest"), NOW + 10)
    );
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
}

async fn what_a_listing_saw_by_a_clock_that_is_ahead_is_no_newer(world: World) {
    let ahead = NOW + 30_000;
    world.list(&[seen("a1", ahead), seen("a2", ahead)]).await;
    let fetched = r#","title":"fetched""#;
    let stored = world
        .fetch(&[seen_with("a1", NOW, fetched), seen("a2", NOW)])
        .await;
    assert_eq!((stored.changed, stored.unchanged), (vec![0], vec![1]));
    for (id_, title) in [("a1", "fetched"), ("a2", "t")] {
        let row = world.store.submission(&id(id_)).await.unwrap().unwrap();
        assert_eq!(row.title.as_deref(), Some(title), "{id_}");
        assert_eq!((row.status, row.observed_ms), (Status::Fetched, NOW));
    }
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
    assert_eq!(world.store.totals().await.unwrap().fetched, 2);
}

async fn what_a_clock_saw_that_was_set_back_is_no_newer(world: World) {
    world
        .list(&[seen("a1", NOW), seen("a2", NOW), seen("a3", NOW)])
        .await;
    world
        .fetch(&[seen_with("a1", NOW + 5, r#","title":"before""#)])
        .await;
    // An hour back: what is fetched now is newer than all that, in content or in time alone.
    let back = NOW - 3_600_000;
    let now = r#","title":"now""#;
    let record = FetchRecord {
        observations: &[
            seen_with("a1", back, now),
            seen_with("a2", back, now),
            seen("a3", back),
        ],
        now_ms: back,
        ..nothing()
    };
    let stored = world.store.record_fetches(&record).await.unwrap();
    assert_eq!((stored.changed, stored.unchanged), (vec![0, 1], vec![2]));
    for (id_, title) in [("a1", "now"), ("a2", "now"), ("a3", "t")] {
        let row = world.store.submission(&id(id_)).await.unwrap().unwrap();
        assert_eq!(row.title.as_deref(), Some(title), "{id_}");
        assert_eq!((row.status, row.observed_ms), (Status::Fetched, back));
    }
    // From then on time is what it is again.
    let record = FetchRecord {
        observations: &[seen_with("a1", back - 1, r#","title":"old""#)],
        now_ms: back + 9,
        ..nothing()
    };
    let stored = world.store.record_fetches(&record).await.unwrap();
    assert_eq!(stored.stale, [0]);
}

async fn an_id_that_was_never_listed_is_inserted(world: World) {
    assert_eq!(world.fetch(&[seen("b1", NOW)]).await.changed, [0]);
    let row = world.store.submission(&id("b1")).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.discovered_at),
        (Status::Fetched, NOW / 1000)
    );
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
}

async fn what_is_not_given_out_any_more_keeps_its_listed_copy(world: World) {
    world.list(&[seen("a1", NOW)]).await;
    world.give_up(&ids(&["a1", "never"])).await;
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.title.as_deref()),
        (Status::Unavailable, Some("t"))
    );
    assert_eq!((row.fetched_at, row.observed_ms), (None, NOW));
    assert_eq!(world.store.submission(&id("never")).await.unwrap(), None);
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
    // It may come back by a fetch, too.
    assert_eq!(world.fetch(&[seen("a1", NOW + 9)]).await.unchanged, [0]);
    let totals = world.store.totals().await.unwrap();
    assert_eq!((totals.fetched, totals.unavailable), (1, 0));
}

async fn what_was_left_out_of_an_overtaken_answer_is_not_unavailable(world: World) {
    let store = &world.store;
    world
        .list(&[seen("a1", NOW), seen("a2", NOW), seen("a3", NOW)])
        .await;
    // Its answer leaves all of them out, and then it is frozen.
    let all = ids(&["a1", "a2", "a3"]);
    store.start_attempts(&all, "frozen", NOW).await.unwrap();
    // Others go on: one is fetched, one is under way, and one was left out and is listed again.
    let begun = store.start_attempts(&all, "other", NOW + 7_000).await;
    assert_eq!(begun.unwrap().len(), 3);
    let a1 = seen_with("a1", NOW + 10_000, r#","title":"fetched""#);
    world.fetch(&[a1]).await;
    let third = ids(&["a3"]);
    let record = left_out(&third, "other");
    store.record_fetches(&record).await.unwrap();
    world.list(&[seen("a3", NOW + 11_000)]).await;
    let before = store.totals().await.unwrap();
    assert_eq!((before.fetched, before.unavailable), (1, 0));

    for _ in 0..2 {
        let record = left_out(&all, "frozen");
        let stored = store.record_fetches(&record).await.unwrap();
        assert_eq!(stored.unavailable, []);
    }
    assert_eq!(store.totals().await.unwrap(), before);
    let rows = "SELECT count(*) FROM submissions WHERE status = 'unavailable'";
    assert_eq!(world.number(rows).await, 0);
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 2);
    let counted = "SELECT CAST(sum(fetches) AS bigint) FROM counters";
    assert_eq!(world.number(counted).await, 2);
    // Whose attempt it is knows.
    let second = ids(&["a2"]);
    let record = left_out(&all, "other");
    let stored = store.record_fetches(&record).await.unwrap();
    assert_eq!(stored.unavailable, second);
    let row = store.submission(&id("a2")).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Unavailable);
}

async fn what_was_left_out_is_asked_for_again_and_costs_no_attempt(world: World) {
    let store = &world.store;
    world.list(&[seen("a1", NOW)]).await;
    for round in 1..=3 {
        assert_eq!(store.claim_fetches(NOW, 9).await.unwrap(), ids(&["a1"]));
        let attempt = &store.start_attempts(&ids(&["a1"]), "w", NOW).await.unwrap()[0];
        assert_eq!((attempt.attempts, attempt.omissions), (1, round - 1));
        assert_eq!(attempt.subreddit.as_deref(), Some("rust"));
        let record = FetchRecord {
            deferred: &[(id("a1"), NOW)],
            ..nothing()
        };
        store.record_fetches(&record).await.unwrap();
        // Again, as after a lost answer: the omission is not counted twice.
        store.record_fetches(&record).await.unwrap();
    }
    let record = FetchRecord {
        deferred: &[(id("a1"), NOW + 500)],
        ..nothing()
    };
    store.record_fetches(&record).await.unwrap();
    assert!(store.claim_fetches(NOW + 499, 9).await.unwrap().is_empty());
    assert_eq!(store.fetch_counts(NOW).await.unwrap().deferred, 1);
    assert_eq!(store.claim_fetches(NOW + 500, 9).await.unwrap().len(), 1);
}

async fn of_one_id_twice_in_a_batch_the_newest_is_kept(world: World) {
    let with = |title: &str, observed_ms: i64| {
        seen_with("a1", observed_ms, &format!(r#","title":"{title}""#))
    };
    let batch = [with("b", NOW + 2), with("c", NOW + 3), with("a", NOW + 1)];
    let stored = world.fetch(&batch).await;
    assert_eq!((stored.changed, stored.stale), (vec![1], vec![0, 2]));
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(row.title.as_deref(), Some("c"));
}

async fn a_record_repeated_after_a_lost_answer_changes_nothing(world: World) {
    world
        .list(&[seen("a1", NOW), seen("a2", NOW), seen("a3", NOW)])
        .await;
    let odd = Undecodable {
        raw: raw("[]"),
        cause: freshet::submission::Refusal::NoId,
        reason: "odd".to_owned(),
        observed_ms: NOW,
    };
    let record = FetchRecord {
        observations: &[
            seen_with("a1", NOW + 1, r#","title":"new""#),
            seen("b1", NOW),
        ],
        undecodable: &[odd],
        deferred: &[(id("a2"), NOW + 60_000)],
        unavailable: &ids(&["a3"]),
        by: "w",
        now_ms: NOW,
    };
    let others = ids(&["a2", "a3"]);
    let begun = world.store.start_attempts(&others, "w", NOW).await;
    assert_eq!(begun.unwrap().len(), 2);
    let first = world.store.record_fetches(&record).await.unwrap();
    assert_eq!(first.changed, [0, 1]);
    let totals = world.store.totals().await.unwrap();
    let counts = world.store.fetch_counts(NOW).await.unwrap();
    let row = world.store.submission(&id("a1")).await.unwrap();
    let second = world.store.record_fetches(&record).await.unwrap();
    assert_eq!((second.changed, second.unchanged), (vec![], vec![0, 1]));
    assert_eq!(world.store.totals().await.unwrap(), totals);
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap(), counts);
    assert_eq!(world.store.submission(&id("a1")).await.unwrap(), row);
}

async fn totals_equal_what_is_counted(world: World) {
    let listed: Vec<_> = (0..30).map(|n| seen(&format!("x{n}"), NOW)).collect();
    world.list(&listed).await;
    world.fetch(&listed[..12]).await;
    let gone: Vec<_> = (10..17).map(|n| id(&format!("x{n}"))).collect();
    world.give_up(&gone).await;
    world.list(&listed[15..20]).await;
    assert_eq!(
        world.store.totals().await.unwrap(),
        Totals {
            discovered: 15,
            fetched: 12,
            unavailable: 3,
            undecodable: 0
        }
    );
    for (status, expected) in [
        (
            "SELECT count(*) FROM submissions WHERE status = 'discovered'",
            15,
        ),
        (
            "SELECT count(*) FROM submissions WHERE status = 'fetched'",
            12,
        ),
        (
            "SELECT count(*) FROM submissions WHERE status = 'unavailable'",
            3,
        ),
        ("SELECT count(*) FROM fetches", 15),
        ("SELECT CAST(sum(fetches) AS bigint) FROM counters", 15),
    ] {
        assert_eq!(world.number(status).await, expected, "{status}");
    }
}

async fn an_object_of_any_depth_is_stored_with_its_columns(world: World) {
    let inner = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (number, depth) in [499, 500, 501, 1_001, 20_000].into_iter().enumerate() {
        let id = format!("a{number}");
        let deep = format!(r#","title":"kept","score":7,"deep":{}"#, inner(depth));
        world.list(&[seen(&id, NOW)]).await;
        let stored = world.fetch(&[seen_with(&id, NOW + 1, &deep)]).await;
        assert_eq!(stored.changed, [0], "{depth}");
        let row = world.store.submission(&id.parse().unwrap()).await.unwrap();
        let row = row.unwrap();
        assert_eq!(row.title.as_deref(), Some("kept"), "{depth}");
        assert_eq!(row.score, Some(7), "{depth}");
        // The object itself is the first level; what is too deep is a string of its JSON.
        let kept = if depth < 500 {
            deep
        } else {
            let (open, close) = ("[".repeat(499), "]".repeat(499));
            let below = inner(depth - 499);
            format!(r#","title":"kept","score":7,"deep":{open}"{below}"{close}"#)
        };
        assert!(row.raw.ends_with(&format!("{kept}}}")), "{depth}");
        let again = world.fetch(&[seen_with(&id, NOW + 2, &kept)]).await;
        assert_eq!(again.changed.len() + again.unchanged.len(), 1);
    }
    let fresh = world
        .list(&[seen_with("c1", NOW, &format!(",\"x\":{}", inner(9_000)))])
        .await;
    assert_eq!(fresh.fresh, [0]);
    assert_eq!(world.store.totals().await.unwrap().undecodable, 0);
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap().dead, 0);
}
