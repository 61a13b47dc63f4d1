//! How dependencies are shown: in a status, on the front page, to whoever asks whether it is ready.

use crate::dependency::State;
use crate::store::Failing;
use serde::{Deserialize, Serialize};

/// One dependency as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependencyStatus {
    /// `database`, `queue`, `budget`, `reddit` or `archive`.
    pub name: String,
    /// Whether it works.
    pub works: bool,
    /// Since when it has worked or failed, seconds since the epoch; none where nobody has watched.
    pub since: Option<i64>,
    /// In which way it fails, such as `read_only`.
    pub class: Option<String>,
    /// What the driver or the server said.
    pub error: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
    /// Which process says so, where it is not the one that was asked.
    pub process: Option<String>,
    /// When that process said so last, seconds since the epoch.
    #[serde(default)]
    pub seen_at: Option<i64>,
}

impl DependencyStatus {
    /// One that was asked just now.
    pub fn asked(name: &str, works: bool) -> DependencyStatus {
        DependencyStatus {
            name: name.to_owned(),
            works,
            since: None,
            class: (!works).then(|| "unreachable".to_owned()),
            error: None,
            remedy: None,
            process: None,
            seen_at: None,
        }
    }
}

impl From<State> for DependencyStatus {
    fn from(state: State) -> DependencyStatus {
        let trouble = state.trouble;
        DependencyStatus {
            name: state.service.as_str().to_owned(),
            works: trouble.is_none(),
            since: Some(state.since),
            class: trouble.as_ref().map(|it| it.class.as_str().to_owned()),
            error: trouble.as_ref().map(|it| it.error.clone()),
            remedy: trouble.map(|it| it.remedy.to_owned()),
            process: None,
            seen_at: None,
        }
    }
}

impl From<Failing> for DependencyStatus {
    fn from(row: Failing) -> DependencyStatus {
        DependencyStatus {
            name: row.name,
            works: false,
            since: Some(row.since_at),
            class: Some(row.class),
            error: Some(row.error),
            remedy: Some(row.remedy),
            process: Some(row.process),
            seen_at: Some(row.seen_ms.div_euclid(1000)),
        }
    }
}

/// A table for a page. What drivers and servers said is escaped.
pub(super) fn table(states: &[DependencyStatus]) -> String {
    if states.is_empty() {
        return String::new();
    }
    let mut html = "<h2>Dependencies</h2><table><tr><th>Name<th>State<th>Since<th>".to_owned();
    for state in states {
        let since = state
            .since
            .and_then(|at| chrono::DateTime::from_timestamp(at, 0));
        let since = since.map_or(String::new(), |it| {
            it.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        });
        let said = [&state.error, &state.remedy].map(|it| it.as_deref().unwrap_or_default());
        for (tag, text) in [
            ("<tr><td>", state.name.as_str()),
            ("<td>", state.class.as_deref().unwrap_or("ok")),
            ("<td>", &since),
            ("<td>", said.join(". ").trim_matches(['.', ' '])),
        ] {
            html.push_str(tag);
            escape_into(&mut html, text);
        }
    }
    html.push_str("</table>");
    html
}

fn escape_into(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_says_is_no_markup() {
        let status = DependencyStatus {
            error: Some("<script>&".to_owned()),
            ..DependencyStatus::asked("queue", false)
        };
        let html = table(&[status]);
        assert!(html.contains("&lt;script&gt;&amp;"), "{html}");
        assert!(!html.contains("<script"), "{html}");
    }
}
