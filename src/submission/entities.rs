//! Texts that came escaped as HTML: `&amp;`, `&lt;` and `&gt;` for `&`, `<` and `>`.
//!
//! Reddit escapes these three in every text of an object, unless `raw_json=1` was asked for. freshet asks
//! for it, and so does Arctic Shift; older dumps mostly did not. Columns hold what the author wrote, whatever
//! the source, so what is escaped is read once, and what is not stays as it is: an author may have
//! written `&amp;`. `raw` is never touched.
//!
//! What comes from Reddit is not escaped. Of what an archive kept, an object that is escaped has no `<` or `>`
//! in it anywhere, and no `&` but in those three. One that has some of the three, and is so throughout, is
//! escaped: it is much rarer that an author wrote one of them, and that nothing else in the object, no address
//! and no text as HTML, holds any of the characters. Only of Arctic Shift's own objects (`_meta`) more is asked,
//! since they are known not to be: a text as HTML that is escaped, or an address.

use super::fields::Fields;
use super::lenient::Scalar;
use serde_json::value::RawValue;

/// Where an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Reddit, asked for unescaped texts.
    Live,
    /// An archive, which may have asked for either.
    Archive,
}

/// Whether the object's texts are escaped.
pub(super) fn escaped(raw: &RawValue, fields: &Fields<'_>, source: Source) -> bool {
    // freshet asks for unescaped texts, so these are.
    if source == Source::Live {
        return false;
    }
    let columns = [
        fields.title,
        fields.selftext,
        fields.url,
        fields.link_flair_text,
        fields.author,
        fields.domain,
        fields.permalink,
    ];
    let holds = |value: Option<&RawValue>| value.is_some_and(|it| Signs::of(it.get()).entities);
    // Where there is nothing to read, nothing is to be found out.
    if !columns.into_iter().any(holds) || Signs::of(raw.get()).bare {
        return false;
    }
    if fields._meta.is_none() {
        return true;
    }
    // A text as HTML begins with a mark, addresses of previews have several parameters, and hardly anybody
    // writes an address with &amp; in it.
    let html = Scalar::read(fields.selftext_html).text();
    html.is_some_and(|it| it.trim_start().starts_with("&lt;"))
        || [fields.url, fields.preview, fields.media_metadata]
            .into_iter()
            .any(holds)
}

/// What stands in a piece of JSON.
#[derive(Debug, Default)]
struct Signs {
    /// One of the three, escaped.
    entities: bool,
    /// One of the three that is not.
    bare: bool,
}

impl Signs {
    fn of(json: &str) -> Signs {
        let mut signs = Signs::default();
        let mut rest = json;
        while let Some(place) = rest.find(['&', '<', '>', '\\']) {
            let (found, after) = rest[place..].split_at(1);
            rest = after;
            let found = match found {
                "\\" => {
                    let Some(escape) = rest.get(..1) else { break };
                    let code = rest.get(1..5).filter(|_| escape == "u");
                    // The letter behind the backslash is no text of its own, also where it is one more.
                    rest = &rest[escape.len() + code.map_or(0, str::len)..];
                    match code.map(str::to_ascii_lowercase).as_deref() {
                        Some("0026") => "&",
                        Some("003c" | "003e") => "<",
                        _ => continue,
                    }
                }
                found => found,
            };
            let entity = |name: &&str| rest.starts_with(*name);
            if found == "&" && ["amp;", "lt;", "gt;"].iter().any(entity) {
                signs.entities = true;
            } else {
                signs.bare = true;
            }
        }
        signs
    }
}

