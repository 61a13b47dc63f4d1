//! Recording what an archive kept.

use super::conformance;
use super::contents::same;
use super::fixtures::{NOW, World, id, ids, member, name, raw, seen, seen_with};
use super::random::check;
use freshet::store::{ArchiveRecord, ArchiveStored, PollRecord, Status, Totals};
use freshet::submission::{Observation, Refusal, Undecodable};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

conformance!(
    what_an_archive_kept_is_stored_as_discovered_and_not_fetched,
    only_what_is_newer_and_different_is_rewritten,
    rewriting_leaves_how_far_a_submission_has_come,
    recording_twice_changes_nothing,
    what_is_to_be_refreshed_waits_behind_live_work,
    what_was_fetched_since_or_is_not_given_out_is_not_refreshed,
    what_is_new_counts_for_the_watched_subreddits,
    what_is_no_submission_is_kept_apart_and_what_is_nested_deep_is_stored,
    every_kind_of_content_comes_back_as_it_was_observed,
    recorded_submissions_come_back_byte_for_byte_from_an_archive,
    whatever_the_order_of_polls_fetches_and_archives_the_newest_stands,
);

pub fn record(observations: &[Observation]) -> ArchiveRecord<'_> {
    ArchiveRecord {
        observations,
        undecodable: &[],
        refresh: false,
        now_ms: NOW,
    }
}

async fn archive(world: &World, observations: &[Observation]) -> ArchiveStored {
    let stored = world.store.record_archived(&record(observations)).await;
    stored.unwrap()
}

async fn refresh(world: &World, observations: &[Observation]) -> ArchiveStored {
    let record = ArchiveRecord {
        refresh: true,
        ..record(observations)
    };
    world.store.record_archived(&record).await.unwrap()
}

pub fn stored(fresh: u64, renewed: u64, known: u64) -> ArchiveStored {
    ArchiveStored {
        fresh,
        renewed,
        known,
        ..ArchiveStored::default()
    }
}

async fn what_an_archive_kept_is_stored_as_discovered_and_not_fetched(world: World) {
    let old = NOW - 100_000_000;
    let kept = [seen("a2", old), seen("a1", old), seen("a1", old + 1)];
    assert_eq!(archive(&world, &kept).await, stored(2, 0, 0));
    let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Discovered);
    assert_eq!((row.discovered_at, row.fetched_at), (NOW / 1000, None));
    assert_eq!(row.observed_ms, old + 1, "the newest of two");
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap().backlog, 0);
    let totals = Totals {
        discovered: 2,
        ..Totals::default()
    };
    assert_eq!(world.store.totals().await.unwrap(), totals);
    assert_eq!(archive(&world, &[]).await, ArchiveStored::default());
}

