//! One of the processes under test, over all its starts.

use crate::course::until;
use crate::proxy::Proxy;
use crate::sink::Sink;
use crate::support::binary::{Home, Process};
use crate::support::exposition::Exposition;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// Longer than `shutdown.grace`.
const STOPPED_WITHIN: Duration = Duration::from_secs(40);

/// The ways of one process to the servers.
pub struct Ways {
    pub redis: Proxy,
    pub postgres: Proxy,
}

pub struct Member {
    /// `scheduler`, `worker` or `all`.
    pub role: &'static str,
    /// Its own way to Reddit: what it asks tells it from the others.
    pub reddit: Proxy,
    /// Its own ways to the servers of the engines; none where those are files.
    pub servers: Option<Ways>,
    home: Home,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    /// None where it serves no HTTP.
    serves: bool,
    /// Where, if that is to be known without its log; and what reads that.
    port: Option<u16>,
    sink: Option<Sink>,
    process: Option<Process>,
    /// What ended processes said.
    said: String,
}

impl Member {
    /// Not yet started; `command` is its program with all arguments.
    pub fn new(
        role: &'static str,
        reddit: Proxy,
        servers: Option<Ways>,
        command: Vec<String>,
        environment: Vec<(String, String)>,
        serves: bool,
    ) -> Member {
        Member {
            role,
            reddit,
            servers,
            home: Home::new(),
            command,
            environment,
            serves,
            port: None,
            sink: None,
            process: None,
            said: String::new(),
        }
    }

    /// Its log can be taken away from it, and it serves at a port that is known without it. It logs so
    /// much that some of it is soon lost.
    pub fn with_sink(mut self, port: u16) -> Member {
        let listen = format!("--http-listen=127.0.0.1:{port}");
        let place = self.command.iter().position(|it| it == "--http-listen");
        let place = place.unwrap();
        self.command
            .splice(place..place + 2, [listen, "--log=debug".to_owned()]);
        self.port = Some(port);
        self
    }

    pub fn start(&mut self) {
        let mut command = self.next_start();
        if self.port.is_none() {
            self.process = Some(Process::start(&mut command));
            return;
        }
        let (sink, writer, says) = Sink::new();
        let child = command.stderr(writer).spawn().unwrap();
        self.sink = Some(sink);
        self.process = Some(Process::of(child, says));
    }

    /// What it says is to go to a disk that is full.
    pub fn start_with_full_log(&mut self) {
        let mut command = self.next_start();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = command.stderr(full).spawn().unwrap();
        self.sink = None;
        self.process = Some(Process::of(child, tokio::io::empty()));
    }

    /// Nobody reads what it says any more.
    pub fn stop_reading(&self) {
        self.sink.as_ref().unwrap().stand(self.pid());
    }

    /// Nobody could.
    pub fn let_reader_go(&self) {
        self.sink.as_ref().unwrap().go();
    }

    /// The sum of a metric's series; none where it does not answer.
    pub async fn counted(&self, metric: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port.unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(url).timeout(Duration::from_secs(10));
        let text = request.send().await.ok()?.text().await.ok()?;
        Some(Exposition::parse(&text).total(metric))
    }

    pub fn has_ended(&mut self) -> bool {
        self.process().has_ended()
    }

    fn next_start(&mut self) -> tokio::process::Command {
        self.forget();
        let mut command = tokio::process::Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(self.home.path())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn forget(&mut self) {
        if let Some(process) = self.process.take() {
            let _ = writeln!(self.said, "{}-- ended --", process.stderr());
        }
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// `kill -9`, and waits for its end.
    pub async fn kill(&mut self) {
        self.process().signal("KILL");
        let ended = self.process().end(STOPPED_WITHIN).await;
        assert_eq!(ended.signal(), Some(9), "{} ended by itself", self.role);
    }

    /// Asks it to stop.
    pub fn terminate(&mut self) {
        self.process().signal("TERM");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process().end(STOPPED_WITHIN).await
    }

    /// Returns once it stands still.
    pub async fn freeze(&mut self) {
        self.process().signal("STOP");
        until("it stands still", STOPPED_WITHIN, async || self.is_frozen()).await;
    }

    fn is_frozen(&self) -> bool {
        let pid = self.pid();
        let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The state follows the program's name, which is in brackets.
        line.rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('T')
    }

    pub fn thaw(&mut self) {
        assert!(self.is_frozen(), "{} went on by itself", self.role);
        self.process().signal("CONT");
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().pid()
    }

    /// Waits until it runs.
    pub async fn running(&mut self) {
        if self.serves {
            self.process().address().await;
        } else {
            self.process().said("is running").await;
        }
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&mut self) -> bool {
        if !self.serves {
            return self.process().stderr().contains("is running");
        }
        // Until then it has no address to be asked at.
        if !self.process().stderr().contains("freshet is running") {
            return false;
        }
        let answer = self.process().get("/readyz").await;
        answer.is_some_and(|(status, _)| status == 200)
    }

    /// All that its processes said.
    pub fn log(&self) -> String {
        let now = self.process.as_ref().map(Process::stderr);
        format!("{}{}", self.said, now.unwrap_or_default())
    }
}
