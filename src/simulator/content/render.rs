//! One submission as an object of the API: the keys, in their order, of recorded 2026 answers.

use super::base36;
use super::draft::{Draft, OddType, Words};
use super::json::{ObjectWriter, Rendered, quote};
use super::media::Media;

use crate::simulator::removal::Removal;
use crate::submission::{Kind, SubmissionId};
use std::borrow::Cow;

/// The subreddit that an object belongs to, as its own fields tell it.
#[derive(Debug, Clone)]
pub(in crate::simulator) struct Place {
    /// In Reddit's spelling.
    pub(in crate::simulator) display: String,
    /// With `t5_`.
    pub(in crate::simulator) fullname: String,
    pub(in crate::simulator) subscribers: u32,
}

/// What has become of a submission.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::simulator) struct Appearance<'a> {
    /// Whole seconds since the epoch.
    pub(in crate::simulator) created_utc: i64,
    /// Whole seconds since the epoch.
    pub(in crate::simulator) edited_at: Option<i64>,
    pub(in crate::simulator) edited_text: Option<&'a str>,
    pub(in crate::simulator) author_gone: bool,
    pub(in crate::simulator) removal: Option<Removal>,
}

pub(in crate::simulator) fn render(
    id: &SubmissionId,
    draft: &Draft,
    place: &Place,
    now: Appearance<'_>,
) -> Rendered {
    let mut drawn = draft.words();
    let kind = draft.kind;
    let name = &place.display;
    let slug = slug(&drawn.title);
    let permalink = format!("/r/{name}/comments/{id}/{slug}/");
    let own_url = format!("https://www.reddit.com{permalink}");
    let media = Media::draw(&mut drawn, kind, &own_url, name, draft.relative_url);
    let is_self = matches!(kind, Kind::SelfPost | Kind::Poll);
    let author_gone = now.author_gone || now.removal == Some(Removal::Deleted);
    let selftext: Cow<'_, str> = match (now.removal, now.edited_text) {
        (Some(removal), _) if is_self => removal.text().into(),
        (_, Some(text)) => text.into(),
        (_, None) if now.edited_at.is_some() && is_self => {
            format!("{}\n\nEDIT: thank you, solved.", drawn.selftext).into()
        }
        _ => drawn.selftext.as_str().into(),
    };
    let title = now.removal.and_then(Removal::title).unwrap_or(&drawn.title);
    let odd = |odd_type| draft.odd_type == Some(odd_type);
    let flair = drawn.link_flair;

    let mut object = ObjectWriter::new();
    object.json("approved_at_utc", "null");
    object.string("subreddit", name);
    match draft.odd_text.filter(|_| now.removal.is_none()) {
        Some(escape) => object.string_with("selftext", &selftext, escape.escape()),
        None => object.string("selftext", &selftext),
    }
    if !author_gone {
        object.string("author_fullname", &format!("t2_{}", base36(drawn.account)));
    }
    object.json("saved", "false");
    object.json("mod_reason_title", "null");
    object.json("gilded", "0");
    object.json("clicked", "false");
    object.string("title", title);
    object.json("link_flair_richtext", &richtext(flair));
    object.string("subreddit_name_prefixed", &format!("r/{name}"));
    object.json("hidden", "false");
    object.json("pwls", "6");
    object.string_or_null("link_flair_css_class", flair.map(|_| ""));
    object.json("downs", "0");
    size(
        &mut object,
        "thumbnail_height",
        media.thumbnail_size.map(|(_, height)| height),
        is_self,
    );
    object.json("top_awarded_type", "null");
    object.json("hide_score", "false");
    object.string("name", &id.fullname());
    object.json("quarantine", "false");
    object.string("link_flair_text_color", "dark");
    if odd(OddType::RatioInteger) {
        object.json("upvote_ratio", "1");
    } else {
        object.upvote_ratio("upvote_ratio");
    }
    object.json("author_flair_background_color", "null");
    object.score("ups");
    object.json("total_awards_received", "0");
    object.json("media_embed", "{}");
    size(
        &mut object,
        "thumbnail_width",
        media.thumbnail_size.map(|(width, _)| width),
        is_self,
    );
    object.json("author_flair_template_id", "null");
    object.json("is_original_content", "false");
    object.json("user_reports", "[]");
    object.json("secure_media", media.media.as_deref().unwrap_or("null"));
    object.boolean("is_reddit_media_domain", media.domain.ends_with(".redd.it"));
    object.json("is_meta", "false");
    object.json("category", "null");
    object.json("secure_media_embed", "{}");
    object.string_or_null("link_flair_text", flair);
    object.json("can_mod_post", "false");
    if odd(OddType::ScoreNull) {
        object.json("score", "null");
    } else {
        object.score("score");
    }
    object.json("approved_by", "null");
    object.json("is_created_from_ads_ui", "false");
    if !author_gone {
        object.json("author_premium", "false");
    }
    object.string("thumbnail", thumbnail(&drawn, &media));
    match now.edited_at {
        _ if odd(OddType::EditedTrue) => object.json("edited", "true"),
        Some(at) => object.json("edited", &format!("{at}.0")),
        None => object.json("edited", "false"),
    }
    object.json("author_flair_css_class", "null");
    if !author_gone {
        object.json("author_flair_richtext", "[]");
    }
    object.json("gildings", "{}");
    if let Some(hint) = media.post_hint {
        object.string("post_hint", hint);
    }
    object.json("content_categories", "null");
    object.boolean("is_self", is_self);
    object.string("subreddit_type", "public");
    object.json("created", &format!("{}.0", now.created_utc));
    object.string(
        "link_flair_type",
        if flair.is_some() { "richtext" } else { "text" },
    );
    object.json("wls", "6");
    object.string_or_null("removed_by_category", now.removal.map(Removal::as_str));
    object.json("banned_by", "null");
    if !author_gone {
        object.string("author_flair_type", "text");
    }
    object.string("domain", &media.domain);
    object.json("allow_live_comments", "false");
    if selftext.is_empty() {
        object.json("selftext_html", "null");
    } else {
        object.string("selftext_html", &html(&selftext));
    }
    object.json("likes", "null");
    object.json("suggested_sort", "null");
    object.json("banned_at_utc", "null");
    if !is_self {
        object.string("url_overridden_by_dest", &media.url);
    }
    object.all(&["view_count"], "null");
    object.all(&["archived", "no_follow"], "false");
    object.boolean("is_crosspostable", now.removal.is_none());
    object.json("pinned", "false");
    object.boolean("over_18", drawn.over_18);
    if let Some(preview) = &media.preview {
        object.json("preview", preview);
    }
    if let Some((data, metadata)) = &media.gallery {
        object.json("is_gallery", "true");
        object.json("gallery_data", data);
        object.json("media_metadata", metadata);
    }
    object.json("all_awardings", "[]");
    object.json("awarders", "[]");
    object.json("media_only", "false");
    if let Some(flair) = flair {
        object.string(
            "link_flair_template_id",
            &format!("5a1e0b6c-0000-11f0-a549-{:012x}", flair.len()),
        );
    }
    object.json("can_gild", "false");
    object.boolean("spoiler", drawn.spoiler);
    object.boolean(
        "locked",
        drawn.locked || now.removal == Some(Removal::Moderator),
    );
    object.string_or_null(
        "author_flair_text",
        drawn.author_flair.as_deref().filter(|_| !author_gone),
    );
    object.json("treatment_tags", "[]");
    object.json("visited", "false");
    object.all(&["removed_by", "mod_note", "distinguished"], "null");
    object.string("subreddit_id", &place.fullname);
    object.json("author_is_blocked", "false");
    object.json("mod_reason_by", "null");
    object.json(
        "num_reports",
        if odd(OddType::ReportsNegative) {
            "-1"
        } else {
            "null"
        },
    );
    object.json("removal_reason", "null");
    object.string(
        "link_flair_background_color",
        if flair.is_some() { "#7f949f" } else { "" },
    );
    object.string("id", id.as_str());
    object.boolean("is_robot_indexable", now.removal.is_none());
    object.json("report_reasons", "null");
    if odd(OddType::AuthorNull) {
        object.json("author", "null");
    } else {
        object.string(
            "author",
            if author_gone {
                "[deleted]"
            } else {
                &drawn.author
            },
        );
    }
    object.json("discussion_type", "null");
    object.comments("num_comments");
    object.boolean("send_replies", !author_gone);
    object.json("contest_mode", "false");
    object.json("mod_reports", "[]");
    if !author_gone {
        object.json("author_patreon_flair", "false");
    }
    object.json("author_flair_text_color", "null");
    object.string("permalink", &permalink);
    object.boolean("stickied", drawn.stickied);
    if odd(OddType::UrlNull) {
        object.json("url", "null");
    } else {
        object.string("url", &media.url);
    }
    object.integer("subreddit_subscribers", i64::from(place.subscribers));
    match draft.odd_type {
        Some(OddType::CreatedText) => {
            object.json("created_utc", &format!("\"{}\"", now.created_utc))
        }
        Some(OddType::CreatedInteger) => object.integer("created_utc", now.created_utc),
        _ => object.json("created_utc", &format!("{}.0", now.created_utc)),
    }
    object.json("num_crossposts", "0");
    if let Some((parent, list)) = &media.crosspost_parent {
        object.json("crosspost_parent_list", list);
        object.string("crosspost_parent", parent);
    }
    match &media.poll {
        _ if odd(OddType::PollFalse) => object.json("poll_data", "false"),
        Some(poll) => object.json("poll_data", poll),
        None => {}
    }
    object.json("media", media.media.as_deref().unwrap_or("null"));
    object.boolean("is_video", kind == Kind::Video);
    object.finish()
}