/// A text that was escaped once, as it was before.
pub(super) fn unescape(text: String) -> String {
    if !text.contains('&') {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(place) = rest.find('&') {
        plain.push_str(&rest[..place]);
        rest = &rest[place..];
        let read = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')];
        let (entity, character) = read
            .into_iter()
            .find(|(entity, _)| rest.starts_with(entity))
            .unwrap_or(("&", '&'));
        plain.push(character);
        rest = &rest[entity.len()..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::super::{decode, decode_archived};
    use super::*;

    const NOW: i64 = 1_790_000_000_000;
    /// In 2014 and in 2024.
    const OLD: &str = r#""created_utc":1400000000,"retrieved_on":1400000100"#;
    const NEW: &str = r#""created_utc":1710000000,"retrieved_on":1710000100"#;

    fn raw(fields: &str) -> Box<RawValue> {
        RawValue::from_string(format!(r#"{{"id":"a",{fields}}}"#)).unwrap()
    }

    fn live(fields: &str) -> String {
        let fields = format!(r#""created_utc":1,{fields}"#);
        decode(raw(&fields), NOW).unwrap().submission.title.unwrap()
    }

    fn archived(fields: &str) -> String {
        let seen = decode_archived(raw(fields), NOW).unwrap();
        seen.submission.title.unwrap()
    }

    #[test]
    fn what_reddit_gives_out_stays_as_it_is() {
        let title = r#""title":"a &amp; b""#;
        assert_eq!(live(title), "a &amp; b");
        let more = r#","url":"https://example.org/?a=1&amp;b=2""#;
        assert_eq!(live(&format!("{title}{more}")), "a &amp; b");
        let html = r#","selftext_html":"&lt;!-- SC_OFF --&gt;""#;
        assert_eq!(live(&format!("{title}{html}")), "a &amp; b");
    }

    #[test]
    fn what_an_archive_kept_is_read_once_unless_it_shows_that_it_need_not() {
        let title = r#""title":"a &amp;amp; b &lt; c""#;
        for at in [OLD, NEW] {
            assert_eq!(archived(&format!("{at},{title}")), "a &amp; b < c");
            for sign in [
                r#""url":"https://example.org/?a=1&b=2""#,
                r#""url":"https://example.org/?a=1\u0026b=2""#,
                r#""selftext":"1 < 2""#,
                r#""selftext":"&#x200B;""#,
                r#""selftext_html":"\u003cp\u003e""#,
                r#""author_flair_text":"->""#,
                r#""_meta":{"retrieved_2nd_on":1400000200}"#,
            ] {
                let read = archived(&format!("{at},{title},{sign}"));
                assert_eq!(read, "a &amp;amp; b &lt; c", "{sign}");
            }
        }
    }

    #[test]
    fn an_object_of_arctic_shift_that_is_escaped_is_found_out() {
        for sign in [
            r#""selftext_html":"&lt;!-- SC_OFF --&gt;""#,
            r#""url":"https://x/?a=1&amp;s=2""#,
            r#""preview":{"images":[{"source":{"url":"https://x/?a=1&amp;s=2"}}]}"#,
            r#""preview":{"images":[{"source":{"url":"https://x/?a=1\u0026amp;s=2"}}]}"#,
            r#""media_metadata":{"x":{"s":{"u":"https://x/?a=1&amp;s=2"}}}"#,
        ] {
            let object = format!(r#"{NEW},"_meta":{{}},"title":"a &amp;amp; &lt;b&gt;",{sign}"#);
            assert_eq!(archived(&object), "a &amp; <b>", "{sign}");
        }
    }

    #[test]
    fn every_text_column_of_an_escaped_object_is_read() {
        let json = format!(
            r#"{OLD},"title":"&lt;t&gt;","selftext":"&gt; q","url":"https://x/?a&amp;b","link_flair_text":"Q&amp;A","domain":"x&amp;y","permalink":"/r/&amp;/""#
        );
        let seen = decode_archived(raw(&json), NOW).unwrap();
        assert!(seen.raw.get().contains("Q&amp;A"));
        let seen = seen.submission;
        let texts = [
            seen.title,
            seen.selftext,
            seen.url,
            seen.link_flair_text,
            seen.domain,
            seen.permalink,
        ];
        let texts = texts.map(Option::unwrap);
        assert_eq!(
            texts,
            ["<t>", "> q", "https://x/?a&b", "Q&A", "x&y", "/r/&/"]
        );
    }

    #[test]
    fn escaping_and_reading_give_the_text_back() {
        for text in [
            "",
            "&",
            "&amp;",
            "a<b>c&d",
            "&&amp;;lt;",
            "ü & 🦀",
            "\\&lt;",
        ] {
            let escaped = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            assert_eq!(unescape(escaped), text);
        }
    }
}
