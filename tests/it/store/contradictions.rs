//! What archives and files bring of time that is recorded as proven takes the proof back, where late
//! approvals and early removals do not explain it.

use super::archived::record;
use super::conformance;
use super::fixtures::{NOW, World, interval, name, raw};
use freshet::store::{
    Gap, GapCause, GapState, Interval, NewBackfill, NewSlice, Recent, SliceClaim, SliceEnd,
    SliceStep,
};
use freshet::submission::{Observation, decode_archived};

/// Now, in seconds.
const T: i64 = NOW / 1000;
const HOUR: i64 = 3_600;
const START: i64 = T - 48 * HOUR;
const END: i64 = T - 24 * HOUR;

conformance!(
    what_nobody_knew_in_proven_time_takes_the_proof_back_between_what_was_known,
    a_run_that_pages_cut_into_pieces_is_seen_as_a_whole,
    early_copies_contradict_where_most_were_unknown,
    what_was_approved_late_removed_early_or_is_young_takes_nothing_back,
    what_the_same_slice_proves_in_the_end_is_proven_again,
    of_many_subreddits_only_those_are_doubted_of_which_something_was_missing,
);

/// How an archive's copy came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    Seconds,
    DayAndAHalf,
    Removed,
    GoneLater,
}

fn item(subreddit: &str, minute: i64, copy: Copy) -> Observation {
    let at = START + minute * 60;
    let rest = match copy {
        Copy::Seconds => format!(r#""retrieved_on":{}"#, at + 8),
        Copy::DayAndAHalf => format!(
            r#""retrieved_on":{},"_meta":{{"retrieved_2nd_on":{}}}"#,
            at + 8,
            at + 36 * HOUR
        ),
        Copy::Removed => format!(
            r#""retrieved_on":{},"removed_by_category":"moderator","selftext":"[removed]""#,
            at + 36 * HOUR
        ),
        Copy::GoneLater => format!(
            r#""retrieved_on":{},"_meta":{{"retrieved_2nd_on":{},"removal_type":"reddit","was_deleted_later":true}}"#,
            at + 8,
            at + 36 * HOUR
        ),
    };
    let json = format!(
        r#"{{"id":"{}{minute}","created_utc":{at},"subreddit":"{subreddit}",{rest}}}"#,
        &subreddit[..1].to_lowercase()
    );
    decode_archived(raw(&json), NOW).unwrap()
}

async fn archive(world: &World, items: &[Observation]) -> u64 {
    let stored = world.store.record_archived(&record(items)).await.unwrap();
    stored.contradicted
}

async fn claim(world: &World, subreddit: &str) -> SliceClaim {
    let new = NewBackfill {
        subreddit: name(subreddit),
        source: "files".to_owned(),
        request: format!("of {subreddit}"),
        range: interval(START, END),
        newest_first: true,
        max_active: 1,
        refresh: false,
        expected: None,
        slices: vec![NewSlice {
            name: Some("a".to_owned()),
            start: START,
            end: END,
            expected: None,
        }],
    };
    let backfill = world.store.create_backfill(&new, NOW).await.unwrap();
    let slice = world.store.slices(backfill).await.unwrap()[0].id;
    let claimed = world.store.begin_slice(slice, "w", NOW, 20_000).await;
    claimed.unwrap().unwrap()
}

/// Makes all of it known and proven, as polls would, but for the minutes that they missed.
async fn proven_but(world: &World, subreddit: &str, missed: impl Fn(i64) -> bool) {
    let known: Vec<Observation> = (0..24 * 60)
        .filter(|minute| !missed(*minute))
        .map(|minute| item(subreddit, minute, Copy::Seconds))
        .collect();
    archive(world, &known).await;
    let claim = claim(world, subreddit).await;
    let whole = [interval(START, END)];
    let proven =
        world
            .store
            .prove_backfill(claim.backfill, claim.subreddit.as_str(), &whole, None, NOW);
    proven.await.unwrap();
}

async fn coverage(world: &World, subreddit: &str) -> Vec<Interval> {
    let proven = world.store.coverage(&name(subreddit)).await.unwrap();
    let intervals = proven.into_iter();
    intervals.map(|(start, end)| interval(start, end)).collect()
}

async fn open(world: &World, subreddit: &str) -> Vec<(Interval, GapCause)> {
    let gaps = world
        .store
        .gaps(Some(&name(subreddit)), Some(GapState::Open))
        .await;
    let gaps = gaps.unwrap().into_iter();
    gaps.map(|gap: Gap| (gap.interval, gap.cause)).collect()
}

fn minutes(from: i64, to: i64) -> Interval {
    interval(START + from * 60, START + to * 60)
}

async fn what_nobody_knew_in_proven_time_takes_the_proof_back_between_what_was_known(world: World) {
    for (watched, copy) in [(true, Copy::DayAndAHalf), (false, Copy::DayAndAHalf)] {
        let subreddit = if watched { "Rust" } else { "python" };
        if watched {
            world.store.add_subreddit(&name("rust"), T).await.unwrap();
        }
        proven_but(&world, subreddit, |at| (300..320).contains(&at)).await;
        assert_eq!(coverage(&world, subreddit).await, [interval(START, END)]);
        let all: Vec<Observation> = (0..600).map(|at| item(subreddit, at, copy)).collect();
        assert_eq!(archive(&world, &all).await, 1);
        let doubted = interval(START + 299 * 60, START + 320 * 60 + 1);
        let left = [interval(START, doubted.start), interval(doubted.end, END)];
        assert_eq!(coverage(&world, subreddit).await, left);
        let gap = (doubted, GapCause::Contradicted);
        assert_eq!(open(&world, subreddit).await, [gap]);
        assert_eq!(archive(&world, &all).await, 0, "all of it is known by now");
        assert_eq!(open(&world, subreddit).await, [gap]);
    }
}

async fn a_run_that_pages_cut_into_pieces_is_seen_as_a_whole(world: World) {
    proven_but(&world, "rust", |at| (300..306).contains(&at)).await;
    let claim = claim(&world, "rust").await;
    let mut recent = Recent::default();
    for page in 96..110 {
        // Each begins with what the last one ended with.
        let page = page * 3;
        let items: Vec<Observation> = (page..page + 4)
            .map(|at| item("rust", at, Copy::DayAndAHalf))
            .collect();
        let step = SliceStep {
            unseen: &[],
            claim: &claim,
            reached: page,
            listed: 3,
            refused: 0,
            requests: 0,
            claimed_until_ms: NOW + 20_000,
            end: None,
        };
        let page = record(&items);
        let stored = world.store.record_slice_after(&step, &page, &mut recent);
        stored.await.unwrap().unwrap();
    }
    let doubted = interval(START + 299 * 60, START + 306 * 60 + 1);
    let gap = (doubted, GapCause::Contradicted);
    assert_eq!(open(&world, "rust").await, [gap]);
}

async fn early_copies_contradict_where_most_were_unknown(world: World) {
    let missed = |at: i64| (300..320).contains(&at);
    proven_but(&world, "rust", missed).await;
    let all: Vec<Observation> = (0..600).map(|at| item("rust", at, Copy::Seconds)).collect();
    assert_eq!(archive(&world, &all).await, 1);
    let doubted = interval(START + 299 * 60, START + 320 * 60 + 1);
    let gap = (doubted, GapCause::Contradicted);
    assert_eq!(open(&world, "rust").await, [gap]);
}

async fn what_was_approved_late_removed_early_or_is_young_takes_nothing_back(world: World) {
    // One of fifty was approved late, each third was gone before anyone could list it, and for an hour
    // a filter removed all.
    let late = |at: i64| at % 50 == 7;
    let early = |at: i64| at % 3 == 0 && !late(at);
    let filtered = |at: i64| (700..760).contains(&at);
    proven_but(&world, "rust", |at| late(at) || early(at) || filtered(at)).await;
    let all: Vec<Observation> = (0..24 * 60)
        .map(|at| {
            let copy = match at {
                _ if filtered(at) && at % 2 == 0 => Copy::Removed,
                _ if filtered(at) => Copy::GoneLater,
                _ if early(at) => Copy::Seconds,
                _ => Copy::DayAndAHalf,
            };
            item("rust", at, copy)
        })
        .collect();
    for page in all.chunks(100) {
        assert_eq!(archive(&world, page).await, 0);
    }
    assert_eq!(archive(&world, &all).await, 0);
    assert_eq!(coverage(&world, "rust").await, [interval(START, END)]);

    // No poll may have come to it yet.
    let claim = claim(&world, "young").await;
    let whole = [interval(START, T)];
    let proven = world
        .store
        .prove_backfill(claim.backfill, "young", &whole, None, NOW);
    proven.await.unwrap();
    let young: Vec<Observation> = (47 * 60 + 1..48 * 60)
        .map(|at| item("young", at, Copy::Seconds))
        .collect();
    assert_eq!(archive(&world, &young).await, 0);
    assert_eq!(coverage(&world, "young").await, whole);
}

async fn what_the_same_slice_proves_in_the_end_is_proven_again(world: World) {
    proven_but(&world, "rust", |at| (300..320).contains(&at)).await;
    let claim = claim(&world, "rust").await;
    let items: Vec<Observation> = (0..600)
        .map(|at| item("rust", at, Copy::DayAndAHalf))
        .collect();
    let proven = [minutes(0, 600)];
    for end in [
        None,
        Some(SliceEnd {
            proven: &proven,
            reason: None,
            ends_backfill: true,
        }),
    ] {
        let step = SliceStep {
            unseen: &[],
            claim: &claim,
            reached: 600,
            listed: 600,
            refused: 0,
            requests: 0,
            claimed_until_ms: NOW + 20_000,
            end,
        };
        let page = record(if end.is_none() { &items } else { &[] });
        world.store.record_slice(&step, &page).await.unwrap();
        let gaps = usize::from(end.is_none());
        assert_eq!(open(&world, "rust").await.len(), gaps);
    }
    assert_eq!(coverage(&world, "rust").await, [interval(START, END)]);
}

async fn of_many_subreddits_only_those_are_doubted_of_which_something_was_missing(world: World) {
    world.store.add_subreddit(&name("rust"), T).await.unwrap();
    proven_but(&world, "rust", |_| false).await;
    proven_but(&world, "python", |at| (300..320).contains(&at)).await;
    let all: Vec<Observation> = (250..400)
        .flat_map(|at| ["Rust", "python", "zig"].map(|name| item(name, at, Copy::DayAndAHalf)))
        .collect();
    assert_eq!(archive(&world, &all).await, 1);
    assert_eq!(coverage(&world, "rust").await, [interval(START, END)]);
    assert_eq!(coverage(&world, "python").await.len(), 2);
    assert!(coverage(&world, "zig").await.is_empty());
    assert!(open(&world, "zig").await.is_empty());
}
