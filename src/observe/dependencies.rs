//! How dependencies are shown: in a status, on the front page, to whoever asks whether it is ready.

use super::front::{escaped, time};
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
        let since = state.since.map_or(String::new(), time);
        let said = [&state.error, &state.remedy].map(|it| it.as_deref().unwrap_or_default());
        for (tag, text) in [
            ("<tr><td>", state.name.as_str()),
            ("<td>", state.class.as_deref().unwrap_or("ok")),
            ("<td class=w>", &since),
            ("<td>", said.join(". ").trim_matches(['.', ' '])),
        ] {
            html.push_str(tag);
            html.push_str(&escaped(text));
        }
    }
    html.push_str("</table>");
    html
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
