//! One raw object → one observation, leniently.

use super::lenient::Scalar;
use super::{Kind, Observation, Submission, SubmissionId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::ops::RangeInclusive;

/// What can be a time: from the epoch to the end of the year 9999, the last that every calendar can
/// write. Sums with it stay far from every limit.
const TIMES: RangeInclusive<i64> = 0..=253_402_300_799;

/// An object that holds no submission that we can name and date: kept as it is, counted, shown.
#[derive(Debug, Clone)]
pub struct Undecodable {
    /// The object as it came.
    pub raw: Box<RawValue>,
    /// Why, in a few words.
    pub reason: String,
    /// When the answer that held it was asked for, milliseconds since the epoch.
    pub observed_ms: i64,
}

/// Parsers quote what they did not expect, and that may be a whole text.
const LONGEST_REASON: usize = 200;

impl Undecodable {
    /// An object and why it is none, which is cut to a few words.
    pub fn new(raw: Box<RawValue>, reason: &str, observed_ms: i64) -> Undecodable {
        Undecodable {
            raw,
            reason: reason.chars().take(LONGEST_REASON).collect(),
            observed_ms,
        }
    }
}

/// Reads a submission object (the `data` of a listing's child, or a line of a dump).
///
/// Only a usable `id` and `created_utc` are needed; every other field may be of any type.
///
/// # Errors
/// The object itself, where it is no JSON object or lacks one of the two.
pub fn decode(raw: Box<RawValue>, observed_ms: i64) -> Result<Observation, Undecodable> {
    match read(&raw) {
        Ok((submission, _)) => Ok(Observation {
            submission,
            raw,
            observed_ms,
        }),
        Err(reason) => Err(Undecodable::new(raw, &reason, observed_ms)),
    }
}

/// Reads a submission object as an archive keeps it, which says itself when it was seen: at the later
/// of its two retrievals, or, where it tells none, when it was created. Never after `now_ms`.
///
/// # Errors
/// As [`decode`]; the object then counts as seen at `now_ms`.
pub fn decode_archived(raw: Box<RawValue>, now_ms: i64) -> Result<Observation, Undecodable> {
    match read(&raw) {
        Ok((submission, retrieved)) => {
            let created = submission.created_utc;
            // A retrieval before the creation is a retrieval that was never noted.
            let seen = retrieved.map_or(created, |at| at.max(created));
            Ok(Observation {
                submission,
                raw,
                observed_ms: (seen * 1000).min(now_ms),
            })
        }
        Err(reason) => Err(Undecodable::new(raw, &reason, now_ms)),
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    subreddit: Option<&'a RawValue>,
    #[serde(borrow, default)]
    author: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<&'a RawValue>,
    #[serde(borrow, default)]
    selftext: Option<&'a RawValue>,
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    permalink: Option<&'a RawValue>,
    #[serde(borrow, default)]
    domain: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created_utc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    score: Option<&'a RawValue>,
    #[serde(borrow, default)]
    num_comments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    upvote_ratio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    over_18: Option<&'a RawValue>,
    #[serde(borrow, default)]
    spoiler: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stickied: Option<&'a RawValue>,
    #[serde(borrow, default)]
    locked: Option<&'a RawValue>,
    #[serde(borrow, default)]
    is_self: Option<&'a RawValue>,
    #[serde(borrow, default)]
    link_flair_text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    edited: Option<&'a RawValue>,
    #[serde(borrow, default)]
    removed_by_category: Option<&'a RawValue>,
    #[serde(borrow, default)]
    removed_by: Option<&'a RawValue>,
    #[serde(borrow, default)]
    crosspost_parent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    poll_data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    is_gallery: Option<&'a RawValue>,
    #[serde(borrow, default)]
    is_video: Option<&'a RawValue>,
    #[serde(borrow, default)]
    post_hint: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retrieved_on: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retrieved_utc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    _meta: Option<&'a RawValue>,
}

/// What archives tell of an object beside it.
#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    retrieved_2nd_on: Option<&'a RawValue>,
}

/// When an archive last retrieved the object, whole seconds since the epoch.
fn retrieved(fields: &Fields<'_>) -> Option<i64> {
    let meta = fields
        ._meta
        .and_then(|it| serde_json::from_str::<Meta<'_>>(it.get()).ok());
    let again = meta.and_then(|it| it.retrieved_2nd_on);
    [fields.retrieved_on, fields.retrieved_utc, again]
        .into_iter()
        .filter_map(|it| Scalar::read(it).integer())
        // Zero is a time that was not kept.
        .filter(|at| *at > 0 && TIMES.contains(at))
        .max()
}

/// The typed fields, and when an archive retrieved them.
fn read(raw: &RawValue) -> Result<(Submission, Option<i64>), String> {
    let fields: Fields<'_> = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let id = match Scalar::read(fields.id) {
        Scalar::Text(text) => text
            .parse::<SubmissionId>()
            .map_err(|error| error.to_string())?,
        Scalar::Nothing => return Err("it has no id".to_owned()),
        _ => return Err("its id is not text".to_owned()),
    };
    let created_utc = Scalar::read(fields.created_utc)
        .integer()
        .filter(|at| TIMES.contains(at))
        .ok_or_else(|| format!("created_utc of {id} is not a time"))?;
    let text = |value| Scalar::read(value).text();
    let integer = |value| Scalar::read(value).integer();
    let boolean = |value| Scalar::read(value).boolean();
    let edited = Scalar::read(fields.edited);
    let is_self = boolean(fields.is_self);
    let url = text(fields.url);
    let domain = text(fields.domain);
    let kind = kind(&fields, is_self, url.as_deref(), domain.as_deref());
    let retrieved = retrieved(&fields);
    let submission = Submission {
        id,
        subreddit: text(fields.subreddit),
        author: text(fields.author),
        title: text(fields.title),
        selftext: text(fields.selftext),
        url,
        permalink: text(fields.permalink),
        domain,
        created_utc,
        score: integer(fields.score),
        num_comments: integer(fields.num_comments),
        upvote_ratio: Scalar::read(fields.upvote_ratio).float(),
        over_18: boolean(fields.over_18),
        spoiler: boolean(fields.spoiler),
        stickied: boolean(fields.stickied),
        locked: boolean(fields.locked),
        is_self,
        link_flair_text: text(fields.link_flair_text),
        // A time says that it was edited, and when; `true` says only the first.
        edited: match &edited {
            Scalar::Bool(value) => Some(*value),
            other => other.integer().map(|_| true),
        },
        edited_at: match &edited {
            Scalar::Bool(_) => None,
            other => other.integer(),
        },
        removed_by: text(fields.removed_by_category).or_else(|| text(fields.removed_by)),
        kind,
    };
    Ok((submission, retrieved))
}

/// The most telling mark wins: a crosspost of a gallery is a crosspost.
fn kind(
    fields: &Fields<'_>,
    is_self: Option<bool>,
    url: Option<&str>,
    domain: Option<&str>,
) -> Kind {
    let set = |value| Scalar::read(value).boolean() == Some(true);
    let hint = Scalar::read(fields.post_hint).text().unwrap_or_default();
    let path = url
        .unwrap_or_default()
        .split(['?', '#'])
        .next()
        .unwrap_or_default();
    let picture = [".jpg", ".jpeg", ".png", ".gif", ".webp"];
    if Scalar::read(fields.crosspost_parent).text().is_some() {
        Kind::Crosspost
    } else if fields
        .poll_data
        .is_some_and(|value| value.get().starts_with('{'))
    {
        Kind::Poll
    } else if set(fields.is_gallery) || path.contains("reddit.com/gallery/") {
        Kind::Gallery
    } else if is_self == Some(true) {
        Kind::SelfPost
    } else if set(fields.is_video) || hint.ends_with(":video") || domain == Some("v.redd.it") {
        Kind::Video
    } else if hint == "image"
        || picture
            .iter()
            .any(|end| path.to_ascii_lowercase().ends_with(end))
    {
        Kind::Image
    } else {
        Kind::Link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(json: &str) -> Result<Observation, Undecodable> {
        decode(RawValue::from_string(json.to_owned()).unwrap(), 7)
    }

    #[test]
    fn the_raw_object_is_kept_byte_for_byte() {
        let json = r#"{ "id":"a1", "created_utc": 1.0,  "new_field" : [1 ,2] }"#;
        let seen = observe(json).unwrap();
        assert_eq!(seen.raw.get(), json);
        assert_eq!(seen.observed_ms, 7);
    }

    #[test]
    fn odd_fields_cost_themselves_and_nothing_else() {
        let seen = observe(
            r#"{"id":"a1","created_utc":"1388534400","title":7,"score":null,"num_comments":"12",
                "over_18":"true","upvote_ratio":1,"edited":true,"poll_data":false,"url":{},"spoiler":[]}"#,
        )
        .unwrap()
        .submission;
        assert_eq!(seen.created_utc, 1_388_534_400);
        assert_eq!(
            (seen.title, seen.score, seen.num_comments),
            (None, None, Some(12))
        );
        assert_eq!(
            (seen.over_18, seen.upvote_ratio, seen.spoiler),
            (Some(true), Some(1.0), None)
        );
        assert_eq!((seen.edited, seen.edited_at), (Some(true), None));
        assert_eq!(seen.kind, Kind::Link);
    }

    #[test]
    fn an_edit_is_false_or_a_time_or_just_true() {
        let edited = |value: &str| {
            let json = format!(r#"{{"id":"a","created_utc":1,"edited":{value}}}"#);
            let seen = observe(&json).unwrap().submission;
            (seen.edited, seen.edited_at)
        };
        assert_eq!(edited("false"), (Some(false), None));
        assert_eq!(edited("true"), (Some(true), None));
        assert_eq!(edited("1500000000.0"), (Some(true), Some(1_500_000_000)));
        assert_eq!(edited("null"), (None, None));
    }

    #[test]
    fn each_kind_is_told_from_its_marks() {
        let kind = |fields: &str| {
            let json = format!(r#"{{"id":"a","created_utc":1,{fields}}}"#);
            observe(&json).unwrap().submission.kind
        };
        assert_eq!(kind(r#""is_self":true"#), Kind::SelfPost);
        assert_eq!(
            kind(r#""is_self":true,"poll_data":{"options":[]}"#),
            Kind::Poll
        );
        assert_eq!(
            kind(r#""is_self":false,"url":"https://i.redd.it/x.PNG?a=1""#),
            Kind::Image
        );
        assert_eq!(kind(r#""post_hint":"image""#), Kind::Image);
        assert_eq!(kind(r#""is_gallery":true"#), Kind::Gallery);
        assert_eq!(kind(r#""is_video":true"#), Kind::Video);
        assert_eq!(kind(r#""post_hint":"rich:video""#), Kind::Video);
        assert_eq!(
            kind(r#""crosspost_parent":"t3_b","is_gallery":true"#),
            Kind::Crosspost
        );
        assert_eq!(kind(r#""url":"https://example.org/""#), Kind::Link);
    }

    #[test]
    fn an_archived_object_was_seen_when_it_was_retrieved_last() {
        let seen = |fields: &str| {
            let json = format!(r#"{{"id":"a","created_utc":5{fields}}}"#);
            decode_archived(RawValue::from_string(json).unwrap(), 90_000)
                .unwrap()
                .observed_ms
        };
        assert_eq!(seen(""), 5_000);
        assert_eq!(seen(r#","retrieved_on":7"#), 7_000);
        assert_eq!(seen(r#","retrieved_utc":"8.0""#), 8_000);
        let both = r#","retrieved_on":7.5,"_meta":{"retrieved_2nd_on":9}"#;
        assert_eq!(seen(both), 9_000);
        let earlier = r#","_meta":{"retrieved_2nd_on":"6"},"retrieved_on":7"#;
        assert_eq!(seen(earlier), 7_000);
        for nothing in [
            r#","retrieved_on":null,"_meta":3"#,
            r#","retrieved_on":0,"_meta":{"retrieved_2nd_on":[]}"#,
            r#","retrieved_on":"soon","_meta":{"retrieved_2nd_on":-4}"#,
        ] {
            assert_eq!(seen(nothing), 5_000, "{nothing}");
        }
        assert_eq!(
            seen(r#","retrieved_on":91"#),
            90_000,
            "never later than now"
        );
    }

    #[test]
    fn what_has_no_id_or_time_is_handed_back_whole() {
        for json in [
            "{}",
            "[]",
            "3",
            r#"{"id":"a1"}"#,
            r#"{"id":"a b","created_utc":1}"#,
            r#"{"id":5,"created_utc":1}"#,
            r#"{"id":"a","created_utc":-1}"#,
            r#"{"id":"a","created_utc":253402300800}"#,
            r#"{"id":"a","created_utc":9223372036854775807}"#,
        ] {
            let refused = observe(json).unwrap_err();
            assert_eq!(refused.raw.get(), json);
            assert!(!refused.reason.is_empty());
        }
    }
}
