//! Standard error, which never makes anybody wait and never ends the process.
//!
//! A full disk, a reader that has gone or one that stops reading would otherwise panic or block whoever
//! logs. Lines go through a bounded buffer to a thread of their own; those that find no room or cannot
//! be written are counted, and once writing works again a line says how many there were.

use chrono::{SecondsFormat, Utc};
use prometheus::IntCounter;
use std::collections::VecDeque;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that may wait to be written, [`OVERHEAD`] for each line among them.
const MAX_BYTES: usize = 1 << 20;
/// What a waiting line takes beside its text.
const OVERHEAD: usize = 64;
/// How long the last lines may take to be written when the process ends, and a command's notes to come out.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// Between two attempts where standard error was made non-blocking by somebody else.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

static STDERR: OnceLock<Stderr> = OnceLock::new();

/// This process's standard error: there is only one, so this is the one thing that is global.
pub fn stderr() -> &'static Stderr {
    STDERR.get_or_init(|| Stderr::start(open()))
}

/// Writes a line as `eprintln` does, but neither panics nor waits for longer than a second.
pub fn note(text: Arguments<'_>) {
    let stderr = stderr();
    stderr.push(format!("{text}\n").into_bytes());
    stderr.drain(FLUSH_LIMIT);
}

/// Writes what replaces itself soon, such as a bar, where what was written before could be: what nobody
/// reads is dropped.
pub fn draw(text: String) {
    let stderr = stderr();
    stderr.drain(FLUSH_LIMIT);
    let idle = {
        let state = stderr.lock();
        !state.writing && state.lines.is_empty()
    };
    if idle {
        stderr.push(text.into_bytes());
        // What is printed to standard output next finds it drawn, or wiped away.
        stderr.drain(FLUSH_LIMIT);
    }
}

/// Lets the last lines out before the process ends, for a second at most.
pub fn flush_log() {
    stderr().flush_for(FLUSH_LIMIT);
}

/// A descriptor of its own: the lock of the standard library's would be held by a write that blocks,
/// and whoever else prints would wait for it.
fn open() -> Box<dyn Write + Send> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        if let Ok(own) = io::stderr().as_fd().try_clone_to_owned() {
            return Box::new(std::fs::File::from(own));
        }
    }
    Box::new(io::stderr())
}

/// How lines look that are made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Json,
}

/// A bounded buffer of lines, and the thread that writes them.
#[derive(Debug, Clone)]
pub struct Stderr(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread is writing a line that is in `lines` no longer.
    writing: bool,
    /// Somebody waited in vain, and nothing was written since.
    stalled: bool,
    lost: Lost,
    shape: Shape,
    counter: Option<IntCounter>,
}

/// Lines that nobody will see.
#[derive(Debug, Default)]
struct Lost {
    /// Ever.
    total: u64,
    /// Since the last line that told of it.
    untold: u64,
    since: String,
    why: String,
}

impl Stderr {
    fn start(out: Box<dyn Write + Send>) -> Stderr {
        let stderr = Stderr(Arc::new(Shared {
            state: Mutex::new(State {
                lines: VecDeque::new(),
                bytes: 0,
                writing: false,
                stalled: false,
                lost: Lost::default(),
                shape: Shape::Text,
                counter: None,
            }),
            changed: Condvar::new(),
        }));
        let writer = stderr.clone();
        let thread = thread::Builder::new().name("log".to_owned());
        if thread.spawn(move || writer.write_lines(out)).is_err() {
            // Nothing will be written, and what is lost is counted.
            stderr.lock().bytes = MAX_BYTES;
        }
        stderr
    }

    pub(super) fn shape(&self, shape: Shape) {
        self.lock().shape = shape;
    }

    /// Counts there, too, whatever was lost and will be.
    pub fn count_lost(&self, counter: IntCounter) {
        let mut state = self.lock();
        counter.inc_by(state.lost.total);
        state.counter = Some(counter);
    }

    /// A log line that is written whatever the filter.
    pub(super) fn event(&self, level: &str, message: &str, fields: &[(&str, String)]) {
        let shape = self.lock().shape;
        self.push(render(shape, level, message, fields));
    }

    fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        let size = line.len() + OVERHEAD;
        if state.bytes + size > MAX_BYTES {
            return state.lose(1, "nothing reads them");
        }
        state.bytes += size;
        state.lines.push_back(line);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, unless that was in vain before.
    fn drain(&self, limit: Duration) {
        if !self.lock().stalled {
            self.flush_for(limit);
        }
    }

    /// Waits until everything is written; whether it was.
    fn flush_for(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        while state.writing || !state.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.stalled = true;
                return false;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Never returns: the thread ends with the process.
    fn write_lines(&self, mut out: Box<dyn Write + Send>) {
        let mut left = Left::Start;
        loop {
            let mut text = Vec::new();
            let mut state = self.lock();
            let line = loop {
                if let Some(line) = state.lines.pop_front() {
                    break line;
                }
                let waited = self.0.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            };
            // It counts until it is written.
            state.writing = true;
            let told = state.lost.untold;
            text.extend(left.before(told > 0 || line.ends_with(b"\n")));
            if told > 0 {
                text.extend(state.lost.note(state.shape));
            }
            drop(state);
            let size = line.len() + OVERHEAD;
            text.extend(line);
            let written = write_whole(&mut *out, &text, &mut left);
            let mut state = self.lock();
            state.writing = false;
            state.bytes = state.bytes.saturating_sub(size);
            match written {
                Ok(()) => {
                    state.stalled = false;
                    state.lost.untold -= told;
                }
                Err(error) => state.lose(1, &error.to_string()),
            }
            drop(state);
            self.0.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line a call, as `tracing` makes them.
impl Write for &Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    fn lose(&mut self, lines: u64, why: &str) {
        if self.lost.untold == 0 {
            self.lost.since = now();
        }
        if self.lost.why != why {
            why.clone_into(&mut self.lost.why);
        }
        self.lost.total += lines;
        self.lost.untold += lines;
        if let Some(counter) = &self.counter {
            counter.inc_by(lines);
        }
    }
}

impl Lost {
    fn note(&self, shape: Shape) -> Vec<u8> {
        let fields = [
            ("lines", self.untold.to_string()),
            ("since", self.since.clone()),
            ("why", self.why.clone()),
        ];
        let message = "Log lines were lost: standard error could not be written";
        render(shape, "WARN", message, &fields)
    }
}

pub(super) fn render(
    shape: Shape,
    level: &str,
    message: &str,
    fields: &[(&str, String)],
) -> Vec<u8> {
    let line = match shape {
        Shape::Json => {
            let mut object = serde_json::Map::new();
            let mut put = |name: &str, value: &str| object.insert(name.to_owned(), value.into());
            put("timestamp", &now());
            put("level", level);
            put("message", message);
            for (name, value) in fields {
                put(name, value);
            }
            put("target", module_path!());
            serde_json::Value::Object(object).to_string()
        }
        Shape::Text => {
            let mut line = format!("{} {level:>5} {message}", now());
            for (name, value) in fields {
                line.push_str(&format!(" {name}={value}"));
            }
            line
        }
    };
    (line + "\n").into_bytes()
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Where what was written last left the cursor.
#[derive(Debug, Clone, Copy)]
enum Left {
    /// At the start of a line.
    Start,
    /// Behind what was drawn, such as a bar, which replaces itself.
    Drawn,
    /// In the middle of a line that could not be written whole.
    Torn,
}

impl Left {
    /// What leads to where a line, or a drawing, may begin.
    fn before(self, line: bool) -> &'static [u8] {
        match self {
            Left::Drawn if line => b"\r\x1b[2K",
            Left::Start | Left::Drawn => b"",
            Left::Torn => b"\n",
        }
    }
}

fn write_whole(out: &mut dyn Write, mut text: &[u8], left: &mut Left) -> io::Result<()> {
    while !text.is_empty() {
        match out.write(text) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                let ended = text.get(written.saturating_sub(1)) == Some(&b'\n');
                text = text.get(written..).unwrap_or_default();
                *left = match text {
                    _ if ended => Left::Start,
                    // Every line ends with its end.
                    [] => Left::Drawn,
                    _ => Left::Torn,
                };
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(BUSY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
