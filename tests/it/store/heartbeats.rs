//! The newest heartbeats that came through.

use super::conformance;
use super::fixtures::{NOW, World, seen_with};
use freshet::store::Heartbeat;

conformance!(
    the_newest_heartbeat_counts_unless_it_comes_from_the_future,
    a_submission_is_a_heartbeat_once_it_is_fetched,
);

fn beat(path: &str, sent_ms: i64, done_ms: i64) -> Heartbeat {
    let path = path.to_owned();
    Heartbeat {
        path,
        sent_ms,
        done_ms,
    }
}

async fn the_newest_heartbeat_counts_unless_it_comes_from_the_future(world: World) {
    let store = &world.store;
    assert!(store.heartbeats().await.unwrap().is_empty());
    for (sent_ms, done_ms, newest) in [
        (NOW, NOW + 5, beat("job", NOW, NOW + 5)),
        (NOW + 9, NOW + 10, beat("job", NOW + 9, NOW + 10)),
        // One that was long under way.
        (NOW + 1, NOW + 11, beat("job", NOW + 9, NOW + 10)),
        // The clock was set back.
        (NOW - 90, NOW - 80, beat("job", NOW - 90, NOW - 80)),
    ] {
        store.record_heartbeat(sent_ms, done_ms).await.unwrap();
        assert_eq!(store.heartbeats().await.unwrap(), [newest]);
    }
}

async fn a_submission_is_a_heartbeat_once_it_is_fetched(world: World) {
    let beats = r#","subreddit":"Freshet_Heartbeat","title":"t""#;
    let seen = [
        seen_with("a1", NOW, beats),
        seen_with("b2", NOW, r#","subreddit":"rust""#),
    ];
    world.list(&seen).await;
    assert!(world.store.heartbeats().await.unwrap().is_empty());
    world.fetch(&seen).await;
    let newest = beat("submission", seen[0].submission.created_utc * 1000, NOW);
    assert_eq!(world.store.heartbeats().await.unwrap(), [newest]);
}
