//! What becomes of submissions, and the truth about it.

use super::client::{Reddit, busy, oddities, still, subreddit};
use freshet::simulator::{Oddities, Publication, Removal, SimulatorOptions, Truth};
use std::collections::BTreeSet;
use std::time::Duration;

/// The truth as the wire tells it.
async fn wire_truth(reddit: &Reddit, query: &str) -> Vec<Truth> {
    let text = reddit
        .response(&format!("/simulator/truth{query}"))
        .await
        .text()
        .await
        .unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn listings_show_what_the_truth_says_at_every_time() {
    let odd =
        "late=0.2,reordered,resurfaced,scheduled,removed,restored,deleted,authors_gone,edited";
    let reddit = Reddit::start(SimulatorOptions {
        listing_cap: 0,
        ..busy(11, oddities(odd))
    })
    .await;
    let control = reddit.simulator.control();
    let mut seen = BTreeSet::new();
    for _ in 0..12 {
        control.advance(Duration::from_secs(1_800));
        let now_ms = control.now_ms();
        let listed = |truth: &&Truth| {
            truth
                .listed_ms
                .iter()
                .any(|(from, until)| *from <= now_ms && until.is_none_or(|until| now_ms < until))
        };
        let truth = wire_truth(&reddit, "").await;
        let expected: BTreeSet<String> = truth
            .iter()
            .filter(listed)
            .map(|truth| truth.id.clone())
            .collect();
        let walked = reddit.walk("all").await;
        let shown: BTreeSet<String> = walked.iter().cloned().collect();
        assert_eq!(walked.len(), shown.len(), "no id twice in a standing world");
        assert_eq!(shown, expected);
        seen.extend(shown);
    }
    let truth = control.truth();
    assert!(
        truth.iter().any(|truth| truth.listed_ms.len() > 1),
        "some came back"
    );
    assert!(truth.iter().any(|truth| truth.state == "held"));
    assert!(seen.len() > 500);
}

#[tokio::test]
async fn the_truth_is_told_in_parts() {
    let reddit = Reddit::start(busy(2, Oddities::none())).await;
    let whole = wire_truth(&reddit, "").await;
    assert_eq!(whole, reddit.simulator.control().truth());
    let name = whole[0].subreddit.clone();
    let of_one = wire_truth(&reddit, &format!("?subreddit={name}")).await;
    assert!(!of_one.is_empty() && of_one.len() < whole.len());
    assert!(of_one.iter().all(|truth| truth.subreddit == name));
    let since = whole[whole.len() / 2].created_utc;
    let late = wire_truth(&reddit, &format!("?since={since}")).await;
    assert!(late.iter().all(|truth| truth.created_utc >= since));
    assert!(!late.is_empty() && late.len() < whole.len());
    let part = wire_truth(&reddit, "?offset=10&limit=5").await;
    assert_eq!(part, whole[10..15]);
    assert_eq!(
        reddit.status("/simulator/truth?subreddit=not!valid").await,
        400
    );
}

#[tokio::test]
async fn a_late_approval_appears_below_newer_ones_at_its_created_place() {
    let reddit = Reddit::start(still()).await;
    let control = reddit.simulator.control();
    let older = reddit.publish("kettles");
    control.advance(Duration::from_secs(1));
    let held = Publication {
        held: true,
        ..Publication::to(&subreddit("kettles"))
    };
    let held = control.publish(held).unwrap();
    let newer = reddit.publish("kettles");
    let ids = |ids: &[&freshet::submission::SubmissionId]| -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    };
    assert_eq!(reddit.walk("kettles").await, ids(&[&newer, &older]));
    control.approve_late(&held).unwrap();
    assert_eq!(reddit.walk("kettles").await, ids(&[&newer, &held, &older]));
    assert!(control.approve_late(&held).is_err());
}

#[tokio::test]
async fn a_removed_one_comes_back_where_it_was_or_on_top() {
    let reddit = Reddit::start(still()).await;
    let control = reddit.simulator.control();
    let ids = reddit.fill(3);
    let order = |places: [usize; 3]| places.map(|place| ids[place].to_string()).to_vec();
    control.remove(&ids[1], Removal::AutomodFiltered).unwrap();
    assert_eq!(reddit.walk("kettles").await.len(), 2);
    control.restore(&ids[1], false).unwrap();
    assert_eq!(reddit.walk("kettles").await, order([2, 1, 0]));
    control.remove(&ids[0], Removal::AutomodFiltered).unwrap();
    control.advance(Duration::from_secs(5));
    control.restore(&ids[0], true).unwrap();
    assert_eq!(reddit.walk("kettles").await, order([0, 2, 1]));
    control.advance(Duration::from_secs(5));
    control.resurface(&ids[1]).unwrap();
    assert_eq!(reddit.walk("kettles").await, order([1, 0, 2]));
    assert!(control.restore(&ids[1], false).is_err());
}

#[tokio::test]
async fn edits_deletions_and_gone_authors_show_in_the_object() {
    let reddit = Reddit::start(still()).await;
    let control = reddit.simulator.control();
    let id = reddit.publish("kettles");
    let info = format!("/api/info?raw_json=1&id={}", id.fullname());
    let object = async || reddit.listing(&info).await.children()[0]["data"].clone();
    assert_eq!(object().await["edited"], false);
    control.advance(Duration::from_secs(60));
    control.edit(&id, Some("New text.".to_owned())).unwrap();
    let edited = object().await;
    assert_eq!(edited["selftext"], "New text.");
    assert_eq!(
        edited["edited"].as_f64(),
        Some((control.now_ms() / 1000) as f64)
    );
    control.delete_author(&id).unwrap();
    assert_eq!(object().await["author"], "[deleted]");
    assert!(object().await.get("author_fullname").is_none());
    control.remove(&id, Removal::Deleted).unwrap();
    assert_eq!(object().await["selftext"], "[deleted]");
    assert!(control.edit(&id, None).is_err());
    let truth = &control.truth()[0];
    assert_eq!(
        (truth.state.as_str(), truth.removed_by.as_deref()),
        ("removed", Some("deleted"))
    );
    assert!(truth.author_gone && truth.edited_at.is_some());
}

#[tokio::test]
async fn times_at_the_ends_of_the_scale_harm_nothing() {
    let reddit = Reddit::start(still()).await;
    let control = reddit.simulator.control();
    let mut ids = Vec::new();
    for created_utc in [i64::MIN, -1, 0, i64::MAX] {
        let publication = Publication {
            created_utc: Some(created_utc),
            ..Publication::to(&subreddit("kettles"))
        };
        ids.push(control.publish(publication).unwrap());
    }
    assert_eq!(
        reddit.walk("kettles").await,
        super::client::newest_first(&ids)
    );
    let above = format!("/r/kettles/new?before={}", ids[0].fullname());
    let page = reddit.listing(&above).await;
    assert_eq!(page.ids(), super::client::newest_first(&ids[1..]));
}
