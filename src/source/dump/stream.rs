//! A file's bytes, decompressed by what they are, not by what the file is called: zstd frames and gzip
//! members in any order, as the command-line tools take them.

use super::error::{DumpError, Failure};
use super::gzip::{Gzip, MAGIC, skip_zeros};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::PathBuf;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// The largest window of the public dumps: 2 to the power of this.
const WINDOW_LOG_MAX: u32 = 31;
/// How much of the file is read at once, bytes.
const READ: usize = 1 << 18;
/// A block's header; what [`Operation::run`] asks for reaches over the next one.
const BLOCK_HEADER: usize = 3;
/// What tells the head of a frame's header.
const FRAME_START: usize = 5;

/// Where a dump is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// In a file.
    File(PathBuf),
    /// On standard input.
    Stdin,
}

impl Input {
    pub(super) fn name(&self) -> String {
        match self {
            Input::File(path) => path.display().to_string(),
            Input::Stdin => "standard input".to_owned(),
        }
    }
}

/// The bytes as they lie on disk, counted.
pub(super) struct Counted {
    head: io::Cursor<Vec<u8>>,
    rest: Box<dyn Read + Send>,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut count = self.head.read(into)?;
        if count == 0 {
            count = loop {
                match self.rest.read(into) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
        }
        self.read += count as u64;
        Ok(count)
    }
}

pub(super) type Source = BufReader<Counted>;

enum Format {
    Plain(Source),
    /// A member.
    Gzip(Box<Gzip>),
    /// Frames, up to where something else begins.
    Zstd(Box<Zstd>),
    Over(Source),
    /// Only while one becomes the other.
    Between,
}

/// Decompressed bytes.
pub(super) struct Stream {
    format: Format,
    size: Option<u64>,
}

impl Stream {
    pub(super) fn open(input: &Input) -> Result<Stream, DumpError> {
        let file = input.name();
        let unreadable = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => DumpError::NotFound { file: file.clone() },
            _ => Failure::reading(&error).at(&file, 0, 0),
        };
        let (mut rest, size): (Box<dyn Read + Send>, _) = match input {
            Input::File(path) => {
                let opened = File::open(path).map_err(unreadable)?;
                let about = opened.metadata().map_err(unreadable)?;
                (Box::new(opened), about.is_file().then_some(about.len()))
            }
            Input::Stdin => (Box::new(io::stdin()), None),
        };
        let mut head = Vec::new();
        rest.by_ref()
            .take(6)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        let known = head.clone();
        let source = BufReader::with_capacity(
            READ,
            Counted {
                head: io::Cursor::new(head),
                rest,
                read: 0,
            },
        );
        let unsupported = |format, with| {
            Err(DumpError::Format {
                file: file.clone(),
                format,
                pipe: pipe(with, input),
            })
        };
        let format = match known.as_slice() {
            // A frame (of any version), or one to be passed over, with which some compressors begin.
            [0x22..=0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let zstd = Zstd::new(source).map_err(|error| error.at(&file, 0, 0))?;
                Format::Zstd(Box::new(zstd))
            }
            [0x1f, 0x8b, ..] => Format::Gzip(Box::new(Gzip::new(source))),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => return unsupported("bzip2", "bzip2 -dc"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return unsupported("xz", "xz -dc"),
            [0x5d, 0, 0, ..] => return unsupported("lzma", "xz -dc --format=lzma"),
            [0x04, 0x22, 0x4d, 0x18, ..] => return unsupported("lz4", "lz4 -dc"),
            [0x1f, 0x9d | 0xa0, ..] => return unsupported("compress", "gzip -dc"),
            [b'P', b'K', 3, 4, ..] => return unsupported("zip", "unzip -p"),
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c] => return unsupported("7z", "7z x -so"),
            _ => Format::Plain(source),
        };
        Ok(Stream { format, size })
    }

    /// The next bytes, at most as many as there is room for; 0 at the end.
    pub(super) fn fill(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        loop {
            let count = match &mut self.format {
                Format::Plain(source) => {
                    return source.read(into).map_err(|error| Failure::reading(&error));
                }
                Format::Gzip(gzip) => gzip.fill(into)?,
                Format::Zstd(zstd) => zstd.fill(into)?,
                Format::Over(_) | Format::Between => return Ok(0),
            };
            if count > 0 {
                return Ok(count);
            }
            self.format = match std::mem::replace(&mut self.format, Format::Between) {
                Format::Gzip(gzip) => {
                    let mut source = gzip.into_source();
                    // Behind them, nothing is looked for.
                    let begins = !skip_zeros(&mut source)?;
                    following(source, begins)?
                }
                Format::Zstd(zstd) => following(zstd.source, true)?,
                other => other,
            };
        }
    }

    /// How many of the file's bytes have been used.
    pub(super) fn read(&self) -> u64 {
        let source = match &self.format {
            Format::Plain(source) | Format::Over(source) => Some(source),
            Format::Gzip(gzip) => Some(gzip.source()),
            Format::Zstd(zstd) => Some(&zstd.source),
            Format::Between => None,
        };
        source.map_or(0, |it| it.get_ref().read - it.buffer().len() as u64)
    }

    /// The file's size on disk, where it is a file.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }
}

