//! One gzip member, and the zeros that may stand behind the last one.

use super::error::Failure;
use super::stream::Source;
use flate2::bufread::GzDecoder;
use std::io::{BufRead, ErrorKind, Read};

/// The first byte of a member.
pub(super) const MAGIC: u8 = 0x1f;

pub(super) struct Gzip(GzDecoder<Source>);

impl Gzip {
    pub(super) fn new(source: Source) -> Gzip {
        Gzip(GzDecoder::new(source))
    }

    pub(super) fn source(&self) -> &Source {
        self.0.get_ref()
    }

    /// What follows the member.
    pub(super) fn into_source(self) -> Source {
        self.0.into_inner()
    }

    /// The next bytes; 0 at the member's end.
    pub(super) fn fill(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        self.0.read(into).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Failure::CutShort,
            ErrorKind::InvalidInput | ErrorKind::InvalidData => Failure::Corrupt(error.to_string()),
            _ => Failure::reading(&error),
        })
    }
}

/// Passes over zeros; whether there were any. Tapes and some disks fill their blocks with them.
pub(super) fn skip_zeros(source: &mut Source) -> Result<bool, Failure> {
    let mut any = false;
    loop {
        let bytes = source
            .fill_buf()
            .map_err(|error| Failure::reading(&error))?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let over = zeros < bytes.len() || bytes.is_empty();
        any |= zeros > 0;
        source.consume(zeros);
        if over {
            return Ok(any);
        }
    }
}
