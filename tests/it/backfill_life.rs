//! What becomes of a backfill: planned, begun, paused, gone on with, handed over, given up.

use super::support::binary::{Finished, PATIENCE, finish};
use super::support::past::{DAY, HOUR, NAME, On, Past, options, time};
use super::support::pipeline::until;
use serde_json::{Value, json};
use std::time::Duration;

/// A past from the archive, and the command that asks for it.
struct Asked {
    past: Past,
    start: i64,
    end: i64,
    since: String,
    until: String,
}

impl Asked {
    /// For about so many hours, of which each answer takes so many milliseconds.
    async fn hours(hours: i64, latency_ms: u64, on: On) -> Asked {
        let mut options = options(11, 30.0);
        options.subreddits.push(("other".parse().unwrap(), 1.0));
        options.latency = Duration::from_millis(latency_ms);
        let past = Past::start(options, on).await;
        let end = past.now() - DAY;
        let start = end - hours * HOUR;
        Asked {
            since: time(start),
            until: time(end),
            past,
            start,
            end,
        }
    }

    fn line<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let (since, until) = (self.since.as_str(), self.until.as_str());
        let line = ["backfill", NAME, "--since", since, "--until", until];
        [&line[..], more].concat()
    }

    async fn run(&self, more: &[&str]) -> Finished {
        self.past.run(&self.line(more)).await
    }

    async fn it_is_whole(&self) {
        assert_eq!(self.past.stored().await, self.truth());
        let proven = self.past.proven(self.start, self.end).await;
        assert_eq!(proven, self.end - self.start);
    }

    fn truth(&self) -> Vec<String> {
        self.past.truth(self.start, self.end)
    }
}

async fn backfill(past: &Past, words: &[&str]) -> Finished {
    past.try_run(&[&["backfill"], words].concat()).await
}

