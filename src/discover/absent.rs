//! Whether a walk lacks what it should list: submissions that are stored, and that nobody removed.
//!
//! A listing may be cut short, or an old copy of itself, and look whole. What was listed before and is
//! missing now, many in a row, tells.

use super::Discover;
use super::prove::listed_since;
use super::walk::Walk;
use crate::liveness::CALL;
use crate::store::{StoreError, Visible};
use crate::submission::SubredditName;
use std::collections::HashSet;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// So many of the newest stored are looked for.
const LOOKED_FOR: u32 = 200;
/// So many of them in a row that are missing were not removed one by one.
const IN_A_ROW: usize = 12;
/// So many of the very newest: the listing is an old copy. And where there are fewer in all, so many.
const NEWEST: usize = 5;
/// For a walk that is not repeated soon, so many are enough.
const NEWEST_ONCE: usize = 2;
/// How far back a shared listing is looked into, seconds.
const SHARED: i64 = 7 * 86_400;
/// Between two tries while the database is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether a walk that came to its end lacks many in a row of what is stored of the time that it walked
/// over. A walk that is `repeated` soon may lack a few more of the newest. Where the database does not say, it counts as lacking.
pub(super) async fn contradicts(
    discover: &Discover,
    names: &[SubredditName],
    walk: &Walk,
    repeated: bool,
    served_at: i64,
    stop: &CancellationToken,
) -> bool {
    let newest = if repeated { NEWEST } else { NEWEST_ONCE };
    // What shows nothing at all has a rule of its own.
    let Some(listed_since) = listed_since(walk) else {
        return false;
    };
    let since = match walk.ground() {
        i64::MAX => listed_since,
        i64::MIN if names.len() > 1 => served_at.saturating_sub(SHARED),
        ground => ground,
    };
    loop {
        let visible = discover.store.visible(names, since, served_at, LOOKED_FOR);
        match discover.progress.during(CALL, visible).await {
            Ok(visible) => {
                let lacks = lacks(&visible, walk, newest);
                if lacks {
                    let names = names.iter().map(SubredditName::as_str);
                    tracing::warn!(
                        listing = names.take(5).collect::<Vec<_>>().join("+"),
                        listed = walk.listed().len(),
                        "A listing lacks many submissions that it showed before; it proves nothing \
                         unless that lasts"
                    );
                }
                return lacks;
            }
            Err(error) if error.is_unavailable() && !stop.is_cancelled() => {
                discover.progress.made();
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                warn(&error);
                return true;
            }
        }
    }
}

fn warn(error: &StoreError) {
    tracing::warn!(%error, "Cannot compare a listing with what is stored; it proves nothing");
}

/// `visible` is what is stored, newest first; so many of the `newest` missing are too many.
fn lacks(visible: &[Visible], walk: &Walk, newest: usize) -> bool {
    let listed = walk.listed().iter();
    let listed: HashSet<&str> = listed.map(|it| it.submission.id.as_str()).collect();
    let missing = visible.iter().map(|it| !listed.contains(it.id.as_str()));
    let missing: Vec<bool> = missing.collect();
    let mut runs = missing.split(|missing| !missing).map(<[bool]>::len);
    runs.next().is_some_and(|at_top| at_top >= newest) || runs.any(|run| run >= IN_A_ROW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::walk::Page;
    use crate::submission::decode;
    use serde_json::value::RawValue;

    /// A walk that lists these of a hundred submissions, of which `i0` is the newest.
    fn walk(listed: impl Fn(usize) -> bool) -> Walk {
        let items = (0..100).filter(|number| listed(*number)).map(|number| {
            let json = format!(r#"{{"id":"i{number}","created_utc":{}}}"#, 1_000 - number);
            decode(RawValue::from_string(json).unwrap(), 0).unwrap()
        });
        let items: Vec<_> = items.collect();
        let mut walk = Walk::new(0);
        walk.take(Page {
            order: items.iter().map(|it| it.submission.id.fullname()).collect(),
            items,
            ..Page::default()
        });
        walk
    }

    #[test]
    fn an_old_copy_and_one_that_is_cut_short_lack_what_was_listed_before() {
        let stored = (0..100).map(|number| Visible {
            id: format!("i{number}"),
        });
        let stored: Vec<Visible> = stored.collect();
        let lacking = |listed: fn(usize) -> bool| lacks(&stored, &walk(listed), NEWEST);
        assert!(!lacking(|_| true));
        assert!(!lacking(|number| number % 3 != 0), "removed one by one");
        assert!(!lacking(|number| number >= 4), "the newest were removed");
        assert!(lacking(|number| number >= 5), "an old copy");
        assert!(lacks(&stored, &walk(|number| number >= 2), NEWEST_ONCE));
        assert!(lacking(|number| number < 40), "cut short");
        assert!(
            lacking(|number| !(30..42).contains(&number)),
            "a page left out"
        );
        assert!(!lacks(&[], &walk(|_| true), NEWEST), "nothing is known yet");
    }
}
