//! What a submission costs, however many are stored or waiting.
//!
//! The measurements are run by hand, in release:
//! `cargo test --release --test it speed -- --ignored --nocapture --test-threads 1`

use super::conformance;
use super::fixtures::{NOW, World, id};
use freshet::store::{FetchRecord, PollRecord, Store};
use freshet::submission::{Observation, SubmissionId, decode};
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

conformance!(
    #[ignore = "a measurement, run by hand"]
    microseconds_for_a_submission,
    #[ignore = "a measurement, run by hand"]
    microseconds_with_a_million_stored_and_waiting,
);

/// 2.3 KB of JSON, the median of 2026.
fn submission(number: u64, observed_ms: i64) -> Observation {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut fields = String::new();
    for place in 0..75 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let word = state >> 40;
        fields.push_str(&match place % 3 {
            0 => format!(r#","field_number_{place}":{word}"#),
            1 => format!(r#","field_number_{place}":null"#),
            _ => format!(r#","field_number_{place}":"text {word:x}""#),
        });
    }
    let json = format!(
        r#"{{"id":"{number:x}","created_utc":1789999000.0,"subreddit":"Rust","author":"someone{}",
        "title":"A title of some forty characters, {number}","selftext":"{}","url":"https://example.org/{number}",
        "permalink":"/r/Rust/comments/{number:x}/a_title/","domain":"example.org","score":{},
        "num_comments":3,"upvote_ratio":0.97,"over_18":false,"spoiler":false,"stickied":false,
        "locked":false,"is_self":false,"edited":false{fields}}}"#,
        state % 5000,
        "word ".repeat((state % 60) as usize),
        observed_ms - NOW,
    );
    let raw = RawValue::from_string(json).expect("it is JSON");
    decode(raw, observed_ms).expect("it has an id and a time")
}

/// Time spent in each call, in the order of a submission's life.
#[derive(Default)]
struct Spent([Duration; 4]);

/// Processor time that this process and all Postgres processes of this machine have used, as
/// Linux counts it (a hundredth of a second): says what the work costs also where others run.
fn processor_time() -> Duration {
    let own = std::fs::read_to_string("/proc/self/stat").into_iter();
    let postgres = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| stat.contains("(postgres)"));
    let ticks = own.chain(postgres).map(|stat| {
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        // utime and stime, and those of children that have ended.
        let ticks = (11..15).filter_map(|place| fields.get(place)?.parse::<u64>().ok());
        ticks.sum::<u64>()
    });
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

impl Spent {
    /// Discovers, claims, starts and stores one batch.
    async fn batch(&mut self, store: &Store, from: u64, size: u64, changed: bool) {
        let listed: Vec<_> = (from..from + size).map(|n| submission(n, NOW)).collect();
        let later = NOW + i64::from(changed);
        let fetched: Vec<_> = (from..from + size).map(|n| submission(n, later)).collect();
        let begun = Instant::now();
        let poll = PollRecord {
            listed: &listed,
            undecodable: &[],
            members: &[],
            sweep: None,
            now_ms: NOW,
        };
        store.record_poll(&poll).await.unwrap();
        self.0[0] += begun.elapsed();
        let begun = Instant::now();
        let claimed = store.claim_fetches(NOW, size as u32).await.unwrap();
        assert_eq!(claimed.len() as u64, size);
        self.0[1] += begun.elapsed();
        let begun = Instant::now();
        let ids: Vec<SubmissionId> = listed.iter().map(|one| one.submission.id.clone()).collect();
        store.start_attempts(&ids, "w", NOW).await.unwrap();
        self.0[2] += begun.elapsed();
        let begun = Instant::now();
        let record = FetchRecord {
            observations: &fetched,
            undecodable: &[],
            deferred: &[],
            unavailable: &[],
            by: "w",
            now_ms: NOW,
        };
        store.record_fetches(&record).await.unwrap();
        self.0[3] += begun.elapsed();
    }

    fn print(&self, what: &str, submissions: u64) {
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / submissions as f64;
        println!(
            "{what}: record_poll {:.1} + claim_fetches {:.1} + start_attempts {:.1} + record_fetches {:.1} = {:.1} us",
            each(self.0[0]),
            each(self.0[1]),
            each(self.0[2]),
            each(self.0[3]),
            each(self.0.iter().sum()),
        );
    }
}

async fn microseconds_for_a_submission(world: World) {
    let mut next = 0;
    for size in [100, 250, 1000] {
        for changed in [true, false] {
            let mut spent = Spent::default();
            let rounds = 20_000 / size;
            let making = processor_time();
            for from in (next..next + rounds * size).step_by(size as usize) {
                for number in from..from + size {
                    std::hint::black_box(submission(number, NOW));
                    std::hint::black_box(submission(number, NOW));
                }
            }
            let begun = processor_time();
            for _ in 0..rounds {
                spent.batch(&world.store, next, size, changed).await;
                next += size;
            }
            // Without what it costs to make the submissions.
            let used = (processor_time() - begun).saturating_sub(begun - making);
            let used = used.as_secs_f64() * 1e6 / (rounds * size) as f64;
            let sort = if changed { "changed" } else { "unchanged" };
            let engine = world.store.engine();
            let what = format!("{engine}, batches of {size}, {sort}, {used:.0} us of processor");
            spent.print(&what, rounds * size);
        }
    }
}

