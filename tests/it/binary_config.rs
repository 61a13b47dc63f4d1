//! The configuration as users meet it: every key of the table, from every place, and every way to
//! get it wrong. Driven by the table, so that no key can be forgotten.

use super::support::binary::{Finished, Home, finish};
use freshet::config::{Config, Inputs, KEYS, Key};
use secrecy::ExposeSecret;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::Command;

/// No key takes this: it holds a control character.
const BAD: &str = "worthless\u{1}value";

/// A value other than the default, as text; what goes into the file is the same in quotes.
fn other(key: &Key) -> &'static str {
    match key.name {
        "database.url" => "sqlite://other.db",
        "queue.url" => "sqlite://other-queue.db",
        "queue.max_waiting" => "17",
        "http.listen" => "127.0.0.1:18",
        "http.allowed_hosts" => "one.example,two.example",
        "tls.ca_file" => "/etc/ssl/certs/ca-certificates.crt",
        "proxy.url" => "http://proxy.example:3128",
        "reddit.client_id" => "some-id",
        "reddit.client_secret" => "some-secret",
        "reddit.username" => "someone",
        "reddit.password" => "some-password",
        "reddit.user_agent" => "linux:other:1 (by /u/other)",
        "reddit.api_url" => "http://api.example",
        "reddit.auth_url" => "http://auth.example",
        "reddit.requests_per_minute" => "19",
        "arctic_shift.url" => "http://archive.example",
        "arctic_shift.requests_per_minute" => "28",
        "discover.interval" => "20s",
        "discover.fastest" => "3s",
        "discover.names_per_listing" => "31",
        "discover.first_window" => "21h",
        "discover.overlap" => "22m",
        "discover.sweep_interval" => "23h",
        "discover.repair" => "arctic-shift",
        "discover.id_scan" => "on",
        "discover.scope" => "all",
        "discover.concurrency" => "13",
        "fetch.concurrency" => "24",
        "liveness.unready_after" => "26s",
        "liveness.exit_after" => "1m 27s",
        "monitoring.dashboards_url" => "http://dashboards.example",
        "monitoring.folders" => "/,/tmp",
        "monitoring.summary_every" => "29s",
        "shutdown.grace" => "25s",
        new => panic!("a value for the new key {new} is missing here"),
    }
}

/// What of the configuration one key decides, as text.
fn decided(config: &Config, key: &Key) -> String {
    let client = config.reddit.client.as_ref();
    let login = config.reddit.login.as_ref();
    let span = |it: Duration| humantime::format_duration(it).to_string();
    let host = |it: &reqwest::Url| it.as_str().trim_end_matches('/').to_owned();
    match key.name {
        "database.url" => config.database.url.expose_secret().to_owned(),
        "queue.url" => config.queue.url.expose_secret().to_owned(),
        "queue.max_waiting" => config.queue.max_waiting.to_string(),
        "http.listen" => config.http.listen.to_string(),
        "http.allowed_hosts" => config.http.allowed_hosts.join(","),
        "tls.ca_file" => {
            let own = config.network.trust.own().unwrap();
            assert!(own.contains("BEGIN CERTIFICATE"));
            other(key).to_owned()
        }
        "proxy.url" => {
            let proxy = config.network.proxy.as_ref().unwrap();
            proxy.https.as_ref().unwrap().expose_secret().to_owned()
        }
        "reddit.client_id" => client.unwrap().id.clone(),
        "reddit.client_secret" => client.unwrap().secret.expose_secret().to_owned(),
        "reddit.username" => login.unwrap().username.clone(),
        "reddit.password" => login.unwrap().password.expose_secret().to_owned(),
        "reddit.user_agent" => config.reddit.user_agent.clone(),
        "reddit.api_url" => host(&config.reddit.api_url),
        "reddit.auth_url" => host(&config.reddit.auth_url),
        "reddit.requests_per_minute" => config.reddit.requests_per_minute.to_string(),
        "arctic_shift.url" => host(&config.arctic_shift.url),
        "arctic_shift.requests_per_minute" => config.arctic_shift.requests_per_minute.to_string(),
        "discover.interval" => span(config.discover.interval),
        "discover.fastest" => span(config.discover.fastest),
        "discover.names_per_listing" => config.discover.names_per_listing.to_string(),
        "discover.first_window" => span(config.discover.first_window),
        "discover.overlap" => span(config.discover.overlap),
        "discover.sweep_interval" => span(config.discover.sweep_interval),
        "discover.repair" if config.discover.repair_from_archive => "arctic-shift".to_owned(),
        "discover.repair" => "listing".to_owned(),
        "discover.id_scan" => format!("{:?}", config.discover.id_scan).to_lowercase(),
        "discover.scope" => format!("{:?}", config.discover.scope).to_lowercase(),
        "discover.concurrency" => config.discover.concurrency.to_string(),
        "fetch.concurrency" => config.fetch.concurrency.to_string(),
        "liveness.unready_after" => span(config.liveness.unready_after),
        "liveness.exit_after" => span(config.liveness.exit_after),
        "monitoring.dashboards_url" => host(config.monitoring.dashboards_url.as_ref().unwrap()),
        "monitoring.folders" => {
            let folders = config.monitoring.folders.iter();
            let names: Vec<String> = folders.map(|it| it.display().to_string()).collect();
            names.join(",")
        }
        "monitoring.summary_every" => span(config.monitoring.summary_every),
        "shutdown.grace" => span(config.shutdown.grace),
        new => panic!("what the new key {new} decides is missing here"),
    }
}

