//! What is printed of backfills: plans, lists, reports.

use super::begin::Request;
use crate::app::now_ms;
use crate::backfill::{IDS, NOT_YET, Plan, PlannedSource};
use crate::cli::moment::rfc3339;
use crate::cli::output::print_line;
use crate::cli::report::{age, align_right, counted, print_json, shown, span, table};
use crate::store::{Backfill, Interval, SliceState, Store};
use anyhow::bail;
use serde_json::{Value, json};

/// Slices that are listed where something is to be said of them.
const MOST: usize = 20;

/// What a dry run shows.
pub(super) fn plan(
    request: &Request,
    source: PlannedSource,
    why: Option<&str>,
    missing: &[Interval],
    plan: &Plan,
    json: bool,
) -> anyhow::Result<()> {
    let range = request.range;
    let length =
        |intervals: &[Interval]| -> i64 { intervals.iter().map(|it| it.end - it.start).sum() };
    let left = length(missing);
    let known = plan.estimate.samples > 0;
    if json {
        let slices: Vec<Value> = plan
            .slices
            .iter()
            .map(|slice| json!({ "file": slice.name, "start": slice.start, "end": slice.end }))
            .collect();
        return print_json(&json!({
            "subreddit": request.subreddit.as_str(),
            "source": source.as_str(),
            "why": why,
            "since": range.start,
            "until": range.end,
            "covered_seconds": range.end - range.start - left,
            "missing_seconds": left,
            "slices": slices,
            "estimate": known.then_some(plan.estimate),
        }));
    }
    print_line!("r/{} from {}", request.subreddit, source.as_str());
    if let Some(why) = why {
        print_line!("  since {why}");
    }
    print_line!("  {} until {}", rfc3339(range.start), rfc3339(range.end));
    if source == PlannedSource::Files {
        for slice in &plan.slices {
            print_line!("  {}", shown(slice.name.as_deref().unwrap_or_default()));
        }
        return Ok(());
    }
    let covered = range.end - range.start - left;
    print_line!(
        "  proven already: {} of {}",
        span(covered),
        span(range.end - range.start)
    );
    for line in expectation(plan) {
        print_line!("  {line}");
    }
    print_line!();
    let mut rows = table(&["SLICE", "FROM", "UNTIL", "LENGTH"]);
    align_right(&mut rows, &[0, 3]);
    for (number, slice) in plan.slices.iter().enumerate().take(MOST) {
        rows.add_row([
            (number + 1).to_string(),
            rfc3339(slice.start),
            rfc3339(slice.end),
            span(slice.end - slice.start),
        ]);
    }
    print_line!("{rows}");
    if plan.slices.len() > MOST {
        print_line!("… {} slices in all; --json lists them", plan.slices.len());
    }
    Ok(())
}

/// What a plan expects, in lines.
pub(super) fn expectation(plan: &Plan) -> Vec<String> {
    let estimate = &plan.estimate;
    let slices = counted(plan.slices.len() as u64, "slice");
    let requests = counted(estimate.requests, "request");
    if estimate.samples == 0 {
        return vec![format!("{slices}, about {requests}")];
    }
    let seconds = i64::try_from(estimate.seconds).unwrap_or(i64::MAX);
    vec![
        format!(
            "{slices}, about {}, judged by {}",
            counted(estimate.submissions, "submission"),
            counted(estimate.samples.into(), "page")
        ),
        format!(
            "about {requests}, {}, {} MB on disk",
            span(seconds),
            estimate.bytes.div_ceil(1_000_000)
        ),
    ]
}

/// One line for each.
pub(super) fn list(backfills: &[Backfill], json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&backfills);
    }
    if backfills.is_empty() {
        eprintln!("No backfill was ever begun; see: freshet backfill --help");
        return Ok(());
    }
    let now = now_ms() / 1000;
    let mut rows = table(&[
        "ID",
        "SUBREDDIT",
        "SOURCE",
        "STATE",
        "DONE",
        "FOUND",
        "NEW",
        "BEGUN",
    ]);
    align_right(&mut rows, &[0, 4, 5, 6]);
    for backfill in backfills {
        rows.add_row([
            backfill.id.to_string(),
            shown(&backfill.subreddit),
            backfill.source.clone(),
            backfill.state.clone(),
            format!("{}/{}", backfill.slices_done, backfill.slices),
            backfill.listed.to_string(),
            backfill.fresh.to_string(),
            age(now - backfill.created_at),
        ]);
    }
    print_line!("{rows}");
    Ok(())
}

