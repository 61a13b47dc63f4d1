//! The front page: what is stored, how fresh it is, and how what it depends on fares.

use super::dependencies;
use super::status::{Live, Status, SubredditStatus};
use chrono::{DateTime, SecondsFormat};
use std::fmt::Write;

/// Subreddits that it shows; the status has all of them.
pub(super) const MAX_SUBREDDITS: u32 = 100;

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content='width=device-width,initial-scale=1'><link rel=icon href=data:,>\
    <style>body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}\
    table{display:block;overflow-x:auto;border-spacing:0}\
    td,th{text-align:left;vertical-align:top;padding:.1rem 1rem .1rem 0}\
    .n{text-align:right;white-space:nowrap}.w{white-space:nowrap}</style>";

/// The whole page. `status` is none where the database does not answer in time; of its subreddits there may
/// be one more than are shown.
pub(super) fn page(
    live: &Live,
    process: &str,
    status: Option<&Status>,
    now: i64,
) -> Result<String, std::fmt::Error> {
    let simulated = live.simulated() || status.is_some_and(|it| it.simulated);
    let mark = if simulated { " · SIMULATED" } else { "" };
    let mut html = format!("{HEAD}<title>freshet{mark}</title><h1>freshet{mark}</h1>");
    let version = env!("CARGO_PKG_VERSION");
    write!(html, "<p>Version {version}. Process: {}", escaped(process))?;
    if let Some(status) = status {
        stored(&mut html, status)?;
        subreddits(&mut html, &status.subreddits, now)?;
    } else {
        html.push_str(
            "<p>The database does not answer now, so nothing is known of what is stored.",
        );
    }
    html.push_str(&dependencies::table(&live.dependency_states()));
    html.push_str("<h2>More</h2><ul>");
    if let Some(url) = live.dashboards() {
        let url = escaped(url);
        write!(
            html,
            "<li><a href=\"{url}\">Dashboards</a> in Grafana: {url}"
        )?;
    }
    html.push_str(
        "<li><a href=/api/v1/status>/api/v1/status</a>: all of this and more, as JSON (<code>freshet \
         status</code> shows it on a terminal)\
         <li><a href=/metrics>/metrics</a>: for Prometheus\
         <li><a href=/readyz>/readyz</a>: do database and queue work, and does it get on\
         <li><a href=/healthz>/healthz</a>: does it get on</ul>",
    );
    Ok(html)
}

fn stored(html: &mut String, status: &Status) -> std::fmt::Result {
    let queue = &status.queue;
    let known = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
    write!(
        html,
        "<h2>Submissions</h2><table><tr><td>Stored<td>{} ({} fetched, {} unavailable)\
         <tr><td>Left to fetch<td>{} in the database, {} due later\
         <tr><td>Queue<td>{} waiting, {} running, {} set aside",
        status.discovered,
        status.fetched,
        status.unavailable,
        queue.backlog,
        queue.deferred,
        known(queue.waiting),
        known(queue.running),
        queue.dead,
    )?;
    if let Some(freshness) = &status.freshness {
        let plan = &freshness.plan;
        html.push_str("<tr><td>Freshness objective<td>");
        if plan.objective_met {
            html.push_str("met");
        } else {
            write!(
                html,
                "NOT met; it takes {:.0} requests a minute",
                plan.needed_per_minute
            )?;
        }
    }
    html.push_str("</table>");
    Ok(())
}

fn subreddits(html: &mut String, subreddits: &[SubredditStatus], now: i64) -> std::fmt::Result {
    html.push_str("<h2>Subreddits</h2>");
    if subreddits.is_empty() {
        html.push_str(
            "<p>None is watched; add some with <code>freshet subreddits add NAME</code>.",
        );
        return Ok(());
    }
    html.push_str(
        "<table><tr><th>Name<th>State<th class=n>Stored<th class=n>Newest<th class=n>Proven\
         <th class=n>Open gaps",
    );
    for subreddit in subreddits.iter().take(MAX_SUBREDDITS as usize) {
        let at = |at: Option<i64>, none: &str| at.map_or(none.to_owned(), |at| ago(now - at));
        write!(
            html,
            "<tr><td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}",
            escaped(&subreddit.name),
            escaped(&subreddit.state_and_reason()),
            subreddit.submissions,
            at(subreddit.last_submission_at, "–"),
            at(subreddit.last_complete_at, "not yet"),
            subreddit.open_gaps,
        )?;
    }
    html.push_str("</table>");
    if subreddits.len() > MAX_SUBREDDITS as usize {
        html.push_str("<p>And more, which the status below shows.");
    }
    Ok(())
}

/// How long ago, in the largest unit of which there are at least two.
fn ago(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        ..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// Seconds since the epoch, as a page shows them.
pub(super) fn time(at: i64) -> String {
    DateTime::from_timestamp(at, 0).map_or(String::new(), |it| {
        it.to_rfc3339_opts(SecondsFormat::Secs, true)
    })
}

/// As text in a page and in its attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_a_unit_of_which_there_are_some() {
        for (seconds, told) in [
            (-5, "0 s ago"),
            (119, "119 s ago"),
            (7_199, "119 min ago"),
            (172_799, "47 h ago"),
            (864_000, "10 d ago"),
        ] {
            assert_eq!(ago(seconds), told);
        }
    }

    #[test]
    fn a_reason_is_no_markup() {
        let row = serde_json::json!({
            "name": "rust", "state": "unavailable", "reason": "<b onload='x'>", "added_at": 0,
            "covered_until": null, "last_complete_at": null, "seen_until": null,
            "last_submission_at": 10, "submissions": 7, "posts_per_hour": 0.0, "open_gaps": 0,
        });
        let row: SubredditStatus = serde_json::from_value(row).unwrap();
        let mut html = String::new();
        subreddits(&mut html, &[row], 20).unwrap();
        assert!(
            !html.contains("<b") && html.contains("&lt;b onload=&#39;x&#39;&gt;"),
            "{html}"
        );
        assert!(
            html.contains("10 s ago") && html.contains("not yet"),
            "{html}"
        );
    }
}
