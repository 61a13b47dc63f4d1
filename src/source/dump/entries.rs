//! Entries of a stream, each where it lies in one buffer that is used again and again: lines, or the
//! elements of a JSON array, or values that stretch over several lines.

use super::document::{Scanner, Step};
use super::error::{DumpError, Failure};
use super::sniff;
use super::stream::{Input, Stream};
use super::text::Text;
use memchr::{memchr, memchr_iter};
use std::ops::Range;

/// The longest entry that is read, bytes.
pub(super) const LONGEST: usize = 16 << 20;
/// How much is kept of an entry that is no submission, bytes.
pub(super) const KEPT: usize = 1 << 16;
/// The buffer to begin with, bytes: some blocks of the decompressor, and little enough to stay in the
/// processor's cache between decompressing and searching.
const BUFFER: usize = 1 << 19;

/// One entry without what separates it from the next, by its place in [`Entries::text`].
pub(super) enum Entry {
    Whole(Range<usize>),
    /// The beginning of one that is too long.
    TooLong(Range<usize>),
}

enum Framing {
    /// Nothing was read yet.
    Unknown,
    /// A line each: what is damaged costs its line alone.
    Lines,
    /// As JSON's brackets say.
    Document(Scanner),
}

pub(super) struct Entries {
    input: Input,
    text: Text,
    framing: Framing,
    buffer: Vec<u8>,
    /// What of the buffer has not been handed out.
    start: usize,
    /// Before it, no entry ends.
    searched: usize,
    end: usize,
    /// How many entries were handed out.
    pub(super) count: u64,
    /// The line that the last one began at, from 1.
    pub(super) line: u64,
    /// Ends of lines before `start`.
    lines: u64,
    /// Decompressed bytes in them, with their ends.
    pub(super) passed: u64,
    /// What the beginning looks like where it is no JSON.
    pub(super) looks: Option<sniff::Looks>,
    over: bool,
    failure: Option<Failure>,
}

impl Entries {
    pub(super) fn open(input: &Input) -> Result<Entries, DumpError> {
        Ok(Entries {
            input: input.clone(),
            text: Text::open(input)?,
            framing: Framing::Unknown,
            buffer: vec![0; BUFFER],
            start: 0,
            searched: 0,
            end: 0,
            count: 0,
            line: 0,
            lines: 0,
            passed: 0,
            looks: None,
            over: false,
            failure: None,
        })
    }

    pub(super) fn stream(&self) -> &Stream {
        self.text.stream()
    }

    pub(super) fn input(&self) -> &Input {
        &self.input
    }

