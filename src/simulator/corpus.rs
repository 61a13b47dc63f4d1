//! Real objects to replay: dumps, archives, recorded answers, as newline-delimited JSON.
//!
//! Owns the reading (plain or zstd, streamed) and the routes that objects are hosted under. An
//! object is never changed: it is served byte for byte, also without `raw_json=1`.
//!
//! # Routes
//! An object is hosted under its own `subreddit`. A name that no subreddit can have (recorders'
//! placeholders such as `<NAME>`) becomes a valid one: lower case, every other character than a
//! letter, a digit or an underscore left out, no underscore in front, `x_` before what is then
//! shorter than two, cut at 21. Objects without a subreddit are hosted under `other`.
//! [`Corpus::routes`] tells which name became which.

use crate::submission::{SubmissionId, SubredditName};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The largest window of the public dumps: 2 to the power of this.
const WINDOW_LOG_MAX: u32 = 31;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a corpus appears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CorpusMode {
    /// All at once, as listings in the order of `created_utc`.
    Listed,
    /// One after another in the order of `created_utc`, each on top of its listing when it comes.
    Arriving {
        /// Objects per second of world time; must be above 0.
        per_second: f64,
    },
}

/// Objects by id, each with all its observations.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    pub(super) objects: Vec<Object>,
    by_id: HashMap<SubmissionId, usize>,
    routes: BTreeMap<String, SubredditName>,
    refused: u64,
}

/// One submission of a corpus.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) id: SubmissionId,
    pub(super) route: SubredditName,
    pub(super) created_utc: i64,
    /// Seconds since the epoch where the object tells it, and the text, in order of retrieval.
    observations: Vec<(Option<i64>, Box<str>)>,
}

impl Object {
    /// The texts in order of retrieval; never empty.
    pub(super) fn into_texts(self) -> Vec<Box<str>> {
        self.observations
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }
}

/// What a corpus needs to know of an object.
#[derive(Deserialize)]
struct Fields<'a> {
    id: String,
    #[serde(borrow)]
    created_utc: &'a RawValue,
    #[serde(borrow, default)]
    subreddit: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retrieved_on: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retrieved_utc: Option<&'a RawValue>,
}

impl Corpus {
    /// Reads files one after the other; a file may be plain or compressed with zstd.
    ///
    /// # Errors
    /// A file that cannot be opened, read or decompressed; the message names it.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> io::Result<Corpus> {
        let mut corpus = Corpus::default();
        for path in paths {
            let path = path.as_ref();
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            corpus
                .add(File::open(path).map_err(named)?)
                .map_err(named)?;
        }
        Ok(corpus)
    }

    /// Adds the objects of a stream, plain or compressed with zstd. A line that is no object with
    /// an id and a time is counted as refused.
    ///
    /// # Errors
    /// What reading or decompressing fails with.
    pub fn add(&mut self, source: impl Read) -> io::Result<()> {
        let mut source = BufReader::with_capacity(1 << 17, source);
        if source.fill_buf()?.starts_with(&ZSTD_MAGIC) {
            let mut decoder = zstd::Decoder::with_buffer(source)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            self.add_lines(BufReader::with_capacity(1 << 17, decoder))
        } else {
            self.add_lines(source)
        }
    }

    fn add_lines(&mut self, mut source: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if source.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match std::str::from_utf8(text) {
                Ok(text) if self.add_object(text).is_some() => {}
                _ => self.refused += 1,
            }
        }
    }

    fn add_object(&mut self, text: &str) -> Option<()> {
        let fields: Fields<'_> = serde_json::from_str(text).ok()?;
        let id: SubmissionId = fields.id.parse().ok()?;
        let created_utc = seconds(Some(fields.created_utc))?;
        let retrieved = seconds(fields.retrieved_on).or_else(|| seconds(fields.retrieved_utc));
        let observation = (retrieved, Box::from(text));
        if let Some(&index) = self.by_id.get(&id) {
            let known = &mut self.objects[index].observations;
            known.push(observation);
            // Where one of them tells no time, the order of the file is all that is known.
            if known.iter().all(|(retrieved, _)| retrieved.is_some()) {
                known.sort_by_key(|(retrieved, _)| *retrieved);
            }
            return Some(());
        }
        let name = fields
            .subreddit
            .and_then(|name| serde_json::from_str::<String>(name.get()).ok());
        let route = route(name.as_deref());
        self.routes
            .entry(name.unwrap_or_default())
            .or_insert_with(|| route.clone());
        self.by_id.insert(id.clone(), self.objects.len());
        self.objects.push(Object {
            id,
            route,
            created_utc,
            observations: vec![observation],
        });
        Some(())
    }

    /// How many different submissions there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// How many lines were no submission.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Each subreddit's name as objects spell it (empty where they have none), with the name that
    /// it is hosted under.
    pub fn routes(&self) -> &BTreeMap<String, SubredditName> {
        &self.routes
    }
}

