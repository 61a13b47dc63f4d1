//! A log that cannot be written ends nothing and holds nothing up.

use super::support::binary::{Home, PATIENCE};
use super::support::exposition::Exposition;
use super::support::redis::free_port;
use super::support::world::World;
use std::fs::{File, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Between two looks at a process that can say nothing.
const LOOK: Duration = Duration::from_millis(50);

/// A process whose standard error is of no use.
struct Mute {
    child: Child,
    port: u16,
}

impl Mute {
    fn start(home: &Home, flags: &[&str], stderr: impl Into<Stdio>) -> Mute {
        Mute::run(home.command(&["run", "rust"]), flags, stderr)
    }

    fn run(mut command: Command, flags: &[&str], stderr: impl Into<Stdio>) -> Mute {
        let port = free_port();
        command.args(["--http-listen", &format!("127.0.0.1:{port}")]);
        command.args(flags).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().unwrap();
        Mute { child, port }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(url).timeout(Duration::from_secs(10));
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        answer.text().await.ok()
    }

    /// Waits until a sum of series is as wanted.
    async fn until(&mut self, name: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        let begun = Instant::now();
        loop {
            if let Some(text) = self.get("/metrics").await {
                let value = Exposition::parse(&text).total(name);
                if wanted(value) {
                    return value;
                }
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "it ended: {name}");
            assert!(begun.elapsed() < PATIENCE, "not in time: {name}");
            sleep(LOOK).await;
        }
    }

    /// It works on, and stops in order when it is told to.
    async fn works_and_stops(mut self, what: &str) {
        let polls = self.until("freshet_polls_total", |polls| polls > 0.0).await;
        self.until("freshet_polls_total", |more| more > polls + 1.0)
            .await;
        assert!(self.get("/healthz").await.is_some(), "{what}");
        assert!(self.get("/api/v1/status").await.is_some(), "{what}");
        let pid = self.child.id().unwrap().to_string();
        let kill = std::process::Command::new("kill").arg(pid).status();
        assert!(kill.unwrap().success());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("it does not stop: {what}"));
        assert_eq!(ended.unwrap().code(), Some(0), "{what}");
    }
}

fn full_disk() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn dead_reader() -> PipeWriter {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer
}

/// A pipe that is full, and stays so until it is read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    // It ends once nobody holds the reading end any more.
    thread::spawn(move || while filler.write_all(b"filled\n").is_ok() {});
    (reader, writer)
}

const LOST: &str = "freshet_log_lines_lost_total";

#[tokio::test]
async fn a_full_disk_and_a_dead_reader_end_nothing_and_what_is_lost_is_counted() {
    let world = World::with(10).await;
    for format in ["text", "json"] {
        let flags = ["--log-format", format];
        let home = world.home();
        let mut run = Mute::start(&home, &flags, full_disk());
        run.until(LOST, |lost| lost > 0.0).await;
        run.works_and_stops("full disk").await;
        let home = world.home();
        let mut run = Mute::start(&home, &flags, dead_reader());
        run.until(LOST, |lost| lost > 0.0).await;
        run.works_and_stops("dead reader").await;
    }
}

#[tokio::test]
async fn a_reader_that_stops_reading_holds_nothing_up() {
    let world = World::with(10).await;
    let home = world.home();
    let (reader, writer) = full_pipe();
    Mute::start(&home, &[], writer)
        .works_and_stops("full pipe")
        .await;
    drop(reader);
}

#[tokio::test]
async fn once_the_log_is_read_again_a_line_says_how_many_were_lost() {
    let world = World::with(10).await;
    let home = world.home();
    let (mut reader, writer) = pipe().unwrap();
    let mut run = Mute::start(&home, &["--log", "trace", "--log-format", "json"], writer);
    run.until(LOST, |lost| lost > 0.0).await;
    let read = thread::spawn(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).map(|_| log)
    });
    // Lines are written again once those that waited are.
    let lost = run.until(LOST, |lost| lost > 0.0).await;
    run.works_and_stops("read again").await;
    let log = read.join().unwrap().unwrap();
    let mut noted = 0.0;
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line}"));
        let message = line["message"].as_str().unwrap_or_default();
        if message.starts_with("Log lines were lost") {
            noted += line["lines"].as_str().unwrap().parse::<f64>().unwrap();
        }
    }
    assert!(noted >= lost, "{noted} of {lost}");
}

#[tokio::test]
async fn a_log_file_that_may_not_grow_ends_nothing() {
    let world = World::with(10).await;
    let home = world.home();
    // 64 MB in either unit that shells count in; the database stays far below.
    let log = home.write("log", "");
    File::options()
        .write(true)
        .open(&log)
        .and_then(|file| file.set_len(128 << 20))
        .unwrap();
    let mut command = Command::new("sh");
    let script = "ulimit -f 131072; exec \"$0\" run rust \"$@\"";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_freshet")])
        .env_clear()
        .current_dir(home.path())
        .kill_on_drop(true);
    let stderr = OpenOptions::new().append(true).open(&log).unwrap();
    let mut run = Mute::run(command, &[], stderr);
    run.until(LOST, |lost| lost > 0.0).await;
    run.works_and_stops("file size limit").await;
}

#[tokio::test]
async fn commands_end_as_ever_whatever_becomes_of_what_they_say() {
    let world = World::with(10).await;
    let home = world.home();
    home.run(&["migrate"]).await.ended_with(0);
    let commands: [(&[&str], i32); 8] = [
        (&["subreddits", "add", "rust"], 0),
        (&["subreddits", "list"], 0),
        (&["status"], 0),
        (&["jobs", "dead"], 0),
        (&["gaps", "list"], 0),
        (&["migrate"], 0),
        (&["subreddits", "add"], 2),
        (&["status", "--database-url", "sqlite://not-there.db"], 1),
    ];
    for (arguments, status) in commands {
        let (_reader, unread) = full_pipe();
        let sinks: [(&str, Stdio); 3] = [
            ("full disk", full_disk().into()),
            ("dead reader", dead_reader().into()),
            ("full pipe", unread.into()),
        ];
        for (what, stderr) in sinks {
            let mut command = home.command(arguments);
            let child = command.stderr(stderr).stdout(Stdio::null()).status();
            let ended = timeout(PATIENCE, child).await;
            let ended = ended.unwrap_or_else(|_| panic!("{arguments:?} hangs: {what}"));
            assert_eq!(
                ended.unwrap().code(),
                Some(status),
                "{arguments:?} with {what}"
            );
        }
        // Neither is left: it fails, and does not panic.
        let mut command = home.command(arguments);
        let child = command.stderr(full_disk()).stdout(full_disk()).status();
        let ended = timeout(PATIENCE, child).await.unwrap().unwrap();
        assert!(
            matches!(ended.code(), Some(0..=2)),
            "{arguments:?}: {ended}"
        );
    }
}
