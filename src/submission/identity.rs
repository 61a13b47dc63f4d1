//! What an object says it is: its id and its subreddit, by whatever field tells them.

use super::fields::Fields;
use super::lenient::Scalar;
use super::{InvalidName, SubmissionId, SubredditName};

/// Its id; where that is missing or no text, that of its `name`, which is the same behind its kind.
pub(super) fn id(fields: &Fields<'_>) -> Result<SubmissionId, String> {
    let named = Scalar::read(fields.name).text();
    let named = named.filter(|name| name.trim().to_ascii_lowercase().starts_with("t3_"));
    match (Scalar::read(fields.id), named) {
        (Scalar::Text(text), _) | (_, Some(text)) => text
            .trim()
            .to_ascii_lowercase()
            .parse()
            .map_err(|error: InvalidName| error.to_string()),
        (Scalar::Nothing, None) => Err("it has no id".to_owned()),
        (_, None) => Err("its id is not text".to_owned()),
    }
}

/// Its subreddit; where the field does not name one, as the prefixed name or the permalink do. An
/// advertisement is of none, whatever its permalink says.
pub(super) fn subreddit(fields: &Fields<'_>) -> Option<String> {
    let text = |value| Scalar::read(value).text();
    let own = text(fields.subreddit);
    let names = |name: &str| name.parse::<SubredditName>().is_ok();
    if own
        .as_deref()
        .is_some_and(|own| names(own) && !own.contains(['/', ' ']))
        || Scalar::read(fields.promoted).boolean() == Some(true)
    {
        return own;
    }
    let named = |path: String| {
        let mut parts = path.trim().trim_start_matches('/').split('/');
        let name = match (parts.next(), parts.next()) {
            (Some("r" | "R"), Some(name)) => name.to_owned(),
            (Some("u" | "user"), Some(name)) => format!("u_{name}"),
            _ => return None,
        };
        Some(name).filter(|name| names(name))
    };
    let plain = own
        .as_deref()
        .map(str::trim)
        .filter(|own| names(own) && !own.contains('/'));
    plain
        .map(str::to_owned)
        .or_else(|| own.clone().and_then(named))
        .or_else(|| text(fields.subreddit_name_prefixed).and_then(named))
        .or_else(|| text(fields.permalink).and_then(named))
        .or(own)
}

#[cfg(test)]
mod tests {
    use crate::submission::decode;
    use serde_json::value::RawValue;

    #[test]
    fn the_subreddit_is_told_by_whatever_field_names_it() {
        let named = |fields: &str| {
            let json = format!(r#"{{"id":"a","created_utc":1,{fields}}}"#);
            decode(RawValue::from_string(json).unwrap(), 7)
                .unwrap()
                .submission
                .subreddit
        };
        let by_path = r#""permalink":"/r/Rust/comments/a/x/""#;
        for odd in [
            "null",
            "7",
            "{}",
            "[]",
            r#""""#,
            r#"" ""#,
            r#""r/Rust""#,
            r#""/r/Rust/""#,
            r#"" Rust ""#,
        ] {
            let fields = format!(r#""subreddit":{odd},{by_path}"#);
            assert_eq!(named(&fields).as_deref(), Some("Rust"), "{odd}");
        }
        assert_eq!(named(by_path).as_deref(), Some("Rust"));
        assert_eq!(
            named(r#""subreddit_name_prefixed":"r/Rust""#).as_deref(),
            Some("Rust")
        );
        assert_eq!(
            named(r#""subreddit_name_prefixed":"u/Some-one""#).as_deref(),
            Some("u_Some-one")
        );
        assert_eq!(
            named(r#""subreddit":null,"permalink":"/user/someone/comments/a/""#).as_deref(),
            Some("u_someone")
        );
        let other = format!(r#""subreddit":"java",{by_path}"#);
        assert_eq!(named(&other).as_deref(), Some("java"), "it says so itself");
        let ad = format!(r#""promoted":true,{by_path}"#);
        assert_eq!(named(&ad), None);
        assert_eq!(named(r#""permalink":"/comments/a/x/""#), None);
        assert_eq!(
            named(r#""subreddit":"no such name""#).as_deref(),
            Some("no such name")
        );
    }
}
