//! What happens to freshet's own processes.

use super::RESTART;
use crate::site::Site;

/// Longer than a claim, which lasts 20 s.
const FROZEN: (u64, u64) = (25, 60);

/// One that is at work, and a supervisor that starts it again.
pub async fn one_killed(site: &mut Site, role: &str) {
    let place = site.next_to_ask(role).await;
    site.members[place].kill().await;
    site.run.length.last(RESTART).await;
    site.members[place].start();
}

pub async fn all_killed(site: &mut Site, role: &str) {
    site.next_to_ask(role).await;
    let places = site.with_role(role);
    for place in &places {
        site.members[*place].kill().await;
    }
    site.run.length.last(RESTART).await;
    for place in places {
        site.members[place].start();
    }
}

/// One that is at work, with its claim and its jobs; the answer it waits for comes meanwhile.
pub async fn frozen(site: &mut Site, role: &str) {
    let place = site.next_to_ask(role).await;
    site.members[place].freeze();
    site.run.length.last(FROZEN).await;
    site.members[place].thaw();
}

/// All at once, and started again.
pub async fn terminated(site: &mut Site) {
    for member in &mut site.members {
        member.terminate();
    }
    for member in &mut site.members {
        let ended = member.ended().await;
        assert!(ended.success(), "{}: {ended}", member.role);
    }
    for member in &mut site.members {
        member.start();
    }
}

/// One after the other, as a deploy does it.
pub async fn rolling_restart(site: &mut Site) {
    for member in &mut site.members {
        member.terminate();
        let ended = member.ended().await;
        assert!(ended.success(), "{}: {ended}", member.role);
        member.start();
        member.running().await;
    }
}
