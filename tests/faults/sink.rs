//! The other end of a process's log: read, until its reader stops reading or goes.

use std::fs::OpenOptions;
use std::io::{PipeWriter, Write, pipe};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::watch;

const BUFFER: usize = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Reads,
    Stands,
    Gone,
}

/// What reads a log.
pub struct Sink(watch::Sender<Reader>);

impl Sink {
    /// With the end that a process writes to, and what is read of it.
    pub fn new() -> (Sink, PipeWriter, DuplexStream) {
        let (from, writer) = pipe().unwrap();
        let mut from = Receiver::from_owned_fd(from.into()).unwrap();
        let (mut to, read) = duplex(BUFFER);
        let (sink, mut reader) = watch::channel(Reader::Reads);
        tokio::spawn(async move {
            let mut buffer = vec![0; BUFFER];
            loop {
                match reader.wait_for(|it| *it != Reader::Stands).await {
                    Ok(reader) if *reader == Reader::Reads => {}
                    _ => return,
                }
                tokio::select! {
                    read = from.read(&mut buffer) => {
                        let Ok(length @ 1..) = read else { return };
                        if to.write_all(&buffer[..length]).await.is_err() {
                            return;
                        }
                    }
                    changed = reader.changed() => if changed.is_err() { return },
                }
            }
        });
        (Sink(sink), writer, read)
    }

    /// Nobody reads any more what this process writes, and its pipe is full from now on.
    pub fn stand(&self, pid: u32) {
        self.0.send_replace(Reader::Stands);
        let pipe = format!("/proc/{pid}/fd/2");
        let mut pipe = OpenOptions::new().write(true).open(pipe).unwrap();
        // It ends once the reader has gone.
        std::thread::spawn(move || while pipe.write_all(b"filled\n").is_ok() {});
    }

    /// Nobody has the reading end any more.
    pub fn go(&self) {
        self.0.send_replace(Reader::Gone);
    }
}
