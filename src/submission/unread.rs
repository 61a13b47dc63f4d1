//! What can still be told of an object that may be a submission and is not read as one.

use super::decode::time;
use super::fields::Fields;
use super::identity::subreddit;
use super::lenient::Scalar;
use super::{SubmissionId, SubredditName};
use serde_json::value::RawValue;

/// What an object tells that may be a submission and is not read as one. All of it may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unread {
    /// Which submission it is, where `id` and `name` do not disagree about that.
    pub id: Option<SubmissionId>,
    /// Of which subreddit.
    pub subreddit: Option<SubredditName>,
    /// Whole seconds since the epoch.
    pub created_utc: Option<i64>,
}

impl Unread {
    /// Reads what can be read of an object.
    pub fn read(raw: &RawValue) -> Unread {
        let Ok(fields) = Fields::read(raw) else {
            return Unread::default();
        };
        let text = |value| Scalar::read(value).text();
        let id = |value| text(value)?.parse::<SubmissionId>().ok();
        let (own, named) = (id(fields.id), id(fields.name));
        Unread {
            id: match (own, named) {
                (Some(own), Some(named)) => (own == named).then_some(own),
                (own, named) => own.or(named),
            },
            subreddit: subreddit(&fields).and_then(|name| name.parse().ok()),
            created_utc: time(fields.created_utc),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_of_an_object_is() {
        for (json, expected) in [
            (r#"{"id":"a1"}"#, (Some("a1"), None, None)),
            (
                r#"{"name":"t3_a1","subreddit":"Rust","created_utc":"soon"}"#,
                (Some("a1"), Some("rust"), None),
            ),
            (r#"{"id":7,"created_utc":"5"}"#, (None, None, Some(5))),
            (
                r#"{"id":"a1","name":"t3_a2","created_utc":5}"#,
                (None, None, Some(5)),
            ),
            (r#"{"created_utc":-5,"subreddit":[]}"#, (None, None, None)),
            ("[]", (None, None, None)),
            ("null", (None, None, None)),
        ] {
            let raw = RawValue::from_string(json.to_owned()).unwrap();
            let unread = Unread::read(&raw);
            let id = unread.id.as_ref().map(SubmissionId::as_str);
            let subreddit = unread.subreddit.as_ref().map(SubredditName::as_str);
            assert_eq!((id, subreddit, unread.created_utc), expected, "{json}");
        }
    }
}
