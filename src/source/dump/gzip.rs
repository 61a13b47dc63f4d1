//! Any number of gzip members, one after the other, and zeros behind them: what `gzip -d` accepts.

use super::error::Failure;
use super::stream::Source;
use flate2::bufread::GzDecoder;
use std::io::{BufRead, ErrorKind, Read};

/// The first byte of a member.
const MAGIC: u8 = 0x1f;

pub(super) enum Gzip {
    Member(Box<GzDecoder<Source>>),
    Over(Source),
    /// Only while one becomes the other.
    Between,
}

impl Gzip {
    pub(super) fn new(source: Source) -> Gzip {
        Gzip::Member(Box::new(GzDecoder::new(source)))
    }

    pub(super) fn source(&self) -> Option<&Source> {
        match self {
            Gzip::Member(decoder) => Some(decoder.get_ref()),
            Gzip::Over(source) => Some(source),
            Gzip::Between => None,
        }
    }

    /// The next bytes; 0 at the end.
    pub(super) fn fill(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        loop {
            let Gzip::Member(decoder) = self else {
                return Ok(0);
            };
            match decoder.read(into) {
                Ok(0) => {}
                Ok(count) => return Ok(count),
                Err(error) => {
                    return Err(match error.kind() {
                        ErrorKind::UnexpectedEof => Failure::CutShort,
                        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
                            Failure::Corrupt(error.to_string())
                        }
                        _ => Failure::reading(&error),
                    });
                }
            }
            let Gzip::Member(decoder) = std::mem::replace(self, Gzip::Between) else {
                return Ok(0);
            };
            let mut source = decoder.into_inner();
            let next = source.fill_buf().map(|it| it.first().copied());
            *self = match next.map_err(|error| Failure::reading(&error))? {
                None => Gzip::Over(source),
                Some(MAGIC) => Gzip::new(source),
                Some(_) => {
                    let only_zeros = skip_zeros(&mut source)?;
                    if !only_zeros {
                        let reason = "something else follows its last gzip member";
                        return Err(Failure::Corrupt(reason.to_owned()));
                    }
                    Gzip::Over(source)
                }
            };
        }
    }
}

/// Passes over zeros; whether nothing else comes. Tapes and some disks fill their blocks with them.
fn skip_zeros(source: &mut Source) -> Result<bool, Failure> {
    loop {
        let bytes = source
            .fill_buf()
            .map_err(|error| Failure::reading(&error))?;
        if bytes.is_empty() {
            return Ok(true);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let count = bytes.len();
        source.consume(count);
    }
}
