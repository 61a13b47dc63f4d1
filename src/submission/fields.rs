//! The fields of an object that mean something here, each as it stands in the JSON.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Makes the struct and its filling from one list of names.
macro_rules! fields {
    ($($name:ident,)+) => {
        /// What an object holds of these; of a name that comes twice, the last.
        #[derive(Debug, Default)]
        pub(super) struct Fields<'a> {
            $(pub(super) $name: Option<&'a RawValue>,)+
        }

        impl<'a> Fields<'a> {
            fn slot(&mut self, name: &str) -> Option<&mut Option<&'a RawValue>> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }
        }
    };
}

fields! {
    id, name, kind, subreddit, subreddit_name_prefixed, promoted, author, title, selftext, url, permalink, domain, created_utc, score,
    num_comments, upvote_ratio, over_18, spoiler, stickied, locked, is_self, link_flair_text, edited,
    removed_by_category, removed_by, crosspost_parent, poll_data, is_gallery, is_video, post_hint,
    retrieved_on, retrieved_utc, _meta,
    // What comments, messages, accounts and subreddits have.
    body, link_id, parent_id, subject, dest, was_comment, link_karma, comment_karma, display_name,
    subscribers, public_description,
    // What shows whether texts are escaped as HTML.
    selftext_html, preview, media_metadata,
}

impl<'a> Fields<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn read(raw: &'a RawValue) -> Result<Fields<'a>, String> {
        if !raw.get().trim_start().starts_with('{') {
            return Err("it is no JSON object".to_owned());
        }
        serde_json::Deserializer::from_str(raw.get())
            .deserialize_map(Object)
            .map_err(|error| error.to_string())
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key_seed(Name)? {
            match fields.slot(&String::from_utf8_lossy(&name)) {
                Some(slot) => *slot = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// A field's name as bytes: a lone surrogate in one is no reason to lose the object.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, [u8]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(Name)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(bytes))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_come_twice_or_be_no_text() {
        let json = r#"{"title":"a","\ud800":1,"title":"b","\u0069d":"x","deep":[[{}]]}"#;
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        let fields = Fields::read(&raw).unwrap();
        assert_eq!(fields.title.map(RawValue::get), Some(r#""b""#));
        assert_eq!(fields.id.map(RawValue::get), Some(r#""x""#));
        assert!(fields.url.is_none());
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for json in ["[]", r#"["a","b","c"]"#, "3", "null", r#""text""#] {
            let raw = RawValue::from_string(json.to_owned()).unwrap();
            assert!(Fields::read(&raw).is_err(), "{json}");
        }
    }
}
