//! A terminal that nobody reads, as one behind a connection that hangs: what runs on it goes on, and ends
//! when it is told to.

use super::support::binary::{Home, PATIENCE};
use super::support::exposition::Exposition;
use super::support::past::{DAY, NAME, On, Past, options, time};
use super::support::pipeline::until;
use super::support::redis::free_port;
use super::support::world::World;
use std::io::{PipeReader, Write, pipe};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A command of the shell on a terminal that is full, and stays so.
struct Unread {
    _script: Child,
    _reader: PipeReader,
}

impl Unread {
    /// Writes its process id to `pid` and its exit status to `ended`.
    fn start(folder: &Path, line: &str) -> Unread {
        let (reader, mut filler) = pipe().unwrap();
        let script_out = filler.try_clone().unwrap();
        // It ends once nobody holds the reading end any more.
        std::thread::spawn(move || while filler.write_all(b"filled\n").is_ok() {});
        // Something else fills the terminal, which `script` cannot empty into a pipe that is full.
        let line = format!(
            "stty cols 200 rows 50; (yes > /dev/tty &); \
             sh -c 'echo $$ > pid.new; mv pid.new pid; exec {line}'; \
             echo $? > ended.new; mv ended.new ended"
        );
        let script = Command::new("script")
            .args(["--quiet", "--command", &line, "/dev/null"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm-256color")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(script_out)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Unread {
            _script: script,
            _reader: reader,
        }
    }
}

async fn content(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    until(&format!("{name} is written"), PATIENCE, async || {
        file.exists()
    })
    .await;
    std::fs::read_to_string(&file).unwrap().trim().to_owned()
}

/// The sum of a counter; none where nobody answers.
async fn total(port: u16, name: &str) -> Option<f64> {
    let url = format!("http://127.0.0.1:{port}/metrics");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.ok()?.text().await.ok()?;
    Some(Exposition::parse(&answer).total(name))
}

/// A service works on and stops in order.
async fn works_and_stops(folder: &Path, port: u16, line: &str) {
    let unread = Unread::start(folder, line);
    let pid = content(folder, "pid").await;
    for polls in [0.0, 5.0] {
        until(&format!("{line} polls"), PATIENCE, async || {
            let made = total(port, "freshet_polls_total").await;
            made.is_some_and(|made| made > polls)
        })
        .await;
    }
    let killed = std::process::Command::new("kill").arg(&pid).status();
    assert!(killed.unwrap().success(), "{line} ended");
    assert_eq!(content(folder, "ended").await, "0", "{line}");
    drop(unread);
}

#[tokio::test]
async fn a_demo_goes_on_and_stops_in_order_full_screen_and_plain() {
    for flags in ["", "--plain"] {
        let (home, port) = (Home::new(), free_port());
        let line = format!(
            "{} demo {flags} --discover-interval 1s --http-listen 127.0.0.1:{port}",
            env!("CARGO_BIN_EXE_freshet")
        );
        works_and_stops(home.path(), port, &line).await;
    }
}

#[tokio::test]
async fn a_service_with_its_summary_goes_on_and_stops_in_order() {
    let world = World::with(10).await;
    let (home, port) = (world.home(), free_port());
    let line = format!(
        "{} run rust --log debug --monitoring-summary-every 1s --http-listen 127.0.0.1:{port}",
        env!("CARGO_BIN_EXE_freshet")
    );
    works_and_stops(home.path(), port, &line).await;
}

/// The line of a shell that brings in this period.
fn backfill(past: &Past, start: i64, end: i64) -> String {
    let words = [
        "backfill",
        NAME,
        "--since",
        &time(start),
        "--until",
        &time(end),
        "--source",
        "arctic-shift",
    ];
    let command = past.command(&words);
    let command = command.as_std();
    let arguments: Vec<_> = command.get_args().map(|it| it.to_str().unwrap()).collect();
    let environment: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_str()?, value?.to_str()?)))
        .collect();
    format!(
        "env {} {} {}",
        environment.join(" "),
        env!("CARGO_BIN_EXE_freshet"),
        arguments.join(" ")
    )
}

#[tokio::test]
async fn a_backfill_draws_its_bar_in_one_line_which_the_result_replaces() {
    for columns in ["80", "30", "0"] {
        let past = Past::start(options(7, 40.0), On::Sqlite).await;
        let (start, end) = (past.now() - 2 * DAY, past.now() - DAY / 2);
        let line = format!("stty cols {columns}; {}", backfill(&past, start, end));
        let shown = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm-256color")
            .current_dir(past.home.path())
            .stdin(Stdio::null())
            .output();
        let shown = String::from_utf8(shown.await.unwrap().stdout).unwrap();
        let is_bar = |line: &str| line.contains(['\u{2588}', '\u{2591}']);
        assert!(is_bar(&shown), "{columns}: {shown:?}");
        // What is left of a line is what followed the last time that it was wiped.
        let left: Vec<&str> = shown
            .split("\r\n")
            .map(|line| line.rsplit("\r\u{1b}[2K").next().unwrap())
            .collect();
        assert!(!left.iter().any(|line| is_bar(line)), "{columns}: {left:?}");
        let result = left.iter().find(|line| line.contains(": done"));
        assert!(
            result.is_some_and(|line| line.starts_with("Backfill")),
            "{columns}: {left:?}"
        );
    }
}

#[tokio::test]
async fn a_backfill_comes_to_its_end() {
    let past = Past::start(options(7, 40.0), On::Sqlite).await;
    let (start, end) = (past.now() - 2 * DAY, past.now() - DAY / 2);
    let line = format!("{} > shown", backfill(&past, start, end));
    let folder = past.home.path();
    let unread = Unread::start(folder, &line);
    assert_eq!(content(folder, "ended").await, "0");
    let shown = std::fs::read_to_string(folder.join("shown")).unwrap();
    assert!(shown.contains(": done"), "{shown}");
    assert_eq!(past.stored().await, past.truth(start, end));
    drop(unread);
}
