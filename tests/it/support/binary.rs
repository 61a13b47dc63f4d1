//! The program as users start it: in a folder of its own, with nothing in its environment but what a
//! test puts there, ended with the test.

use super::exposition::Exposition;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything but a fault takes.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at something that tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(50);

/// A folder to start the program in.
pub struct Home(TempDir);

/// What a run left.
#[derive(Debug)]
pub struct Finished {
    /// None where a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    pub fn new() -> Home {
        Home(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program with these arguments, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
        command
            .args(arguments)
            .env_clear()
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        finish(&mut self.command(arguments)).await
    }

    /// Starts it and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }
}

/// Runs a command to its end.
pub async fn finish(command: &mut Command) -> Finished {
    let output = timeout(PATIENCE, command.output())
        .await
        .expect("the program ends")
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Finished {
        status: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

impl Finished {
    /// Ended with this status, and without a panic.
    #[track_caller]
    pub fn ended_with(self, status: i32) -> Finished {
        assert_eq!(self.status, Some(status), "{self:#?}");
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!self.stderr.contains(word), "{self:#?}");
        }
        self
    }

    /// What it said holds all of these.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Finished {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} in {self:#?}");
        }
        self
    }
}

type Bytes = Arc<Mutex<Vec<u8>>>;

/// A running program; killed when dropped.
pub struct Process {
    child: Child,
    pid: u32,
    stdout: Bytes,
    stderr: Bytes,
    told: watch::Receiver<()>,
    readers: Vec<JoinHandle<()>>,
    client: reqwest::Client,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        Process::of(child, stderr)
    }

    /// One whose standard error arrives here by another way.
    pub fn of(mut child: Child, says: impl AsyncRead + Unpin + Send + 'static) -> Process {
        let (tell, told) = watch::channel(());
        let (stdout, stderr) = (Bytes::default(), Bytes::default());
        let readers = vec![
            read(child.stdout.take().unwrap(), &stdout, tell.clone()),
            read(says, &stderr, tell),
        ];
        Process {
            pid: child.id().unwrap(),
            child,
            stdout,
            stderr,
            told,
            readers,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// The log so far; every line must be an object.
    pub fn log(&self) -> Vec<Value> {
        self.stderr()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect()
    }

    /// Waits for a log line whose message begins so.
    pub async fn logged(&self, message: &str) -> Value {
        let found = || {
            self.stderr().lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                line["message"]
                    .as_str()
                    .is_some_and(|it| it.starts_with(message))
                    .then_some(line)
            })
        };
        let mut told = self.told.clone();
        // It ends with an error once both pipes are closed.
        let wait = told.wait_for(|()| found().is_some());
        let _ = timeout(PATIENCE, wait).await;
        found().unwrap_or_else(|| panic!("never logged: {message}\n{}", self.stderr()))
    }

    /// What is on its terminal, with all its control sequences.
    pub fn drawn(&self) -> String {
        self.stdout()
    }

    /// Waits until this was drawn on its terminal.
    pub async fn drew(&self, words: &str) {
        let mut told = self.told.clone();
        let _ = timeout(PATIENCE, told.wait_for(|()| self.drawn().contains(words))).await;
        assert!(self.drawn().contains(words), "{words}: {}", self.drawn());
    }

    /// Types on its terminal.
    pub async fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).await.unwrap();
        stdin.flush().await.unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until standard error holds this.
    pub async fn said(&self, words: &str) {
        let mut told = self.told.clone();
        let _ = timeout(PATIENCE, told.wait_for(|()| self.stderr().contains(words))).await;
        assert!(self.stderr().contains(words), "{words}: {}", self.stderr());
    }

    /// Where it listens, once it runs.
    pub async fn address(&self) -> SocketAddr {
        let line = self.logged("freshet is running").await;
        let url: reqwest::Url = line["metrics"].as_str().unwrap().parse().unwrap();
        url.socket_addrs(|| None).unwrap()[0]
    }

    /// The status and body of a path; none where there is no answer.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.address().await);
        let request = self.client.get(url).timeout(Duration::from_secs(60));
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    }

    pub async fn status(&self) -> Value {
        let (code, body) = self.get("/api/v1/status").await.expect("an answer");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub async fn metrics(&self) -> Exposition {
        let (code, body) = self.get("/metrics").await.expect("an answer");
        assert_eq!(code, 200);
        Exposition::parse(&body)
    }

    /// Waits until the series of this name and label has a value as wanted.
    pub async fn until_gauge(&self, name: &str, label: (&str, &str), wanted: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        loop {
            let value = self.metrics().await.gauge(name, label);
            if value.is_some_and(&wanted) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "not in time: {name} {label:?} is {value:?}\n{}",
                self.stderr()
            );
            sleep(LOOK).await;
        }
    }

    /// Waits until the status is as wanted, and gives it.
    pub async fn until_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.status().await;
            if wanted(&status) {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "not in time: {what}: {status:#}\n{}",
                self.stderr()
            );
            sleep(LOOK).await;
        }
    }

    /// Waits until a path answers with this status, and gives the body.
    pub async fn until_code(&self, path: &str, code: u16) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.get(path).await;
            if let Some((status, body)) = &answer
                && *status == code
            {
                return body.clone();
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "not in time: {path} answers {code}, but {answer:?}\n{}",
                self.stderr()
            );
            sleep(LOOK).await;
        }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal: `TERM`, `INT`, `KILL`.
    pub fn signal(&self, name: &str) {
        let done = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.pid.to_string()])
            .status()
            .unwrap();
        assert!(done.success(), "the process could not be signalled");
    }

    /// Waits for its end, and for the last of what it says.
    pub async fn end(&mut self, limit: Duration) -> ExitStatus {
        let Ok(ended) = timeout(limit, self.child.wait()).await else {
            panic!("still running after {limit:?}:\n{}", self.stderr());
        };
        for reader in self.readers.drain(..) {
            timeout(PATIENCE, reader)
                .await
                .expect("the pipe closes")
                .unwrap();
        }
        ended.unwrap()
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned()
}

fn read(
    mut pipe: impl AsyncRead + Unpin + Send + 'static,
    into: &Bytes,
    tell: watch::Sender<()>,
) -> JoinHandle<()> {
    let into = Arc::clone(into);
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            into.lock().unwrap().extend_from_slice(&buffer[..length]);
            tell.send_replace(());
        }
    })
}
