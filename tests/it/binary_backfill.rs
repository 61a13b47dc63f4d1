//! The past of a subreddit, brought in by the program and held against the simulated archive's truth.

use super::support::binary::Home;
use super::support::postgres::fresh_database;
use freshet::simulator::{ArchiveOptions, Fault, Oddities, Simulator, SimulatorOptions};
use freshet::store::{SliceDue, Store};
use freshet::submission::SubredditName;
use std::io::Write;
use std::time::Duration;

const DAY: i64 = 86_400;
const NAME: &str = "past";

/// A world that stands still, three days old, whose archive is slow now and then.
async fn world(latency: Duration) -> (Simulator, SubredditName) {
    let name: SubredditName = NAME.parse().unwrap();
    let mut options = SimulatorOptions::world(7, 0, 0.0);
    options.subreddits = vec![(name.clone(), 40.0)];
    options.speed = 0.0;
    options.history = Duration::from_secs(3 * 86_400);
    options.latency = latency;
    options.oddities = Oddities {
        equal_timestamps: 0.3,
        ..Oddities::none()
    };
    options.archive = ArchiveOptions {
        requests_per_minute: 0,
        overload: 0.05,
        after_inclusive: true,
        ..ArchiveOptions::default()
    };
    (Simulator::start(options).await.unwrap(), name)
}

fn line<'a>(words: &[&'a str], url: &'a str, database: &'a str) -> Vec<&'a str> {
    let flags = [
        "--database-url",
        database,
        "--arctic-shift-url",
        url,
        "--arctic-shift-requests-per-minute",
        "60000",
    ];
    [words, &flags[..]].concat()
}

/// The ids that are stored, as the program exports them.
async fn stored(home: &Home, database: &str) -> Vec<String> {
    let line = [
        "export",
        NAME,
        "--columns",
        "id",
        "--format",
        "csv",
        "--database-url",
        database,
    ];
    let exported = home.run(&line).await.ended_with(0).stdout;
    let mut ids: Vec<String> = exported.lines().skip(1).map(str::to_owned).collect();
    ids.sort_unstable();
    ids
}

async fn brings_in_all_of_it_though_killed_halfway(home: &Home, database: &str) {
    let (simulator, name) = world(Duration::from_millis(20)).await;
    let url = simulator.url();
    let now = simulator.control().now_ms() / 1000;
    let (since, until) = (now - 2 * DAY, now - DAY / 2);
    let time = |at: i64| {
        chrono::DateTime::from_timestamp(at, 0)
            .unwrap()
            .to_rfc3339()
    };
    let (since_text, until_text) = (time(since), time(until));
    let words = [
        "backfill",
        NAME,
        "--since",
        &since_text,
        "--until",
        &until_text,
        "--source",
        "arctic-shift",
    ];
    let mut first = home.start(&line(&words, &url, database));
    first.said("begins").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    first.signal("KILL");
    first.end(Duration::from_secs(10)).await;

    let again = home.run(&line(&words, &url, database)).await.ended_with(0);
    assert!(again.stdout.contains(": done"), "{}", again.stdout);
    let mut truth: Vec<String> = simulator
        .control()
        .archive_truth(&name, since, until)
        .iter()
        .map(ToString::to_string)
        .collect();
    truth.sort_unstable();
    assert!(truth.len() > 1_000, "{}", truth.len());
    let stored = stored(home, database).await;
    assert_eq!(stored, truth);
    let covered = [
        "coverage",
        NAME,
        "--json",
        "--since",
        &since_text,
        "--until",
        &until_text,
    ];
    let covered = home
        .run(&line(&covered, &url, database))
        .await
        .ended_with(0);
    let covered: serde_json::Value = serde_json::from_str(&covered.stdout).unwrap();
    assert_eq!(covered[0]["proven_seconds"], until - since);

    let nothing = home.run(&line(&words, &url, database)).await;
    nothing.ended_with(0).says(&["proven complete already"]);
}

#[tokio::test]
async fn a_backfill_that_is_killed_goes_on_without_hole_or_double_on_sqlite() {
    let home = Home::new();
    let database = format!("sqlite://{}/freshet.db", home.path().display());
    brings_in_all_of_it_though_killed_halfway(&home, &database).await;
}

#[tokio::test]
async fn a_backfill_that_is_killed_goes_on_without_hole_or_double_on_postgres() {
    brings_in_all_of_it_though_killed_halfway(&Home::new(), &fresh_database().await).await;
}

#[tokio::test]
async fn mistakes_are_told_before_anything_begins() {
    let (simulator, _) = world(Duration::ZERO).await;
    let url = simulator.url();
    let home = Home::new();
    let database = format!("sqlite://{}/freshet.db", home.path().display());
    let run = async |words: &[&str], url: &str| home.run(&line(words, url, &database)).await;
    let unknown = run(&["backfill", "nosuchplace", "--since", "2d"], &url).await;
    unknown.ended_with(1).says(&["nothing of r/nosuchplace"]);
    let reversed = ["backfill", NAME, "--since", "1d", "--until", "2d"];
    run(&reversed, &url)
        .await
        .ended_with(2)
        .says(&["is not before"]);
    run(&["backfill", NAME], &url)
        .await
        .ended_with(2)
        .says(&["since when?"]);
    let missing = ["backfill", NAME, "--source", "nowhere.zst"];
    run(&missing, &url)
        .await
        .ended_with(2)
        .says(&["there is no such file"]);
    simulator.stop().await.unwrap();
    let away = run(&["backfill", NAME, "--since", "2d"], &url).await;
    away.ended_with(1).says(&["arctic_shift.url"]);
}

