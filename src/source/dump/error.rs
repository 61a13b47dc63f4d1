//! Why a dump cannot be read, or read on.

use std::io;

/// What ends the reading of a dump. All lines before it have been handed out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DumpError {
    /// No such file.
    #[error("{file} does not exist: check the path")]
    NotFound {
        /// As it was named.
        file: String,
    },
    /// The file cannot be opened or read.
    #[error(
        "{file} cannot be read (after line {line}): {reason}; once it can, the same command goes on"
    )]
    Unreadable {
        /// As it was named.
        file: String,
        /// The last whole line, from 1; 0 before the first.
        line: u64,
        /// In the system's words.
        reason: String,
    },
    /// A compression that is not read here.
    #[error("{file} is compressed with {format}; freshet reads gzip, zstd and plain text: {pipe}")]
    Format {
        /// As it was named.
        file: String,
        /// The compression's name.
        format: &'static str,
        /// What reads it.
        pipe: String,
    },
    /// A file of another kind.
    #[error("{file} is {what}, not JSON: {advice}")]
    NotJson {
        /// As it was named.
        file: String,
        /// Its kind.
        what: &'static str,
        /// What to do about it.
        advice: String,
    },
    /// Empty lines, and nothing else.
    #[error("{file} holds nothing but empty lines: nothing was read, and nothing is proven")]
    Blank {
        /// As it was named.
        file: String,
    },
    /// Nearly nothing in it is a submission.
    #[error(
        "{file} does not hold submissions: {rejected} of its first {entries} entries are none ({reason}){advice}"
    )]
    NoSubmissions {
        /// As it was named.
        file: String,
        /// Entries that were read.
        entries: u64,
        /// Those that are no submission.
        rejected: u64,
        /// Why the first of them is none.
        reason: String,
        /// What to do about it; empty where nobody knows.
        advice: String,
    },
    /// The compressed data need a dictionary.
    #[error(
        "{file} was compressed with a zstd dictionary, which is not in the file: decompress it with that \
         (zstd -dc -D DICTIONARY) and hand it over on standard input"
    )]
    Dictionary {
        /// As it was named.
        file: String,
    },
    /// A JSON array or object is not closed.
    #[error(
        "{file} is cut short: it ends within a JSON value that begins at line {line}; fetch the rest of it; \
         all before that was read"
    )]
    Unclosed {
        /// As it was named.
        file: String,
        /// Where that begins.
        line: u64,
    },
    /// The compressed data are damaged.
    #[error(
        "{file} is corrupt after {bytes} decompressed bytes, after line {line} ({reason}): \
         compare its checksum with the publisher's and fetch it anew; all lines up to there were read"
    )]
    Corrupt {
        /// As it was named.
        file: String,
        /// Decompressed before it.
        bytes: u64,
        /// The last whole line, from 1; 0 before the first.
        line: u64,
        /// In the decompressor's words.
        reason: String,
    },
    /// The file ends within compressed data.
    #[error(
        "{file} is cut short: it ends in the middle of compressed data, after {bytes} decompressed \
         bytes and line {line}; fetch the rest of it; all lines up to there were read"
    )]
    CutShort {
        /// As it was named.
        file: String,
        /// Decompressed before it.
        bytes: u64,
        /// The last whole line, from 1; 0 before the first.
        line: u64,
    },
    /// The decompressor got no memory, or would need more than any dump does.
    #[error(
        "{file} cannot be decompressed: {reason}; it takes up to 2 GiB of memory beside the program's own"
    )]
    Memory {
        /// As it was named.
        file: String,
        /// In the decompressor's words.
        reason: String,
    },
    /// It has fewer lines than were to be passed over.
    #[error(
        "{file} has {lines} lines, but {skipped} of it were read before: it is not the file that it was"
    )]
    Shorter {
        /// As it was named.
        file: String,
        /// How many lines there are.
        lines: u64,
        /// How many were to be passed over.
        skipped: u64,
    },
}

/// What ended a stream of bytes.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    Unreadable(String),
    Corrupt(String),
    CutShort,
    Memory(String),
    Dictionary,
    /// The line that it begins at.
    Unclosed(u64),
    /// Its kind, and what to do about it.
    NotJson(&'static str, String),
}

impl Failure {
    /// What reading failed with.
    pub(super) fn reading(error: &io::Error) -> Failure {
        Failure::Unreadable(error.to_string())
    }

    /// The failure with the place where it happened.
    pub(super) fn at(self, file: &str, line: u64, bytes: u64) -> DumpError {
        let file = file.to_owned();
        match self {
            Failure::Unreadable(reason) => DumpError::Unreadable { file, line, reason },
            Failure::Corrupt(reason) => DumpError::Corrupt {
                file,
                bytes,
                line,
                reason,
            },
            Failure::CutShort => DumpError::CutShort { file, bytes, line },
            Failure::Memory(reason) => DumpError::Memory { file, reason },
            Failure::Dictionary => DumpError::Dictionary { file },
            Failure::Unclosed(line) => DumpError::Unclosed { file, line },
            Failure::NotJson(what, advice) => DumpError::NotJson { file, what, advice },
        }
    }
}
