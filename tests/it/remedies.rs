//! Each fault of a dependency has one remedy, wherever it is shown.

use freshet::dependency::{Fault, Service};
use freshet::source::WaitCause;

const RUNBOOKS: &str = include_str!("../../docs/runbooks.md");

#[test]
fn the_runbook_has_the_remedy_of_each_fault_and_no_other() {
    let (_, table) = RUNBOOKS.split_once("<!-- remedies -->\n").unwrap();
    let rows = table.lines().skip(2).take_while(|it| it.starts_with('|'));
    let shown: Vec<String> = rows
        .map(|row| row.split_once(" | ").unwrap().1.to_owned())
        .collect();
    let wanted: Vec<String> = Fault::ALL
        .iter()
        .map(|it| format!("`{}` | {} |", it.class().as_str(), it.remedy()))
        .collect();
    assert_eq!(shown, wanted);
}

#[test]
fn whatever_a_source_answers_names_a_fault_of_that_source() {
    let causes = [
        WaitCause::RateLimited,
        WaitCause::ServerError(503),
        WaitCause::Timeout,
        WaitCause::Network,
        WaitCause::BrokenBody,
        WaitCause::Blocked,
        WaitCause::Authentication,
        WaitCause::Budget,
        WaitCause::Crowded,
    ];
    for cause in causes {
        for (asked, name) in [(Service::Reddit, "Reddit"), (Service::Archive, "Archive")] {
            let fault = cause.fault(asked);
            assert!(
                format!("{fault:?}").starts_with(name),
                "{cause:?}: {fault:?}"
            );
        }
    }
}