/// Thumbnails' sizes are null where there is none, absent nowhere.
fn size(object: &mut ObjectWriter, key: &str, pixels: Option<u32>, is_self: bool) {
    match pixels.filter(|_| !is_self) {
        Some(pixels) => object.integer(key, i64::from(pixels)),
        None => object.json(key, "null"),
    }
}

fn thumbnail<'a>(words: &Words, media: &'a Media) -> &'a str {
    match (words.over_18, words.spoiler) {
        (true, _) => "nsfw",
        (_, true) => "spoiler",
        _ => &media.thumbnail,
    }
}

fn richtext(flair: Option<&str>) -> String {
    flair.map_or_else(
        || "[]".to_owned(),
        |flair| {
            let mut json = r#"[{"e": "text", "t": "#.to_owned();
            quote(flair, &mut json);
            json + "}]"
        },
    )
}

/// The rendered form of plain paragraphs.
fn html(markdown: &str) -> String {
    let mut html = "<!-- SC_OFF --><div class=\"md\">".to_owned();
    for paragraph in markdown.split("\n\n") {
        html.push_str("<p>");
        for character in paragraph.chars() {
            match character {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                other => html.push(other),
            }
        }
        html.push_str("</p>\n\n");
    }
    html.push_str("</div><!-- SC_ON -->");
    html
}