#[tokio::test]
async fn what_was_begun_is_listed_and_told_and_paused_and_given_up() {
    let asked = Asked::hours(40, 0, On::Sqlite).await;
    let past = &asked.past;
    let nothing = backfill(past, &["list"]).await;
    // There is no database yet.
    nothing.ended_with(1);
    asked.run(&["--dry-run"]).await;
    for (word, status) in [("list", 0), ("status", 1)] {
        let told = backfill(past, &[word]).await.ended_with(status);
        told.says(&["o backfill was ever begun"]);
    }
    let unknown = backfill(past, &["pause", "7"]).await;
    unknown.ended_with(1).says(&["there is no backfill 7"]);

    // Nobody does it.
    let begun = asked.run(&["--detach"]).await;
    begun.says(&["Backfill 1 begins", "freshet backfill status 1"]);
    assert!(past.asked() <= 14, "no more than two plans asked for");
    let listed = backfill(past, &["list"]).await.ended_with(0).stdout;
    let row: Vec<&str> = listed.lines().last().unwrap().split_whitespace().collect();
    let slices = past.backfills().await[0]["slices"].to_string();
    assert_eq!(row[..4], ["1", NAME, "arctic-shift", "running"], "{listed}");
    assert_eq!(row[4], format!("0/{slices}"), "{listed}");
    let told = backfill(past, &["status"]).await.ended_with(0).stdout;
    for words in [
        "Backfill 1 of r/past from arctic-shift: running",
        &format!("0 of {slices} done, 0 at work"),
        "Found     0 of about",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }

    for (verb, says, state) in [
        ("pause", "resume 1 goes on", "paused"),
        ("resume", "goes on in the processes that run", "running"),
        ("pause", "is paused", "paused"),
        ("cancel", "is cancelled", "cancelled"),
    ] {
        let done = backfill(past, &[verb, "1"]).await;
        done.ended_with(0).says(&[says]);
        assert_eq!(past.status(1).await["state"], state);
    }
    for verb in ["pause", "resume", "cancel"] {
        let refused = backfill(past, &[verb, "1"]).await;
        refused.ended_with(1).says(&["is cancelled already"]);
    }
    let status = past.status(1).await;
    assert!(status["finished_at"].is_i64(), "{status}");
    assert_eq!(
        status["parts"].as_array().unwrap().len().to_string(),
        slices
    );

    // The same command does not wake what was given up, but begins anew.
    asked.run(&[]).await.says(&["Backfill 2 begins"]);
    asked.it_is_whole().await;
    for verb in ["pause", "resume", "cancel"] {
        let refused = backfill(past, &[verb, "2"]).await;
        refused.ended_with(1).says(&["is done already"]);
    }
    let numbers: Vec<Value> = past
        .backfills()
        .await
        .iter()
        .map(|it| it["id"].clone())
        .collect();
    assert_eq!(numbers, [2, 1]);
    let one = past.json(&["backfill", "list", "--limit", "1"]).await;
    assert_eq!(one[0]["id"], 2);
    assert_eq!(one.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn one_that_another_pauses_ends_with_that_word_and_the_same_command_goes_on() {
    let asked = Asked::hours(48, 40, On::Sqlite).await;
    for (verb, state) in [("pause", "paused"), ("cancel", "cancelled")] {
        let mut process = asked.past.begin(&asked.line(&["--max-active", "1"]));
        process.said("ackfill 1").await;
        let number = asked.past.asked() + 2;
        asked.past.until_asked(number, &mut process).await;
        backfill(&asked.past, &[verb, "1"]).await.ended_with(0);
        let ended = process.end(PATIENCE).await;
        let told = format!("backfill 1 is {state}");
        assert_eq!(ended.code(), Some(1), "{}", process.stderr());
        assert!(process.stderr().contains(&told), "{}", process.stderr());
        let left = asked.past.status(1).await;
        assert_eq!(
            left["slices_active"], 0,
            "nobody need wait for it: {left:#}"
        );
    }
    let stored = asked.past.stored().await.len();
    assert!(stored < asked.truth().len(), "{stored}");
    let again = asked.run(&["--max-active", "1"]).await;
    again.says(&["Backfill 2 begins"]);
    asked.it_is_whole().await;
}

#[tokio::test]
async fn an_interrupt_leaves_it_resumable_and_the_same_command_goes_on_at_once() {
    for on in [On::Sqlite, On::Postgres] {
        let asked = Asked::hours(48, 40, on).await;
        let mut process = asked.past.begin(&asked.line(&[]));
        process.said("Backfill 1 begins").await;
        let number = asked.past.asked() + 4;
        asked.past.until_asked(number, &mut process).await;
        process.signal("INT");
        let ended = process.end(PATIENCE).await;
        let said = process.stderr();
        assert_eq!(ended.code(), Some(1), "{said}");
        assert!(said.contains("interrupted"), "{said}");
        assert!(said.contains("the same command goes on"), "{said}");
        let left = &asked.past.backfills().await[0];
        assert_eq!(left["state"], "running", "{left}");
        assert_eq!(left["slices_active"], 0, "{left}");
        assert_eq!(left["trouble"], Value::Null, "{left}");
        let before = left["listed"].as_u64().unwrap();

        asked.run(&[]).await.says(&["Resuming backfill 1"]);
        asked.it_is_whole().await;
        let whole = &asked.past.backfills().await[0];
        assert_eq!(whole["listed"], asked.truth().len(), "{whole}");
        assert!(before < asked.truth().len() as u64, "{left}");
    }
}

#[tokio::test]
async fn one_that_is_left_to_others_is_brought_in_by_a_process_that_runs() {
    for on in [On::Sqlite, On::Postgres] {
        let asked = Asked::hours(30, 0, on).await;
        let service = asked.past.service("other");
        service.address().await;
        let begun = asked.past.json(&asked.line(&["--detach"])).await;
        assert_eq!(begun, json!({ "backfills": [1] }));
        let status = asked.past.until_done(1, &service).await;
        assert_eq!(status["fresh"], asked.truth().len(), "{status}");
        for part in status["parts"].as_array().unwrap() {
            assert_eq!(
                (&part["state"], &part["reached"]),
                (&json!("done"), &part["end"])
            );
        }
        asked.it_is_whole().await;
        let brought = service
            .metrics()
            .await
            .gauge("freshet_backfill_submissions_total", ("outcome", "fresh"));
        assert_eq!(brought, Some(asked.truth().len() as f64));
    }
}

#[tokio::test]
async fn a_dry_run_says_what_then_happens() {
    let asked = Asked::hours(44, 5, On::Sqlite).await;
    let past = &asked.past;
    let plan = past.json(&asked.line(&["--dry-run"])).await;
    let text = asked.run(&["--dry-run"]).await.stdout;
    assert!(past.backfills().await.is_empty(), "it only plans");
    let estimate = |key: &str| plan["estimate"][key].as_u64().unwrap();
    for words in [
        format!("about {} submissions", estimate("submissions")),
        format!("{} requests", estimate("requests")),
        format!("{} slices", plan["slices"].as_array().unwrap().len()),
    ] {
        assert!(text.contains(&words), "{words}: {text}");
    }
    assert_eq!(plan["source"], "arctic-shift");
    assert_eq!(plan["missing_seconds"], asked.end - asked.start);

    asked.run(&[]).await;
    let status = past.status(1).await;
    let bounds = |of: &Value| -> Vec<(Value, Value)> {
        let of = of.as_array().unwrap().iter();
        of.map(|it| (it["start"].clone(), it["end"].clone()))
            .collect()
    };
    assert_eq!(bounds(&status["parts"]), bounds(&plan["slices"]));
    let truth = asked.truth().len() as u64;
    let near = |estimate: u64, is: u64| is / 2 <= estimate && estimate <= is * 2;
    assert!(near(estimate("submissions"), truth), "{plan:#}: {truth}");

    // A range of which the newer half is proven.
    let (half, earlier) = (asked.end - asked.start, time(2 * asked.start - asked.end));
    let line = [
        "backfill",
        NAME,
        "--since",
        &earlier,
        "--until",
        &asked.until,
    ];
    let plan = past.json(&[&line[..], &["--dry-run"]].concat()).await;
    assert_eq!(
        (&plan["covered_seconds"], &plan["missing_seconds"]),
        (&half.into(), &half.into())
    );
    let slices = bounds(&plan["slices"]);
    assert_eq!(slices[0].0, asked.start - half);
    assert_eq!(slices.last().unwrap().1, asked.start);
}

#[tokio::test]
async fn what_is_proven_is_asked_for_again_only_where_that_is_wished_for() {
    let asked = Asked::hours(10, 0, On::Sqlite).await;
    let past = &asked.past;
    asked.run(&[]).await;
    let before = past.asked();
    for missing in [&[][..], &["--reprocess", "missing"]] {
        asked.run(missing).await.says(&["proven complete already"]);
    }
    assert_eq!(past.json(&asked.line(&[])).await, json!([]));
    assert_eq!(past.asked(), before, "nothing was asked for");
    asked.run(&["--reprocess", "all"]).await;
    assert!(past.asked() > before + 6, "more than a plan");
    let again = &past.backfills().await[0];
    assert_eq!(again["id"], 2);
    assert_eq!(again["listed"], asked.truth().len(), "{again}");
    assert_eq!((&again["fresh"], &again["renewed"]), (&json!(0), &json!(0)));
    asked.it_is_whole().await;
}

#[tokio::test]
async fn what_is_to_be_refreshed_waits_behind_all_else_until_a_process_runs() {
    let asked = Asked::hours(10, 0, On::Sqlite).await;
    let past = &asked.past;
    let truth = asked.truth().len() as i64;
    let waits = format!("{truth} submissions wait to be fetched");
    asked.run(&["--refresh"]).await.says(&[&waits]);
    let store = past.store().await;
    let counts = store.fetch_counts(i64::MAX / 2).await.unwrap();
    assert_eq!(counts.backlog, truth);
    assert_eq!(past.priorities().await, vec![(2, truth)]);
    let service = past.service("other");
    until("all is fetched", PATIENCE, async || {
        past.priorities().await.is_empty()
    })
    .await;
    // Out of the share of its own.
    let metrics = service.metrics().await;
    let granted = metrics.gauge("freshet_budget_grants_total", ("class", "refresh"));
    assert!(granted >= Some(1.0), "{granted:?}");
    drop(service);
    let rows = past.rows("status").await;
    assert!(rows.iter().all(|row| row["status"] == "fetched"));
    assert_eq!(rows.len() as i64, truth);
}

#[tokio::test]
async fn what_an_archive_saw_long_ago_overwrites_nothing_newer() {
    let mut options = options(5, 6.0);
    options.archive.lag = Duration::ZERO;
    let past = Past::start(options, On::Sqlite).await;
    let (since, until) = (time(past.now() - 3 * DAY), time(past.now() - HOUR));
    let line = |source| {
        [
            "backfill",
            NAME,
            "--since",
            &since,
            "--until",
            &until,
            "--reprocess",
            "all",
            "--source",
            source,
        ]
    };
    const SEEN: &str = "id,title,selftext,score,num_comments,upvote_ratio";
    past.run(&line("arctic-shift")).await;
    let archived = past.rows(SEEN).await;
    let run = |source| {
        let mut command = past.with_key(&line(source));
        async move { finish(&mut command).await.ended_with(0) }
    };
    run("reddit").await;
    let now = past.rows(SEEN).await;
    assert_eq!(now.len(), archived.len());
    assert_ne!(now, archived, "Reddit shows what became of it since");
    let before = past.rows("id,raw").await;
    run("arctic-shift").await;
    assert_eq!(past.rows("id,raw").await, before);
    let counts = past.backfills().await;
    assert!(counts[1]["renewed"].as_u64().unwrap() > 0, "{counts:#?}");
    assert_eq!(counts[0]["renewed"], 0, "{counts:#?}");
    assert_eq!(counts[0]["listed"], archived.len());
}

#[tokio::test]
async fn up_to_now_is_proven_only_as_far_as_the_archive_is_known_to_have_come() {
    let past = Past::start(options(3, 60.0), On::Sqlite).await;
    let start = past.now() - 6 * HOUR;
    let end = past.now();
    let (since, until) = (time(start), time(end));
    let done = past
        .run(&["backfill", NAME, "--since", &since, "--until", &until])
        .await;
    assert!(
        done.stdout.contains("has not come so far yet"),
        "{}",
        done.stdout
    );
    assert_eq!(past.stored().await, past.truth(start, end));
    let proven = past.proven(start, end).await;
    assert!((5 * HOUR..6 * HOUR - 900).contains(&proven), "{proven}");
}

/// In a dense world, a middling one and one in which hardly anything is posted.
#[tokio::test]
async fn a_plan_asks_for_about_as_many_requests_as_it_said() {
    for (hourly, hours) in [(400.0, 24), (30.0, 44), (0.2, 60)] {
        let past = Past::start(options(11, hourly), On::Sqlite).await;
        let end = past.now() - 6 * HOUR;
        let (since, until) = (time(end - hours * HOUR), time(end));
        let line = ["backfill", NAME, "--since", &since, "--until", &until];
        let plan = past.json(&[&line[..], &["--dry-run"]].concat()).await;
        past.run(&line).await;
        let needed = past.status(1).await["requests"].as_f64().unwrap();
        let said = plan["estimate"]["requests"].as_f64().unwrap();
        assert!(
            (said - needed).abs() <= (needed * 0.15).max(3.0),
            "{said} were estimated and {needed} needed: {plan:#}"
        );
    }
}

/// As from cron: nobody may look at it for hours, and what it wrote then says how it went.
#[tokio::test]
async fn without_a_terminal_a_backfill_says_now_and_then_how_far_it_is() {
    let asked = Asked::hours(44, 400, On::Sqlite).await;
    let line = asked.line(&["--max-active", "1"]);
    let begun = asked.past.begin(&line);
    begun.said(" found, ").await;
    let told = begun.stderr();
    let line = told.lines().find(|it| it.contains(" found, ")).unwrap();
    assert!(line.contains(" %: ") && line.contains(" slices"), "{told}");
}
