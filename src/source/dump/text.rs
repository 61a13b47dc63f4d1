//! Decompressed bytes as UTF-8, whichever Unicode encoding they are in.

use super::error::{DumpError, Failure};
use super::stream::{Input, Stream};

/// How much of other encodings is converted at once, bytes.
const CHUNK: usize = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// Nothing was read yet.
    Unknown,
    Utf8,
    Utf16 {
        little: bool,
    },
}

/// A stream without a byte order mark at its beginning.
pub(super) struct Text {
    stream: Stream,
    encoding: Encoding,
    /// Read, and not converted yet.
    raw: Vec<u8>,
    /// Converted (of UTF-8: read), and not handed out yet, from `given` on.
    ready: Vec<u8>,
    given: usize,
    over: bool,
}

impl Text {
    pub(super) fn open(input: &Input) -> Result<Text, DumpError> {
        Ok(Text {
            stream: Stream::open(input)?,
            encoding: Encoding::Unknown,
            raw: Vec::new(),
            ready: Vec::new(),
            given: 0,
            over: false,
        })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The next bytes, at most as many as there is room for; 0 at the end.
    pub(super) fn fill(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        if self.encoding == Encoding::Unknown {
            self.detect()?;
        }
        loop {
            if self.given < self.ready.len() {
                let count = into.len().min(self.ready.len() - self.given);
                into[..count].copy_from_slice(&self.ready[self.given..self.given + count]);
                self.given += count;
                return Ok(count);
            }
            match self.encoding {
                Encoding::Utf16 { little } if !self.over => self.convert(little)?,
                Encoding::Utf16 { .. } => return Ok(0),
                Encoding::Utf8 | Encoding::Unknown => return self.stream.fill(into),
            }
        }
    }

    /// Looks at the first bytes.
    fn detect(&mut self) -> Result<(), Failure> {
        let mut head = [0; 4];
        let mut count = 0;
        while count < head.len() {
            match self.stream.fill(&mut head[count..])? {
                0 => break,
                more => count += more,
            }
        }
        let head = &head[..count];
        let utf16 = |little| Encoding::Utf16 { little };
        let (encoding, mark) = match head {
            [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => {
                let reason = "it is UTF-32; convert it with iconv -t UTF-8";
                return Err(Failure::Unreadable(reason.to_owned()));
            }
            [0xff, 0xfe, ..] => (utf16(true), 2),
            [0xfe, 0xff, ..] => (utf16(false), 2),
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            // Without a mark: no JSON begins with a zero.
            [b'{' | b'[', 0, ..] => (utf16(true), 0),
            [0, b'{' | b'[', ..] => (utf16(false), 0),
            _ => (Encoding::Utf8, 0),
        };
        self.encoding = encoding;
        let rest = head[mark..].to_vec();
        match encoding {
            Encoding::Utf16 { .. } => self.raw = rest,
            Encoding::Utf8 | Encoding::Unknown => self.ready = rest,
        }
        Ok(())
    }

    /// Converts the next piece of UTF-16.
    fn convert(&mut self, little: bool) -> Result<(), Failure> {
        let kept = self.raw.len();
        self.raw.resize(kept + CHUNK, 0);
        let count = self.stream.fill(&mut self.raw[kept..])?;
        self.raw.truncate(kept + count);
        self.over = count == 0;
        if self.over && self.raw.len() % 2 == 1 {
            return Err(Failure::CutShort);
        }
        let unit = |pair: &[u8]| match (pair, little) {
            ([one, two], true) => u16::from_le_bytes([*one, *two]),
            ([one, two], false) => u16::from_be_bytes([*one, *two]),
            _ => 0,
        };
        let mut units: Vec<u16> = self.raw.chunks_exact(2).map(unit).collect();
        let mut rest = self.raw.len() % 2;
        // Its second half may come with the next piece.
        if !self.over && units.last().is_some_and(|it| (0xd800..0xdc00).contains(it)) {
            units.pop();
            rest += 2;
        }
        self.raw.drain(..self.raw.len() - rest);
        (self.ready, self.given) = (String::from_utf16_lossy(&units).into_bytes(), 0);
        Ok(())
    }
}
