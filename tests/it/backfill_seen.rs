//! What an operator is shown of backfills: in `freshet status` and in the metrics.

use super::support::past::{NAME, On, Past, options};
use freshet::simulator::Fault;
use freshet::store::{SliceDue, Store};

#[tokio::test]
async fn a_plan_survives_an_answer_that_goes_wrong() {
    let past = Past::start(options(7, 40.0), On::Sqlite).await;
    past.control().fail_next(1, Fault::Blocked, None).unwrap();
    let plan = ["backfill", NAME, "--since", "2d", "--dry-run"];
    let planned = past.run(&plan).await.stdout;
    assert!(planned.contains("judged by"), "{planned}");
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
    let past = Past::start(options(7, 40.0), On::Sqlite).await;
    let status = async || {
        let line = ["status", "--http-listen", "127.0.0.1:9"];
        past.run(&line).await.stdout
    };
    past.run(&["migrate"]).await;
    assert!(!status().await.contains("BACKFILL"));
    past.run(&["backfill", NAME, "--since", "2d", "--detach"])
        .await;
    let waits = status().await;
    for words in ["BACKFILL OF", NAME, "arctic-shift", "0 %  waits"] {
        assert!(waits.contains(words), "{words}: {waits}");
    }
    set_aside_one(&past.database).await;
    past.run(&["backfill", "pause", "1"]).await;
    let told = status().await;
    for words in [
        "0 %  paused",
        "Set aside    1 slice of backfill 1; try again: freshet backfill resume 1",
        "refused",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }

    let url = past.simulator.url();
    let reddit = [
        "run",
        "--reddit-api-url",
        &url,
        "--reddit-auth-url",
        &url,
        "--reddit-client-id",
        "x",
    ];
    let process = past.begin(&reddit);
    let (open, slices) = ("freshet_backfills", "freshet_backfill_slices");
    let paused = process.until_gauge(open, ("state", "paused"), |it| it == 1.0);
    paused.await;
    let failed = process.until_gauge(slices, ("state", "failed"), |it| it == 1.0);
    failed.await;
    past.run(&["backfill", "resume", "1"]).await;
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

async fn the_metrics_and_the_command_count_the_same(on: On) {
    let past = Past::start(options(7, 40.0), on).await;
    let service = past.service("other");
    let words = ["backfill", NAME, "--since", "2d", "--detach"];
    let again = [&words[..], &["--reprocess", "all"]].concat();
    let mut counted = [0.0; 3];
    for (id, words) in [(1, &words[..]), (2, &again[..])] {
        past.run(words).await;
        let status = past.until_done(id, &service).await;
        let [listed, fresh, renewed] =
            ["listed", "fresh", "renewed"].map(|key| status[key].as_f64().unwrap());
        for (sum, more) in counted
            .iter_mut()
            .zip([fresh, renewed, listed - fresh - renewed])
        {
            *sum += more;
        }
        for (outcome, wanted) in ["fresh", "renewed", "known"].iter().zip(counted) {
            let name = "freshet_backfill_submissions_total";
            let reached = service.until_gauge(name, ("outcome", outcome), |it| it >= wanted);
            reached.await;
            let metrics = service.metrics().await;
            let shown = metrics.gauge(name, ("outcome", outcome));
            assert_eq!(shown, Some(wanted), "{outcome} after backfill {id}");
        }
    }
    assert!(counted[2] > 1_000.0, "the second finds what the first did");
}

#[tokio::test]
async fn the_metrics_and_the_command_count_the_same_on_sqlite() {
    the_metrics_and_the_command_count_the_same(On::Sqlite).await;
}

#[tokio::test]
async fn the_metrics_and_the_command_count_the_same_on_postgres() {
    the_metrics_and_the_command_count_the_same(On::Postgres).await;
}
