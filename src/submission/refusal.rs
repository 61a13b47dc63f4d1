//! Why an object is not stored as a submission; among them, that it is something else.
//!
//! Reddit counts comments, accounts, messages and subreddits by ids that look like those of submissions: a
//! comment that passed for one would overwrite the submission of the same id.

use super::SubmissionId;
use super::fields::Fields;
use super::lenient::Scalar;

/// Why an object is not stored as a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// It is a comment (t1).
    Comment,
    /// It is an account (t2).
    Account,
    /// It is a message (t4).
    Message,
    /// It is a subreddit (t5).
    Subreddit,
    /// It is something else that is no submission: an award, a folded branch.
    OtherThing,
    /// It is no thing with a kind and data, so nothing says what it is.
    NoThing,
    /// Its `name` is that of another submission than its `id`.
    Contradiction,
    /// It is no JSON object.
    NoObject,
    /// It has no usable id.
    NoId,
    /// It has no usable time of creation.
    NoTime,
    /// It is a submission that the database refused.
    NotStored,
}

impl Refusal {
    /// A word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Comment => "comment",
            Refusal::Account => "account",
            Refusal::Message => "message",
            Refusal::Subreddit => "subreddit",
            Refusal::OtherThing => "other_thing",
            Refusal::NoThing => "no_thing",
            Refusal::Contradiction => "contradiction",
            Refusal::NoObject => "no_object",
            Refusal::NoId => "no_id",
            Refusal::NoTime => "no_time",
            Refusal::NotStored => "not_stored",
        }
    }

    /// Of a thing with this `kind`; none where that is a submission's.
    pub fn of_kind(kind: Option<&str>) -> Option<Refusal> {
        match kind {
            Some("t3") => None,
            Some("t1") => Some(Refusal::Comment),
            Some("t2") => Some(Refusal::Account),
            Some("t4") => Some(Refusal::Message),
            Some("t5") => Some(Refusal::Subreddit),
            Some(_) => Some(Refusal::OtherThing),
            None => Some(Refusal::NoThing),
        }
    }

    /// Whether it is a submission none the less, which exists and is missing from the table: no time that
    /// holds it is complete.
    pub fn is_a_submission(self) -> bool {
        self == Refusal::NotStored
    }

    /// Whether it may be one: nothing says that it is something else. Where a listing shows it, there is a
    /// submission that is missing from the table, as far as anybody can tell.
    pub fn may_be_a_submission(self) -> bool {
        self.is_a_submission()
            || matches!(
                self,
                Refusal::NoThing
                    | Refusal::NoObject
                    | Refusal::Contradiction
                    | Refusal::NoId
                    | Refusal::NoTime
            )
    }
}

/// What an object is instead of a submission, and what shows it.
pub(super) fn not_a_submission(fields: &Fields<'_>) -> Option<(Refusal, String)> {
    let text = |value| Scalar::read(value).text();
    let has = |value| Scalar::read(value) != Scalar::Nothing;
    let (id, name) = (text(fields.id), text(fields.name));
    for (field, value) in [("name", &name), ("id", &id)] {
        let Some((kind, _)) = value.as_deref().and_then(fullname) else {
            continue;
        };
        if let Some(refusal) = Refusal::of_kind(Some(&kind)) {
            return Some((refusal, format!("its {field} begins {kind}_, not t3_")));
        }
    }
    if let Some(kind) = text(fields.kind).filter(|kind| is_kind(kind))
        && let Some(refusal) = Refusal::of_kind(Some(&kind))
    {
        return Some((refusal, format!("its kind is {kind}, not t3")));
    }
    if has(fields.body) && (has(fields.link_id) || has(fields.parent_id)) {
        let reason = "it is a comment: it has a body, and a link_id or parent_id";
        return Some((Refusal::Comment, reason.to_owned()));
    }
    if has(fields.link_id) && has(fields.parent_id) {
        let reason = "it is a comment: it has a link_id and a parent_id";
        return Some((Refusal::Comment, reason.to_owned()));
    }
    if has(fields.body) && (has(fields.subject) || has(fields.dest) || has(fields.was_comment)) {
        let reason = "it is a message: it has a body, and a subject or a dest";
        return Some((Refusal::Message, reason.to_owned()));
    }
    if has(fields.display_name) && (has(fields.subscribers) || has(fields.public_description)) {
        let reason = "it is a subreddit: it has a display_name and subscribers";
        return Some((Refusal::Subreddit, reason.to_owned()));
    }
    if has(fields.link_karma) || has(fields.comment_karma) {
        let reason = "it is an account: it has link_karma or comment_karma";
        return Some((Refusal::Account, reason.to_owned()));
    }
    let (_, named) = name.as_deref().and_then(fullname)?;
    let (id, named) = (
        id?.trim()
            .to_ascii_lowercase()
            .parse::<SubmissionId>()
            .ok()?,
        named.parse::<SubmissionId>().ok()?,
    );
    (id != named).then(|| {
        let reason = format!("its name t3_{named} contradicts its id {id}");
        (Refusal::Contradiction, reason)
    })
}