    /// Valid until the next call of [`Entries::next`].
    pub(super) fn text(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    /// What ended the stream before its end.
    pub(super) fn failure(&self) -> Option<DumpError> {
        let bytes = self.passed + (self.end - self.start) as u64;
        let failure = self.failure.clone()?;
        Some(failure.at(&self.input.name(), self.lines, bytes))
    }

    /// The next entry; none where the stream is over, be it with an [`Entries::failure`].
    pub(super) fn next(&mut self) -> Option<Entry> {
        if matches!(self.framing, Framing::Unknown) {
            self.detect();
        }
        match self.framing {
            Framing::Unknown => None,
            Framing::Lines => self.next_line(),
            Framing::Document(_) => self.next_value(),
        }
    }

    /// Reads as far as it takes to tell how entries are told apart.
    fn detect(&mut self) {
        let mut wanted = sniff::HEAD;
        loop {
            while !self.over && self.end - self.start < wanted {
                self.refill();
            }
            let head = &self.buffer[self.start..self.end];
            if let Some((what, advice)) = sniff::other_format(head, &self.input) {
                self.over = true;
                self.failure = Some(Failure::NotJson(what, advice));
                return;
            }
            self.looks = sniff::looks(head);
            match sniff::is_document(head, self.over) {
                Some(true) => self.framing = Framing::Document(Scanner::default()),
                Some(false) => self.framing = Framing::Lines,
                None if head.len() > LONGEST => self.framing = Framing::Lines,
                None => {
                    wanted = (head.len() + 1).max(wanted * 2).min(LONGEST + 1);
                    continue;
                }
            }
            return;
        }
    }

    fn next_line(&mut self) -> Option<Entry> {
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.searched..self.end]) {
                let at = self.searched + at;
                return Some(self.whole_line(at, at + 1));
            }
            self.searched = self.end;
            if self.end - self.start > LONGEST {
                return self.too_long_line();
            }
            if self.over {
                // After a failure, what is left is a part of a line.
                let last = self.failure.is_none() && self.start < self.end;
                return last.then(|| self.whole_line(self.end, self.end));
            }
            self.refill();
        }
    }

    fn whole_line(&mut self, end: usize, next: usize) -> Entry {
        let place = self.start..end;
        self.passed += (next - self.start) as u64;
        self.count += 1;
        self.lines += 1;
        self.line = self.lines;
        self.start = next;
        self.searched = next;
        if place.len() > LONGEST {
            return Entry::TooLong(place.start..place.start + KEPT);
        }
        Entry::Whole(place)
    }

    /// Passes over the rest of a line of which the buffer is full, and keeps its beginning.
    fn too_long_line(&mut self) -> Option<Entry> {
        self.keep_beginning();
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
                self.lines += 1;
                self.line = self.lines;
                return Some(Entry::TooLong(0..KEPT));
            }
            if self.over {
                return None;
            }
        }
    }

    fn next_value(&mut self) -> Option<Entry> {
        let mut too_long = false;
        let mut kept_lines = 0;
        loop {
            let Framing::Document(scanner) = &mut self.framing else {
                return None;
            };
            match scanner.scan(&self.buffer[self.searched..self.end]) {
                Step::Skip(count) => {
                    self.searched += count;
                    self.pass(self.searched);
                    continue;
                }
                Step::Value(count) => {
                    let end = self.searched + count;
                    let line = self.lines + 1;
                    let place = if too_long { 0..KEPT } else { self.start..end };
                    self.pass(end);
                    self.searched = end;
                    self.count += 1;
                    self.line = if too_long { kept_lines } else { line };
                    return Some(if too_long || place.len() > LONGEST {
                        Entry::TooLong(place.start..place.start + place.len().min(KEPT))
                    } else {
                        Entry::Whole(place)
                    });
                }
                Step::More => {}
            }
            self.searched = self.end;
            if too_long {
                self.pass(self.end);
                (self.start, self.searched, self.end) = (KEPT, KEPT, KEPT);
            } else if self.end - self.start > LONGEST {
                kept_lines = self.lines + 1;
                let begun = &self.buffer[self.start..self.end];
                self.lines += memchr_iter(b'\n', begun).count() as u64;
                self.keep_beginning();
                too_long = true;
            }
            if self.over {
                return self.last_value(too_long, kept_lines);
            }
            if too_long {
                self.append();
            } else {
                self.refill();
            }
        }
    }

    /// What is left at the end of a document.
    fn last_value(&mut self, too_long: bool, kept_lines: u64) -> Option<Entry> {
        if self.failure.is_some() {
            return None;
        }
        let Framing::Document(scanner) = &mut self.framing else {
            return None;
        };
        let left = self.start..self.end;
        if scanner.ends_scalar() && !too_long && !left.is_empty() {
            let line = self.lines + 1;
            self.pass(self.end);
            self.count += 1;
            self.line = line;
            return Some(Entry::Whole(left));
        }
        if scanner.is_open() {
            let line = if too_long { kept_lines } else { self.lines + 1 };
            self.failure = Some(Failure::Unclosed(line));
        }
        None
    }

    /// Counts what lies before a place as handed out.
    fn pass(&mut self, until: usize) {
        let passed = &self.buffer[self.start..until];
        self.lines += memchr_iter(b'\n', passed).count() as u64;
        self.passed += passed.len() as u64;
        self.start = until;
    }

    /// Of an entry that fills the buffer.
    fn keep_beginning(&mut self) {
        self.passed += (self.end - self.start) as u64;
        self.buffer.copy_within(self.start..self.start + KEPT, 0);
        (self.start, self.searched, self.end) = (KEPT, KEPT, KEPT);
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
            // One byte more than the longest entry tells a longer one.
            let larger = (self.end * 2).min(LONGEST + 1);
            self.buffer.resize(larger, 0);
        }
        self.append();
    }

    fn append(&mut self) {
        match self.text.fill(&mut self.buffer[self.end..]) {
            Ok(0) => self.over = true,
            Ok(count) => self.end += count,
            Err(failure) => {
                self.over = true;
                self.failure = Some(failure);
            }
        }
    }
}
