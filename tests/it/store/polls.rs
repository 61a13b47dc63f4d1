//! Recording polls.

use super::conformance;
use super::fixtures::{NOW, World, id, ids, member, name, raw, seen, seen_with};
use freshet::store::{
    FetchCounts, PollRecord, Status, Store, SubredditState, Totals, WindowOutcome, WindowRecord,
};
use freshet::submission::{Undecodable, decode};

conformance!(
    what_is_new_is_stored_and_has_to_be_fetched,
    what_is_young_is_fetched_before_what_a_first_window_finds,
    what_is_known_is_left_alone,
    what_had_become_unavailable_and_reappears_is_fetched_again,
    one_id_twice_in_a_batch_is_one_submission,
    a_poll_repeated_after_a_lost_answer_changes_nothing,
    submissions_are_stored_also_for_a_claim_that_was_lost,
    only_a_members_own_submissions_count_as_its,
    what_is_new_of_one_that_nothing_is_recorded_of_counts_as_its_too,
    the_watermark_never_moves_back,
    what_is_no_submission_is_kept_once_and_counted,
    polls_of_the_same_ids_at_once_store_each_once,
    windows_are_listed_newest_first_and_pruned_by_age,
    a_poll_that_is_only_tried_tells_what_it_would_bring_and_leaves_nothing,
);

async fn what_is_new_is_stored_and_has_to_be_fetched(world: World) {
    let listed = [seen("a1", NOW - 100), seen("a2", NOW - 100)];
    assert_eq!(world.list(&listed).await.fresh, [0, 1]);
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Discovered);
    assert_eq!((row.discovered_at, row.fetched_at), (NOW / 1000, None));
    assert_eq!(row.subreddit.as_deref(), Some("Rust"), "Reddit's spelling");
    assert_eq!(row.raw, listed[0].raw.get());
    assert_eq!(row.observed_ms, NOW - 100);
    let counts = world.store.fetch_counts(NOW).await.unwrap();
    assert_eq!(
        counts,
        FetchCounts {
            backlog: 2,
            ..FetchCounts::default()
        }
    );
    let due = world.store.claim_fetches(NOW, 10).await.unwrap();
    assert_eq!(due, ids(&["a1", "a2"]));
    assert_eq!(world.store.submission(&id("zz")).await.unwrap(), None);
}

async fn what_is_young_is_fetched_before_what_a_first_window_finds(world: World) {
    let now = NOW / 1000;
    let seen_at = |id: &str, created: i64| {
        let json = format!(r#"{{"id":"{id}","created_utc":{created}.0,"subreddit":"Rust"}}"#);
        decode(raw(&json), NOW).unwrap()
    };
    // As a listing does not order them; a clock that is behind Reddit's makes nothing old.
    world
        .list(&[
            seen_at("a1", now - 86_400),
            seen_at("a2", now + 7_200),
            seen_at("a3", now - Store::LIVE_SECONDS - 1),
            seen_at("a4", now - Store::LIVE_SECONDS),
            seen_at("a5", 0),
            seen_at("a6", now),
        ])
        .await;
    let live = world.store.claim_live_first(NOW, 9, 0).await.unwrap();
    assert_eq!(live, ids(&["a2", "a4", "a6"]));
    let others = world.store.claim_fetches(NOW, 9).await.unwrap();
    assert_eq!(others, ids(&["a1", "a3", "a5"]));
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap().fed, 6);
}

async fn what_is_known_is_left_alone(world: World) {
    world.list(&[seen("a1", NOW)]).await;
    let changed = seen_with("a1", NOW + 5000, r#","title":"other""#);
    assert!(world.list(&[changed]).await.fresh.is_empty());
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!((row.title.as_deref(), row.observed_ms), (Some("t"), NOW));
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap().backlog, 1);
}

async fn what_had_become_unavailable_and_reappears_is_fetched_again(world: World) {
    world.list(&[seen("a1", NOW)]).await;
    world.give_up(&ids(&["a1"])).await;
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap().backlog, 0);
    assert!(world.list(&[seen("a1", NOW + 1)]).await.fresh.is_empty());
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Discovered);
    assert_eq!(
        world.store.claim_fetches(NOW, 9).await.unwrap(),
        ids(&["a1"])
    );
    let totals = world.store.totals().await.unwrap();
    assert_eq!((totals.discovered, totals.unavailable), (1, 0));
}