/// `t1`, `t3`, …
fn is_kind(text: &str) -> bool {
    matches!(text.as_bytes(), [b't', b'0'..=b'9'])
}

/// A fullname's kind, in lower case, and id; none where the text is not of that form.
fn fullname(text: &str) -> Option<(String, &str)> {
    let (kind, id) = text.trim().split_once('_')?;
    let kind = kind.to_ascii_lowercase();
    let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_kind(&kind) && digits).then_some((kind, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::decode;
    use serde_json::value::RawValue;

    fn cause(fields: &str) -> Option<Refusal> {
        let json = format!(r#"{{"created_utc":1,{fields}}}"#);
        let raw = RawValue::from_string(json).unwrap();
        decode(raw, 7).err().map(|refused| refused.cause)
    }

    #[test]
    fn what_is_no_submission_is_told_by_what_it_holds() {
        use Refusal::*;
        for (fields, refusal) in [
            (r#""id":"c13","name":"t1_c13""#, Comment),
            (r#""id":"c13","name":"T1_c13","title":"a""#, Comment),
            (r#""id":"t1_c13""#, Comment),
            (r#""id":"c13","kind":"t1""#, Comment),
            (r#""id":"c13","body":"x","link_id":"t3_1""#, Comment),
            (r#""id":"c13","body":"","parent_id":17863"#, Comment),
            (r#""id":"c13","link_id":"t3_1","parent_id":"t1_2""#, Comment),
            (
                r#""id":"c13","body":"x","link_id":"t3_1","name":"t3_c13","title":"a""#,
                Comment,
            ),
            (r#""id":"2m","name":"t2_2m""#, Account),
            (
                r#""id":"2m","name":"somebody","link_karma":1,"comment_karma":2"#,
                Account,
            ),
            (r#""id":"2m","name":"t4_2m""#, Message),
            (r#""id":"2m","body":"x","subject":"y","dest":"z""#, Message),
            (r#""id":"2m","name":"t5_2m","title":"a""#, Subreddit),
            (
                r#""id":"2m","display_name":"rust","subscribers":0,"title":"a""#,
                Subreddit,
            ),
            (r#""id":"2m","name":"t6_2m""#, OtherThing),
            (r#""id":"2m","name":"t3_2n""#, Contradiction),
            (r#""id":"t3_2m","name":"t3_2n""#, Contradiction),
            (r#""id":" T3_2m ","name":"t3_2n""#, Contradiction),
            (r#""title":"a""#, NoId),
            (r#""id":"2m","created_utc":null"#, NoTime),
        ] {
            assert_eq!(cause(fields), Some(refusal), "{fields}");
        }
    }

    #[test]
    fn a_submission_with_odd_fields_is_still_one() {
        for fields in [
            r#""id":"2m","name":"t3_2m""#,
            r#""id":"2M","name":"t3_2m""#,
            r#""id":"t3_2m","name":"t3_2M""#,
            r#""id":"2m","name":7"#,
            r#""id":"2m","name":"somebody""#,
            r#""id":"2m","name":"t3_""#,
            r#""id":"2m","name":"t1_ the end""#,
            r#""id":"2m","body":"x""#,
            r#""id":"2m","body":null,"link_id":null,"parent_id":null"#,
            r#""id":"2m","parent_id":"t1_1""#,
            r#""id":"2m","kind":"article""#,
            r#""id":"2m","subscribers":4"#,
            r#""id":"2m","sr_detail":{"display_name":"rust","subscribers":4,"name":"t5_1"}"#,
        ] {
            assert_eq!(cause(fields), None, "{fields}");
        }
    }

    #[test]
    fn only_submissions_are_missed_where_they_are_not_stored() {
        assert!(Refusal::NotStored.is_a_submission());
        assert!(!Refusal::Comment.is_a_submission() && !Refusal::NoId.is_a_submission());
        assert!(Refusal::NoTime.may_be_a_submission() && Refusal::NotStored.may_be_a_submission());
        assert!(!Refusal::Comment.may_be_a_submission());
        assert!(!Refusal::OtherThing.may_be_a_submission());
    }
}
