//! Which subreddits share a listing request. Pure.

use crate::config::DiscoverConfig;
use crate::store::Claimed;

/// Members of one proof walk at most. A page of 100 submissions shows each of so many that post alike, but for
/// one in a hundred: with more, silent members would have to be listed alone.
pub(super) const MOST_MEMBERS: usize = 20;
/// Characters of all names and the `+` between them at most: well below what servers take.
const MAX_CHARS: usize = 1_700;
/// Submissions that a shared page is planned to hold over the span that a walk lists. A page holds
/// 100: the rest shows the older ground that proves the walk.
pub(super) const SHARED_PAGE: f64 = 60.0;
/// A subreddit that fills more of a page than this by itself is listed alone.
pub(super) const TOO_BUSY: f64 = 30.0;

/// Whether a subreddit with this traffic shares its listing requests.
pub fn is_quiet(posts_per_hour: f64, config: &DiscoverConfig) -> bool {
    posts_per_hour * span_hours(config) <= TOO_BUSY
}

/// The time that a walk lists.
fn span_hours(config: &DiscoverConfig) -> f64 {
    (config.proof_period + config.overlap).as_secs_f64() / 3600.0
}

/// Submissions that a walk is expected to list of this one, brought to the measure of [`SHARED_PAGE`]: a first walk
/// goes far back, and may take ten pages for that.
fn load(claimed: &Claimed, config: &DiscoverConfig) -> f64 {
    let span = match claimed.covered_until {
        Some(_) => span_hours(config),
        None => span_hours(config).max(config.first_window.as_secs_f64() / 3600.0 / 10.0),
    };
    claimed.posts_per_hour * span
}

/// Splits what is due into listing requests. `alone` tells which subreddits need a listing of their
/// own now, whatever their traffic.
pub fn plan(
    due: Vec<Claimed>,
    config: &DiscoverConfig,
    alone: impl Fn(&Claimed) -> bool,
) -> Vec<Vec<Claimed>> {
    let (single, mut shared): (Vec<Claimed>, Vec<Claimed>) = due
        .into_iter()
        .partition(|claimed| alone(claimed) || load(claimed, config) > TOO_BUSY);
    let mut groups: Vec<Vec<Claimed>> = single.into_iter().map(|claimed| vec![claimed]).collect();
    // Quiet ones first: each request then takes as many as it can.
    shared.sort_by(|left, right| {
        let by_rate = left.posts_per_hour.total_cmp(&right.posts_per_hour);
        by_rate.then_with(|| left.claim.subreddit.cmp(&right.claim.subreddit))
    });
    let mut group: Vec<Claimed> = Vec::new();
    let (mut chars, mut items) = (0, 0.0);
    for claimed in shared {
        let more_chars = claimed.claim.subreddit.as_str().len() + 1;
        let more_items = load(&claimed, config);
        let full = group.len() == MOST_MEMBERS
            || chars + more_chars > MAX_CHARS
            || items + more_items > SHARED_PAGE;
        if full && !group.is_empty() {
            groups.push(std::mem::take(&mut group));
            (chars, items) = (0, 0.0);
        }
        chars += more_chars;
        items += more_items;
        group.push(claimed);
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}
