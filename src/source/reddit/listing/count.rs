//! How many children a listing has, without keeping any.

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The number of children in the body of a listing.
pub(super) fn children(body: &str) -> Result<usize, serde_json::Error> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        children: Count,
    }
    let envelope: Envelope = serde_json::from_str(body)?;
    Ok(envelope.data.children.0)
}

struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        deserializer.deserialize_seq(Counting)
    }
}

struct Counting;

impl<'de> Visitor<'de> for Counting {
    type Value = Count;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut children: A) -> Result<Count, A::Error> {
        let mut count = 0;
        while children.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Count(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_any_shape_are_counted() {
        let count =
            |list: &str| children(&format!(r#"{{"kind":"x","data":{{"children":{list}}}}}"#));
        assert_eq!(count("[]").unwrap(), 0);
        assert_eq!(count(r#"[1,{"data":[1,2,3]},null]"#).unwrap(), 3);
        assert!(count("7").is_err());
        assert!(children("{}").is_err());
    }
}
