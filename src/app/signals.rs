//! The signals that stop a process, and one that must not kill it.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// As Linux, macOS and the BSDs number it.
const SIGXFSZ: i32 = 25;
/// Signals that a supervisor sends at once arrive within this time.
const TOGETHER: Duration = Duration::from_secs(1);

/// The signals that stop a process: SIGTERM, SIGINT and SIGQUIT, of which the first asks and the second
/// insists; and SIGHUP, which only asks.
#[derive(Debug)]
pub struct Stop {
    insisting: [Signal; 3],
    /// None where whoever started the process had it ignored, as `nohup` does.
    hangup: Option<Signal>,
    /// When SIGHUP came as the first.
    hung_up: Option<Instant>,
}

impl Stop {
    /// From now on these signals are ours.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn listen() -> io::Result<Stop> {
        let hangup = SignalKind::hangup();
        Ok(Stop {
            hangup: match is_ignored(hangup) {
                true => None,
                false => Some(signal(hangup)?),
            },
            hung_up: None,
            insisting: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::quit())?,
            ],
        })
    }

    /// Waits for the first signal of any kind; called again, for the second that insists. A terminal that
    /// closes may send several SIGHUP, of which none insists. A supervisor may send one with its SIGTERM,
    /// whichever arrives first: both are one request.
    pub async fn next(&mut self) {
        loop {
            let insists = poll_fn(|context| {
                let mut insisting = self.insisting.iter_mut();
                if insisting.any(|signal| signal.poll_recv(context).is_ready()) {
                    return Poll::Ready(true);
                }
                match self.hangup.as_mut().map(|signal| signal.poll_recv(context)) {
                    Some(Poll::Ready(_)) => Poll::Ready(false),
                    _ => Poll::Pending,
                }
            })
            .await;
            // It stays caught, and is listened to no longer.
            self.hangup = None;
            let hung_up = self.hung_up.take();
            if !insists {
                self.hung_up = Some(Instant::now());
            }
            if hung_up.is_none_or(|at| at.elapsed() > TOGETHER) {
                return;
            }
            tracing::debug!("A signal that came with SIGHUP does not count as the second");
        }
    }
}

/// Makes writing to a file beyond the limit (`ulimit -f`) an error instead of the end of the process.
///
/// # Errors
/// Where the system refuses.
pub fn survive_file_size_limit() -> io::Result<()> {
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}

/// Whether the process was started with a signal ignored; only Linux tells without `unsafe`.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
