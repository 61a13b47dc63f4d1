//! `/api/info` and `/by_id`.

use super::client::{Reddit, newest_first, still, subreddit};
use freshet::simulator::{Publication, Removal, SubredditState};
use freshet::submission::SubmissionId;
use std::time::Duration;

fn names(ids: &[SubmissionId]) -> String {
    let names: Vec<String> = ids.iter().map(SubmissionId::fullname).collect();
    names.join(",")
}

#[tokio::test]
async fn info_answers_in_the_order_asked_and_leaves_out_what_is_unknown() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(3);
    let path = format!(
        "/api/info?id={},t3_zzzz,{}%20{},bare,t1_abc",
        ids[2].fullname(),
        ids[0].fullname(),
        ids[1].fullname()
    );
    let page = reddit.listing(&path).await;
    let asked = [&ids[2], &ids[0], &ids[1]].map(ToString::to_string);
    assert_eq!(page.ids(), asked);
    assert_eq!((page.after(), page.before()), (None, None));
    assert!(reddit.listing("/api/info").await.ids().is_empty());
}

#[tokio::test]
async fn info_takes_a_hundred_ids_and_no_more() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(101);
    let full = format!("/api/info.json?id={}", names(&ids[..100]));
    assert_eq!(reddit.listing(&full).await.ids().len(), 100);
    let answer = reddit
        .response(&format!("/api/info?id={}", names(&ids)))
        .await;
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("TOO_MANY_THING_IDS"));
}

#[tokio::test]
async fn info_shows_what_was_removed_and_hides_what_is_held_or_closed() {
    let reddit = Reddit::start(still()).await;
    let control = reddit.simulator.control();
    let removed = reddit.publish("kettles");
    control.remove(&removed, Removal::Moderator).unwrap();
    let held = Publication {
        held: true,
        ..Publication::to(&subreddit("kettles"))
    };
    let held = control.publish(held).unwrap();
    let closed = reddit.publish("teapots");
    control
        .set_subreddit_state(&subreddit("teapots"), SubredditState::Private)
        .unwrap();
    let path = format!("/api/info?id={}", names(&[removed.clone(), held, closed]));
    let page = reddit.listing(&path).await;
    assert_eq!(page.ids(), [removed.to_string()]);
    let object = &page.children()[0]["data"];
    assert_eq!(object["selftext"], "[removed]");
    assert_eq!(object["removed_by_category"], "moderator");
    assert!(reddit.walk("kettles").await.is_empty());
}

#[tokio::test]
async fn info_can_be_late_or_silent_for_ever() {
    let reddit = Reddit::start(still()).await;
    let control = reddit.simulator.control();
    let ids = reddit.fill(2);
    control
        .hide_from_info(&ids[0], Some(Duration::from_secs(60)))
        .unwrap();
    control.hide_from_info(&ids[1], None).unwrap();
    let path = format!("/api/info?id={}", names(&ids));
    assert!(reddit.listing(&path).await.ids().is_empty());
    assert_eq!(reddit.walk("kettles").await.len(), 2);
    control.advance(Duration::from_secs(61));
    assert_eq!(reddit.listing(&path).await.ids(), [ids[0].to_string()]);
    control.advance(Duration::from_secs(86_400 * 365));
    assert_eq!(reddit.listing(&path).await.ids(), [ids[0].to_string()]);
}

#[tokio::test]
async fn by_id_is_paged_and_not_found_where_nothing_is() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(30);
    let path = format!("/by_id/{}", names(&ids));
    let first = reddit.listing(&path).await;
    assert_eq!(first.ids().len(), 25);
    let after = first.after().unwrap();
    assert_eq!(after, ids[24].fullname());
    let second = reddit.listing(&format!("{path}?after={after}")).await;
    assert_eq!(second.ids().len(), 5);
    let whole = reddit.listing(&format!("{path}?limit=100")).await;
    let mut shown = whole.ids();
    shown.reverse();
    assert_eq!(shown, newest_first(&ids));
    assert_eq!(reddit.status("/by_id/t3_zzzz").await, 404);
}