/// `[section]` and `key = "value"`.
fn toml(name: &str, value: &str) -> String {
    let (section, key) = name.split_once('.').unwrap();
    let value = value.replace('\u{1}', "\\u0001");
    format!("[{section}]\n{key} = \"{value}\"\n")
}

fn variable(name: &str) -> String {
    format!("FRESHET_{}", name.replace('.', "__").to_ascii_uppercase())
}

/// A command that needs the configuration and little else.
fn migrate(home: &Home, flags: &[&str]) -> Command {
    home.command(&[&["migrate"], flags].concat())
}

async fn refused(command: &mut Command, words: &[&str]) -> Finished {
    finish(command).await.ended_with(2).says(words)
}

#[test]
fn every_key_decides_its_own_value_and_no_other() {
    let environment = |but: Option<&str>| {
        let keys = KEYS.iter().filter(|key| Some(key.name) != but);
        keys.map(|key| (key.variable(), other(key).to_owned()))
            .collect()
    };
    let load = |environment| {
        Config::load(Inputs {
            environment,
            ..Inputs::default()
        })
    };
    let all = load(environment(None)).unwrap();
    for key in KEYS {
        assert_eq!(decided(&all, key), other(key), "{}", key.name);
        let Some(default) = key.default else { continue };
        let without = load(environment(Some(key.name))).unwrap();
        let expected = default
            .replace("VERSION", env!("CARGO_PKG_VERSION"))
            .replace("USERNAME", "someone");
        let expected = expected.replace("180s", "3m").replace("60s", "1m");
        let expected = expected.replace("24h", "1day");
        assert_eq!(decided(&without, key), expected, "{}", key.name);
    }
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    for key in KEYS {
        let home = Home::new();
        let flag = format!("--{}", key.flag());
        let (file, variable) = (toml(key.name, BAD), key.variable());

        home.write("freshet.toml", &file);
        refused(
            &mut migrate(&home, &[]),
            &[key.name, "the file freshet.toml"],
        )
        .await;
        refused(
            migrate(&home, &[]).env(&variable, BAD),
            &[key.name, &variable],
        )
        .await;
        refused(
            migrate(&home, &[&flag, BAD]).env(&variable, BAD),
            &[key.name, &format!("the flag {flag}")],
        )
        .await;

        // A good value above hides the bad ones below. Some come in pairs.
        let pair = match key.name {
            "reddit.client_secret" => vec!["--reddit-client-id", "x"],
            "reddit.password" => vec!["--reddit-username", "x"],
            _ => vec![],
        };
        let good = [&[flag.as_str(), other(key)], &pair[..]].concat();
        finish(migrate(&home, &good).env(&variable, BAD))
            .await
            .ended_with(0);
        finish(migrate(&home, &pair).env(&variable, other(key)))
            .await
            .ended_with(0);
    }
}