/// The name that objects of a subreddit are hosted under.
fn route(name: Option<&str>) -> SubredditName {
    let other = || "other".parse().expect("the route of the nameless is valid");
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return other();
    };
    if let Ok(valid) = name.parse() {
        return valid;
    }
    let mut clean: String = name
        .to_ascii_lowercase()
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '_')
        .skip_while(|character| *character == '_')
        .take(21)
        .collect();
    if clean.len() < 2 {
        clean.insert_str(0, "x_");
    }
    clean.parse().unwrap_or_else(|_| other())
}

/// A time that is an integer, a float or text.
fn seconds(value: Option<&RawValue>) -> Option<i64> {
    let number: f64 = value?.get().trim_matches('"').parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "bounds are checked first")]
    (number.abs() < 1e15).then_some(number.floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(lines: &str) -> Corpus {
        let mut corpus = Corpus::default();
        corpus.add(lines.as_bytes()).unwrap();
        corpus
    }

    #[test]
    fn observations_of_one_id_are_kept_in_order_of_retrieval() {
        let read = corpus(
            "{\"id\":\"a\",\"created_utc\":5,\"retrieved_on\":9,\"n\":2}\n\n\
             {\"id\":\"a\",\"created_utc\":5,\"retrieved_on\":7,\"n\":1}\r\n\
             {\"id\":\"b\",\"created_utc\":\"6.0\"}\n\
             {\"id\":\"b\",\"created_utc\":6.0, \"retrieved_on\":1}",
        );
        assert_eq!((read.len(), read.refused()), (2, 0));
        let texts: Vec<_> = read
            .objects
            .into_iter()
            .map(|object| (object.created_utc, object.into_texts()))
            .collect();
        assert!(texts[0].1[0].contains("\"n\":1") && texts[0].1[1].contains("\"n\":2"));
        assert!(texts[1].1[0].contains("\"6.0\""), "the file's order");
        assert_eq!((texts[0].0, texts[1].0), (5, 6));
    }

    #[test]
    fn lines_that_are_no_submission_are_counted() {
        let read = corpus("{}\nnot json\n{\"id\":\"a b\",\"created_utc\":1}\n{\"id\":\"a\"}\n");
        assert_eq!((read.len(), read.refused()), (0, 4));
    }

    #[test]
    fn every_name_gets_a_valid_route() {
        let cases = [
            (Some("AskReddit"), "askreddit"),
            (Some("reddit.com"), "reddit.com"),
            (Some("u_Some-One"), "u_some-one"),
            (Some("<TEST_SUBREDDIT>"), "test_subreddit"),
            (Some("<>"), "x_"),
            (Some("__ é"), "x_"),
            (Some(""), "other"),
            (None, "other"),
        ];
        for (name, expected) in cases {
            assert_eq!(route(name).as_str(), expected, "{name:?}");
        }
    }

    #[test]
    fn a_compressed_stream_is_read_like_a_plain_one() {
        let lines: String = (0..1000)
            .map(|number| format!("{{\"id\":\"{number}\",\"created_utc\":{number}}}\n"))
            .collect();
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        io::copy(&mut lines.as_bytes(), &mut encoder).unwrap();
        let mut read = Corpus::default();
        read.add(encoder.finish().unwrap().as_slice()).unwrap();
        assert_eq!(read.len(), 1000);
    }
}