#[tokio::test]
async fn a_plan_survives_an_answer_that_goes_wrong() {
    let (simulator, _) = world(Duration::ZERO).await;
    let url = simulator.url();
    simulator
        .control()
        .fail_next(1, Fault::Blocked, None)
        .unwrap();
    let home = Home::new();
    let database = format!("sqlite://{}/freshet.db", home.path().display());
    let plan = ["backfill", NAME, "--since", "2d", "--dry-run"];
    let planned = home.run(&line(&plan, &url, &database)).await.ended_with(0);
    assert!(planned.stdout.contains("judged by"), "{}", planned.stdout);
}

#[tokio::test]
async fn a_damaged_dump_ends_with_an_error_and_all_before_it_stored() {
    let home = Home::new();
    let database = format!("sqlite://{}/freshet.db", home.path().display());
    let object = |number: usize| {
        format!(
            "{{\"id\":\"a{number}\",\"subreddit\":\"Past\",\"created_utc\":{}}}\n",
            1_700_000_000 + number
        )
    };
    let mut text: String = (0..3_000).map(object).collect();
    text.insert_str(0, "not json\n{\"id\":\"b\",\"subreddit\":\"past\"}\n");
    let whole = home.write("whole.ndjson", &text);
    let load = async |path: &std::path::Path| {
        let path = path.display().to_string();
        let words = ["backfill", NAME, "--source", &path];
        home.run(&line(&words, "http://127.0.0.1:9", &database))
            .await
    };
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    for piece in text.as_bytes().chunks(40_000) {
        encoder.write_all(piece).unwrap();
        encoder.flush().unwrap();
    }
    let mut bytes = encoder.finish().unwrap();
    bytes.truncate(bytes.len() - 20);
    let cut = home.path().join("cut.zst");
    std::fs::write(&cut, bytes).unwrap();

    load(&cut)
        .await
        .ended_with(1)
        .says(&["cut.zst", "is stored"]);
    let before = stored(&home, &database).await.len();
    assert!((1_000..=3_000).contains(&before), "{before}");
    load(&whole)
        .await
        .ended_with(0)
        .says(&["no submission", "freshet-rejects.ndjson"]);
    assert_eq!(stored(&home, &database).await.len(), 3_000);
    let rejects = std::fs::read_to_string(home.path().join("freshet-rejects.ndjson")).unwrap();
    assert!(rejects.lines().count() >= 2, "{rejects}");
}

/// Sets the first slice of the only backfill aside, as six failed attempts do.
async fn set_aside_one(database: &str) {
    let store = Store::connect(database, 1).await.unwrap();
    let now_ms = chrono::Utc::now().timestamp_millis();
    let slice = store.slices(1).await.unwrap()[0].id;
    let claim = store.begin_slice(slice, "test", now_ms, 1_000).await;
    let claim = claim.unwrap().unwrap();
    let given_back = store.give_slice_back(&claim, Some("refused"), SliceDue::Never, now_ms);
    given_back.await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn an_operator_sees_what_others_bring_in_and_what_was_set_aside() {
    let (simulator, _) = world(Duration::ZERO).await;
    let url = simulator.url();
    let home = Home::new();
    let database = format!("sqlite://{}/freshet.db", home.path().display());
    let run = async |words: &[&str]| home.run(&line(words, &url, &database)).await.ended_with(0);
    let status = async || {
        run(&["status", "--http-listen", "127.0.0.1:9"])
            .await
            .stdout
    };
    run(&["migrate"]).await;
    assert!(!status().await.contains("BACKFILL"));
    let detach = ["backfill", NAME, "--since", "2d", "--detach"];
    run(&detach).await;
    let waits = status().await;
    for words in ["BACKFILL OF", NAME, "arctic-shift", "0 %  waits"] {
        assert!(waits.contains(words), "{words}: {waits}");
    }
    set_aside_one(&database).await;
    run(&["backfill", "pause", "1"]).await;
    let told = status().await;
    for words in [
        "0 %  paused",
        "Set aside    1 slice of backfill 1; try again: freshet backfill resume 1",
        "refused",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }

    let reddit = [
        "run",
        "--reddit-api-url",
        &url,
        "--reddit-auth-url",
        &url,
        "--reddit-client-id",
        "x",
        "--http-listen",
        "127.0.0.1:0",
    ];
    let process = home.start(&line(&reddit, &url, &database));
    let (open, slices) = ("freshet_backfills", "freshet_backfill_slices");
    let paused = process.until_gauge(open, ("state", "paused"), |it| it == 1.0);
    paused.await;
    let failed = process.until_gauge(slices, ("state", "failed"), |it| it == 1.0);
    failed.await;
    run(&["backfill", "resume", "1"]).await;
    let over = process.until_gauge(open, ("state", "paused"), |it| it == 0.0);
    over.await;
    for (name, state) in [
        (open, "running"),
        (slices, "waiting"),
        (slices, "active"),
        (slices, "failed"),
    ] {
        let none = process.until_gauge(name, ("state", state), |it| it == 0.0);
        none.await;
    }
    let metrics = process.metrics().await;
    assert!(metrics.total("freshet_backfill_submissions_total") > 1_000.0);
    let seen = process.status().await;
    assert_eq!(seen["backfills"]["running"], 0, "{seen}");
    assert_eq!(seen["backfills"]["newest"].as_array().unwrap().len(), 0);
    assert!(!status().await.contains("BACKFILL"));
}