/// The title's part of the permalink: words joined by underscores, about fifty characters.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for word in title
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        if slug.len() + word.len() > 50 {
            break;
        }
        if !slug.is_empty() {
            slug.push('_');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    if slug.is_empty() {
        slug.push('_');
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::content::{Counts, OddText};
    use crate::submission::decode;
    use serde_json::Value;
    use serde_json::value::RawValue;

    const COUNTS: Counts = Counts {
        score: 7,
        comments: 2,
        upvote_percent: 93,
    };

    fn text(draft: &Draft, now: Appearance<'_>) -> String {
        let place = Place {
            display: "Kettles".to_owned(),
            fullname: "t5_2abc".to_owned(),
            subscribers: 1234,
        };
        let mut out = Vec::new();
        render(&"1tvsa59".parse().unwrap(), draft, &place, now).write(COUNTS, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn object(draft: &Draft, now: Appearance<'_>) -> serde_json::Map<String, Value> {
        serde_json::from_str(&text(draft, now)).unwrap()
    }

    #[test]
    fn every_kind_is_decoded_as_what_it_is() {
        for (seed, kind) in (0..).zip(Kind::ALL) {
            for now in [Appearance::default(), removed(Removal::Reddit)] {
                let json = text(&Draft::new(seed, kind), now);
                let seen = decode(RawValue::from_string(json).unwrap(), 0).unwrap();
                assert_eq!(seen.submission.kind, kind);
                assert_eq!(seen.submission.score, Some(7));
                assert_eq!(seen.submission.num_comments, Some(2));
                assert_eq!(seen.submission.upvote_ratio, Some(0.93));
                assert_eq!(seen.submission.subreddit.as_deref(), Some("Kettles"));
            }
        }
    }

    #[test]
    fn objects_are_as_large_as_real_ones() {
        let mut sizes = Vec::new();
        for seed in 0..400 {
            let mut rng = rand::SeedableRng::seed_from_u64(seed);
            let draft = Draft::new(seed, Draft::random_kind(&mut rng));
            let keys = object(&draft, Appearance::default()).len();
            assert!((98..=112).contains(&keys), "{keys} keys");
            sizes.push(text(&draft, Appearance::default()).len());
        }
        sizes.sort_unstable();
        assert!(
            (2_000..5_000).contains(&sizes[200]),
            "median {}",
            sizes[200]
        );
    }

    #[test]
    fn the_same_seed_says_the_same() {
        let draft = |seed| text(&Draft::new(seed, Kind::Gallery), Appearance::default());
        assert_eq!(draft(5), draft(5));
        assert_ne!(draft(5), draft(6));
    }

    fn removed(removal: Removal) -> Appearance<'static> {
        Appearance {
            removal: Some(removal),
            ..Appearance::default()
        }
    }

    #[test]
    fn a_removal_changes_the_fields_that_it_changes_on_reddit() {
        let draft = Draft::new(3, Kind::SelfPost);
        let before = object(&draft, Appearance::default());
        let moderated = object(&draft, removed(Removal::Moderator));
        assert_eq!(moderated["selftext"], "[removed]");
        assert_eq!(moderated["title"], before["title"]);
        assert_eq!(moderated["author"], before["author"]);
        assert_eq!(moderated["removed_by_category"], "moderator");
        assert_eq!(moderated["is_robot_indexable"], false);
        let deleted = object(&draft, removed(Removal::Deleted));
        assert_eq!(deleted["selftext"], "[deleted]");
        assert_eq!(deleted["author"], "[deleted]");
        assert_eq!(
            object(&draft, removed(Removal::Reddit))["title"],
            "[ Removed by Reddit ]"
        );
    }

    #[test]
    fn a_gone_author_leaves_keys_out() {
        let now = Appearance {
            author_gone: true,
            ..Appearance::default()
        };
        let gone = object(&Draft::new(3, Kind::Link), now);
        assert_eq!(gone["author"], "[deleted]");
        for key in [
            "author_fullname",
            "author_flair_type",
            "author_premium",
            "author_patreon_flair",
            "author_flair_richtext",
        ] {
            assert!(!gone.contains_key(key), "{key}");
        }
    }

    #[test]
    fn odd_objects_are_still_json_and_still_decoded() {
        for odd in OddType::ALL {
            let mut draft = Draft::new(1, Kind::SelfPost);
            draft.odd_type = Some(odd);
            let json = text(&draft, Appearance::default());
            assert_ne!(
                json,
                text(&Draft::new(1, Kind::SelfPost), Appearance::default()),
                "{odd:?}"
            );
            assert!(
                decode(RawValue::from_string(json).unwrap(), 0).is_ok(),
                "{odd:?}"
            );
        }
        for odd in [OddText::Nul, OddText::LoneSurrogate] {
            let mut draft = Draft::new(1, Kind::SelfPost);
            draft.odd_text = Some(odd);
            let json = text(&draft, Appearance::default());
            assert!(json.contains(odd.escape()));
            assert!(
                decode(RawValue::from_string(json).unwrap(), 0).is_ok(),
                "{odd:?}"
            );
        }
    }
}
