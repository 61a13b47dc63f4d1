//! A database is marked as holding what is real or what is made up, and never as both.

use super::conformance;
use super::fixtures::World;
use freshet::store::Mark;

conformance!(
    of_two_that_mark_a_database_at_once_one_is_refused,
    a_mark_stays_and_keeps_the_other_out,
);

async fn a_mark_stays_and_keeps_the_other_out(world: World) {
    let store = &world.store;
    for _ in 0..2 {
        assert!(
            store
                .mark_unless(Mark::Real, Mark::Simulated)
                .await
                .unwrap()
        );
        assert!(
            !store
                .mark_unless(Mark::Simulated, Mark::Real)
                .await
                .unwrap()
        );
    }
    assert!(store.is_real().await.unwrap());
    assert!(!store.is_simulated().await.unwrap());
}

async fn of_two_that_mark_a_database_at_once_one_is_refused(world: World) {
    let other = world.another().await;
    for round in 0..8 {
        let (real, simulated) = tokio::join!(
            world.store.mark_unless(Mark::Real, Mark::Simulated),
            other.mark_unless(Mark::Simulated, Mark::Real)
        );
        assert_ne!(real.unwrap(), simulated.unwrap(), "{round}");
        world.run("DELETE FROM marks").await;
    }
}
