//! The submission objects of an entry: itself as a rule, or those that it wraps: Reddit's listings
//! (`{"kind":"Listing",…}`) and things (`{"kind":"t3","data":…}`), an archive's answers (`{"data":[…]}`)
//! and lists.

use crate::source::trouble::{Trouble, add};
use memchr::memmem;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// An answer holds a thousand at most; more are only taken out of an array that is the whole file.
const MAX_PARTS: usize = 10_000;
/// Wrapped into one another.
const MAX_DEPTH: u32 = 8;

/// One object, or what is none and why.
pub(super) type Part<'a> = Result<&'a str, (&'a str, String)>;

/// Whether an entry may wrap others: no submission has such a field.
pub(super) fn may_wrap(text: &[u8]) -> bool {
    text.first() == Some(&b'[') || memmem::find(text, br#""data""#).is_some()
}

/// What an entry holds.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    unwrap(text, 0, &mut parts);
    parts
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    kind: Option<&'a RawValue>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

/// What an answer says of trouble beside `data`.
struct Beside(Option<String>);

impl<'de> Deserialize<'de> for Beside {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Beside, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Beside;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Beside, A::Error> {
                let mut said = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "data" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        add(&mut said, map.next_value_seed(Trouble::at(&key))?);
                    }
                }
                Ok(Beside(said))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    children: &'a RawValue,
}

fn unwrap<'a>(text: &'a str, depth: u32, parts: &mut Vec<Part<'a>>) {
    let text = text.trim();
    if depth > MAX_DEPTH || parts.len() > MAX_PARTS {
        parts.push(Err((text, "it wraps too much".to_owned())));
        return;
    }
    if text.starts_with('[') {
        list(text, depth, parts);
        return;
    }
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else {
        // Whoever parses it says what is wrong.
        parts.push(Ok(text));
        return;
    };
    if envelope.id.is_some() {
        parts.push(Ok(text));
        return;
    }
    let beside = serde_json::from_str::<Beside>(text);
    if let Ok(Beside(Some(said))) = beside {
        let reason = "it is an error that somebody answered, beside or instead of submissions";
        parts.push(Err((text, format!("{reason}: {said}"))));
        return;
    }
    let Some(data) = envelope.data.map(RawValue::get) else {
        parts.push(Ok(text));
        return;
    };
    let kind = envelope.kind.map_or("", RawValue::get).trim_matches('"');
    match kind {
        "Listing" => match serde_json::from_str::<Listing<'_>>(data) {
            Ok(listing) => list(listing.children.get(), depth, parts),
            Err(_) => parts.push(Err((text, "it is a listing without children".to_owned()))),
        },
        "t3" => parts.push(Ok(data)),
        "" => unwrap(data, depth + 1, parts),
        _ => {
            let reason = "it is a thing of another kind, not a submission (t3)";
            parts.push(Err((text, reason.to_owned())));
        }
    }
}

fn list<'a>(text: &'a str, depth: u32, parts: &mut Vec<Part<'a>>) {
    match serde_json::from_str::<Elements<'_>>(text) {
        Ok(elements) if elements.0.is_empty() => {
            parts.push(Err((text, "it is an empty list".to_owned())));
        }
        Ok(elements) if elements.0.len() > MAX_PARTS => {
            let reason = format!("it is a list of more than {MAX_PARTS}");
            parts.push(Err((text, reason)));
        }
        Ok(elements) => {
            for element in elements.0 {
                unwrap(element.get(), depth + 1, parts);
            }
        }
        Err(error) => parts.push(Err((text, format!("it is not JSON: {error}")))),
    }
}

/// The elements of a list, or one more than may be.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Elements<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = Vec::new();
                while elements.len() <= MAX_PARTS {
                    match list.next_element()? {
                        Some(element) => elements.push(element),
                        None => return Ok(Elements(elements)),
                    }
                }
                while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_are_found_in_whatever_wraps_them() {
        let (one, two) = (r#"{"id":"a"}"#, r#"{"id":"b","data":[1]}"#);
        for (text, expected) in [
            (one.to_owned(), vec![one]),
            (two.to_owned(), vec![two]),
            (format!(r#"{{"kind":"t3","data":{one}}}"#), vec![one]),
            (format!(r#"{{"data":{two},"kind":"t3"}}"#), vec![two]),
            (
                format!(
                    r#"{{"kind":"Listing","data":{{"after":null,"children":[{{"kind":"t3","data":{one}}},{{"kind":"t3","data":{two}}}]}}}}"#
                ),
                vec![one, two],
            ),
            (
                format!(r#"{{"data":[{one},{two}],"error":null}}"#),
                vec![one, two],
            ),
            (format!("[{one}, {two}]"), vec![one, two]),
            ("{}".to_owned(), vec!["{}"]),
            ("damaged".to_owned(), vec!["damaged"]),
        ] {
            let found: Vec<&str> = parts(&text).into_iter().map(|it| it.unwrap()).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_wraps_something_else_is_refused_once() {
        for text in [
            "[]",
            r#"{"data":null,"error":"Timeout"}"#,
            r#"{"data":[{"id":"a"}],"error":"partial"}"#,
            r#"{"kind":"t1","data":{"id":"a"}}"#,
            r#"{"kind":"more","data":{"count":3}}"#,
            r#"{"kind":"Listing","data":{}}"#,
            r#"{"kind":"Listing","data":{"children":[]}}"#,
        ] {
            let found = parts(text);
            assert!(matches!(found[..], [Err(_)]), "{text}: {found:?}");
        }
        let many = format!("[{}1]", "1,".repeat(MAX_PARTS));
        assert!(matches!(parts(&many)[..], [Err(_)]));
    }
}
