//! What is under suspicion because its requests failed while others succeeded.

use super::conformance;
use super::fixtures::{NOW, World, id, ids, seen};

conformance!(
    suspicion_is_kept_for_whoever_begins_next,
    suspected_subreddits_are_claimed_as_such,
);

async fn suspicion_is_kept_for_whoever_begins_next(world: World) {
    let store = &world.store;
    world
        .list(&[seen("a1", NOW), seen("b2", NOW), seen("c3", NOW)])
        .await;
    let suspects = [(id("b2"), 7), (id("a1"), 3), (id("gone"), 2)];
    store.suspect_fetches(&suspects).await.unwrap();
    store.suspect_fetches(&[]).await.unwrap();
    let begin = async |by: &str| {
        let all = ids(&["a1", "b2", "c3"]);
        let begun = store.start_attempts(&all, by, NOW).await.unwrap();
        let mut begun: Vec<(String, u32)> = begun
            .iter()
            .map(|it| (it.id.to_string(), it.suspicion))
            .collect();
        begun.sort();
        begun
    };
    let told = |a1, b2| {
        let (a1, b2) = (("a1".to_owned(), a1), ("b2".to_owned(), b2));
        vec![a1, b2, ("c3".to_owned(), 0)]
    };
    assert_eq!(begin("one").await, told(3, 7));
    store.suspect_fetches(&[(id("a1"), 4)]).await.unwrap();
    assert_eq!(begin("two").await, told(4, 7));
    assert!(store.newest_fetched(3).await.unwrap().is_empty());
}

async fn suspected_subreddits_are_claimed_as_such(world: World) {
    let store = &world.store;
    let name = "rust".parse().unwrap();
    store.add_subreddit(&name, NOW / 1000).await.unwrap();
    for suspect in [false, true, false] {
        store.suspect_subreddit(&name, suspect).await.unwrap();
        let claimed = store.claim_due("one", NOW, 1_000, 9).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].suspect, suspect);
        let listed = store.subreddits().await.unwrap();
        assert_eq!(listed[0].suspect, suspect);
        let claims = [claimed[0].claim.clone()];
        store.release_claims(&claims).await.unwrap();
    }
}