#[tokio::test]
async fn what_is_wrong_ends_the_process_before_a_port_is_opened() {
    // A port that cannot be opened: who gets as far as that complains about it.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let run = |flags: &[&str]| {
        let mut line = vec!["run"];
        for (flag, value) in [("--reddit-client-id", "x"), ("--http-listen", &listen)] {
            if !flags.contains(&flag) {
                line.extend([flag, value]);
            }
        }
        home.command(&[&line, flags].concat())
    };
    finish(&mut run(&[]))
        .await
        .ended_with(1)
        .says(&["http.listen", &listen]);
    for (flag, value, key) in [
        ("--queue-max-waiting", "0", "queue.max_waiting"),
        ("--queue-max-waiting", "-1", "queue.max_waiting"),
        ("--queue-max-waiting", "many", "queue.max_waiting"),
        ("--http-listen", "8080", "http.listen"),
        ("--http-listen", "127.0.0.1:99999", "http.listen"),
        ("--reddit-client-id", "a:b", "reddit.client_id"),
        ("--reddit-api-url", "oauth.reddit.com", "reddit.api_url"),
        ("--reddit-api-url", "ftp://reddit.com", "reddit.api_url"),
        (
            "--reddit-api-url",
            "https://me:hush@reddit.com",
            "reddit.api_url",
        ),
        (
            "--reddit-auth-url",
            "https://reddit.com/?a=hush",
            "reddit.auth_url",
        ),
        (
            "--reddit-requests-per-minute",
            "0",
            "reddit.requests_per_minute",
        ),
        ("--discover-interval", "60", "discover.interval"),
        ("--discover-interval", "0s", "discover.interval"),
        ("--discover-overlap", "1000y", "discover.overlap"),
        ("--fetch-concurrency", "1000000", "fetch.concurrency"),
        ("--shutdown-grace", "soon", "shutdown.grace"),
        ("--database-url", "freshet.db", "database.url"),
        ("--database-url", "mysql://me:hush@host/db", "database.url"),
        (
            "--database-url",
            "postgres://me:hu/sh@host/db",
            "database.url",
        ),
        ("--queue-url", "postgres://me:hush@host/db", "queue.url"),
        ("--queue-url", "redis://", "queue.url"),
        ("--reddit-password", "hush", "reddit.username"),
    ] {
        let ended = refused(&mut run(&[flag, value]), &[key]).await;
        assert!(!ended.stderr.contains("hush"), "{ended:?}");
    }
    refused(&mut run(&["--log", "=="]), &["--log"]).await;
    refused(
        &mut run(&["--role", "cook"]),
        &["cook", "scheduler, worker, http"],
    )
    .await;
    refused(&mut run(&["--database-urls", "x"]), &["--database-url"]).await;
    refused(&mut run(&["r/rust", "no such name"]), &["no such name"]).await;
}

#[tokio::test]
async fn an_unknown_key_is_named_with_its_place_and_what_was_meant() {
    let home = Home::new();
    for (text, words) in [
        (
            "[discover]\nintervall = \"1m\"",
            ["discover.intervall", "discover.interval?"],
        ),
        (
            "[reddits]\nclient_id = \"x\"",
            ["reddits.client_id", "reddit.client_id?"],
        ),
        ("[http]\nport = 1", ["http.port", "freshet.toml"]),
        ("colour = true", ["colour", "freshet.toml"]),
    ] {
        home.write("freshet.toml", text);
        refused(&mut migrate(&home, &[]), &words).await;
    }
    home.write("freshet.toml", "");
    for (variable, words) in [
        ("FRESHET_DISCOVER__INTERVALL", "discover.interval?"),
        ("FRESHET_REDDITS__CLIENT_ID", "reddit.client_id?"),
        ("FRESHET_X__Y", "x.y"),
    ] {
        refused(migrate(&home, &[]).env(variable, "1m"), &[variable, words]).await;
    }
}