/// What comes behind a frame or member, by its first byte: its decoder checks the others.
fn following(mut source: Source, begins: bool) -> Result<Format, Failure> {
    let next = source.fill_buf().map(|it| it.first().copied());
    Ok(match next.map_err(|error| Failure::reading(&error))? {
        None => Format::Over(source),
        Some(MAGIC) if begins => Format::Gzip(Box::new(Gzip::new(source))),
        Some(0x22..=0x28 | 0x50..=0x5f) if begins => Format::Zstd(Box::new(Zstd::new(source)?)),
        Some(_) => {
            let reason = "something else follows what was compressed";
            return Err(Failure::Corrupt(reason.to_owned()));
        }
    })
}

/// Any number of frames, one after the other.
struct Zstd {
    source: Source,
    decoder: Decoder<'static>,
    /// How many bytes the decoder would take next; 0 between frames.
    wanted: usize,
    /// Whether it has taken any.
    begun: bool,
}

impl Zstd {
    fn new(source: Source) -> Result<Zstd, Failure> {
        let mut decoder = Decoder::new().map_err(|error| refused(&error))?;
        decoder
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(|error| refused(&error))?;
        Ok(Zstd {
            source,
            decoder,
            wanted: 0,
            begun: false,
        })
    }

    /// The next bytes; 0 where no frame follows.
    fn fill(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        loop {
            let input = self
                .source
                .fill_buf()
                .map_err(|error| Failure::reading(&error))?;
            let over = input.is_empty();
            let another = |first: &u8| !matches!(first, 0x22..=0x28 | 0x50..=0x5f);
            let ends = over || self.begun && input.first().is_some_and(another);
            if ends && self.wanted == 0 {
                return Ok(0);
            }
            self.begun = true;
            // No more than one block at a time: what comes out before an error in the same run is
            // lost, and so would be the good blocks before a bad one.
            let most = match self.wanted {
                0 => FRAME_START,
                wanted if wanted > BLOCK_HEADER => wanted - BLOCK_HEADER,
                wanted => wanted,
            };
            let mut from = InBuffer::around(&input[..input.len().min(most)]);
            let mut to = OutBuffer::around(&mut *into);
            self.wanted = self
                .decoder
                .run(&mut from, &mut to)
                .map_err(|error| refused(&error))?;
            let (used, written) = (from.pos(), to.pos());
            self.source.consume(used);
            if written > 0 {
                return Ok(written);
            }
            if over {
                return match self.wanted {
                    0 => Ok(0),
                    _ => Err(Failure::CutShort),
                };
            }
        }
    }
}

/// What the decoder says no with. It has no kinds of errors but its words.
fn refused(error: &io::Error) -> Failure {
    let reason = error.to_string();
    if reason.contains("memory") {
        Failure::Memory(reason)
    } else if reason.contains("ictionary") {
        Failure::Dictionary
    } else {
        Failure::Corrupt(reason)
    }
}

/// What hands a file over that another program must read first.
pub(super) fn pipe(with: &str, input: &Input) -> String {
    let from = match input {
        Input::File(path) => format!("{with} {}", quoted(&path.display().to_string())),
        Input::Stdin => format!("… | {with}"),
    };
    format!("{from} | freshet backfill … --source -")
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "/._-+=:@%".contains(it);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