async fn only_what_is_newer_and_different_is_rewritten(world: World) {
    let at = |id: &str, at: i64, title: &str| {
        seen_with(id, at, &format!(r#","title":"{title}","score":{at}"#))
    };
    archive(&world, &[at("a1", NOW, "first")]).await;
    for (observation, result, title, observed_ms) in [
        (at("a1", NOW - 1, "older"), stored(0, 0, 1), "first", NOW),
        (at("a1", NOW, "as old"), stored(0, 0, 1), "first", NOW),
        (
            at("a1", NOW + 5, "newer"),
            stored(0, 1, 0),
            "newer",
            NOW + 5,
        ),
        (at("a1", NOW + 4, "late"), stored(0, 0, 1), "newer", NOW + 5),
    ] {
        assert_eq!(archive(&world, &[observation]).await, result);
        let row = world.store.submission(&id("a1")).await.unwrap().unwrap();
        assert_eq!(row.title.as_deref(), Some(title));
        assert_eq!(
            (row.score, row.observed_ms),
            (Some(observed_ms), observed_ms)
        );
    }
    let mut equal = at("a1", NOW + 5, "newer");
    equal.observed_ms = NOW + 9;
    assert_eq!(archive(&world, &[equal]).await, stored(0, 0, 1));
    let mixed = [
        at("a0", NOW, "new"),
        at("a1", NOW + 20, "again"),
        at("a2", NOW, "new"),
    ];
    assert_eq!(archive(&world, &mixed).await, stored(2, 1, 0));
    for observation in &mixed {
        same(&world, observation).await;
    }
}

async fn rewriting_leaves_how_far_a_submission_has_come(world: World) {
    let listed = [seen("a1", NOW), seen("a2", NOW), seen("a3", NOW)];
    world.list(&listed).await;
    world.fetch(&[seen("a2", NOW + 1)]).await;
    world.give_up(&ids(&["a3"])).await;
    let before = world.store.totals().await.unwrap();
    let kept = ["a1", "a2", "a3"].map(|id| seen_with(id, NOW + 50, r#","title":"kept""#));
    let record = ArchiveRecord {
        now_ms: NOW + 77_000,
        ..record(&kept)
    };
    let result = world.store.record_archived(&record).await.unwrap();
    assert_eq!(result, stored(0, 3, 0));
    for (which, status) in [
        ("a1", Status::Discovered),
        ("a2", Status::Fetched),
        ("a3", Status::Unavailable),
    ] {
        let row = world.store.submission(&id(which)).await.unwrap().unwrap();
        assert_eq!(row.title.as_deref(), Some("kept"));
        assert_eq!((row.status, row.discovered_at), (status, NOW / 1000));
        let fetched_at = (status == Status::Fetched).then_some(NOW / 1000);
        assert_eq!(row.fetched_at, fetched_at);
    }
    assert_eq!(world.store.totals().await.unwrap(), before);
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap().backlog, 1);
}

async fn recording_twice_changes_nothing(world: World) {
    world.claimed("rust").await;
    let kept: Vec<_> = (0..150).map(|n| seen(&format!("a{n}"), NOW - n)).collect();
    assert_eq!(refresh(&world, &kept).await, stored(150, 0, 0));
    let all = async || {
        let list = world.store.subreddits().await.unwrap();
        let totals = world.store.totals().await.unwrap();
        let counts = world.store.fetch_counts(NOW).await.unwrap();
        (list[0].submissions, totals, counts.backlog)
    };
    let once = all().await;
    assert_eq!((once.0, once.2), (150, 150));
    assert_eq!(refresh(&world, &kept).await, stored(0, 0, 150));
    assert_eq!(all().await, once);
}

async fn what_is_to_be_refreshed_waits_behind_live_work(world: World) {
    refresh(&world, &[seen("a1", NOW - 900), seen("a2", NOW - 900)]).await;
    world.list(&[seen("b1", NOW)]).await;
    let due = world.store.claim_fetches(NOW, 1).await.unwrap();
    assert_eq!(due, ids(&["b1"]), "live work first");
    let due = world.store.claim_fetches(NOW, 10).await.unwrap();
    assert_eq!(due, ids(&["a1", "a2"]));
    let priority = world.number("SELECT CAST(min(priority) AS bigint) FROM fetches WHERE id < 'b'");
    assert_eq!(priority.await, 2);
}

async fn what_was_fetched_since_or_is_not_given_out_is_not_refreshed(world: World) {
    world.list(&[seen("gone", NOW)]).await;
    world.give_up(&ids(&["gone"])).await;
    world.fetch(&[seen("done", NOW), seen("old", NOW)]).await;
    archive(&world, &[seen("bare", NOW)]).await;
    let kept = [
        seen("gone", NOW + 5),
        seen("done", NOW - 5),
        seen("old", NOW + 5),
        seen("bare", NOW - 5),
    ];
    refresh(&world, &kept).await;
    let due = world.store.claim_fetches(NOW, 10).await.unwrap();
    assert_eq!(due, ids(&["bare", "old"]));
    let later = [seen("old", NOW + 9), seen("bare", NOW + 9)];
    world.fetch(&later).await;
    refresh(&world, &kept).await;
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
    assert_eq!(world.store.fetch_counts(NOW).await.unwrap().backlog, 0);
}

async fn what_is_new_counts_for_the_watched_subreddits(world: World) {
    world.claimed("rust").await;
    world.claimed("quiet").await;
    world.list(&[seen("a1", NOW)]).await;
    let kept = [
        seen("a1", NOW),
        seen("a2", NOW),
        seen("a3", NOW),
        seen_with("a4", NOW, r#","subreddit":"elsewhere""#),
        seen_with("a5", NOW, ""),
    ];
    archive(&world, &kept).await;
    archive(&world, &kept).await;
    let list = world.store.subreddits().await.unwrap();
    let row = |which: &str| list.iter().find(|row| row.name == name(which)).unwrap();
    assert_eq!(row("rust").submissions, 3, "each once");
    assert_eq!(row("rust").last_submission_at, Some(1_789_999_000));
    assert_eq!(row("quiet").submissions, 0);
    assert_eq!(row("quiet").last_submission_at, None);
}

async fn what_is_no_submission_is_kept_apart_and_what_is_nested_deep_is_stored(world: World) {
    let deep = format!(r#","x":{}{}"#, "[".repeat(9_000), "]".repeat(9_000));
    let kept = [seen("a1", NOW), seen_with("a2", NOW, &deep)];
    let odd = Undecodable {
        raw: raw("{}"),
        cause: Refusal::NoId,
        reason: "it has no id".to_owned(),
        observed_ms: NOW,
    };
    let record = ArchiveRecord {
        undecodable: &[odd],
        ..record(&kept)
    };
    for result in [stored(2, 0, 0), stored(0, 0, 2)] {
        assert_eq!(world.store.record_archived(&record).await.unwrap(), result);
        assert_eq!(world.store.totals().await.unwrap().undecodable, 1);
        let times = world.number("SELECT CAST(sum(times) AS bigint) FROM undecodable");
        assert_eq!(times.await, 1);
    }
}

async fn every_kind_of_content_comes_back_as_it_was_observed(world: World) {
    let text = "ü🦀x".repeat(200_000);
    let kept = [
        seen_with("bare", NOW, ""),
        seen_with(
            "long",
            NOW,
            &format!(r#","selftext":"{text}","title":"{text}""#),
        ),
        seen_with("lone", NOW, r#","title":"a\ud800b","nested":{"\ud801":1}"#),
        seen_with("plain", NOW, r#","title":"\t\n\\N\\.","other":"\u0000""#),
        seen_with(
            "big",
            NOW,
            r#","score":-9223372036854775808,"num_comments":9223372036854775807,"big":5e300,
            "upvote_ratio":0.1,"edited":-5"#,
        ),
        seen_with(
            "full",
            NOW,
            r#","subreddit":"AskReddit","author":"somebody","title":"a\n\"b\" é","selftext":"",
            "url":"/r/x","permalink":"/r/x/y/","domain":"self.x","score":12,"num_comments":3,
            "upvote_ratio":0.87,"over_18":true,"spoiler":false,"stickied":true,"locked":false,
            "is_self":true,"link_flair_text":"F","edited":1789999500.0,
            "removed_by_category": null ,  "anything": [1, 2.50, null]"#,
        ),
    ];
    // Alone and together, new and rewritten.
    archive(&world, &kept[..1]).await;
    archive(&world, &kept).await;
    for observation in &kept {
        same(&world, observation).await;
    }
    let mut newer = kept.clone();
    for (place, observation) in newer.iter_mut().enumerate() {
        let from = &kept[(place + 1) % kept.len()];
        let json = from.raw.get().replace(
            &format!(r#""id":"{}""#, from.submission.id),
            &format!(r#""id":"{}""#, observation.submission.id),
        );
        *observation = freshet::submission::decode(raw(&json), NOW + 1).unwrap();
    }
    assert_eq!(archive(&world, &newer).await, stored(0, 6, 0));
    for (observation, before) in newer.iter_mut().zip(&kept) {
        let (fields, before) = (&mut observation.submission, &before.submission);
        // What every submission has, and the newer copy leaves out.
        fields.author = fields.author.take().or(before.author.clone());
        fields.subreddit = fields.subreddit.take().or(before.subreddit.clone());
        fields.title = fields.title.take().or(before.title.clone());
        fields.selftext = fields.selftext.take().or(before.selftext.clone());
        fields.url = fields.url.take().or(before.url.clone());
        fields.permalink = fields.permalink.take().or(before.permalink.clone());
        fields.domain = fields.domain.take().or(before.domain.clone());
        fields.is_self = fields.is_self.or(before.is_self);
        same(&world, observation).await;
    }
    let nul = [seen_with("nul", NOW, r#","title":"a\u0000b""#)];
    archive(&world, &nul).await;
    let row = world.store.submission(&id("nul")).await.unwrap().unwrap();
    assert_eq!(row.raw, nul[0].raw.get());
    let title = if world.is_postgres() { "ab" } else { "a\0b" };
    assert_eq!(row.title.as_deref(), Some(title));
}

async fn recorded_submissions_come_back_byte_for_byte_from_an_archive(world: World) {
    let Some(observations) = super::contents::recorded() else {
        return;
    };
    let mut fresh = 0;
    for batch in observations.chunks(2000) {
        fresh += archive(&world, batch).await.fresh;
    }
    let stored = super::contents::recorded_stand(&world, &observations).await;
    assert_eq!(fresh, stored as u64);
}

/// How something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Poll,
    Fetch,
    Archive { refresh: bool },
}

/// What a model knows of one submission.
#[derive(Debug, Clone, Copy)]
struct Standing {
    at: i64,
    fetched: bool,
    waiting: bool,
}

async fn whatever_the_order_of_polls_fetches_and_archives_the_newest_stands(world: World) {
    let by = prop_oneof![
        Just(By::Poll),
        Just(By::Fetch),
        any::<bool>().prop_map(|refresh| By::Archive { refresh }),
    ];
    let batch = (by, prop::collection::vec((0i64..30, 0usize..5), 1..6));
    let history = prop::collection::vec(batch, 1..10);
    let number = AtomicUsize::new(0);
    check(24, &history, async |history| {
        let case = number.fetch_add(1, Ordering::Relaxed);
        let claim = world.claimed(&format!("case{case}")).await;
        let waited = world.number("SELECT count(*) FROM fetches").await;
        let mut model: BTreeMap<usize, Standing> = BTreeMap::new();
        let mut counted = 0;
        for (by, batch) in history {
            let observe = |(at, which): &(i64, usize)| {
                let fields = format!(r#","subreddit":"Case{case}","title":"seen at {at}""#);
                seen_with(&format!("c{case}x{which}"), NOW + at, &fields)
            };
            let seen: Vec<_> = batch.iter().map(observe).collect();
            let mut newest: BTreeMap<usize, i64> = BTreeMap::new();
            for (at, which) in &batch {
                let newest = newest.entry(*which).or_insert(*at);
                *newest = (*newest).max(*at);
            }
            let mut expected = ArchiveStored::default();
            for (which, at) in newest {
                let new = Standing {
                    at,
                    fetched: by == By::Fetch,
                    waiting: matches!(by, By::Poll | By::Archive { refresh: true }),
                };
                let Some(known) = model.get_mut(&which) else {
                    model.insert(which, new);
                    expected.fresh += 1;
                    counted += i64::from(by != By::Fetch);
                    continue;
                };
                match by {
                    By::Poll => {}
                    // What was not fetched before is older than any fetch, whatever the time.
                    By::Fetch if !known.fetched => *known = new,
                    By::Fetch => {
                        known.at = known.at.max(at);
                        known.waiting = false;
                    }
                    By::Archive { refresh } => {
                        known.waiting |= refresh && (!known.fetched || at > known.at);
                        expected.renewed += u64::from(at > known.at);
                        expected.known += u64::from(at <= known.at);
                        known.at = known.at.max(at);
                    }
                }
            }
            match by {
                By::Fetch => drop(world.fetch(&seen).await),
                By::Archive { refresh } => {
                    let record = ArchiveRecord {
                        refresh,
                        ..record(&seen)
                    };
                    let stored = world.store.record_archived(&record).await;
                    assert_eq!(stored.unwrap(), expected);
                }
                By::Poll => {
                    let poll = PollRecord {
                        listed: &seen,
                        undecodable: &[],
                        members: &[member(&claim)],
                        sweep: None,
                        now_ms: NOW,
                    };
                    let stored = world.store.record_poll(&poll).await.unwrap();
                    assert_eq!(stored.fresh.len() as u64, expected.fresh);
                }
            }
        }
        for (which, standing) in &model {
            let which = id(&format!("c{case}x{which}"));
            let row = world.store.submission(&which).await.unwrap().unwrap();
            assert_eq!(row.observed_ms, NOW + standing.at);
            assert_eq!(row.title, Some(format!("seen at {}", standing.at)));
            assert_eq!(row.fetched_at.is_some(), standing.fetched);
        }
        let waiting = model.values().filter(|standing| standing.waiting).count() as i64;
        let waits = world.number("SELECT count(*) FROM fetches").await - waited;
        assert_eq!(waits, waiting);
        let list = world.store.subreddits().await.unwrap();
        let row = list.iter().find(|row| row.name == claim.subreddit).unwrap();
        assert_eq!(row.submissions, counted);
        super::archived_meetings::counters_are_true(&world).await;
    });
}
