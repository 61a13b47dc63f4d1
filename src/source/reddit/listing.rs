//! Pages of a listing: the address, and the envelope item by item.
//!
//! Each child is decoded alone, so that an odd one costs itself.

mod count;

use crate::network::Large;
use crate::source::clock::Moment;
use crate::source::error::{SourceError, WaitCause};
use crate::source::transport::{Answer, below};
use crate::source::trouble::{Number, Trouble, add};
use crate::submission::{Observation, Refusal, SubredditName, Undecodable, Unread, decode};
use reqwest::Url;
use roux::response::BasicThing;
use roux::util::FeedOption;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;

/// Bytes of a body whose children are counted before they are kept: 32 MB of `[0,0,0,…` would become
/// gigabytes of them. What is shorter is not worth another look; usual pages have 0.4 MB.
const LARGE: usize = 1024 * 1024;
/// Reddit gives out a hundred.
const MOST_CHILDREN: usize = 2_000;

/// One page of a listing.
#[derive(Debug, Clone)]
pub struct ListingPage {
    /// The submissions, in the listing's order.
    pub items: Vec<Observation>,
    /// What is none, or cannot be named and dated; in the listing's order.
    pub undecodable: Vec<Undecodable>,
    /// What of these may be submissions, each with the number of items above it.
    pub unread: Vec<(usize, Unread)>,
    /// The fullnames of all children that have one, in the listing's order: any of them can be the
    /// anchor of the next page, also an undecodable one.
    pub order: Vec<String>,
    /// The anchor of the next page: what Reddit suggests, or the last child where it suggests what it did not
    /// show; none at the listing's end, and on pages that are not full.
    pub after: Option<String>,
    /// When the answer was made, by the clocks.
    pub moment: Moment,
    /// When it was asked for, milliseconds since the epoch.
    pub asked_ms: i64,
    /// From the request to the end of the answer, without the wait for the budget.
    pub seconds: f64,
    /// Keeps other large answers waiting until this one is taken in.
    pub(super) large: Option<Large>,
}

/// What the server sends, as far as a page is concerned.
struct Envelope {
    listing: Listing,
    /// What it says of trouble beside the children: then that is not what was asked for.
    trouble: Option<String>,
}

struct Listing {
    children: Vec<Box<RawValue>>,
    after: Option<String>,
    /// How many children it says that there are.
    dist: Option<f64>,
    trouble: Option<String>,
}

impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listing, D::Error> {
        deserializer.deserialize_map(ListingVisitor)
    }
}

struct ListingVisitor;

impl<'de> Visitor<'de> for ListingVisitor {
    type Value = Listing;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with children")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listing, A::Error> {
        let (mut children, mut after, mut dist, mut trouble) = (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "children" => children = Some(map.next_value()?),
                "after" => {
                    let named: Box<RawValue> = map.next_value()?;
                    after = serde_json::from_str(named.get()).ok();
                }
                "dist" => dist = map.next_value::<Number>()?.0,
                key => add(&mut trouble, map.next_value_seed(Trouble::at(key))?),
            }
        }
        Ok(Listing {
            children: children.ok_or_else(|| A::Error::missing_field("children"))?,
            after,
            dist,
            trouble,
        })
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Envelope, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with a listing")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let (mut listing, mut trouble): (Option<Listing>, _) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            if key == "data" {
                listing = Some(map.next_value()?);
            } else {
                add(&mut trouble, map.next_value_seed(Trouble::at(&key))?);
            }
        }
        let mut listing = listing.ok_or_else(|| A::Error::missing_field("data"))?;
        add(&mut trouble, listing.trouble.take());
        Ok(Envelope { listing, trouble })
    }
}

impl ListingPage {
    /// What keeps other large answers waiting, for whoever takes the page apart.
    pub fn take_large(&mut self) -> Option<Large> {
        self.large.take()
    }
}

/// The address of one page of `/r/a+b/new`.
pub(super) fn new_url(
    api_url: &Url,
    names: &[SubredditName],
    after: Option<&str>,
    limit: u32,
) -> Result<Url, SourceError> {
    if names.is_empty() {
        return Err(SourceError::unsent("no subreddit was named"));
    }
    let mut options = FeedOption::new().limit(limit.clamp(1, 100));
    if let Some(anchor) = after {
        // Reddit answers an anchor that it cannot read with the listing's top, which would look
        // like a page of news.
        if !is_fullname(anchor) {
            return Err(SourceError::unsent("the anchor is no fullname"));
        }
        options = options.after(anchor);
    }
    // Without raw_json every <, > and & comes escaped as HTML.
    let mut query = String::from("raw_json=1");
    options.build_url(&mut query);
    let joined = names
        .iter()
        .map(SubredditName::as_str)
        .collect::<Vec<_>>()
        .join("+");
    let mut url = below(api_url, &["r", &joined, "new"])?;
    url.set_query(Some(query.trim_end_matches('&')));
    Ok(url)
}

fn not_too_many(children: usize) -> Result<(), SourceError> {
    if children > MOST_CHILDREN {
        let detail = format!("HTTP 200 with a listing of {children} children");
        return Err(SourceError::wait(WaitCause::BrokenBody, detail));
    }
    Ok(())
}

