//! What is no submission is kept in a room of fixed size.

use super::archived::record;
use super::archived_meetings::counters_are_true;
use super::conformance;
use super::fixtures::{NOW, World, nothing};
use freshet::store::{ArchiveRecord, FetchRecord, PollRecord};
use freshet::submission::{Refusal, Undecodable};
use serde_json::value::RawValue;

conformance!(
    a_hostile_listing_fills_the_room_and_no_more,
    one_large_object_is_cut_and_says_so,
    too_many_at_once_are_not_all_kept,
);

const ROOM: i64 = 16 * 1024 * 1024;

fn odd(text: &str, at: i64) -> Undecodable {
    let raw = RawValue::from_string(format!("\"{text}\"")).unwrap();
    Undecodable::new(raw, Refusal::NoId, "odd", NOW + at)
}

async fn held(world: &World) -> i64 {
    let bytes = if world.is_postgres() {
        "SELECT CAST(coalesce(sum(octet_length(raw) + 200), 0) AS bigint) FROM undecodable"
    } else {
        "SELECT CAST(coalesce(sum(length(CAST(raw AS BLOB)) + 200), 0) AS bigint) FROM undecodable"
    };
    let held = world.number(bytes).await;
    let counted = "SELECT CAST(sum(undecodable_bytes) AS bigint) FROM counters";
    assert_eq!(held, world.number(counted).await);
    held
}

async fn a_hostile_listing_fills_the_room_and_no_more(world: World) {
    let filler = "x".repeat(60_000);
    let mut dropped = 0;
    for round in 0..12_i64 {
        let objects: Vec<Undecodable> = (0..60)
            .map(|place| odd(&format!("{round}.{place}.{filler}"), round))
            .collect();
        dropped += match round % 3 {
            0 => {
                let poll = PollRecord {
                    listed: &[],
                    undecodable: &objects,
                    members: &[],
                    sweep: None,
                    now_ms: NOW,
                };
                world.store.record_poll(&poll).await.unwrap().dropped
            }
            1 => {
                let fetch = FetchRecord {
                    undecodable: &objects,
                    ..nothing()
                };
                world.store.record_fetches(&fetch).await.unwrap().dropped
            }
            _ => {
                let kept = ArchiveRecord {
                    undecodable: &objects,
                    ..record(&[])
                };
                world.store.record_archived(&kept).await.unwrap().dropped
            }
        };
        assert!(held(&world).await <= ROOM, "round {round}");
    }
    let rows = world.number("SELECT count(*) FROM undecodable").await;
    assert_eq!(rows + dropped as i64, 12 * 60);
    assert!(dropped > 0 && held(&world).await > ROOM / 2);
    // The oldest went.
    let oldest = world
        .number("SELECT min(last_seen_ms) FROM undecodable")
        .await;
    assert!(oldest > NOW);
    let newest = world
        .number("SELECT count(*) FROM undecodable WHERE last_seen_ms = 1790000000011")
        .await;
    assert_eq!(newest, 60);
    counters_are_true(&world).await;
}

async fn one_large_object_is_cut_and_says_so(world: World) {
    let large = odd(&"ü".repeat(5_000_000), 0);
    let poll = PollRecord {
        listed: &[],
        undecodable: std::slice::from_ref(&large),
        members: &[],
        sweep: None,
        now_ms: NOW,
    };
    world.store.record_poll(&poll).await.unwrap();
    world.store.record_poll(&poll).await.unwrap();
    assert!(held(&world).await < 66_000);
    let said =
        "SELECT count(*) FROM undecodable WHERE reason LIKE 'odd (kept: % of 10000002 bytes)'";
    assert_eq!(world.number(said).await, 1);
}

async fn too_many_at_once_are_not_all_kept(world: World) {
    let filler = "x".repeat(60_000);
    let objects: Vec<Undecodable> = (0..300)
        .map(|place| odd(&format!("{place}.{filler}"), place))
        .collect();
    let fetch = FetchRecord {
        undecodable: &objects,
        ..nothing()
    };
    let dropped = world.store.record_fetches(&fetch).await.unwrap().dropped;
    let rows = world.number("SELECT count(*) FROM undecodable").await;
    assert_eq!(rows + dropped as i64, 300);
    assert!(held(&world).await <= ROOM / 4 + 60_300);
    counters_are_true(&world).await;
}