#[tokio::test]
async fn a_file_that_is_no_toml_is_named_with_the_line_and_without_its_text() {
    let home = Home::new();
    home.write("freshet.toml", "[reddit]\nclient_secret = hush-hush\n");
    let ended = refused(&mut migrate(&home, &[]), &["freshet.toml", "line 2"]).await;
    assert!(!ended.stderr.contains("hush-hush"), "{ended:?}");
    home.write("freshet.toml", "[queue]\nmax_waiting = 1.5\n");
    refused(
        &mut migrate(&home, &[]),
        &["queue.max_waiting", "whole number"],
    )
    .await;
    // Numbers need no quotes.
    home.write("freshet.toml", "[queue]\nmax_waiting = 15\n");
    finish(&mut migrate(&home, &[])).await.ended_with(0);
}

#[tokio::test]
async fn the_file_is_the_named_one_or_the_usual_one_where_it_exists() {
    let home = Home::new();
    let bad = |key: &str| toml(key, BAD);
    finish(&mut migrate(&home, &[])).await.ended_with(0);
    home.write("freshet.toml", &bad("http.listen"));
    home.write("variable.toml", &bad("fetch.concurrency"));
    home.write("flag.toml", &bad("shutdown.grace"));
    refused(&mut migrate(&home, &[]), &["http.listen", "freshet.toml"]).await;
    let variable = ("FRESHET_CONFIG", "variable.toml");
    refused(
        migrate(&home, &[]).env(variable.0, variable.1),
        &["fetch.concurrency", "variable.toml"],
    )
    .await;
    refused(
        migrate(&home, &["--config", "flag.toml"]).env(variable.0, variable.1),
        &["shutdown.grace", "flag.toml"],
    )
    .await;
    // One that is named must exist.
    refused(
        &mut migrate(&home, &["--config", "none.toml"]),
        &["none.toml"],
    )
    .await;
    refused(
        migrate(&home, &[]).env("FRESHET_CONFIG", "none.toml"),
        &["none.toml"],
    )
    .await;
}

#[tokio::test]
async fn every_secret_can_come_from_a_file() {
    for (key, name) in KEYS.iter().filter_map(|key| Some((key, key.file?))) {
        let home = Home::new();
        let flag = format!("--{}-file", key.flag());
        assert!(name.ends_with("_file") && name.starts_with(key.name));
        home.write("good", &format!("{}\r\n", other(key)));
        home.write("bad", BAD);
        let pair = match key.name {
            "reddit.client_secret" => vec!["--reddit-client-id", "x"],
            "reddit.password" => vec!["--reddit-username", "x"],
            _ => vec![],
        };
        for (path, status) in [("good", 0), ("bad", 2), ("missing", 2)] {
            let by_flag = migrate(&home, &[&pair, &[flag.as_str(), path][..]].concat());
            let mut by_variable = migrate(&home, &pair);
            by_variable.env(variable(name), path);
            let config = home.write("secrets.toml", &toml(name, path));
            let config = config.to_str().unwrap();
            let by_file = migrate(&home, &[&pair, &["--config", config][..]].concat());
            for mut command in [by_flag, by_variable, by_file] {
                let ended = finish(&mut command).await.ended_with(status);
                assert!(!ended.stderr.contains("worthless"), "{ended:?}");
                if status == 2 {
                    ended.says(&[key.name]);
                }
            }
        }
        refused(
            &mut migrate(&home, &[&flag, "missing"]),
            &["the file missing"],
        )
        .await;
        if key.name == "database.url" {
            assert!(home.path().join("other.db").exists());
        }
    }
}