async fn microseconds_with_a_million_stored_and_waiting(world: World) {
    // Waiting rows come due earlier than the measured ones only in priority 1.
    let fill = if world.is_postgres() {
        "WITH n AS (SELECT generate_series(1, 1000000) AS n),
              s AS (INSERT INTO submissions (id, subreddit, created_utc, kind, discovered_at, status,
                    observed_ms, raw_hash, raw)
                    SELECT 'w' || n, 'Rust', n, 'self', 0, 'discovered', 0, '\\x00', '{}' FROM n),
              f AS (INSERT INTO fetches (id, priority, due_ms) SELECT 'w' || n, 1, n FROM n)
         SELECT count(*) FROM n"
    } else {
        "SELECT 1"
    };
    world.number(fill).await;
    if !world.is_postgres() {
        use sqlx::{Executor, SqliteConnection};
        let mut connection = SqliteConnection::connect(&world.url).await.unwrap();
        connection
            .execute(
                "BEGIN; CREATE TEMP TABLE n AS WITH RECURSIVE n(n) AS (
                    SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000) SELECT n FROM n;
                 INSERT INTO submissions (id, subreddit, created_utc, kind, discovered_at, status,
                    observed_ms, raw_hash, raw)
                    SELECT 'w' || n, 'Rust', n, 'self', 0, 'discovered', 0, x'00', '{}' FROM n;
                 INSERT INTO fetches (id, priority, due_ms) SELECT 'w' || n, 1, n FROM n; COMMIT",
            )
            .await
            .unwrap();
    }
    let engine = world.store.engine();
    let mut spent = Spent::default();
    for round in 0..40 {
        spent.batch(&world.store, round * 250, 250, true).await;
    }
    spent.print(&format!("{engine}, a million stored and waiting"), 40 * 250);
    let begun = Instant::now();
    for _ in 0..20 {
        world.store.claim_fetches(NOW, 250).await.unwrap();
    }
    println!(
        "{engine}, claiming 250 of a million: {:.1} us each",
        begun.elapsed().as_secs_f64() * 1e6 / 5000.0
    );
    let begun = Instant::now();
    world.store.fetch_counts(NOW).await.unwrap();
    world.store.totals().await.unwrap();
    println!("{engine}, counts and totals: {:?}", begun.elapsed());
}

/// Postgres counts what its plans read: no call reads a table or an index from end to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_reads_more_rows_than_it_was_asked_for() {
    let world = World::postgres().await;
    for round in 0..20 {
        let listed: Vec<_> = (round * 500..round * 500 + 500)
            .map(|n| submission(n, NOW))
            .collect();
        world.list(&listed).await;
    }
    let reads = async || -> (i64, i64) {
        let mut connection = PgConnection::connect(&world.url).await.unwrap();
        sqlx::query_as(
            "SELECT CAST(sum(seq_scan) AS bigint), CAST(sum(seq_tup_read + idx_tup_fetch) AS bigint)
             FROM pg_stat_user_tables WHERE relname IN ('submissions', 'fetches', 'subreddits')",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap()
    };
    // A session hands in its counts when it ends.
    world.store.close().await;
    let before = reads().await;
    let store = world.another().await;
    let mut spent = Spent::default();
    let claimed = store.claim_fetches(NOW, 100).await.unwrap();
    assert_eq!(claimed.len(), 100);
    let waiting: Vec<_> = (0..100).map(|n| submission(n, NOW + 1)).collect();
    for _ in 0..8 {
        // More often than the five executions that Postgres plans with their values.
        spent.batch(&store, 1_000_000, 0, true).await;
        let poll = PollRecord {
            listed: &waiting,
            undecodable: &[],
            members: &[],
            sweep: None,
            now_ms: NOW,
        };
        store.record_poll(&poll).await.unwrap();
        let record = FetchRecord {
            observations: &waiting[..50],
            undecodable: &[],
            deferred: &[(id("ff"), NOW)],
            unavailable: &[id("fe")],
            by: "w",
            now_ms: NOW,
        };
        store.record_fetches(&record).await.unwrap();
        store.start_attempts(&claimed, "w", NOW).await.unwrap();
        store.unfeed(&claimed).await.unwrap();
        store.return_fetches(&claimed, "w", NOW).await.unwrap();
        store.claim_fetches(NOW, 100).await.unwrap();
        store.fed_before(NOW + 1, 10).await.unwrap();
        store.claim_due("a", NOW, 1000, 10).await.unwrap();
    }
    store.close().await;
    let after = reads().await;
    assert_eq!(after.0, before.0, "no table is read from end to end");
    let read = after.1 - before.1;
    assert!(
        read < 8 * 2000,
        "{read} rows were read for at most 1,000 a round"
    );
}
