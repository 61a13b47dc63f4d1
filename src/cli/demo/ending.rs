//! What a demo leaves behind, shown at its end: what is stored, where, and what to try next.

use crate::cli::report::counted;
use crate::config::{DatabaseConfig, display_url};
use crate::store::{Store, StoreError};
use secrecy::ExposeSecret;
use std::io::IsTerminal;
use std::time::Duration;

/// Reading the numbers of a small database takes milliseconds.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// What is stored.
struct Stored {
    submissions: i64,
    subreddits: usize,
    open_gaps: i64,
}

/// Describes the database: in words on a terminal, else as a line of the log. `file` is the demo's own,
/// where it has one. Says nothing where the database cannot be read: why the demo ended is said elsewhere.
pub(super) async fn describe(database: &DatabaseConfig, file: Option<&str>) {
    let url = database.url.expose_secret();
    if Store::missing(url) {
        return;
    }
    let Ok(Ok(stored)) = tokio::time::timeout(READ_LIMIT, read(url)).await else {
        return;
    };
    let place = file.map_or_else(|| display_url(url), str::to_owned);
    if std::io::stderr().is_terminal() {
        eprintln!("{}", text(&stored, &place, file).trim_end());
    } else {
        tracing::info!(
            database = place,
            submissions = stored.submissions,
            subreddits = stored.subreddits,
            open_gaps = stored.open_gaps,
            next = file.map(|file| format!("freshet status --database-url sqlite://{file}")),
            "The demo ended; what it stored is simulated"
        );
    }
}

async fn read(url: &str) -> Result<Stored, StoreError> {
    let store = Store::connect(url, 1).await?;
    let (totals, subreddits) = (store.totals().await?, store.subreddits().await?);
    store.close().await;
    Ok(Stored {
        submissions: totals.submissions(),
        subreddits: subreddits.len(),
        open_gaps: subreddits.iter().map(|it| it.open_gaps).sum(),
    })
}

fn text(stored: &Stored, place: &str, file: Option<&str>) -> String {
    let submissions = stored.submissions.unsigned_abs();
    let submissions = counted(submissions, "simulated submission");
    let watched = counted(stored.subreddits as u64, "subreddit");
    let gaps = counted(stored.open_gaps.unsigned_abs(), "open gap");
    let mut text = format!(
        "\nStored {submissions} of {watched}; {gaps}.\nDatabase: {place}\nWhat to do next:\n"
    );
    if let Some(file) = file {
        let option = format!("--database-url sqlite://{file}");
        text += &format!(
            "  freshet status {option}\n  freshet coverage {option}\n  \
             freshet export {option} -o demo.csv\n  \
             freshet demo               starts over with an empty database\n"
        );
    }
    text + "  freshet run SUBREDDIT…     the real Reddit; README.md says how to get a key\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_database_and_fits_eighty_columns() {
        let stored = Stored {
            submissions: 1_234_567,
            subreddits: 13,
            open_gaps: 1,
        };
        let text = text(&stored, "freshet-demo.db", Some("freshet-demo.db"));
        assert!(text.contains("1234567 simulated submissions of 13 subreddits"));
        assert!(text.contains("1 open gap."));
        assert!(text.contains("freshet status --database-url sqlite://freshet-demo.db"));
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{text}");
    }
}
