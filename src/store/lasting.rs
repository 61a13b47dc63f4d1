//! The fields that every submission of Reddit has: a copy without one leaves it out, and another copy fills it in.

use crate::submission::Submission;

/// Which of the fields are there that every submission has, one bit each.
pub(super) fn lasting(fields: &Submission) -> i32 {
    let has = [
        fields.subreddit.is_some(),
        fields.author.is_some(),
        fields.title.is_some(),
        fields.selftext.is_some(),
        fields.url.is_some(),
        fields.permalink.is_some(),
        fields.domain.is_some(),
        fields.is_self.is_some(),
    ];
    has.iter()
        .rev()
        .fold(0, |bits, has| bits << 1 | i32::from(*has))
}

/// Fills in what every submission has and this copy leaves out.
pub(super) fn fill(fields: &mut Submission, other: &Submission) {
    let or = |field: &mut Option<String>, other: &Option<String>| {
        if field.is_none() {
            field.clone_from(other);
        }
    };
    or(&mut fields.subreddit, &other.subreddit);
    or(&mut fields.author, &other.author);
    or(&mut fields.title, &other.title);
    or(&mut fields.selftext, &other.selftext);
    or(&mut fields.url, &other.url);
    or(&mut fields.permalink, &other.permalink);
    or(&mut fields.domain, &other.domain);
    fields.is_self = fields.is_self.or(other.is_self);
}