/// Reads a page; no child of any shape is an error.
pub(super) fn read(answer: Answer) -> Result<ListingPage, SourceError> {
    if answer.body.len() > LARGE {
        let count = count::children(&answer.body).map_err(|error| broken(&answer, &error))?;
        not_too_many(count)?;
    }
    // The children stay raw at first: roux's own element type would lose the page for a child
    // without data.
    let envelope: Envelope =
        serde_json::from_str(&answer.body).map_err(|error| broken(&answer, &error))?;
    if envelope.trouble.is_some() {
        // Not in its words: it could repeat what it was sent.
        let detail = "HTTP 200 with a listing and an error beside it".to_owned();
        return Err(SourceError::wait(WaitCause::BrokenBody, detail));
    }
    // Each child holds its part of it.
    drop(answer.body);
    let listing = envelope.listing;
    not_too_many(listing.children.len())?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let shown = listing.children.len() as f64;
    if listing.dist.is_some_and(|dist| dist > shown) {
        let detail = "HTTP 200 with a listing that lacks some of its children".to_owned();
        return Err(SourceError::wait(WaitCause::BrokenBody, detail));
    }
    let mut page = ListingPage {
        items: Vec::with_capacity(listing.children.len()),
        undecodable: Vec::new(),
        unread: Vec::new(),
        order: Vec::with_capacity(listing.children.len()),
        after: listing.after.filter(|it| is_fullname(it)),
        moment: Moment {
            proves: None,
            latest: answer.served_at,
            shown: answer.served_at,
        },
        asked_ms: answer.asked_ms,
        seconds: answer.seconds,
        large: answer.large,
    };
    for child in listing.children {
        let (name, decoded) = read_child(child, answer.asked_ms);
        page.order.extend(name);
        match decoded {
            Ok(item) => page.items.push(item),
            Err(refused) => {
                if refused.cause.may_be_a_submission() {
                    let unread = Unread::read(&refused.raw);
                    page.unread.push((page.items.len(), unread));
                }
                page.undecodable.push(refused);
            }
        }
    }
    // Between the last child and an anchor that was not shown there may be others.
    if let Some(after) = &mut page.after
        && !page.order.contains(after)
        && let Some(last) = page.order.last()
    {
        after.clone_from(last);
    }
    Ok(page)
}

/// A child's fullname, and the child.
fn read_child(
    child: Box<RawValue>,
    asked_ms: i64,
) -> (Option<String>, Result<Observation, Undecodable>) {
    let thing: BasicThing<Box<RawValue>> = match serde_json::from_str(child.get()) {
        Ok(thing) => thing,
        Err(error) => {
            let reason = format!("it is no thing with a kind and data: {error}");
            let cause = kind(&child).and_then(|kind| Refusal::of_kind(Some(&kind)));
            let cause = cause.unwrap_or(Refusal::NoThing);
            let refused = Undecodable::new(child, cause, &reason, asked_ms);
            return (None, Err(refused));
        }
    };
    drop(child);
    let decoded = match Refusal::of_kind(thing.kind.as_deref()) {
        None => decode(thing.data, asked_ms),
        Some(refusal) => {
            let reason = match &thing.kind {
                Some(kind) => format!("its kind is {kind:?}, not t3"),
                None => "it has no kind".to_owned(),
            };
            Err(Undecodable::new(thing.data, refusal, &reason, asked_ms))
        }
    };
    let name = match &decoded {
        Ok(item) => Some(item.submission.id.fullname()),
        Err(refused) => fullname(thing.kind.as_deref(), &refused.raw),
    };
    (name, decoded)
}

/// The kind of what is no thing otherwise.
fn kind(child: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let kind = serde_json::from_str::<Kind>(child.get());
    kind.ok().map(|it| it.kind)
}

/// By its own `name`, else from kind and id.
fn fullname(kind: Option<&str>, data: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Option<&'a RawValue>,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let text = |value: Option<&RawValue>| serde_json::from_str::<String>(value?.get()).ok();
    let named: Named<'_> = serde_json::from_str(data.get()).ok()?;
    text(named.name)
        .filter(|it| is_fullname(it))
        .or_else(|| Some(format!("{}_{}", kind?, text(named.id)?)))
        .filter(|it| is_fullname(it))
}

/// `t3_1tvsa59`: a type, an underscore, a number in base 36.
fn is_fullname(text: &str) -> bool {
    let Some((kind, id)) = text.split_once('_') else {
        return false;
    };
    let digits = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    matches!(kind.as_bytes(), [b't', b'0'..=b'9']) && digits(id) && id.len() <= 13
}

fn broken(answer: &Answer, error: &serde_json::Error) -> SourceError {
    let what = if answer.body.trim().is_empty() {
        "an empty body".to_owned()
    } else if answer.is_html() {
        "HTML".to_owned()
    } else {
        // Position and class only: serde_json's own words may quote the body.
        format!(
            "no listing (column {}, {:?})",
            error.column(),
            error.classify()
        )
    };
    SourceError::wait(WaitCause::BrokenBody, format!("HTTP 200 with {what}"))
}
