//! Discovery by id: Reddit numbers submissions with one counter, and one request for a hundred ids brings a
//! hundred whole objects, so that all of Reddit costs some twenty requests a minute, whatever number of
//! subreddits is watched. What is found so is stored as fetched.
//!
//! One process at a time scans, by a lease. Owns when a scan pays, where the counter stands ([`mod@locate`]),
//! which ids are asked for ([`plan`]) and how many requests that may cost ([`pace`]). Ids are an
//! accelerator, never the only way: where they stop being dense, it says so and leaves the work to the
//! listings, which go on beside it.

mod locate;
mod pace;
pub mod plan;
mod record;

use super::Discover;
use super::ids::request_ids;
use super::lease::Lease;
use crate::config::{IdScan, Scope};
use crate::liveness::{CALL, HOWEVER_LONG};
use crate::source::{MAX_INFO_IDS, RequestClass, SourceError};
use crate::store::{ID_SCAN, IdRecord, IdScanState, StoreError};
use crate::submission::SubmissionId;
pub use locate::Unknown;
use locate::{locate, share_below};
use pace::{Pace, allowed};
use plan::{DELAYS_MS, JUMP, LEAST_SHARE, Request, Scan};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A killed process's scan is taken over after this long.
const LEASE: Duration = Duration::from_secs(8);
/// How often it is looked whether a scan is to begin.
const LOOK: Duration = Duration::from_secs(1);
/// Until it is looked again whether one pays, whether it can begin, and after it did not pay.
const SOON: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(30);
const MUCH_LATER: Duration = Duration::from_secs(600);
/// Listings show so few subreddits as soon as ids would, for fewer requests.
const FEW: i64 = 150;
/// Requests a minute beside those that new ids need: for retries, and since no request is full.
const MARGIN: f64 = 5.0;
/// A scan with fewer is no fresher than listings.
const LEAST_PER_MINUTE: f64 = 12.0;

/// What is otherwise set by what Reddit is: for tests.
#[derive(Debug, Clone)]
pub struct IdScanOptions {
    /// When an absent id is asked for again, milliseconds after it was first absent; ascending.
    pub delays_ms: Vec<i64>,
    /// Requests a minute; none for what the budget allows.
    pub requests_per_minute: Option<f64>,
    /// How often a scan that goes on is judged.
    pub judge_every: Duration,
}

impl Default for IdScanOptions {
    fn default() -> IdScanOptions {
        IdScanOptions {
            delays_ms: DELAYS_MS.to_vec(),
            requests_per_minute: None,
            judge_every: Duration::from_secs(60),
        }
    }
}