#[tokio::test]
async fn the_help_names_every_key() {
    let home = Home::new();
    let help = home.run(&["run", "--help"]).await.ended_with(0);
    for key in KEYS {
        assert!(help.stdout.contains(&format!("--{}", key.flag())));
    }
    let short = home.run(&["-h"]).await.ended_with(0);
    assert!(short.stdout.lines().all(|line| line.chars().count() <= 100));
}

#[tokio::test]
async fn values_that_could_only_fail_later_are_refused_by_their_key() {
    let home = Home::new();
    let key = ["--reddit-client-id", "id", "--http-listen", "127.0.0.1:0"];
    for (flag, value, words) in [
        ("--database-url", "sqlite://:memory:", "database.url"),
        (
            "--database-url",
            "sqlite://x.db?mode=memory",
            "database.url",
        ),
        ("--database-url", "sqlite://x.db?mode=bogus", "database.url"),
        (
            "--database-url",
            "postgres://h/x?sslmode=bogus",
            "database.url",
        ),
        ("--queue-url", "sqlite://:memory:", "queue.url"),
        ("--queue-url", "sqlite://q.db?mode=bogus", "queue.url"),
        (
            "--reddit-user-agent",
            "linux:fréshet:1",
            "reddit.user_agent",
        ),
        ("--discover-concurrency", "17", "discover.concurrency"),
        ("--liveness-exit-after", "60s", "liveness.exit_after"),
    ] {
        let line = [&["run"], &key[..], &[flag, value]].concat();
        home.run(&line).await.ended_with(2).says(&[words]);
    }
}

#[tokio::test]
async fn a_key_that_one_layer_sets_twice_is_refused() {
    let home = Home::new();
    let file = home.write("secret", "from the file");
    let mut command = home.command(&["migrate"]);
    command
        .env("FRESHET_REDDIT__CLIENT_ID", "id")
        .env("FRESHET_REDDIT__CLIENT_SECRET", "one")
        .env("FRESHET_REDDIT__CLIENT_SECRET_FILE", file);
    let refused = finish(&mut command).await.ended_with(2);
    refused.says(&["reddit.client_secret", "twice"]);
}

/// Whoever set several things wrong is not sent round once for each.
#[tokio::test]
async fn all_that_is_wrong_is_named_at_once_a_line_each() {
    let home = Home::new();
    home.write(
        "freshet.toml",
        "colour = 1\n[discover]\nintervall = \"9s\"\noverlap = \"soon\"\n[fetch]\nconcurrency = 1.5\n\
         [reddit]\npassword = \"hush-hush\"\n",
    );
    let mut command = migrate(&home, &["--http-listen", "nowhere"]);
    let ended = finish(command.env("FRESHET_QUEUE__URL", "memcached://x")).await;
    let ended = ended.ended_with(2);
    let lines: Vec<&str> = ended.stderr.trim_end().lines().collect();
    assert_eq!(
        lines[0], "freshet: the configuration has 7 mistakes:",
        "{ended:?}"
    );
    assert_eq!(lines.len(), 8, "{ended:?}");
    for (key, says) in [
        ("unknown key colour", "freshet.toml"),
        (
            "unknown key discover.intervall",
            "did you mean discover.interval?",
        ),
        ("discover.overlap", "a length of time"),
        ("fetch.concurrency", "a whole number"),
        ("http.listen", "the flag --http-listen"),
        ("queue.url", "FRESHET_QUEUE__URL"),
        ("reddit.password", "reddit.username is not"),
    ] {
        let line = lines.iter().find(|it| it.trim_start().starts_with(key));
        assert!(line.is_some_and(|it| it.contains(says)), "{key}: {ended:?}");
    }
    assert!(!ended.stderr.contains("hush-hush"), "{ended:?}");

    // What follows from a mistake is none of its own.
    let line = ["--reddit-client-id", "a:b", "--reddit-client-secret", "c"];
    let ended = refused(&mut migrate(&Home::new(), &line), &["reddit.client_id"]).await;
    assert!(!ended.stderr.contains("reddit.client_secret"), "{ended:?}");
}
