//! One raw object → one observation, leniently.

use super::entities::{self, Source};
use super::fields::Fields;
use super::identity::{id, subreddit};
use super::lenient::Scalar;
use super::refusal::{Refusal, not_a_submission};
use super::{ITEM_OVERHEAD, Kind, Observation, Submission};
use chrono::{DateTime, NaiveDateTime};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::ops::RangeInclusive;

/// What can be a time: from the epoch to the end of the year 9999, the last that every calendar can
/// write. Sums with it stay far from every limit.
const TIMES: RangeInclusive<i64> = 0..=253_402_300_799;

/// What can only be a time in milliseconds: from 2001 on; as seconds it lies beyond the year 33,000.
const MILLISECONDS: RangeInclusive<i64> = 1_000_000_000_000..=253_402_300_799_999;

/// An object that holds no submission that we can name, date and store: kept as it is, counted, shown.
#[derive(Debug, Clone)]
pub struct Undecodable {
    /// The object as it came.
    pub raw: Box<RawValue>,
    /// Why, for programs.
    pub cause: Refusal,
    /// Why, in a few words.
    pub reason: String,
    /// When the answer that held it was asked for, milliseconds since the epoch.
    pub observed_ms: i64,
}

/// Parsers quote what they did not expect, and that may be a whole text.
const LONGEST_REASON: usize = 200;

impl Undecodable {
    /// As [`super::Observation::held_bytes`].
    pub fn held_bytes(&self) -> usize {
        size_of::<Undecodable>() + ITEM_OVERHEAD + self.raw.get().len() + self.reason.len()
    }

    /// An object and why it is none, which is cut to a few words.
    pub fn new(raw: Box<RawValue>, cause: Refusal, reason: &str, observed_ms: i64) -> Undecodable {
        Undecodable {
            raw,
            cause,
            reason: reason.chars().take(LONGEST_REASON).collect(),
            observed_ms,
        }
    }
}

/// Reads a submission object (the `data` of a listing's child), as Reddit gives it out with `raw_json=1`.
///
/// Only a usable `id` and `created_utc` are needed; every other field may be of any type.
///
/// # Errors
/// The object itself, where it is no JSON object, lacks one of the two, or is something else than a
/// submission (a comment, an account, …).
pub fn decode(raw: Box<RawValue>, observed_ms: i64) -> Result<Observation, Undecodable> {
    match read(&raw, Source::Live) {
        Ok((submission, _)) => Ok(Observation {
            submission,
            raw,
            observed_ms,
        }),
        Err((cause, reason)) => Err(Undecodable::new(raw, cause, &reason, observed_ms)),
    }
}

/// Reads a submission object as an archive keeps it, which says itself when it was seen: at the later
/// of its two retrievals, or, where it tells none, when it was created. Never after `now_ms`.
///
/// # Errors
/// As [`decode`]; the object then counts as seen at `now_ms`.
pub fn decode_archived(raw: Box<RawValue>, now_ms: i64) -> Result<Observation, Undecodable> {
    match read(&raw, Source::Archive) {
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
        Err((cause, reason)) => Err(Undecodable::new(raw, cause, &reason, now_ms)),
    }
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
        .filter_map(time)
        // Zero is a time that was not kept.
        .filter(|at| *at > 0)
        .max()
}

/// Whole seconds since the epoch, from a number of seconds or of milliseconds, or such a number as text,
/// or RFC 3339, also with a space within, or without an offset: then it is UTC.
pub(super) fn time(value: Option<&RawValue>) -> Option<i64> {
    let value = Scalar::read(value);
    let Some(number) = value.integer() else {
        let written = value.text()?.trim().replacen(' ', "T", 1);
        let written = DateTime::parse_from_rfc3339(&written)
            .map(|it| it.timestamp())
            .or_else(|_| {
                written
                    .parse()
                    .map(|it: NaiveDateTime| it.and_utc().timestamp())
            });
        return written.ok().filter(|at| TIMES.contains(at));
    };
    if MILLISECONDS.contains(&number) {
        return Some(number / 1000);
    }
    TIMES.contains(&number).then_some(number)
}

/// The typed fields, and when an archive retrieved them.
fn read(raw: &RawValue, source: Source) -> Result<(Submission, Option<i64>), (Refusal, String)> {
    let fields = Fields::read(raw).map_err(|error| (Refusal::NoObject, error))?;
    // First: comments have ids of their own, which look like those of submissions.
    if let Some(refusal) = not_a_submission(&fields) {
        return Err(refusal);
    }
    let id = id(&fields).map_err(|reason| (Refusal::NoId, reason))?;
    let created_utc = time(fields.created_utc).ok_or_else(|| {
        let reason = format!("created_utc of {id} is not a time");
        (Refusal::NoTime, reason)
    })?;
    let retrieved = retrieved(&fields);
    let escaped = entities::escaped(raw, &fields, source);
    let text = |value| {
        let text = Scalar::read(value).text();
        if escaped {
            text.map(entities::unescape)
        } else {
            text
        }
    };
    let integer = |value| Scalar::read(value).integer();
    let boolean = |value| Scalar::read(value).boolean();
    let edited = Scalar::read(fields.edited);
    let is_self = boolean(fields.is_self);
    let url = text(fields.url);
    let domain = text(fields.domain);
    let kind = kind(&fields, is_self, url.as_deref(), domain.as_deref());
    let submission = Submission {
        id,
        subreddit: subreddit(&fields),
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

/// A submission that nothing is wrong with and that there never is: its id is above all 64-bit numbers.
pub fn made_up(now_ms: i64) -> Option<Observation> {
    let created_utc = now_ms.div_euclid(1000);
    let json = format!(r#"{{"id":"zzzzzzzzzzzzz","created_utc":{created_utc}}}"#);
    decode(RawValue::from_string(json).ok()?, now_ms).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_up_submission_is_one_that_decodes() {
        let made_up = made_up(1_790_000_000_000).unwrap();
        assert_eq!(made_up.submission.created_utc, 1_790_000_000);
    }

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
    fn a_time_is_read_however_it_is_written() {
        for written in [
            "1704067213",
            "1704067213.9",
            r#""1704067213""#,
            r#""1704067213.0""#,
            "1704067213000",
            r#""1704067213999""#,
            r#""2024-01-01T00:00:13Z""#,
            r#"" 2024-01-01T01:00:13.5+01:00""#,
            r#""2024-01-01 01:00:13+01:00""#,
            r#""2024-01-01 00:00:13""#,
            r#""2024-01-01T00:00:13.25""#,
        ] {
            let json = format!(r#"{{"id":"a","created_utc":{written}}}"#);
            let seen = observe(&json).unwrap().submission.created_utc;
            assert_eq!(seen, 1_704_067_213, "{written}");
        }
    }

    #[test]
    fn an_id_may_have_spaces_around_it_or_stand_in_the_name_alone() {
        for fields in [
            r#""id":" a1\n""#,
            r#""id":"a1","name":" t3_a1""#,
            r#""id":" A1 ","name":"T3_a1""#,
            r#""name":"t3_a1""#,
            r#""id":null,"name":"t3_a1""#,
            r#""id":361,"name":"t3_a1""#,
            r#""id":["a1"],"name":"t3_A1""#,
        ] {
            let seen = observe(&format!(r#"{{"created_utc":1,{fields}}}"#)).unwrap();
            assert_eq!(seen.submission.id.as_str(), "a1", "{fields}");
        }
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
