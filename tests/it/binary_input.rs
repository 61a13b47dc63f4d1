//! What people type and paste: names, times, lists; and what helps them to.

use super::store::fixtures::{NOW, World, seen_with};
use super::support::binary::{Finished, Home, PATIENCE};
use freshet::config::KEYS;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

async fn watched(home: &Home) -> Vec<String> {
    let told = home
        .run(&["subreddits", "list", "--json"])
        .await
        .ended_with(0);
    let listed: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    let names = listed.as_array().unwrap().iter();
    names
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Runs it with this on its standard input.
async fn piped(home: &Home, line: &[&str], input: &[u8]) -> Finished {
    let mut child = home.command(line).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    Finished {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn what_is_pasted_is_watched_and_found_again() {
    let home = Home::new();
    let line = [
        "subreddits",
        "add",
        "https://www.reddit.com/r/Rust/",
        "u/some-one",
        "ab+cd",
        "r/rust",
    ];
    home.run(&line).await.ended_with(0);
    assert_eq!(watched(&home).await, ["ab", "cd", "rust", "u_some-one"]);
    for line in [
        &["subreddits", "pause", "http://old.reddit.com/r/rust/new?x"][..],
        &["subreddits", "resume", "r/rust,R/AB"],
        &[
            "coverage",
            "reddit.com/r/rust",
            "--since",
            "yesterday",
            "--until",
            "now",
        ],
        &[
            "coverage",
            "/r/rust/",
            "--since",
            "2026-01-29 12:00",
            "--until",
            "2026-01-29T12:30",
        ],
        &["gaps", "list", "r/rust/"],
        &["jobs", "dead", "--subreddit", "/r/rust"],
        &[
            "export",
            "u/some-one",
            "--since",
            "last week",
            "--until",
            "1900000000000",
        ],
        &[
            "subreddits",
            "remove",
            "https://www.reddit.com/user/some-one/",
        ],
    ] {
        home.run(line).await.ended_with(0);
    }
    assert_eq!(watched(&home).await, ["ab", "cd", "rust"]);
    for (line, says) in [
        (
            &[
                "subreddits",
                "add",
                "https://www.reddit.com/r/rust/comments/1abc23/x/",
            ][..],
            "submission",
        ),
        (
            &["subreddits", "add", "https://example.org/r/rust"],
            "not an address of Reddit",
        ),
        (
            &["coverage", "ab+cd"],
            "one subreddit is expected here, not 2",
        ),
        (&["coverage", "rust", "--since", "soon"], "2026-01-31 18:00"),
        (&["export", "--since", "31.01.2026"], "UTC"),
        (&["backfill", "ab,cd", "--since", "2d"], "one subreddit"),
    ] {
        home.run(line).await.ended_with(2).says(&[says]);
    }
    assert_eq!(watched(&home).await, ["ab", "cd", "rust"]);
}

#[tokio::test]
async fn a_list_is_added_whole_or_not_at_all() {
    let home = Home::new();
    let add = ["subreddits", "add", "--file", "-"];
    piped(&home, &add, b"rust\n# comment\nnot/one\n\n x \n")
        .await
        .ended_with(2)
        .says(&["line 3:", "line 5:", "nothing was added"]);
    assert!(!home.path().join("freshet.db").exists());
    piped(&home, &add, b"rust zig # both\r\n\nr/ab+cd\n")
        .await
        .ended_with(0);
    home.write("list", "u/some-one\nrust\n");
    home.run(&["subreddits", "add", "gh", "--file", "list"])
        .await
        .ended_with(0);
    assert_eq!(
        watched(&home).await,
        ["ab", "cd", "gh", "rust", "u_some-one", "zig"]
    );
    piped(&home, &add, b"")
        .await
        .ended_with(2)
        .says(&["no subreddit"]);
    home.run(&["subreddits", "add", "--file", "none"])
        .await
        .ended_with(1)
        .says(&["none cannot be read"]);
    home.run(&["subreddits", "add"])
        .await
        .ended_with(2)
        .says(&["<SUBREDDIT>"]);
}

/// Every command, with those below it.
const COMMANDS: &[&str] = &[
    "",
    "run",
    "demo",
    "simulate",
    "subreddits",
    "subreddits add",
    "subreddits list",
    "jobs",
    "jobs dead",
    "status",
    "coverage",
    "backfill",
    "backfill list",
    "gaps",
    "gaps repair",
    "export",
    "health",
    "migrate",
    "config",
    "completions",
    "man",
];

#[tokio::test]
async fn help_shows_the_options_of_the_command_first_and_fits_80_columns() {
    let home = Home::new();
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let line: Vec<&str> = command.split_whitespace().chain([flag]).collect();
            let help = home.run(&line).await.ended_with(0).stdout;
            for row in help.lines() {
                assert!(row.chars().count() <= 80, "{command} {flag}: {row}");
            }
            let Some(configuration) = help.find("--database-url") else {
                continue;
            };
            if *command == "config" {
                // It explains them: that is its own text.
                continue;
            }
            assert_eq!(flag, "--help", "{command}");
            let own = help.find("Options:").unwrap();
            let global = help.find("Global options:").unwrap();
            assert!(own < global && global < configuration, "{command}: {help}");
            let below = &help[configuration..];
            assert!(
                below.lines().count() <= KEYS.len(),
                "{command}: one line a key"
            );
        }
    }
    let explained = home.run(&["help", "config"]).await.ended_with(0).stdout;
    let printed = home.run(&["config"]).await.ended_with(0).stdout;
    for key in KEYS {
        for word in [
            key.name.to_owned(),
            format!("--{}", key.flag()),
            key.variable(),
        ] {
            assert!(
                explained.contains(&word) && printed.contains(&word),
                "{word}"
            );
        }
    }
    assert!(printed.lines().all(|row| row.chars().count() <= 80));
}

#[tokio::test]
async fn shells_and_manual_readers_get_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = home.run(&["completions", shell]).await.ended_with(0);
        for word in ["export", "subreddits", "csv-safe", "database-url"] {
            assert!(told.stdout.contains(word), "{shell} {word}");
        }
    }
    home.run(&["completions", "tcsh"])
        .await
        .ended_with(2)
        .says(&["bash"]);
    let overview = home.run(&["man"]).await.ended_with(0).stdout;
    assert!(
        overview.contains(".TH freshet 1") && overview.contains("export"),
        "{overview}"
    );
    // No option stands there without a word on it.
    for page in ["", "export", "run"] {
        let line: Vec<&str> = ["man"]
            .into_iter()
            .chain(page.split_terminator(' '))
            .collect();
        let page = home.run(&line).await.ended_with(0).stdout;
        let options: Vec<&str> = page.split(".TP\n").skip(1).collect();
        assert!(!options.is_empty(), "{page}");
        for option in options {
            let text = option.lines().nth(1).unwrap_or_default();
            let is_text = !text.is_empty() && !text.starts_with('.');
            assert!(is_text, "{line:?}: {option}");
        }
    }
    for key in KEYS {
        let flag = format!("\\-\\-{}", key.flag().replace('-', "\\-"));
        assert!(overview.contains(&flag), "{flag}");
    }
    let export = home.run(&["man", "export"]).await.ended_with(0).stdout;
    assert!(export.contains("csv\\-safe"), "{export}");
    home.run(&["man", "subreddits", "add"]).await.ended_with(0);
    home.run(&["man", "nosuch"])
        .await
        .ended_with(2)
        .says(&["freshet nosuch"]);
    // None of them needs a usable configuration.
    home.write("freshet.toml", "nonsense");
    home.run(&["completions", "bash"]).await.ended_with(0);
}

