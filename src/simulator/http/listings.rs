//! The reading endpoints: listings, `/api/info`, `/by_id`, `/about`.

use super::answer;
use super::query::{Query, fullname};
use crate::simulator::content::quote;
use crate::simulator::endpoint::Endpoint;
use crate::simulator::world::{Anchor, Page, SubredditState, View};
use crate::simulator::{Shared, oddities::Oddities};
use crate::submission::{SubmissionId, SubredditName};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use rand::{Rng, RngExt};
use serde_json::json;

/// Reddit refuses more.
const MOST_INFO_IDS: usize = 100;

/// Answers a request that has passed the gate.
pub(super) fn answer(shared: &Shared, endpoint: Endpoint, uri: &Uri) -> Response {
    let path = uri.path().trim_end_matches('/');
    let path = path.strip_suffix(".json").unwrap_or(path);
    // The only escapes that names and ids need.
    let segment = path.split('/').nth(2).unwrap_or_default();
    let segment = segment.replace("%2B", "+").replace("%2b", "+");
    let segment = segment.replace("%2C", ",").replace("%2c", ",");
    let query = Query::read(uri.query().unwrap_or_default());
    match endpoint {
        Endpoint::Listing => listing(shared, &segment, &query, uri),
        Endpoint::Info => info(shared, &query),
        Endpoint::ById => by_id(shared, &segment, &query),
        Endpoint::About => about(shared, &segment, uri),
        Endpoint::Other if path == "/subreddits/search" => {
            listing_of(&[], None, None, Vec::new(), query.raw_json())
        }
        Endpoint::Other | Endpoint::Token | Endpoint::ArchiveSearch | Endpoint::ArchiveIds => {
            answer::not_found()
        }
    }
}

/// What chance does to one page of a listing.
struct PageOdds {
    glitch: bool,
    cut: Option<u32>,
    extras: Vec<String>,
}

impl PageOdds {
    fn draw(shared: &Shared) -> PageOdds {
        let oddities: &Oddities = &shared.oddities;
        let now_s = shared.clock.now_ms().div_euclid(1000);
        let rng = &mut shared.faults().rng;
        // Every number is drawn for every page: one switch must not change what another draws.
        let glitch = rng.random_bool(oddities.glitch_pages);
        let cut = rng.random_bool(oddities.cut_pages);
        let cut_at = rng.next_u32();
        let mut extras = Vec::new();
        if rng.random_bool(oddities.undecodable) {
            extras.push(UNDECODABLE.to_owned());
        }
        let comment = rng.random_bool(0.5);
        if rng.random_bool(oddities.foreign_children) {
            extras.push(if comment { COMMENT } else { SUBREDDIT }.to_owned());
        }
        let number: u32 = rng.random_range(100_000..900_000);
        if rng.random_bool(oddities.promoted) {
            extras.push(promoted(number, now_s));
        }
        PageOdds {
            glitch,
            cut: cut.then_some(cut_at),
            extras,
        }
    }
}

const UNDECODABLE: &str = r#"{"kind": "t3", "data": {"subreddit": "kettles", "id": 7, "created_utc": "soon", "title": null}}"#;
const COMMENT: &str = r#"{"kind": "t1", "data": {"subreddit": "kettles", "id": "kx1c0d2", "name": "t1_kx1c0d2", "body": "Not a submission.", "created_utc": 1780000000.0}}"#;
const SUBREDDIT: &str = r#"{"kind": "t5", "data": {"display_name": "kettles", "id": "2abcd", "name": "t5_2abcd", "created_utc": 1300000000.0}}"#;

/// An advertisement: a submission of no subreddit.
fn promoted(number: u32, now_s: i64) -> String {
    format!(
        r#"{{"kind": "t3", "data": {{"promoted": true, "id": "ad{number}", "name": "t3_ad{number}", "title": "A sponsored kettle", "author": "the_kettle_company", "domain": "example.com", "url": "https://example.com/kettles", "permalink": "/comments/ad{number}/a_sponsored_kettle/", "is_self": false, "selftext": "", "score": 0, "num_comments": 0, "over_18": false, "created_utc": {now_s}.0, "adserver_click_url": null, "promoted_by": null}}}}"#
    )
}

fn listing(shared: &Shared, names: &str, query: &Query, uri: &Uri) -> Response {
    let names: Vec<&str> = names.split('+').filter(|name| !name.is_empty()).collect();
    let odds = PageOdds::draw(shared);
    let mut request = query.page();
    let limit = request.limit;
    // What is mixed in takes places of the page, but never the last.
    let extras: Vec<String> = odds.extras.into_iter().take(limit - 1).collect();
    request.limit -= extras.len();
    let page = shared.world().page(&names, &request);
    let mut views = match page {
        Page::Views(views) => views,
        Page::NoneExists => return answer::not_found(),
        Page::Closed(name, state) => return answer::closed(&name, &state, &below(uri)),
    };
    if odds.glitch {
        return listing_of(&[], None, None, Vec::new(), query.raw_json());
    }
    if let Some(number) = odds.cut {
        views.truncate(number as usize % views.len().max(1));
    }
    let full = views.len() + extras.len() == limit && odds.cut.is_none();
    let backwards = matches!(request.anchor, Anchor::Before(_));
    let after = views.last().filter(|_| full && !backwards);
    let before = views.first().filter(|_| query.counts());
    listing_of(&views, after, before, extras, query.raw_json())
}

