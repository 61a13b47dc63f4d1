//! Backfills in the status: a line each, and what somebody has to attend to.

use super::{align_right, counted, shown, table};
use crate::observe::{BackfillStatus, BackfillsStatus};
use chrono::DateTime;

/// Backfills that are shown, and lines of what is to be said of them, at most.
const MOST: usize = 10;
/// Columns of a terminal.
const WIDTH: usize = 80;
/// What stands before a text of the status.
const INDENT: &str = "             ";
/// Files hold from the beginning to the end of time, where nothing narrower was asked for.
const AGE_OF_REDDIT: i64 = 100 * 366 * 86_400;

pub(super) fn lines(backfills: &BackfillsStatus) -> Vec<String> {
    let newest = &backfills.newest;
    if newest.is_empty() {
        return Vec::new();
    }
    let mut rows = table(&[
        "ID",
        "BACKFILL OF",
        "SOURCE",
        "FROM",
        "UNTIL",
        "DONE",
        "STATE",
    ]);
    align_right(&mut rows, &[0, 5]);
    for backfill in newest.iter().take(MOST) {
        let bounded = backfill.range_end - backfill.range_start < AGE_OF_REDDIT;
        let day = |at| match DateTime::from_timestamp(at, 0).filter(|_| bounded) {
            Some(time) => time.date_naive().to_string(),
            None => "–".to_owned(),
        };
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 100")]
        let done = (backfill.share_done * 100.0).floor() as i64;
        rows.add_row([
            backfill.id.to_string(),
            shown(&backfill.subreddit),
            shown(&backfill.source),
            day(backfill.range_start),
            day(backfill.range_end),
            format!("{done} %"),
            state(backfill).to_owned(),
        ]);
    }
    let mut lines = vec![String::new(), rows.to_string()];
    let all = backfills.running + backfills.paused;
    if newest.len() > MOST {
        lines.push(format!("… {all} are open in all: freshet backfill list"));
    }
    let (set_aside, waits): (Vec<_>, Vec<_>) = newest
        .iter()
        .filter(|backfill| backfill.slices_failed > 0 || backfill.trouble.is_some())
        .partition(|backfill| backfill.slices_failed > 0);
    for backfill in set_aside.into_iter().take(MOST) {
        let (id, slices) = (
            backfill.id,
            counted(backfill.slices_failed.unsigned_abs(), "slice"),
        );
        lines.push(format!(
            "Set aside    {slices} of backfill {id}; try again: freshet backfill resume {id}"
        ));
        lines.extend(backfill.trouble.iter().map(|trouble| cut(INDENT, trouble)));
    }
    for backfill in waits.into_iter().take(MOST) {
        let begins = format!("Waiting      backfill {}: ", backfill.id);
        lines.extend(backfill.trouble.iter().map(|trouble| cut(&begins, trouble)));
    }
    lines
}

/// One that runs is worked on by somebody, or it waits for that.
fn state(backfill: &BackfillStatus) -> &str {
    match backfill.state.as_str() {
        "running" if backfill.slices_active == 0 => "waits",
        state => state,
    }
}

/// A text behind its label, on one line.
fn cut(begins: &str, text: &str) -> String {
    let whole = format!("{begins}{}", shown(text));
    if whole.chars().count() <= WIDTH {
        return whole;
    }
    let kept: String = whole.chars().take(WIDTH - 1).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backfill(id: i64, subreddit: &str) -> BackfillStatus {
        BackfillStatus {
            id,
            subreddit: subreddit.to_owned(),
            source: "arctic-shift".to_owned(),
            state: "running".to_owned(),
            range_start: 1_704_067_200,
            range_end: 1_719_792_000,
            created_at: 1_750_000_000,
            share_done: 0.999,
            slices: 40,
            slices_done: 39,
            slices_active: 1,
            slices_failed: 0,
            listed: 12_345,
            expected: None,
            trouble: None,
        }
    }

    fn told(newest: Vec<BackfillStatus>) -> String {
        let status = BackfillsStatus {
            running: newest.len().try_into().unwrap(),
            newest,
            ..BackfillsStatus::default()
        };
        lines(&status).join("\n")
    }

    #[test]
    fn nothing_is_said_of_no_backfill() {
        assert!(told(Vec::new()).is_empty());
    }

    #[test]
    fn each_backfill_has_a_line_that_fits_a_terminal() {
        let longest = BackfillStatus {
            share_done: 1.0,
            slices_failed: 2,
            trouble: Some(format!("the archive said\n{}", "no ".repeat(60))),
            ..backfill(999, &"a".repeat(21))
        };
        let waiting = BackfillStatus {
            slices_active: 0,
            trouble: Some("the archive does not answer: ".repeat(9)),
            ..backfill(4, "rust")
        };
        let files = BackfillStatus {
            source: "files".to_owned(),
            range_start: 0,
            range_end: 253_402_300_800,
            ..backfill(5, "all")
        };
        let told = told(vec![longest, files, waiting, backfill(3, "rust")]);
        for line in told.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(
            told.contains("2024-01-01  2024-07-01   99 %  running"),
            "{told}"
        );
        assert!(told.contains("–           –            99 %"), "{told}");
        assert!(told.contains(" 99 %  waits"), "{told}");
        assert!(
            told.contains("2 slices of backfill 999; try again: freshet backfill resume 999"),
            "{told}"
        );
        assert!(told.contains("Waiting      backfill 4: the archive does not answer"));
    }

    #[test]
    fn many_backfills_do_not_fill_the_screen() {
        let many = (0..60).map(|id| backfill(id, "rust")).collect();
        let told = told(many);
        assert!(told.lines().count() < 15, "{told}");
        assert!(told.contains("60 are open in all"), "{told}");
    }
}