/// Everything about one.
pub(super) async fn status(store: &Store, backfill: &Backfill, json: bool) -> anyhow::Result<()> {
    if json {
        let slices: Vec<Value> = store
            .slices(backfill.id)
            .await?
            .iter()
            .map(|slice| {
                json!({
                    "id": slice.id,
                    "file": slice.name,
                    "start": slice.interval.start,
                    "end": slice.interval.end,
                    "reached": slice.reached,
                    "state": slice.state.as_str(),
                    "listed": slice.listed,
                    "fresh": slice.fresh,
                    "attempts": slice.attempts,
                    "reason": slice.reason,
                })
            })
            .collect();
        let mut value = serde_json::to_value(backfill)?;
        value["parts"] = slices.into();
        return print_json(&value);
    }
    print(store, backfill).await
}

async fn print(store: &Store, backfill: &Backfill) -> anyhow::Result<()> {
    let failed = match backfill.slices_failed {
        0 => String::new(),
        failed => format!(", {failed} set aside"),
    };
    print_line!(
        "Backfill {} of r/{} from {}: {}",
        backfill.id,
        shown(&backfill.subreddit),
        backfill.source,
        backfill.state
    );
    if backfill.range_end - backfill.range_start < 100 * 366 * 86_400 {
        print_line!(
            "  Range     {} until {}",
            rfc3339(backfill.range_start),
            rfc3339(backfill.range_end)
        );
    }
    print_line!(
        "  Slices    {} of {} done, {} at work{failed}",
        backfill.slices_done,
        backfill.slices,
        backfill.slices_active
    );
    let expected = match backfill.expected {
        Some(expected) if backfill.state != "done" => format!(" of about {expected}"),
        _ => String::new(),
    };
    print_line!(
        "  Found     {}{expected} submissions: {} new, {} renewed, {} known",
        backfill.listed,
        backfill.fresh,
        backfill.renewed,
        backfill.listed - backfill.fresh - backfill.renewed
    );
    if backfill.refused > 0 {
        print_line!("  Refused   {} that are no submission", backfill.refused);
    }
    if backfill.source != "files" {
        print_line!("  Requests  {}", backfill.requests);
        print_line!(
            "  Proven    {}",
            proven(backfill.seconds_proven, backfill.seconds)
        );
    } else if backfill.seconds_proven > 0 {
        print_line!("  Proven    {}", span(backfill.seconds_proven));
    }
    let slices = store.slices(backfill.id).await?;
    let told: Vec<_> = slices
        .iter()
        .filter(|slice| slice.reason.is_some())
        .collect();
    for slice in told.iter().take(MOST) {
        let state = match slice.state {
            SliceState::Failed => "set aside",
            SliceState::Waiting => "waits",
            SliceState::Done => "done",
        };
        let what = match &slice.name {
            Some(name) => shown(name),
            None => format!(
                "{} until {}",
                rfc3339(slice.interval.start),
                rfc3339(slice.interval.end)
            ),
        };
        let reason = shown(slice.reason.as_deref().unwrap_or_default());
        print_line!("  {what}\n            {state}: {reason}");
    }
    if told.len() > MOST {
        print_line!("  … and {} more; --json lists them", told.len() - MOST);
    }
    Ok(())
}

/// How much of how much, and never all where something is left; the numbers add up.
fn proven(seconds: i64, of: i64) -> String {
    if seconds >= of {
        return format!("all {}", span(of));
    }
    // Of what is left no more is claimed than is, and never nothing.
    let left = of - seconds;
    let unit = match left {
        ..120 => 1,
        120..7_200 => 60,
        _ if of < 864_000 => 60,
        _ => 3_600,
    };
    let (left, of) = (left / unit, of / unit);
    format!(
        "{} of {}, all but {}",
        exactly((of - left) * unit),
        exactly(of * unit),
        exactly(left * unit)
    )
}

