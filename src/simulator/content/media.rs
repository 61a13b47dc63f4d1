//! The parts that only some kinds of submissions have: pictures, videos, polls, parents.

use super::base36;
use super::draft::Words;
use super::words;
use crate::submission::Kind;
use rand::RngExt;

/// The fields of a kind, as JSON; a field that is `None` is absent, not null.
pub(super) struct Media {
    pub(super) url: String,
    pub(super) domain: String,
    pub(super) thumbnail: String,
    /// Width and height of the thumbnail.
    pub(super) thumbnail_size: Option<(u32, u32)>,
    pub(super) post_hint: Option<&'static str>,
    pub(super) preview: Option<String>,
    pub(super) media: Option<String>,
    pub(super) gallery: Option<(String, String)>,
    pub(super) poll: Option<String>,
    pub(super) crosspost_parent: Option<(String, String)>,
}

impl Media {
    fn of_text(url: String, domain: String) -> Media {
        Media {
            url,
            domain,
            thumbnail: "self".to_owned(),
            thumbnail_size: None,
            post_hint: None,
            preview: None,
            media: None,
            gallery: None,
            poll: None,
            crosspost_parent: None,
        }
    }

    /// What this kind shows. `own_url` is the submission's page; `subreddit` its display name.
    pub(super) fn draw(
        words: &mut Words,
        kind: Kind,
        own_url: &str,
        subreddit: &str,
        relative_url: bool,
    ) -> Media {
        let rng = &mut words.rng;
        let text = Media::of_text(own_url.to_owned(), format!("self.{subreddit}"));
        let hash = words::token(rng, 13);
        match kind {
            Kind::SelfPost => text,
            Kind::Poll => Media {
                poll: Some(poll(words)),
                ..text
            },
            Kind::Link => {
                let domain = words::domain(rng);
                let url = format!(
                    "https://{domain}/{}?page={}&ref=feed",
                    words::slug(rng),
                    rng.random_range(1..9)
                );
                Media {
                    preview: Some(preview(&hash, "jpg")),
                    post_hint: Some("link"),
                    thumbnail: thumbnail(&hash),
                    thumbnail_size: Some((140, 73)),
                    ..Media::of_text(url, domain.to_owned())
                }
            }
            Kind::Image => Media {
                preview: Some(preview(&hash, "jpeg")),
                post_hint: Some("image"),
                thumbnail: thumbnail(&hash),
                thumbnail_size: Some((140, 105)),
                ..Media::of_text(
                    format!("https://i.redd.it/{hash}.jpeg"),
                    "i.redd.it".to_owned(),
                )
            },
            Kind::Video => {
                let seconds = rng.random_range(4..180);
                Media {
                    preview: Some(preview(&hash, "png")),
                    post_hint: Some("hosted:video"),
                    thumbnail: thumbnail(&hash),
                    thumbnail_size: Some((140, 140)),
                    media: Some(format!(
                        r#"{{"reddit_video": {{"bitrate_kbps": 2400, "fallback_url": "https://v.redd.it/{hash}/CMAF_720.mp4?source=fallback", "has_audio": true, "height": 720, "width": 1280, "scrubber_media_url": "https://v.redd.it/{hash}/CMAF_96.mp4", "dash_url": "https://v.redd.it/{hash}/DASHPlaylist.mpd?a=1&v=1", "duration": {seconds}, "is_gif": false, "transcoding_status": "completed"}}}}"#
                    )),
                    ..Media::of_text(format!("https://v.redd.it/{hash}"), "v.redd.it".to_owned())
                }
            }
            Kind::Gallery => {
                let id = own_url
                    .split("/comments/")
                    .nth(1)
                    .and_then(|rest| rest.split('/').next())
                    .unwrap_or_default();
                Media {
                    gallery: Some(gallery(words)),
                    thumbnail: thumbnail(&hash),
                    thumbnail_size: Some((140, 93)),
                    ..Media::of_text(
                        format!("https://www.reddit.com/gallery/{id}"),
                        "reddit.com".to_owned(),
                    )
                }
            }
            Kind::Crosspost => crosspost(words, relative_url),
        }
    }
}

fn thumbnail(hash: &str) -> String {
    format!("https://b.thumbs.redditmedia.com/{hash}.jpg")
}

fn preview(hash: &str, extension: &str) -> String {
    let sizes: Vec<String> = [(108, 81), (216, 162), (320, 240), (640, 480)]
        .iter()
        .map(|(width, height)| {
            format!(
                r#"{{"url": "https://preview.redd.it/{hash}.{extension}?width={width}&crop=smart&auto=webp&s={hash}", "width": {width}, "height": {height}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"images": [{{"source": {{"url": "https://preview.redd.it/{hash}.{extension}?auto=webp&s={hash}", "width": 1024, "height": 768}}, "resolutions": [{}], "variants": {{}}, "id": "{hash}"}}], "enabled": true}}"#,
        sizes.join(", ")
    )
}

/// `gallery_data` and `media_metadata`.
fn gallery(words: &mut Words) -> (String, String) {
    let rng = &mut words.rng;
    let (mut items, mut metadata) = (Vec::new(), Vec::new());
    for number in 0..rng.random_range(2..7) {
        let hash = words::token(rng, 13);
        items.push(format!(
            r#"{{"media_id": "{hash}", "id": {}}}"#,
            700_000_000 + number
        ));
        metadata.push(format!(
            r#""{hash}": {{"status": "valid", "e": "Image", "m": "image/jpg", "s": {{"y": 900, "x": 1350, "u": "https://preview.redd.it/{hash}.jpg?width=1350&format=pjpg&auto=webp&s={hash}"}}, "id": "{hash}"}}"#
        ));
    }
    (
        format!(r#"{{"items": [{}]}}"#, items.join(", ")),
        format!("{{{}}}", metadata.join(", ")),
    )
}

fn poll(words: &mut Words) -> String {
    let rng = &mut words.rng;
    let options: Vec<String> = (0..rng.random_range(2..6))
        .map(|number| {
            format!(
                r#"{{"text": "{}", "id": "{}"}}"#,
                words::slug(rng),
                30_000_000 + number
            )
        })
        .collect();
    format!(
        r#"{{"prediction_status": null, "total_stake_amount": null, "voting_end_timestamp": 1790000000000, "options": [{}], "vote_updates_remained": null, "is_prediction": false, "resolved_option_id": null, "user_won_amount": null, "user_selection": null, "total_vote_count": {}, "tournament_id": null}}"#,
        options.join(", "),
        rng.random_range(0..900)
    )
}

/// Points to a submission of elsewhere, which need not exist here.
fn crosspost(words: &mut Words, relative_url: bool) -> Media {
    let rng = &mut words.rng;
    let id = base36(rng.random_range(3_600_000_000..3_900_000_000));
    let home = format!(
        "{}_club",
        words::slug(rng).split('-').next_back().unwrap_or("any")
    );
    let path = format!("/r/{home}/comments/{id}/the_original/");
    let parent = format!(
        r#"[{{"subreddit": "{home}", "selftext": "", "title": "The original", "name": "t3_{id}", "score": {}, "author": "{}", "is_self": true, "url": "https://www.reddit.com{path}", "permalink": "{path}", "created_utc": 1779900000.0, "id": "{id}", "num_comments": 4}}]"#,
        rng.random_range(0..4000),
        words::author(rng)
    );
    let url = if relative_url {
        path
    } else {
        format!("https://www.reddit.com{path}")
    };
    Media {
        crosspost_parent: Some((format!("t3_{id}"), parent)),
        ..Media::of_text(url, format!("self.{home}"))
    }
}