/// Whether to scan.
enum Choice {
    /// From here on: an id at or a little below the top.
    Scan(i64),
    /// Not now, and why; look again after this time.
    Not(&'static str, Duration),
}

/// Why a scan ended.
enum Ended {
    Stopped,
    LeaseLost,
    Unpaid(&'static str),
}

/// Scans ids until told to stop, while that pays.
pub async fn id_scan(discover: Discover, options: IdScanOptions, stop: CancellationToken) {
    let mut lease = Lease::new(&discover, ID_SCAN, LEASE);
    let mut not_before = Instant::now();
    let mut said = "";
    loop {
        let look = discover
            .progress
            .during(HOWEVER_LONG, tokio::time::sleep(LOOK));
        tokio::select! {
            () = stop.cancelled() => break,
            () = look => discover.progress.made(),
        }
        let held = discover.progress.during(CALL, lease.held()).await;
        if !held.unwrap_or_default() || Instant::now() < not_before {
            continue;
        }
        let choice = tokio::select! {
            () = stop.cancelled() => break,
            choice = choose(&discover, &options) => choice,
            never = lease.keep() => match never {},
        };
        let top = match choice {
            Ok(Choice::Scan(top)) => top,
            Ok(Choice::Not(reason, wait)) => {
                if std::mem::replace(&mut said, reason) != reason {
                    tracing::info!(reason, "Id scan is off; listings alone find submissions");
                }
                not_before = Instant::now() + wait;
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "The top of the counter of ids cannot be found");
                not_before = Instant::now() + SOON;
                continue;
            }
        };
        said = "";
        let running = &discover.metrics.discover.ids.running;
        running.set(1);
        let ended = scan(&discover, &options, &mut lease, top, &stop).await;
        running.set(0);
        discover.metrics.discover.ids.lag.set(0.0);
        lease.publish(None::<&IdScanState>);
        match ended {
            Ok(Ended::Stopped) => break,
            Ok(Ended::LeaseLost) => {}
            Ok(Ended::Unpaid(reason)) => {
                said = reason;
                tracing::warn!(
                    reason,
                    "Id scan is given up; listings alone find submissions until it pays again"
                );
                not_before = Instant::now() + MUCH_LATER;
            }
            Err(error) => {
                tracing::debug!(%error, "The ledger of ids cannot be read or written");
                not_before = Instant::now() + SOON;
            }
        }
    }
    lease.release().await;
}

/// Requests a minute that a scan may make.
fn per_minute(discover: &Discover, options: &IdScanOptions) -> f64 {
    let budget = discover.reddit.budget().requests_per_minute();
    let config = &discover.config;
    let asked_for = config.id_scan == IdScan::On || config.scope == Scope::All;
    options
        .requests_per_minute
        .unwrap_or_else(|| allowed(budget, asked_for))
}

async fn choose(discover: &Discover, options: &IdScanOptions) -> Result<Choice, Unknown> {
    let config = &discover.config;
    let automatic = config.id_scan == IdScan::Auto;
    if automatic {
        let watched = discover.store.count_active().await?;
        if config.scope == Scope::Watched && watched <= FEW {
            return Ok(Choice::Not("few subreddits are watched", LATER));
        }
        if per_minute(discover, options) < LEAST_PER_MINUTE {
            return Ok(Choice::Not("the request budget is too small", LATER));
        }
    }
    let ledger = discover.store.id_ledger().await?;
    let Some(top) = locate(discover, ledger.map(|ledger| ledger.head)).await? else {
        return Ok(Choice::Not("no submission is known to start from", LATER));
    };
    if automatic && share_below(discover, top).await? < LEAST_SHARE {
        return Ok(Choice::Not("too few ids exist", MUCH_LATER));
    }
    Ok(Choice::Scan(top))
}

async fn scan(
    discover: &Discover,
    options: &IdScanOptions,
    lease: &mut Lease<'_>,
    top: i64,
    stop: &CancellationToken,
) -> Result<Ended, StoreError> {
    let store = &discover.store;
    store.begin_ids(top).await?;
    let ledger = store.id_ledger().await?.unwrap_or_default();
    let now_ms = || (discover.now_ms)();
    let mut scan = Scan::new(&ledger, &options.delays_ms, now_ms());
    jump(discover, &mut scan, top).await?;
    let mut pace = Pace::new(per_minute(discover, options), Instant::now());
    tracing::info!(
        head = %SubmissionId::from_number(scan.head()),
        pending = scan.pending(),
        skipped = scan.skipped(),
        "Id scan is on: submissions are found and fetched by their ids"
    );
    let mut next = Instant::now();
    let mut judged = Instant::now();
    let mut last_end_ms = now_ms();
    loop {
        let step = discover
            .progress
            .during(HOWEVER_LONG, tokio::time::sleep_until(next));
        tokio::select! {
            () = stop.cancelled() => return Ok(Ended::Stopped),
            () = step => discover.progress.made(),
        }
        next = (next + pace.step()).max(Instant::now());
        if !discover.progress.during(CALL, lease.held()).await? {
            return Ok(Ended::LeaseLost);
        }
        let made = tokio::select! {
            () = stop.cancelled() => return Ok(Ended::Stopped),
            made = step_made(discover, &mut scan, &mut pace) => made?,
            never = lease.keep() => match never {},
        };
        if let Made::Failed(error) = made {
            tracing::debug!(%error, "A request for ids failed; the next step asks again");
            if matches!(error, SourceError::Refused { .. }) {
                return Ok(Ended::Unpaid("Reddit refuses requests for ids"));
            }
            show(discover, &scan, last_end_ms);
            continue;
        }
        last_end_ms = scan.end_met_ms().unwrap_or(last_end_ms);
        show(discover, &scan, last_end_ms);
        lease.publish(Some(&IdScanState {
            lag_seconds: discover.metrics.discover.ids.lag.get(),
        }));
        if scan.is_behind(now_ms()) {
            match locate(discover, Some(scan.head())).await {
                Ok(Some(top)) => jump(discover, &mut scan, top).await?,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "The top of the counter cannot be found"),
            }
        }
        if judged.elapsed() >= options.judge_every {
            judged = Instant::now();
            if let Some(reason) = unpaid(discover, options, &scan).await? {
                return Ok(Ended::Unpaid(reason));
            }
        }
    }
}

enum Made {
    Done,
    Failed(SourceError),
}

