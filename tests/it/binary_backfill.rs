//! The past of a subreddit, brought in by the program and held against the simulated archive's truth.

use super::support::binary::Finished;
use super::support::past::{DAY, NAME, On, Past, cut_zst, options, time};
use freshet::simulator::{ArchiveOptions, Fault};
use std::time::Duration;

/// A world that stands still, three days old, whose archive is slow now and then.
async fn world(on: On) -> Past {
    let mut options = options(7, 40.0);
    options.latency = Duration::from_millis(20);
    options.archive = ArchiveOptions {
        overload: 0.05,
        after_inclusive: true,
        ..options.archive
    };
    Past::start(options, on).await
}

async fn brings_in_all_of_it_though_killed_halfway(on: On) {
    let past = world(on).await;
    let (start, end) = (past.now() - 2 * DAY, past.now() - DAY / 2);
    let (since, until) = (time(start), time(end));
    let words = [
        "backfill",
        NAME,
        "--since",
        &since,
        "--until",
        &until,
        "--source",
        "arctic-shift",
    ];
    let mut first = past.begin(&words);
    first.said("begins").await;
    past.until_asked(past.asked() + 6, &mut first).await;
    first.signal("KILL");
    first.end(Duration::from_secs(60)).await;

    let again = past.run(&words).await;
    assert!(again.stdout.contains(": done"), "{}", again.stdout);
    let truth = past.truth(start, end);
    assert!(truth.len() > 1_000, "{}", truth.len());
    assert_eq!(past.stored().await, truth);
    assert_eq!(past.proven(start, end).await, end - start);

    past.run(&words).await.says(&["proven complete already"]);
}

#[tokio::test]
async fn a_backfill_that_is_killed_goes_on_without_hole_or_double_on_sqlite() {
    brings_in_all_of_it_though_killed_halfway(On::Sqlite).await;
}

#[tokio::test]
async fn a_backfill_that_is_killed_goes_on_without_hole_or_double_on_postgres() {
    brings_in_all_of_it_though_killed_halfway(On::Postgres).await;
}

#[tokio::test]
async fn mistakes_are_told_before_anything_begins() {
    let past = world(On::Sqlite).await;
    let unknown = past
        .try_run(&["backfill", "nosuchplace", "--since", "2d"])
        .await;
    unknown.ended_with(1).says(&["nothing of r/nosuchplace"]);
    let reversed = ["backfill", NAME, "--since", "1d", "--until", "2d"];
    past.try_run(&reversed)
        .await
        .ended_with(2)
        .says(&["is not before"]);
    past.try_run(&["backfill", NAME])
        .await
        .ended_with(2)
        .says(&["since when?"]);
    let missing = ["backfill", NAME, "--source", "nowhere.zst"];
    past.try_run(&missing)
        .await
        .ended_with(2)
        .says(&["there is no such file"]);
    let future = ["--since", "2100-01-01", "--until", "2101-01-01"];
    let future = [&["backfill", NAME], &future[..]].concat();
    let told = past.try_run(&future).await.ended_with(2);
    told.says(&["--since (2100-01-01T00:00:00Z) lies in the future"]);
    let file = past.home.write("one.ndjson", "{}\n").display().to_string();
    let rejects = past.home.path().join("nowhere/rejects.ndjson");
    let rejects = rejects.to_str().unwrap();
    let nowhere = ["backfill", NAME, "--source", &file, "--rejects", rejects];
    let told = past.try_run(&nowhere).await.ended_with(2);
    told.says(&["--rejects", "nowhere/rejects.ndjson", "no such folder"]);
    past.control()
        .archive_outage_as(Some(Fault::Reset))
        .unwrap();
    let away = past.try_run(&["backfill", NAME, "--since", "2d"]).await;
    let said = away.ended_with(1).says(&["arctic_shift.url"]).stderr;
    let error = said.lines().find(|line| line.starts_with("freshet: "));
    let times = error.map(|line| line.matches("connection").count());
    assert_eq!(times, Some(1), "it is told once: {said}");
}

#[tokio::test]
async fn a_damaged_dump_ends_with_an_error_and_all_before_it_stored() {
    let past = Past::start(options(7, 0.0), On::Sqlite).await;
    let object = |number: usize| {
        format!(
            "{{\"id\":\"a{number}\",\"subreddit\":\"Past\",\"created_utc\":{}}}\n",
            1_700_000_000 + number
        )
    };
    let mut text: String = (0..3_000).map(object).collect();
    text.insert_str(0, "not json\n{\"id\":\"b\",\"subreddit\":\"past\"}\n");
    let whole = past.home.write("whole.ndjson", &text);
    let load = async |path: &std::path::Path| -> Finished {
        let path = path.display().to_string();
        past.try_run(&["backfill", NAME, "--source", &path]).await
    };
    let cut = past.home.path().join("cut.zst");
    std::fs::write(&cut, cut_zst(&text)).unwrap();

    load(&cut)
        .await
        .ended_with(1)
        .says(&["cut.zst", "is stored"]);
    let before = past.stored().await.len();
    assert!((1_000..=3_000).contains(&before), "{before}");
    load(&whole)
        .await
        .ended_with(0)
        .says(&["no submission", "freshet-rejects.ndjson"]);
    assert_eq!(past.stored().await.len(), 3_000);
    let rejects = std::fs::read_to_string(past.home.path().join("freshet-rejects.ndjson")).unwrap();
    assert!(rejects.lines().count() >= 2, "{rejects}");
}

#[tokio::test]
async fn a_file_that_is_no_dump_leaves_no_backfill_open() {
    let past = Past::start(options(7, 0.0), On::Sqlite).await;
    for (id, text) in [(1, "root:x:0:0:root:/root:/bin/bash\n"), (2, "")] {
        let file = past.home.write("passwd", text).display().to_string();
        let line = ["backfill", "all", "--source", &file];
        let failed = past.try_run(&line).await.ended_with(1);
        failed.says(&[&format!("backfill {id} is cancelled")]);
        assert_eq!(past.status(id).await["state"], "cancelled");
    }
    let status = past.run(&["status", "--http-listen", "127.0.0.1:9"]).await;
    assert!(!status.stdout.contains("BACKFILL"), "{}", status.stdout);
}
