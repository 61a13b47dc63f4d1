//! An archive that lies, held against what it could have shown: nothing is proven that is not stored.
//!
//! Slices run in this process against a made-up archive whose lies a seed decides, on both engines.

use super::store::fixtures::World;
use super::support::canned::{Answer, Asked, Server, plenty};
use freshet::backfill::{Backfiller, SliceHandler, Unstored};
use freshet::liveness::Progress;
use freshet::metrics::Metrics;
use freshet::queue::{Handler, SliceId};
use freshet::source::{ArcticShift, ArcticShiftOptions};
use freshet::store::{Interval, NewBackfill, NewSlice, SliceState, Store};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Far in the past for every clock.
const START: i64 = 1_700_000_000;
const HOUR: i64 = 3_600;
const SLICES: i64 = 4;

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// What the archive does to one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    Empty,
    CutShort,
    Reversed,
    Repeated,
    OfAnother,
    FromTheFuture,
    DateAhead,
    ErrorInside,
}

const LIES: [Lie; 8] = [
    Lie::Empty,
    Lie::CutShort,
    Lie::Reversed,
    Lie::Repeated,
    Lie::OfAnother,
    Lie::FromTheFuture,
    Lie::DateAhead,
    Lie::ErrorInside,
];

/// All that was posted, and what the archive makes of it.
struct Archive {
    rows: Vec<(String, i64)>,
    /// What it never shows.
    hidden: Interval,
    rng: ChaCha8Rng,
    /// Whether each of the last answers was one.
    lied: Vec<bool>,
    last: String,
    lies: &'static [Lie],
}

fn number(asked: &Asked, key: &str) -> Option<i64> {
    let mut pairs = url::form_urlencoded::parse(asked.query.as_bytes());
    let found = pairs.find(|(name, _)| name == key)?;
    found.1.parse().ok()
}