/// The requests of one step: above the head until its end is met, then below it as far as there is room.
async fn step_made(
    discover: &Discover,
    scan: &mut Scan,
    pace: &mut Pace,
) -> Result<Made, StoreError> {
    let now_ms = || (discover.now_ms)();
    scan.begin_step();
    // What the budget of requests does not allow now is done in the next step.
    let mut above = true;
    while pace.take(Instant::now(), if above { 0.0 } else { 2.0 }) {
        let request = scan.request(now_ms(), above);
        let class = if above {
            RequestClass::Scan
        } else {
            RequestClass::Repair
        };
        if let Some(error) = ask(discover, scan, &request, class).await? {
            return Ok(Made::Failed(error));
        }
        above = above && scan.goes_on(now_ms());
        if !above && !scan.fills_a_request(now_ms()) {
            break;
        }
    }
    Ok(Made::Done)
}

/// An id at or a little below the top of the counter, which was seen; none where nothing was ever posted.
///
/// # Errors
/// As Reddit or the database answers.
pub async fn top_of_ids(discover: &Discover) -> Result<Option<i64>, Unknown> {
    let ledger = discover.store.id_ledger().await?;
    locate(discover, ledger.map(|ledger| ledger.head)).await
}

/// Whether most ids exist where the counter stands, so that it pays to ask for all of a time.
///
/// # Errors
/// As Reddit or the database answers.
pub async fn ids_are_dense(discover: &Discover) -> Result<bool, Unknown> {
    match top_of_ids(discover).await? {
        Some(top) => Ok(share_below(discover, top).await? >= LEAST_SHARE),
        None => Ok(false),
    }
}

/// Asks, and stores what comes of it; an error where nothing came.
async fn ask(
    discover: &Discover,
    scan: &mut Scan,
    request: &Request,
    class: RequestClass,
) -> Result<Option<SourceError>, StoreError> {
    let ids = request.ids.iter().copied();
    let witnesses: Vec<i64> = scan.witnesses().collect();
    let page = match request_ids(discover, ids, &witnesses, class).await {
        // What nothing is known of is asked for again like what was left out.
        Ok(answer) => answer.page,
        Err(error) => return Ok(Some(error)),
    };
    let given_out = page.numbers();
    #[expect(clippy::cast_possible_truncation, reason = "seconds of one request")]
    let asked_ms = (discover.now_ms)() - (page.seconds * 1000.0) as i64;
    let answer = scan.answer(request, &given_out, asked_ms);
    record::record(discover, page, &answer).await?;
    scan.apply(&answer);
    Ok(None)
}

/// Goes on at `top` where the head is far below it; what lies between is asked for beside what is new.
async fn jump(discover: &Discover, scan: &mut Scan, top: i64) -> Result<(), StoreError> {
    if top - scan.head() <= JUMP {
        return Ok(());
    }
    let now_ms = (discover.now_ms)();
    let record = IdRecord {
        head: top,
        now_ms,
        ..IdRecord::default()
    };
    discover.store.record_ids(&record).await?;
    scan.jump(top, now_ms);
    tracing::info!(
        skipped = scan.skipped(),
        "Ids were left for later, so that new ones are seen first"
    );
    Ok(())
}

/// Why the scan costs more than it brings, if it does.
async fn unpaid(
    discover: &Discover,
    options: &IdScanOptions,
    scan: &Scan,
) -> Result<Option<&'static str>, StoreError> {
    if discover.config.id_scan != IdScan::Auto {
        return Ok(None);
    }
    if scan.share().is_some_and(|share| share < LEAST_SHARE) {
        return Ok(Some("too few ids exist"));
    }
    let needed = scan.rate().unwrap_or(0.0) * 60.0 / MAX_INFO_IDS as f64 + MARGIN;
    if needed > per_minute(discover, options) {
        return Ok(Some("there are more ids than the request budget allows"));
    }
    let watched = discover.store.count_active().await?;
    if discover.config.scope == Scope::Watched && watched <= FEW {
        return Ok(Some("few subreddits are watched"));
    }
    Ok(None)
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn show(discover: &Discover, scan: &Scan, last_end_ms: i64) {
    let ids = &discover.metrics.discover.ids;
    let behind_ms = (discover.now_ms)().saturating_sub(last_end_ms).max(0);
    ids.lag.set(behind_ms as f64 / 1000.0);
    ids.pending
        .set(i64::try_from(scan.pending()).unwrap_or(i64::MAX));
    ids.skipped.set(scan.skipped());
    if let Some(share) = scan.share() {
        ids.share.set(share.min(1.0));
    }
}