#[tokio::test]
async fn a_shell_accepts_its_completions() {
    let home = Home::new();
    let told = home.run(&["completions", "bash"]).await.ended_with(0);
    home.write("completions", &told.stdout);
    let bash = |script: &str| {
        let ended = std::process::Command::new("bash")
            .args(["-c", &format!("source ./completions && {script}")])
            .current_dir(home.path())
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    };
    bash("complete -p freshet");
    // As it is asked at the end of a line.
    for (line, words) in [
        ("freshet exp", &["export"][..]),
        ("freshet export --cs", &["--csv-safe"]),
        ("freshet export --format ", &["ndjson", "csv", "parquet"]),
        ("freshet subreddits add --fi", &["--file"]),
        ("freshet --log debug backfill rust --so", &["--source"]),
        ("freshet gaps repair --database-", &["--database-url"]),
    ] {
        let typed: Vec<&str> = line.split(' ').collect();
        let (last, before) = (typed.len() - 1, typed.len() - 2);
        let offered = bash(&format!(
            "COMP_WORDS=({}); COMP_WORDS[{last}]='{}'; COMP_CWORD={last}; \
             _freshet freshet '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            line, typed[last], typed[last], typed[before]
        ));
        for word in words {
            assert!(
                offered.split_whitespace().any(|it| it == *word),
                "{line}: {offered}"
            );
        }
    }
}

#[tokio::test]
async fn the_demo_shows_its_own_defaults_and_no_option_without_effect() {
    let home = Home::new();
    let help = home.run(&["demo", "--help"]).await.ended_with(0).stdout;
    let shown = |flag: &str| {
        let row = help.lines().find(|row| row.trim_start().starts_with(flag));
        row.map(|row| row.split_whitespace().last().unwrap().to_owned())
    };
    for (flag, default) in [
        ("--database-url", "[sqlite://freshet-demo.db]"),
        ("--queue-url", "[memory]"),
        ("--reddit-requests-per-minute", "[600]"),
        ("--discover-interval", "[10s]"),
        ("--discover-first-window", "[8h]"),
        ("--monitoring-summary-every", "[10s]"),
        ("--http-listen", "[127.0.0.1:8080]"),
    ] {
        assert_eq!(shown(flag).as_deref(), Some(default), "{help}");
    }
    for flag in [
        "--reddit-client-id",
        "--reddit-api-url",
        "--arctic-shift-url",
    ] {
        assert_eq!(shown(flag), None, "{help}");
    }
    let run = home.run(&["run", "--help"]).await.ended_with(0).stdout;
    assert!(run.contains("[sqlite://freshet.db]") && run.contains("--reddit-api-url"));
}

#[tokio::test]
async fn a_range_is_read_as_utc() {
    let (home, world) = (Home::new(), World::sqlite().await);
    // Created 2026-09-21 13:56:40 UTC.
    world
        .list(&[seen_with("a1", NOW, r#","subreddit":"rust""#)])
        .await;
    for (since, rows) in [
        ("2026-09-21 13:56", 1),
        ("2026-09-21 13:57", 0),
        ("1789999000", 1),
        ("1789999001", 0),
        ("1789999000000", 1),
        ("2026-09-21T15:56+02:00", 1),
    ] {
        let line = ["export", "--database-url", &world.url, "--since", since];
        let mut command = home.command(&line);
        command.env("TZ", "Asia/Tokyo");
        let told = super::support::binary::finish(&mut command)
            .await
            .ended_with(0);
        assert_eq!(told.stdout.lines().count(), rows, "{since}");
    }
}