/// How long, in all units.
fn exactly(seconds: i64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if parts.is_empty() {
        "0 s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// How backfills ended; an error where one did not come to its end.
pub(in crate::cli) async fn report(
    store: &Store,
    backfills: &[Backfill],
    json: bool,
) -> anyhow::Result<()> {
    if json {
        print_json(&backfills)?;
    } else {
        for backfill in backfills {
            print(store, backfill).await?;
        }
    }
    let waiting: i64 = store
        .fetch_counts(now_ms())
        .await
        .map_or(0, |it| it.backlog);
    if !json && waiting > 0 && backfills.iter().any(|backfill| backfill.refresh) {
        eprintln!("{waiting} submissions wait to be fetched from Reddit: freshet run does that.");
    }
    for backfill in backfills {
        let id = backfill.id;
        if backfill.source == IDS && backfill.state == "running" {
            eprintln!(
                "Backfill {id} is not over: ids that are absent may appear late, and gaps are closed once they cannot. \
                 freshet run goes on with it, and so does the same command."
            );
            continue;
        }
        if backfill.state != "done" {
            bail!("backfill {id} is {}", backfill.state);
        }
        if backfill.slices_failed > 0 {
            bail!(
                "set aside: {} of backfill {id}; freshet backfill resume {id} tries again",
                counted(backfill.slices_failed.unsigned_abs(), "slice")
            );
        }
        left_out(store, backfill).await?;
    }
    Ok(())
}

/// An error where a backfill that is done left something of its time unproven, but for what its archive has
/// not come as far as, and its listing does not reach. Files prove nothing unless somebody says that they are
/// complete.
async fn left_out(store: &Store, backfill: &Backfill) -> anyhow::Result<()> {
    if backfill.source == PlannedSource::Files.as_str() || backfill.source == IDS {
        return Ok(());
    }
    let slices = store.slices(backfill.id).await?;
    let reasons = slices.iter().filter_map(|slice| slice.reason.as_deref());
    let listing = backfill.source == PlannedSource::Reddit.as_str();
    let expected = |reason: &str| listing || reason == NOT_YET;
    let (waits, left): (Vec<&str>, Vec<&str>) = reasons.partition(|it| expected(it));
    let id = backfill.id;
    if !left.is_empty() {
        bail!(
            "backfill {id} is over, but of {} something is not proven complete, for the reasons above; what was \
             found is stored, and the same command tries the rest again",
            counted(left.len() as u64, "slice")
        );
    }
    if let (0, Some(reason)) = (backfill.seconds_proven, waits.first()) {
        bail!(
            "backfill {id} is over, but nothing is proven complete: {}; what was found is stored",
            shown(reason)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(shown: &str) -> i64 {
        let words: Vec<&str> = shown.split(' ').collect();
        let seconds = |unit: &str| match unit {
            "d" => 86_400,
            "h" => 3_600,
            "min" => 60,
            _ => 1,
        };
        let parts = words.chunks(2);
        parts
            .map(|part| part[0].parse::<i64>().unwrap() * seconds(part[1]))
            .sum()
    }

    #[test]
    fn what_is_proven_and_what_is_left_add_up() {
        assert_eq!(proven(7_200, 7_200), "all 2 h");
        assert_eq!(
            proven(17 * 3_600 + 1_440, 22 * 3_600 + 60),
            "17 h 24 min of 22 h 1 min, all but 4 h 37 min"
        );
        assert_eq!(
            proven(86_400 * 31 - 1, 86_400 * 31),
            "30 d 23 h 59 min 59 s of 31 d, all but 1 s"
        );
        assert_eq!(
            proven(74_941 - 54, 74_941),
            "20 h 48 min 7 s of 20 h 49 min 1 s, all but 54 s"
        );
        // In seconds, minutes and hours, of short times and of long ones.
        for of in [1, 119, 121, 7_321, 74_941, 864_001, 31 * 86_400 + 17] {
            for left in (1..of).step_by(usize::try_from(of / 90 + 1).unwrap()) {
                let shown = proven(of - left, of);
                let (proven, rest) = shown.split_once(" of ").unwrap();
                let (whole, open) = rest.split_once(", all but ").unwrap();
                let [proven, whole, open] = [proven, whole, open].map(read);
                assert_eq!(proven + open, whole, "{shown}");
                assert!((1..=left).contains(&open), "{left}: {shown}");
                assert!(left >= 120 || open == left, "{left}: {shown}");
                assert!(whole <= of, "{shown}");
            }
        }
        assert_eq!(proven(0, 90), "0 s of 1 min 30 s, all but 1 min 30 s");
    }
}
