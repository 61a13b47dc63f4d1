//! Spoils answers: one value of one child, or any byte. The same for the same seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Stands for the bytes that replace a value; nobody writes it.
const PLACE: &str = "\u{e000}SPOILT\u{e000}";

/// Bytes that no parser likes to see.
const PIECES: [&[u8]; 12] = [
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc0\x80",
    b"\"",
    b"\\",
    b"\\ud800",
    b"[",
    b"{",
    b"1e999",
    b"\xef\xbb\xbf",
];

pub struct Spoiler(pub ChaCha8Rng);

impl Spoiler {
    pub fn new(seed: u64) -> Spoiler {
        Spoiler(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any of these.
    pub fn any<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.0.random_range(0..of.len())]
    }

    fn up_to(&mut self, most: usize) -> usize {
        self.0.random_range(0..=most)
    }

    /// What may stand where a JSON value stands. All but the strings' bytes is JSON, so that it ends
    /// where it should.
    pub fn value(&mut self) -> Vec<u8> {
        let fixed: [&[u8]; 36] = [
            b"1e400",
            b"-1e400",
            b"1e-400",
            b"-0",
            b"-0.0",
            b"9223372036854775807",
            b"-9223372036854775808",
            b"9223372036854775808",
            b"1180591620717411303424",
            b"253402300799",
            b"253402300800",
            b"0.1e1",
            b"null",
            b"true",
            b"false",
            b"[]",
            b"{}",
            b"\"\"",
            b"\"NaN\"",
            b"\"Infinity\"",
            b"\"1e400\"",
            b"\"\\ud800\"",
            b"\"\\udc00\\ud800 a\"",
            b"\"a\\u0000b\"",
            b"\"\\u0000\"",
            b"\"\\uffff\"",
            b"\"a\0b\"",
            b"\"a\xffb\"",
            b"\"\xed\xa0\x80\"",
            b"\"\xf0\x9f\x92\"",
            b"\"\xe2\x80\xae\"",
            b"\"'; DROP TABLE submissions; --\"",
            b"\"$1 {} %s\"",
            b"\"a\\r\\nb\"",
            b"{\"a\":1,\"a\":2}",
            b"\"t3_\"",
        ];
        match self.0.random_range(0..20) {
            0 => nested(b'[', b']', 600),
            1 => nested(b'[', b']', 20_000),
            2 => {
                let mut deep = b"{\"a\":".repeat(300);
                deep.push(b'0');
                deep.extend(b"}".repeat(300));
                deep
            }
            3 => format!("\"{}\"", "x".repeat(50_000)).into_bytes(),
            4 => format!("\"{}\"", "\\ud800".repeat(500)).into_bytes(),
            5 => vec![b'1'; 1_000],
            6 => self
                .0
                .random_range(i64::MIN..=i64::MAX)
                .to_string()
                .into_bytes(),
            7 => format!("{:e}", f64::from_bits(self.0.random()))
                .replace("inf", "1e999")
                .replace("NaN", "0")
                .into_bytes(),
            _ => self.any(&fixed).to_vec(),
        }
    }

    /// A child with one of its values replaced, or one of its keys there twice.
    pub fn child(&mut self, child: &Value) -> Vec<u8> {
        let mut child = child.clone();
        let value = self.value();
        if self.0.random_range(0..50) == 0 {
            return value;
        }
        let mut at = &mut child;
        // Mostly a field of the submission itself.
        let mut deep = 2 + usize::from(self.0.random_range(0..4) == 0) * 3;
        loop {
            let count = match &*at {
                Value::Object(fields) => fields.len(),
                Value::Array(items) => items.len(),
                _ => 0,
            };
            if count == 0 || deep == 0 {
                break;
            }
            deep -= 1;
            let place = self.up_to(count - 1);
            let next = match at {
                Value::Object(fields) => fields.values_mut().nth(place),
                Value::Array(items) => items.get_mut(place),
                _ => None,
            };
            at = next.unwrap();
        }
        *at = Value::String(PLACE.to_owned());
        let text = child.to_string();
        let (before, after) = text.split_once(&format!("\"{PLACE}\"")).unwrap();
        let mut bytes = before.as_bytes().to_vec();
        bytes.extend(&value);
        if self.0.random_range(0..10) == 0
            && let Some(key) = before.rsplit(['{', ',']).next()
            && key.starts_with('"')
            && key.ends_with(':')
        {
            bytes.extend(b",");
            bytes.extend(key.as_bytes());
            bytes.extend(self.value());
        }
        bytes.extend(after.as_bytes());
        bytes
    }

    /// Bytes with a few of them changed, cut off, doubled, or joined by worse ones.
    pub fn bytes(&mut self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        for _ in 0..self.0.random_range(1..=4) {
            let at = self.up_to(bytes.len());
            let until = self.0.random_range(at..=bytes.len().min(at + 64));
            match self.0.random_range(0..7) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..until)),
                2 => {
                    let copy = bytes[at..until].to_vec();
                    let to = self.up_to(bytes.len());
                    bytes.splice(to..to, copy);
                }
                3 => bytes[at..until]
                    .iter_mut()
                    .for_each(|byte| *byte = self.0.random()),
                4 if at < bytes.len() => bytes[at] ^= 1 << self.0.random_range(0..8),
                5 => {
                    let value = self.value();
                    bytes.splice(at..until, value).for_each(drop);
                }
                _ => {
                    let piece = *self.any(&PIECES);
                    let times = self.0.random_range(1..4);
                    bytes.splice(at..at, piece.repeat(times)).for_each(drop);
                }
            }
        }
        bytes
    }
}

fn nested(open: u8, close: u8, depth: usize) -> Vec<u8> {
    let mut deep = vec![open; depth];
    deep.extend(vec![close; depth]);
    deep
}

/// A listing with these children.
pub fn listing(children: &[Vec<u8>]) -> Vec<u8> {
    let head =
        br#"{"kind":"Listing","data":{"modhash":null,"after":null,"before":null,"children":["#;
    let mut body = head.to_vec();
    body.extend(children.join(&b','));
    body.extend(b"]}}");
    body
}