/// The path below `/r/{name}`, with its query: where a renamed subreddit's requests go on.
fn below(uri: &Uri) -> String {
    let whole = uri.path_and_query().map_or("", |text| text.as_str());
    whole
        .strip_prefix("/r/")
        .and_then(|rest| rest.find('/').map(|slash| rest[slash..].to_owned()))
        .unwrap_or_default()
}

fn info(shared: &Shared, query: &Query) -> Response {
    let ids: Vec<&str> = query
        .get("id")
        .unwrap_or_default()
        .split([',', ' '])
        .filter(|id| !id.is_empty())
        .collect();
    if ids.len() > MOST_INFO_IDS {
        return answer::bad_request("TOO_MANY_THING_IDS", "too many thing ids");
    }
    let ids: Vec<SubmissionId> = ids.into_iter().filter_map(fullname).collect();
    let views = shared.world().info(&ids);
    listing_of(&views, None, None, Vec::new(), query.raw_json())
}

fn by_id(shared: &Shared, ids: &str, query: &Query) -> Response {
    let ids: Vec<SubmissionId> = ids.split(',').filter_map(fullname).collect();
    let limit = query.limit();
    let mut views = shared.world().info(&ids);
    if views.is_empty() {
        return answer::not_found();
    }
    if let Anchor::After(id) = query.page().anchor {
        let at = views.iter().position(|view| view.id == id);
        views.drain(..at.map_or(views.len(), |at| at + 1));
    }
    views.truncate(limit);
    let after = views.last().filter(|_| views.len() == limit);
    let before = views.first().filter(|_| query.counts());
    listing_of(&views, after, before, Vec::new(), query.raw_json())
}

fn about(shared: &Shared, name: &str, uri: &Uri) -> Response {
    let Ok(name) = name.parse::<SubredditName>() else {
        return answer::not_found();
    };
    let world = shared.world();
    match world.state(&name) {
        Some(SubredditState::Public) => match world.about(&name) {
            Some(data) => answer::json(StatusCode::OK, &json!({"kind": "t5", "data": data})),
            None => answer::not_found(),
        },
        Some(state) => answer::closed(&name, state, &below(uri)),
        None => answer::closed(&name, &SubredditState::Gone, ""),
    }
}

/// A listing's envelope around its objects.
fn listing_of(
    views: &[View],
    after: Option<&View>,
    before: Option<&View>,
    extras: Vec<String>,
    raw_json: bool,
) -> Response {
    let size: usize = views.iter().map(|view| view.object.len() + 32).sum();
    let mut body = Vec::with_capacity(size + 256);
    let head = format!(
        r#"{{"kind": "Listing", "data": {{"after": {}, "dist": {}, "modhash": null, "geo_filter": "", "children": ["#,
        name_or_null(after),
        views.len() + extras.len()
    );
    body.extend_from_slice(head.as_bytes());
    let mut extras = extras.into_iter();
    let mut scratch = Vec::new();
    for (place, view) in views.iter().enumerate() {
        if place > 0 {
            body.extend_from_slice(b", ");
        }
        body.extend_from_slice(br#"{"kind": "t3", "data": "#);
        if raw_json || view.object.is_fixed() {
            view.object.write(view.counts, &mut body);
        } else {
            scratch.clear();
            view.object.write(view.counts, &mut scratch);
            escape(&scratch, &mut body);
        }
        body.push(b'}');
        if let Some(extra) = extras.next() {
            body.extend_from_slice(b", ");
            body.extend_from_slice(extra.as_bytes());
        }
    }
    for (place, extra) in extras.enumerate() {
        if place > 0 || !views.is_empty() {
            body.extend_from_slice(b", ");
        }
        body.extend_from_slice(extra.as_bytes());
    }
    let foot = format!(r#"], "before": {}}}}}"#, name_or_null(before));
    body.extend_from_slice(foot.as_bytes());
    answer::json_bytes(body, views.len())
}

fn name_or_null(view: Option<&View>) -> String {
    let mut json = String::new();
    match view {
        Some(view) => quote(&view.id.fullname(), &mut json),
        None => json.push_str("null"),
    }
    json
}

/// Entities for the three characters that Reddit escapes; in JSON they occur in strings alone.
fn escape(json: &[u8], out: &mut Vec<u8>) {
    let mut plain = 0;
    for (at, byte) in json.iter().enumerate() {
        let entity: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            _ => continue,
        };
        out.extend_from_slice(&json[plain..at]);
        out.extend_from_slice(entity);
        plain = at + 1;
    }
    out.extend_from_slice(&json[plain..]);
}
