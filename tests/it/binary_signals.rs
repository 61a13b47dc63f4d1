//! Signals other than those of every day.

use super::support::binary::{PATIENCE, Process};
use super::support::world::World;
use tokio::process::Command;

/// The program under `env`, which sets how it takes SIGHUP from the start.
fn run(home: &super::support::binary::Home, hangup: &str) -> Process {
    let mut command = Command::new("env");
    command
        .args([hangup, env!("CARGO_BIN_EXE_freshet"), "run", "rust"])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(home.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    Process::start(&mut command)
}

#[tokio::test]
async fn a_terminal_that_closes_and_a_request_to_quit_stop_it_in_order() {
    let world = World::with(10).await;
    for signals in [
        ["HUP", "HUP"],
        ["TERM", "HUP"],
        ["HUP", "TERM"],
        ["QUIT", "PIPE"],
    ] {
        let home = world.home();
        let mut process = run(&home, "--default-signal=HUP");
        process.until_code("/readyz", 200).await;
        for signal in signals {
            process.signal(signal);
        }
        let ended = process.end(PATIENCE).await;
        assert_eq!(ended.code(), Some(0), "{signals:?}: {}", process.stderr());
        process
            .logged("Stopped: everything that ran has ended")
            .await;
    }
}

#[tokio::test]
async fn what_was_started_to_outlive_its_terminal_does() {
    let world = World::with(10).await;
    let home = world.home();
    let mut process = run(&home, "--ignore-signal=HUP");
    process.until_code("/readyz", 200).await;
    for signal in ["HUP", "PIPE", "HUP"] {
        process.signal(signal);
    }
    process.until_code("/readyz", 200).await;
    assert!(!process.has_ended());
    process.signal("TERM");
    assert_eq!(process.end(PATIENCE).await.code(), Some(0));
}
