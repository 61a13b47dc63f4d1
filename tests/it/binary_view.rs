//! The demo's live view on a terminal of its own, which `script` makes.

use super::support::binary::{Home, PATIENCE, Process};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";

/// The demo on a terminal of this size; what is written to its standard input are keys.
fn on_a_terminal(home: &Home, columns: u16, rows: u16) -> Process {
    let line = format!(
        "stty cols {columns} rows {rows}; exec '{}' demo --http-listen 127.0.0.1:0",
        env!("CARGO_BIN_EXE_freshet")
    );
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm-256color")
        .current_dir(home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Process::start(&mut command)
}

/// What came after the terminal was given back.
fn afterwards(screen: &str) -> String {
    let (_, after) = screen.rsplit_once(LEAVE).expect("the terminal is left");
    after.to_owned()
}

#[tokio::test]
async fn it_shows_the_pipeline_and_a_key_stops_it_in_order() {
    for key in ["q", "\u{3}"] {
        let home = Home::new();
        let mut demo = on_a_terminal(&home, 80, 24);
        for words in [ENTER, "SIMULATED", "r/kettles", "queue", "log"] {
            demo.drew(words).await;
        }
        demo.press(key).await;
        let status = demo.end(PATIENCE).await;
        let drawn = demo.drawn();
        assert_eq!(status.code(), Some(0), "{drawn}");
        let after = afterwards(&drawn);
        assert!(drawn.contains(SHOW_CURSOR), "{after}");
        assert!(
            after.contains("Stopped: everything that ran has ended"),
            "{after}"
        );
        // Nothing that was logged or typed was drawn across the view.
        let before = drawn.split(LEAVE).next().unwrap();
        assert!(!before.contains("^C"));
    }
}

#[tokio::test]
async fn a_signal_gives_the_terminal_back_too() {
    let home = Home::new();
    let mut demo = on_a_terminal(&home, 100, 30);
    demo.drew("r/kettles").await;
    let found = std::process::Command::new("pgrep")
        .args(["-P", &demo.pid().to_string()])
        .output()
        .expect("pgrep is missing: apt-get install procps");
    let child = String::from_utf8(found.stdout).unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-TERM", child.trim()])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(demo.end(PATIENCE).await.code(), Some(0), "{}", demo.drawn());
    assert!(afterwards(&demo.drawn()).contains("Stopped"));
}

#[tokio::test]
async fn a_second_key_stops_at_once() {
    let home = Home::new();
    let mut demo = on_a_terminal(&home, 80, 24);
    demo.drew("r/kettles").await;
    let begun = Instant::now();
    demo.press("qq").await;
    let status = demo.end(PATIENCE).await;
    // The first alone may take the whole grace period, of twenty seconds.
    assert!(begun.elapsed() < Duration::from_secs(15));
    // The first may have been enough by the time of the second.
    assert!(matches!(status.code(), Some(0 | 1)), "{status:?}");
    afterwards(&demo.drawn());
}

#[tokio::test]
async fn a_small_terminal_is_no_fault() {
    let home = Home::new();
    let mut demo = on_a_terminal(&home, 20, 5);
    demo.drew("SIMULATED").await;
    demo.press("q").await;
    assert_eq!(demo.end(PATIENCE).await.code(), Some(0), "{}", demo.drawn());
}