async fn one_id_twice_in_a_batch_is_one_submission(world: World) {
    let older = seen_with("a1", NOW - 9, r#","title":"older""#);
    let newer = seen_with("a1", NOW, r#","title":"newer""#);
    let stored = world.list(&[newer, older, seen("a2", NOW)]).await;
    assert_eq!(stored.fresh, [0, 2]);
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(row.title.as_deref(), Some("newer"));
    assert_eq!(world.store.totals().await.unwrap().discovered, 2);
}

async fn a_poll_repeated_after_a_lost_answer_changes_nothing(world: World) {
    let claim = world.claimed("rust").await;
    let mut record = member(&claim);
    record.window = Some(window(NOW / 1000, WindowOutcome::Truncated));
    record.proven = Some(super::fixtures::interval(100, 200));
    record.gap = super::fixtures::gap(50, 100, freshet::store::GapCause::Cap);
    let odd = Undecodable {
        raw: raw("{}"),
        cause: freshet::submission::Refusal::NoId,
        reason: "it has no id".to_owned(),
        observed_ms: NOW,
    };
    let listed = [seen("a1", NOW)];
    let poll = PollRecord {
        listed: &listed,
        undecodable: &[odd],
        members: &[record],
        sweep: None,
        now_ms: NOW,
    };
    let first = world.store.record_poll(&poll).await.unwrap();
    assert_eq!((first.fresh.len(), first.gaps_opened.len()), (1, 1));
    let before = everything(&world).await;
    let second = world.store.record_poll(&poll).await.unwrap();
    assert!(second.fresh.is_empty() && second.gaps_opened.is_empty());
    assert!(second.lost.is_empty());
    assert_eq!(everything(&world).await, before);
    assert_eq!(
        world
            .number("SELECT CAST(max(times) AS bigint) FROM undecodable")
            .await,
        1
    );
}

async fn a_poll_that_is_only_tried_tells_what_it_would_bring_and_leaves_nothing(world: World) {
    let claim = world.claimed("rust").await;
    let mut record = member(&claim);
    record.window = Some(window(1000, WindowOutcome::Complete));
    let poll = PollRecord {
        listed: &[seen("a1", NOW)],
        undecodable: &[],
        members: &[record],
        sweep: None,
        now_ms: NOW,
    };
    let before = everything(&world).await;
    let tried = world.store.try_poll(&poll).await.unwrap();
    assert_eq!(everything(&world).await, before);
    assert_eq!(world.store.record_poll(&poll).await.unwrap(), tried);
    assert_eq!(tried.fresh, [0]);
}

/// What a reader can see, as text.
async fn everything(world: &World) -> String {
    let store = &world.store;
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        store.subreddits().await.unwrap(),
        store.poll_windows(&name("rust"), 99).await.unwrap(),
        store.coverage(&name("rust")).await.unwrap(),
        store.gaps(None, None).await.unwrap(),
        store.totals().await.unwrap(),
        store.fetch_counts(NOW).await.unwrap(),
        store.submission(&id("a1")).await.unwrap(),
    )
}

async fn submissions_are_stored_also_for_a_claim_that_was_lost(world: World) {
    let claim = world.claimed("rust").await;
    world.store.remove_subreddit(&name("rust")).await.unwrap();
    let poll = PollRecord {
        listed: &[seen("a1", NOW)],
        undecodable: &[],
        members: &[member(&claim)],
        sweep: None,
        now_ms: NOW,
    };
    let stored = world.store.record_poll(&poll).await.unwrap();
    assert_eq!((stored.fresh, stored.lost), (vec![0], vec![name("rust")]));
    assert!(world.store.submission(&id("a1")).await.unwrap().is_some());
}

async fn only_a_members_own_submissions_count_as_its(world: World) {
    let store = &world.store;
    let rust = world.claimed("rust").await;
    let python = world.claimed("python").await;
    let created = |id: &str, subreddit: &str, at: i64| {
        let json = format!(r#"{{"id":"{id}","created_utc":{at},"subreddit":"{subreddit}"}}"#);
        freshet::submission::decode(raw(&json), NOW).unwrap()
    };
    let listed = [
        created("a1", "Rust", 500),
        created("a2", "RUST", 700),
        created("a3", "u_someone", 900),
        seen_with("a4", NOW, ""),
    ];
    let mut members = [member(&rust), member(&python)];
    members[0].window = Some(window(1000, WindowOutcome::Complete));
    let poll = PollRecord {
        listed: &listed,
        undecodable: &[],
        members: &members,
        sweep: None,
        now_ms: NOW,
    };
    assert_eq!(store.record_poll(&poll).await.unwrap().fresh.len(), 4);
    let list = store.subreddits().await.unwrap();
    assert_eq!((list[0].submissions, list[0].last_submission_at), (0, None));
    assert_eq!(
        (list[1].submissions, list[1].last_submission_at),
        (2, Some(700))
    );
    assert_eq!(list[1].last_complete_at, Some(1000));
    assert_eq!(list[1].polled_at, Some(NOW / 1000));
    assert_eq!(list[1].posts_per_hour, 2.5);
    assert_eq!(
        (list[1].claimed_by.clone(), list[1].claimed_until_ms),
        (None, None)
    );
    assert_eq!(
        store.poll_windows(&name("rust"), 9).await.unwrap()[0].fresh,
        2
    );
}

async fn what_is_new_of_one_that_nothing_is_recorded_of_counts_as_its_too(world: World) {
    let store = &world.store;
    let rust = world.claimed("rust").await;
    world.claimed("python").await;
    let created = |id: &str, subreddit: &str| {
        let json = format!(r#"{{"id":"{id}","created_utc":500,"subreddit":"{subreddit}"}}"#);
        freshet::submission::decode(raw(&json), NOW).unwrap()
    };
    let listed = [
        created("a1", "rust"),
        created("a2", "Python"),
        created("a3", "python"),
        created("a4", "unwatched"),
    ];
    // The other is to be listed alone, or the items are stored without their windows.
    for (members, fresh) in [(vec![member(&rust)], 4), (Vec::new(), 0)] {
        let poll = PollRecord {
            listed: &listed,
            undecodable: &[],
            members: &members,
            sweep: None,
            now_ms: NOW,
        };
        assert_eq!(store.record_poll(&poll).await.unwrap().fresh.len(), fresh);
        let list = store.subreddits().await.unwrap();
        let counted = |it: &freshet::store::Subreddit| {
            (
                it.name.as_str().to_owned(),
                it.submissions,
                it.last_submission_at,
            )
        };
        let counted: Vec<_> = list.iter().map(counted).collect();
        let wanted = [("python", 2), ("rust", 1)];
        assert_eq!(
            counted,
            wanted.map(|(name, count)| (name.to_owned(), count, Some(500)))
        );
    }
}

async fn the_watermark_never_moves_back(world: World) {
    let store = &world.store;
    world.claimed("rust").await;
    for (given, expected) in [
        (None, None),
        (Some(500), Some(500)),
        (Some(300), Some(500)),
        (None, Some(500)),
        (Some(600), Some(600)),
    ] {
        let token = store.subreddits().await.unwrap()[0].claim_token;
        let claim = freshet::store::Claim {
            subreddit: name("rust"),
            token,
        };
        let mut record = member(&claim);
        record.update.covered_until = given;
        record.update.posts_per_hour = f64::NAN;
        record.update.state = SubredditState::Active;
        world.record(record).await;
        assert_eq!(store.subreddits().await.unwrap()[0].covered_until, expected);
    }
}

async fn what_is_no_submission_is_kept_once_and_counted(world: World) {
    let odd = |json: &str, observed_ms: i64| Undecodable {
        raw: raw(json),
        cause: freshet::submission::Refusal::NoId,
        reason: "odd\0".to_owned(),
        observed_ms,
    };
    for (now, times) in [(NOW, 1), (NOW + 1, 2), (NOW + 1, 2)] {
        let poll = PollRecord {
            listed: &[],
            undecodable: &[odd(r#"{"a":"\u0000\ud800"}"#, now)],
            members: &[],
            sweep: None,
            now_ms: now,
        };
        world.store.record_poll(&poll).await.unwrap();
        let sql = "SELECT CAST(sum(times) AS bigint) FROM undecodable";
        assert_eq!(world.number(sql).await, times);
    }
    assert_eq!(
        world.store.totals().await.unwrap(),
        Totals {
            undecodable: 1,
            ..Totals::default()
        }
    );
}

async fn polls_of_the_same_ids_at_once_store_each_once(world: World) {
    let other = world.another().await;
    let polls = (0..8).map(|poll| {
        let store = if poll % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            let mut listed: Vec<_> = (0..200)
                .map(|number| seen(&format!("x{number}"), NOW + poll))
                .collect();
            if poll % 3 == 0 {
                listed.reverse();
            }
            let record = PollRecord {
                listed: &listed,
                undecodable: &[],
                members: &[],
                sweep: None,
                now_ms: NOW,
            };
            store.record_poll(&record).await.unwrap().fresh.len()
        })
    });
    let mut fresh = 0;
    for poll in polls.collect::<Vec<_>>() {
        fresh += poll.await.unwrap();
    }
    assert_eq!(fresh, 200);
    assert_eq!(world.store.totals().await.unwrap().discovered, 200);
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap().backlog, 200);
    assert_eq!(world.number("SELECT count(*) FROM submissions").await, 200);
}

async fn windows_are_listed_newest_first_and_pruned_by_age(world: World) {
    let store = &world.store;
    world
        .store
        .add_subreddit(&name("rust"), NOW / 1000)
        .await
        .unwrap();
    for finished_at in [100, 200, 300] {
        let claim = world.claim_again("rust").await;
        let mut record = member(&claim);
        record.window = Some(window(finished_at, WindowOutcome::Complete));
        record.update.next_poll_ms = NOW;
        world.record(record).await;
    }
    let ends = |windows: Vec<freshet::store::PollWindow>| -> Vec<i64> {
        let windows = windows.iter().map(|window| window.window.finished_at);
        windows.collect()
    };
    let newest = store.poll_windows(&name("rust"), 2).await.unwrap();
    assert_eq!(newest[0].window, window(300, WindowOutcome::Complete));
    assert_eq!(ends(newest), [300, 200]);
    assert_eq!(store.prune(300).await.unwrap(), 2);
    assert_eq!(store.prune(300).await.unwrap(), 0);
    assert_eq!(
        ends(store.poll_windows(&name("rust"), 9).await.unwrap()),
        [300]
    );
}

fn window(finished_at: i64, outcome: WindowOutcome) -> WindowRecord {
    WindowRecord {
        window_start: finished_at - 90,
        window_end: finished_at,
        started_at: finished_at - 2,
        finished_at,
        pages: 3,
        listed: 250,
        outcome,
    }
}
