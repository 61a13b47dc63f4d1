//! A log that nobody takes: its reader stops reading, then goes, and then its disk is full.

use super::NO_WRITES;
use crate::course::until;
use crate::site::Site;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(300);

/// One kind after the other; between two of them every process is stopped in order, and started again.
pub async fn gone(site: &mut Site) {
    for member in &site.members {
        member.stop_reading();
    }
    site.run.length.last(NO_WRITES).await;
    works_on(site, "while nobody reads the log").await;
    for member in &site.members {
        member.let_reader_go();
    }
    lines_are_lost(site).await;
    works_on(site, "once the log's reader has gone").await;
    stop(site).await;
    for member in &mut site.members {
        member.start_with_full_log();
    }
    lines_are_lost(site).await;
    site.run.length.last(NO_WRITES).await;
    works_on(site, "while the log's disk is full").await;
    stop(site).await;
    for member in &mut site.members {
        member.start();
    }
}

/// Every process runs, and what appears now is fetched.
async fn works_on(site: &mut Site, when: &str) {
    let mut wanted = Vec::new();
    for subreddit in &site.reddit.subreddits {
        wanted.push(site.reddit.publish(subreddit, None).await);
    }
    until(&format!("all is fetched {when}"), PATIENCE, async || {
        let fetched = "SELECT id FROM submissions WHERE status <> 'discovered'";
        let fetched = site.database.texts(fetched).await.unwrap_or_default();
        wanted.iter().all(|id| fetched.contains(id))
    })
    .await;
    for member in &mut site.members {
        assert!(!member.has_ended(), "a {} ended {when}", member.role);
    }
}

async fn lines_are_lost(site: &Site) {
    for member in &site.members {
        let what = format!("a {} counts lost lines", member.role);
        until(&what, PATIENCE, async || {
            let lost = member.counted("freshet_log_lines_lost_total").await;
            lost.is_some_and(|lost| lost > 0.0)
        })
        .await;
    }
}

/// All at once, by SIGTERM.
async fn stop(site: &mut Site) {
    for member in &mut site.members {
        member.terminate();
    }
    for member in &mut site.members {
        let ended = member.ended().await;
        assert!(ended.success(), "{}: {ended}", member.role);
    }
}