impl Archive {
    fn row(id: &str, created: i64, subreddit: &str) -> String {
        format!(
            r#"{{"id":"{id}","subreddit":"{subreddit}","created_utc":{created},"retrieved_on":{created}}}"#
        )
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        let after = number(asked, "after").unwrap_or(-1);
        let before = number(asked, "before").unwrap_or(i64::MAX);
        let limit = usize::try_from(number(asked, "limit").unwrap()).unwrap();
        let newest_first = asked.query.contains("sort=desc");
        if asked.query.contains("subreddit=askreddit") {
            let newest = chrono::Utc::now().timestamp() - 1;
            let rows: Vec<String> = (0..9)
                .map(|back| Archive::row(&format!("q{back}"), newest - back, "AskReddit"))
                .filter(|_| before > newest)
                .collect();
            return Answer::json(200, &format!(r#"{{"data":[{}]}}"#, rows.join(",")));
        }
        let hidden = self.hidden;
        let shown = |at: i64| !(hidden.start <= at && at < hidden.end);
        let mut rows: Vec<&(String, i64)> = self
            .rows
            .iter()
            .filter(|(_, at)| after < *at && *at < before && shown(*at))
            .collect();
        if newest_first {
            rows.reverse();
        }
        rows.truncate(limit);
        let recent = self.lied.iter().rev().take(3).filter(|lied| **lied).count();
        let lie = if recent < 2 && self.rng.random_bool(0.4) {
            self.lies[self.rng.random_range(0..self.lies.len())]
        } else {
            Lie::None
        };
        self.lied.push(lie != Lie::None);
        let mut texts: Vec<String> = rows
            .iter()
            .map(|(id, at)| Archive::row(id, *at, "Past"))
            .collect();
        match lie {
            Lie::Empty => texts.clear(),
            Lie::CutShort => texts.truncate(texts.len() / 2),
            Lie::Reversed => texts.reverse(),
            Lie::Repeated if !self.last.is_empty() => return Answer::json(200, &self.last),
            Lie::OfAnother => texts.push(Archive::row("zz", before - 1, "other")),
            Lie::FromTheFuture => texts.insert(0, Archive::row("yy", 1_893_456_000, "Past")),
            Lie::ErrorInside => {
                let half = texts[..texts.len() / 2].join(",");
                let body =
                    format!(r#"{{"data":[{half}],"error":"Timeout. Maybe slow down a bit"}}"#);
                return Answer::json(200, &body);
            }
            Lie::None | Lie::DateAhead | Lie::Repeated => {}
        }
        self.last = format!(r#"{{"data":[{}]}}"#, texts.join(","));
        let answer = Answer::json(200, &self.last);
        if lie == Lie::DateAhead {
            return answer.with("date", "Tue, 01 Jan 2030 00:00:00 GMT");
        }
        answer
    }
}

/// What runs the slices of a backfill from this archive.
fn handler(options: ArcticShiftOptions, store: &Store) -> SliceHandler {
    let metrics = Arc::new(Metrics::new());
    SliceHandler::new(Backfiller {
        archive: ArcticShift::new(options, plenty(), Arc::clone(&metrics)).unwrap(),
        discover: None,
        store: store.clone(),
        metrics,
        holder: "hostile".to_owned(),
        work: Arc::new(Notify::new()),
        now_ms,
        progress: Progress::unwatched(),
        stop: CancellationToken::new(),
        horizon: Arc::default(),
        unstored: Arc::new(Unstored::default()),
    })
}

/// Runs all slices until each is done, or was tried often enough, and holds what is proven against the truth.
async fn nothing_is_proven_that_is_not_stored(world: &World, seed: u64, lies: &'static [Lie]) {
    let store = &world.store;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rows: BTreeMap<i64, String> = (0..rng.random_range(0..700))
        .map(|number| {
            let at = START + rng.random_range(0..SLICES * HOUR);
            (at, format!("s{seed}x{number}"))
        })
        .collect();
    let rows: Vec<(String, i64)> = rows.into_iter().map(|(at, id)| (id, at)).collect();
    let from = START + rng.random_range(0..SLICES * HOUR);
    let hidden = Interval {
        start: from,
        end: from + rng.random_range(0..2 * HOUR),
    };
    let archive = Arc::new(Mutex::new(Archive {
        rows: rows.clone(),
        hidden,
        rng,
        lied: Vec::new(),
        last: String::new(),
        lies,
    }));
    let answering = Arc::clone(&archive);
    let server = Server::raw(move |asked| answering.lock().unwrap().answer(asked)).await;
    // One in three of what it hides is known from elsewhere.
    let known: Vec<_> = rows
        .iter()
        .filter(|(_, at)| hidden.start <= *at && *at < hidden.end)
        .step_by(3)
        .map(|(id, at)| {
            let raw = serde_json::value::RawValue::from_string(Archive::row(id, *at, "Past"));
            freshet::submission::decode_archived(raw.unwrap(), now_ms()).unwrap()
        })
        .collect();
    let record = freshet::store::ArchiveRecord {
        observations: &known,
        undecodable: &[],
        refresh: false,
        now_ms: now_ms(),
    };
    store.record_archived(&record).await.unwrap();
    let name: freshet::submission::SubredditName = "past".parse().unwrap();
    let new = NewBackfill {
        subreddit: name.clone(),
        source: "arctic-shift".to_owned(),
        request: format!("seed {seed}"),
        range: Interval {
            start: START,
            end: START + SLICES * HOUR,
        },
        newest_first: true,
        max_active: 1,
        refresh: false,
        expected: None,
        slices: (0..SLICES)
            .map(|part| NewSlice {
                name: None,
                start: START + part * HOUR,
                end: START + (part + 1) * HOUR,
                expected: None,
            })
            .collect(),
    };
    let backfill = store.create_backfill(&new, now_ms()).await.unwrap();
    let options = ArcticShiftOptions::new(server.url.clone(), "freshet-test".to_owned());
    let handler = handler(options, store);
    for slice in store.slices(backfill).await.unwrap() {
        for _ in 0..4 {
            handler.run(SliceId(slice.id)).await;
        }
    }
    let stored = store
        .submissions_between("past", &(0, String::new()), i64::MAX, 10_000)
        .await
        .unwrap();
    let stored: Vec<&str> = stored.iter().map(|(_, id)| id.as_str()).collect();
    for (start, end) in store.coverage(&name).await.unwrap() {
        assert!(START <= start && end <= START + SLICES * HOUR);
        for (id, at) in &rows {
            let visible = !(hidden.start <= *at && *at < hidden.end);
            if start <= *at && *at < end && visible {
                assert!(
                    stored.contains(&id.as_str()),
                    "seed {seed}: {id} of {at} is missing"
                );
            }
        }
        for one in &known {
            let at = one.submission.created_utc;
            assert!(
                !(start <= at && at < end),
                "seed {seed}: it lacks {at}, which is stored"
            );
        }
    }
}

/// Lies that cost no pause, of many seeds.
const SILENT: &[Lie] = &[Lie::Empty, Lie::CutShort, Lie::DateAhead];

async fn silent_lies_prove_nothing(world: World) {
    for seed in 0..12 {
        let world = if world.is_postgres() {
            World::postgres().await
        } else {
            World::sqlite().await
        };
        nothing_is_proven_that_is_not_stored(&world, seed, SILENT).await;
    }
}

async fn loud_lies_prove_nothing(world: World) {
    nothing_is_proven_that_is_not_stored(&world, 100, &LIES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_proven_by_a_lying_archive_that_is_not_stored_on_sqlite() {
    silent_lies_prove_nothing(World::sqlite().await).await;
    loud_lies_prove_nothing(World::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_proven_by_a_lying_archive_that_is_not_stored_on_postgres() {
    silent_lies_prove_nothing(World::postgres().await).await;
    loud_lies_prove_nothing(World::postgres().await).await;
}

#[tokio::test]
async fn one_submission_from_the_future_moves_no_horizon() {
    let world = World::sqlite().await;
    let server = Server::raw(|asked| {
        let newest_first = asked.query.contains("sort=desc");
        // It stopped two days ago, but for one row that is dated 2030.
        let end = chrono::Utc::now().timestamp() - 48 * HOUR;
        let (after, before) = (number(asked, "after"), number(asked, "before"));
        let mut at: Vec<i64> = (0..50).map(|back| end - back * 60).collect();
        at.insert(0, 1_893_456_000);
        at.retain(|at| after.is_none_or(|it| it < *at) && before.is_none_or(|it| *at < it));
        if !newest_first {
            at.reverse();
        }
        let rows: Vec<String> = at
            .iter()
            .map(|at| format!(r#"{{"id":"r{at}","created_utc":{at}}}"#))
            .collect();
        Answer::json(200, &format!(r#"{{"data":[{}]}}"#, rows.join(",")))
    })
    .await;
    let now = chrono::Utc::now().timestamp();
    let range = Interval {
        start: now - 24 * HOUR,
        end: now - HOUR,
    };
    let name: freshet::submission::SubredditName = "past".parse().unwrap();
    let new = NewBackfill {
        subreddit: name.clone(),
        source: "arctic-shift".to_owned(),
        request: "future".to_owned(),
        range,
        newest_first: true,
        max_active: 1,
        refresh: false,
        expected: None,
        slices: vec![NewSlice {
            name: None,
            start: range.start,
            end: range.end,
            expected: None,
        }],
    };
    let backfill = world.store.create_backfill(&new, now_ms()).await.unwrap();
    let options = ArcticShiftOptions::new(server.url.clone(), "freshet-test".to_owned());
    let handler = handler(options, &world.store);
    let slice = world.store.slices(backfill).await.unwrap()[0].id;
    handler.run(SliceId(slice)).await;
    let done = &world.store.slices(backfill).await.unwrap()[0];
    assert_eq!(
        done.reason.as_deref(),
        Some("the archive has not come so far yet")
    );
    assert!(world.store.coverage(&name).await.unwrap().is_empty());
}

/// What a slice proves of which an archive shows nothing, and what rows it shows around it (seconds from its start).
/// Where it is `cut_off`, its process ends once all is asked for, before it writes what that means.
async fn proven_of_silence(world: &World, around: &'static [i64], cut_off: bool) -> bool {
    let server = Server::raw(move |asked| {
        let after = number(asked, "after").unwrap_or(-1);
        let before = number(asked, "before").unwrap_or(i64::MAX);
        let (name, mut at): (_, Vec<i64>) = if asked.query.contains("subreddit=askreddit") {
            let newest = chrono::Utc::now().timestamp() - 1;
            ("AskReddit", (0..9).map(|back| newest - back).collect())
        } else {
            ("Past", around.iter().map(|at| START + at).collect())
        };
        at.retain(|at| after < *at && *at < before);
        at.sort_unstable();
        if asked.query.contains("sort=desc") {
            at.reverse();
        }
        let rows = at
            .iter()
            .map(|at| Archive::row(&format!("r{at}"), *at, name));
        let rows: Vec<String> = rows.collect();
        Answer::json(200, &format!(r#"{{"data":[{}]}}"#, rows.join(",")))
    })
    .await;
    let name: freshet::submission::SubredditName = "past".parse().unwrap();
    let slice = NewSlice {
        name: None,
        start: START,
        end: START + HOUR,
        expected: Some(0),
    };
    let new = NewBackfill {
        subreddit: name.clone(),
        source: "arctic-shift".to_owned(),
        request: "silence".to_owned(),
        range: Interval {
            start: START,
            end: START + HOUR,
        },
        newest_first: true,
        max_active: 1,
        refresh: false,
        expected: None,
        slices: vec![slice],
    };
    let backfill = world.store.create_backfill(&new, now_ms()).await.unwrap();
    let options = ArcticShiftOptions::new(server.url.clone(), "freshet-test".to_owned());
    let slice = world.store.slices(backfill).await.unwrap()[0].id;
    let handler = handler(options, &world.store);
    if cut_off {
        for sql in refused_end(world) {
            world.run(sql).await;
        }
        handler.run(SliceId(slice)).await;
        let left = &world.store.slices(backfill).await.unwrap()[0];
        assert_eq!(left.state, SliceState::Waiting, "{left:?}");
        let on = world.is_postgres();
        let allowed = ["DROP TRIGGER cut_off", "DROP TRIGGER cut_off ON slices"];
        world.run(allowed[usize::from(on)]).await;
    }
    handler.run(SliceId(slice)).await;
    let done = &world.store.slices(backfill).await.unwrap()[0];
    assert_eq!(done.state, SliceState::Done, "{done:?}");
    !world.store.coverage(&name).await.unwrap().is_empty()
}

/// What keeps a database from taking the end of a slice.
fn refused_end(world: &World) -> &'static [&'static str] {
    if world.is_postgres() {
        &[
            "CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE 'not now'; END $$",
            "CREATE TRIGGER cut_off BEFORE UPDATE ON slices FOR EACH ROW \
             WHEN (NEW.state = 'done') EXECUTE FUNCTION cut_off()",
        ]
    } else {
        &[
            "CREATE TRIGGER cut_off BEFORE UPDATE ON slices WHEN NEW.state = 'done' \
             BEGIN SELECT RAISE(ABORT, 'not now'); END",
        ]
    }
}

#[tokio::test]
async fn a_time_without_any_is_proven_by_what_comes_next_or_came_before_alone() {
    for (around, proven) in [
        (&[][..], false),
        (&[-5], true),
        (&[HOUR], true),
        (&[-9_000_000, 9_000_000], true),
    ] {
        let world = World::sqlite().await;
        let found = proven_of_silence(&world, around, false).await;
        assert_eq!(found, proven, "{around:?}");
    }
}

/// All pages were stored, and what they mean was not: whoever goes on knows nothing of them.
#[tokio::test]
async fn a_slice_that_is_cut_off_before_its_end_is_judged_proves_no_more_than_another() {
    for (around, proven) in [(&[][..], false), (&[-5], true)] {
        for world in [World::sqlite().await, World::postgres().await] {
            let found = proven_of_silence(&world, around, true).await;
            assert_eq!(found, proven, "{around:?} on {}", world.store.engine());
        }
    }
}
