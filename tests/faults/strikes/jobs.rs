//! One submission whose fetch is the fault.

use crate::course::{Length, until};
use crate::site::{POISON, Site};
use freshet::ingest::MOST_ATTEMPTS;
use freshet::simulator::{Command, Fault};
use std::time::Duration;
use tokio::time::timeout;

/// Six attempts, with up to half a minute between two.
const PATIENCE: Duration = Duration::from_secs(900);

/// Whoever asks Reddit for it is killed before it is answered, until the job is set aside.
pub async fn killing(site: &mut Site) {
    let workers = match site.with_role("worker") {
        none if none.is_empty() => site.with_role("all"),
        workers => workers,
    };
    let mut hearings = Vec::new();
    for place in &workers {
        let words = format!("t3_{POISON}");
        hearings.push(site.members[*place].reddit.listen_for(&words));
    }
    publish(site).await;
    let mut kills = 0;
    let whole = async {
        loop {
            let asked = async {
                let hearing = hearings.iter_mut().map(|it| Box::pin(it.heard.changed()));
                futures::future::select_all(hearing).await.1
            };
            tokio::select! {
                index = asked => {
                    let member = &mut site.members[workers[index]];
                    member.kill().await;
                    // What was held back is never to be asked.
                    member.reddit.close();
                    member.reddit.open();
                    member.start();
                    kills += 1;
                }
                () = until("it is set aside", PATIENCE, async || {
                    site.database.number(DEAD).await == Some(1)
                }) => break,
            }
        }
    };
    timeout(PATIENCE, whole).await.expect("it is set aside");
    let attempts = usize::try_from(MOST_ATTEMPTS).unwrap();
    assert!(
        (2..=attempts).contains(&kills),
        "{kills} processes were killed"
    );
    for member in &mut site.members {
        member.running().await;
    }
}

const DEAD: &str = "SELECT count(*) FROM fetches WHERE dead_at IS NOT NULL";

/// The workers of this site panic at it by themselves; see `panicking`.
pub async fn panicking(site: &mut Site) {
    publish(site).await;
    until_set_aside(site).await;
}

/// The connection is reset whenever it is asked for.
pub async fn poisoned(site: &mut Site) {
    let command = Command::Poison {
        word: POISON.to_owned(),
        fault: Some(Fault::Reset),
    };
    site.reddit.tell(&command).await;
    publish(site).await;
    until_set_aside(site).await;
}

async fn until_set_aside(site: &mut Site) {
    let hurries = site.run.length == Length::Short;
    until("it is set aside", PATIENCE, async || {
        // A short run does not wait for the half minutes between the attempts.
        if hurries {
            let sql = "UPDATE fetches SET due_ms = 0 WHERE id = 'poison' AND attempts > 0
                           AND fed_ms IS NULL AND dead_at IS NULL AND due_ms > 0 RETURNING 1";
            site.database.rows::<(i32,)>(sql).await;
        }
        site.database.number(DEAD).await == Some(1)
    })
    .await;
}

async fn publish(site: &Site) {
    let busiest = &site.reddit.subreddits[0];
    site.reddit.publish(busiest, Some(POISON)).await;
}
