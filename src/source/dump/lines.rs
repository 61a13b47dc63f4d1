//! Lines of a stream, each where it lies in one buffer that is used again and again.

use super::error::{DumpError, Failure};
use super::stream::{Input, Stream};
use memchr::memchr;
use std::ops::Range;

/// The longest line that is read, bytes.
pub(super) const LONGEST_LINE: usize = 16 << 20;
/// How much is kept of a line that is not read, bytes.
pub(super) const KEPT: usize = 1 << 20;
/// The buffer to begin with, bytes: some blocks of the decompressor, and little enough to stay in the
/// processor's cache between decompressing and searching.
const BUFFER: usize = 1 << 19;

/// One line without its end, by its place in [`Lines::text`].
pub(super) enum Line {
    Whole(Range<usize>),
    /// The beginning of one that is too long.
    TooLong(Range<usize>),
}

pub(super) struct Lines {
    file: String,
    stream: Stream,
    buffer: Vec<u8>,
    /// What of the buffer has not been handed out.
    start: usize,
    /// Before it, no line ends.
    searched: usize,
    end: usize,
    /// How many lines were handed out.
    pub(super) count: u64,
    /// Decompressed bytes in them, with their ends.
    pub(super) passed: u64,
    over: bool,
    failure: Option<Failure>,
}

impl Lines {
    pub(super) fn open(input: &Input) -> Result<Lines, DumpError> {
        Ok(Lines {
            file: input.name(),
            stream: Stream::open(input)?,
            buffer: vec![0; BUFFER],
            start: 0,
            searched: 0,
            end: 0,
            count: 0,
            passed: 0,
            over: false,
            failure: None,
        })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Valid until the next call of [`Lines::next`].
    pub(super) fn text(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    /// What ended the stream before its end.
    pub(super) fn failure(&self) -> Option<DumpError> {
        let bytes = self.passed + (self.end - self.start) as u64;
        let failure = self.failure.clone()?;
        Some(failure.at(&self.file, self.count, bytes))
    }

    /// The next line; none where the stream is over, be it with a [`Lines::failure`].
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.searched..self.end]) {
                let at = self.searched + at;
                return Some(self.whole(at, at + 1));
            }
            self.searched = self.end;
            if self.end - self.start > LONGEST_LINE {
                return self.too_long();
            }
            if self.over {
                // After a failure, what is left is a part of a line.
                let last = self.failure.is_none() && self.start < self.end;
                return last.then(|| self.whole(self.end, self.end));
            }
            self.refill();
        }
    }

    fn whole(&mut self, end: usize, next: usize) -> Line {
        let place = self.start..end;
        self.passed += (next - self.start) as u64;
        self.count += 1;
        self.start = next;
        self.searched = next;
        if place.len() > LONGEST_LINE {
            return Line::TooLong(place.start..place.start + KEPT);
        }
        Line::Whole(place)
    }

    /// Passes over the rest of a line of which the buffer is full, and keeps its beginning.
    fn too_long(&mut self) -> Option<Line> {
        self.buffer.copy_within(self.start..self.start + KEPT, 0);
        self.passed += (self.end - self.start) as u64;
        loop {
            (self.start, self.searched, self.end) = (KEPT, KEPT, KEPT);
            self.append();
            let found = memchr(b'\n', &self.buffer[KEPT..self.end]);
            if let Some(at) = found {
                self.start = KEPT + at + 1;
            } else {
                self.start = self.end;
            }
            self.passed += (self.start - KEPT) as u64;
            self.searched = self.start;
            if found.is_some() || (self.over && self.failure.is_none()) {
                self.count += 1;
                return Some(Line::TooLong(0..KEPT));
            }
            if self.over {
                return None;
            }
        }
    }

    /// Moves what is left to the buffer's beginning and reads more behind it.
    fn refill(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // One byte more than the longest line tells a longer one.
            let larger = (self.end * 2).min(LONGEST_LINE + 1);
            self.buffer.resize(larger, 0);
        }
        self.append();
    }

    fn append(&mut self) {
        match self.stream.fill(&mut self.buffer[self.end..]) {
            Ok(0) => self.over = true,
            Ok(count) => self.end += count,
            Err(failure) => {
                self.over = true;
                self.failure = Some(failure);
            }
        }
    }
}
