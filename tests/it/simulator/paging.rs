//! What pages hold, and what anchors mean.

use super::client::{Reddit, newest_first, oddities, still, subreddit};
use freshet::simulator::{Removal, SimulatorOptions, SubredditState};

#[tokio::test]
async fn pages_follow_each_other_newest_first_without_gap_or_double() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(250);
    assert_eq!(reddit.walk("kettles").await, newest_first(&ids));
    let first = reddit.listing("/r/Kettles/new.json").await;
    assert_eq!(first.ids(), newest_first(&ids)[..25]);
    assert_eq!(first.after(), Some(ids[225].fullname().as_str()));
    assert_eq!(
        reddit.listing("/r/kettles/new?limit=300").await.ids().len(),
        100
    );
    assert_eq!(
        reddit.listing("/r/kettles/new?limit=0").await.ids().len(),
        1
    );
}

#[tokio::test]
async fn a_last_page_that_is_full_points_to_an_empty_one() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(10);
    let page = reddit.listing("/r/kettles/new?limit=10").await;
    let last = ids[0].fullname();
    assert_eq!(page.after(), Some(last.as_str()));
    let next = reddit
        .listing(&format!("/r/kettles/new?limit=10&after={last}"))
        .await;
    assert_eq!((next.ids().len(), next.after()), (0, None));
    let short = reddit.listing("/r/kettles/new?limit=11").await;
    assert_eq!((short.ids().len(), short.after()), (10, None));
}

#[tokio::test]
async fn before_gives_the_items_just_above_newest_first_and_no_after() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(20);
    let path = format!("/r/kettles/new?limit=5&before={}", ids[10].fullname());
    let page = reddit.listing(&path).await;
    assert_eq!(page.ids(), newest_first(&ids[11..16]));
    assert_eq!((page.after(), page.before()), (None, None));
    let path = format!("/r/kettles/new?before={}", ids[19].fullname());
    assert!(reddit.listing(&path).await.ids().is_empty());
}

#[tokio::test]
async fn before_is_told_only_to_those_who_count() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(6);
    let path = format!("/r/kettles/new?limit=2&after={}", ids[4].fullname());
    assert_eq!(reddit.listing(&path).await.before(), None);
    let counted = reddit.listing(&format!("{path}&count=2")).await;
    assert_eq!(counted.before(), Some(ids[3].fullname().as_str()));
    assert_eq!(
        reddit.listing(&format!("{path}&count=0")).await.before(),
        None
    );
}

#[tokio::test]
async fn an_anchor_that_vanished_answers_with_an_empty_page() {
    for (list, expected) in [("vanished_anchors", 0), ("none", 5)] {
        let reddit = Reddit::start(SimulatorOptions {
            oddities: oddities(list),
            ..still()
        })
        .await;
        let ids = reddit.fill(10);
        let control = reddit.simulator.control();
        control.remove(&ids[5], Removal::Moderator).unwrap();
        let path = format!("/r/kettles/new?after={}", ids[5].fullname());
        let page = reddit.listing(&path).await;
        assert_eq!((page.ids().len(), page.after()), (expected, None), "{list}");
    }
}

#[tokio::test]
async fn an_anchor_that_is_nothing_starts_from_the_top() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(3);
    for anchor in ["zzzz", "t3_zzzzzz", "t1_abc", "t3_", ids[1].as_str()] {
        let page = reddit
            .listing(&format!("/r/kettles/new?after={anchor}"))
            .await;
        assert_eq!(page.ids(), newest_first(&ids), "{anchor}");
    }
    reddit.publish("teapots");
    let elsewhere = format!("/r/teapots/new?after={}", ids[1].fullname());
    assert!(reddit.listing(&elsewhere).await.ids().is_empty());
}

#[tokio::test]
async fn a_listing_ends_at_its_cap_and_removed_ones_keep_their_places() {
    let reddit = Reddit::start(SimulatorOptions {
        listing_cap: 40,
        ..still()
    })
    .await;
    let ids = reddit.fill(60);
    assert_eq!(reddit.walk("kettles").await, newest_first(&ids[20..]));
    let control = reddit.simulator.control();
    for id in &ids[50..] {
        control.remove(id, Removal::Reddit).unwrap();
    }
    assert_eq!(reddit.walk("kettles").await, newest_first(&ids[20..50]));
    let beyond = format!("/r/kettles/new?after={}", ids[19].fullname());
    assert!(reddit.listing(&beyond).await.ids().is_empty());
    let above = format!("/r/kettles/new?before={}", ids[19].fullname());
    assert!(reddit.listing(&above).await.ids().is_empty());
    let last = format!("/r/kettles/new?after={}", ids[20].fullname());
    assert!(reddit.listing(&last).await.ids().is_empty());
}

#[tokio::test]
async fn without_a_cap_everything_is_listed() {
    let reddit = Reddit::start(SimulatorOptions {
        listing_cap: 0,
        ..still()
    })
    .await;
    let ids = reddit.fill(1_200);
    assert_eq!(reddit.walk("kettles").await, newest_first(&ids));
}

#[tokio::test]
async fn several_subreddits_are_merged_by_date_each_up_to_its_cap() {
    let reddit = Reddit::start(SimulatorOptions {
        listing_cap: 30,
        ..still()
    })
    .await;
    let ids: Vec<_> = (0..90)
        .map(|number| reddit.publish(["kettles", "teapots", "clocks"][number % 3]))
        .collect();
    assert_eq!(
        reddit.walk("clocks+kettles+teapots").await,
        newest_first(&ids)
    );
    assert_eq!(
        reddit.walk("clocks%2Bkettles%2Bteapots").await,
        newest_first(&ids)
    );
    assert_eq!(reddit.walk("all").await, newest_first(&ids));
    reddit.publish("kettles");
    assert_eq!(reddit.walk("clocks+kettles+teapots").await.len(), 90);
    let before = format!(
        "/r/clocks+kettles+teapots/new?limit=4&before={}",
        ids[80].fullname()
    );
    assert_eq!(
        reddit.listing(&before).await.ids(),
        newest_first(&ids[81..85])
    );
}

#[tokio::test]
async fn unknown_members_are_dropped_and_private_ones_fail_the_whole() {
    let reddit = Reddit::start(still()).await;
    let ids = reddit.fill(2);
    reddit.publish("teapots");
    assert_eq!(
        reddit.walk("kettles+nowhere+not!a!name").await,
        newest_first(&ids)
    );
    assert_eq!(reddit.status("/r/nowhere+neither/new").await, 404);
    let control = reddit.simulator.control();
    let name = subreddit("teapots");
    control
        .set_subreddit_state(&name, SubredditState::Private)
        .unwrap();
    assert_eq!(reddit.status("/r/kettles+teapots/new").await, 403);
    control
        .set_subreddit_state(&name, SubredditState::Banned)
        .unwrap();
    assert_eq!(reddit.status("/r/kettles+teapots/new").await, 404);
    control
        .set_subreddit_state(&name, SubredditState::Gone)
        .unwrap();
    assert_eq!(reddit.walk("kettles+teapots").await, newest_first(&ids));
}

#[tokio::test]
async fn lenient_multis_leave_private_members_out() {
    let reddit = Reddit::start(SimulatorOptions {
        oddities: oddities("lenient_multis"),
        ..still()
    })
    .await;
    let ids = reddit.fill(2);
    reddit.publish("teapots");
    let control = reddit.simulator.control();
    control
        .set_subreddit_state(&subreddit("teapots"), SubredditState::Private)
        .unwrap();
    assert_eq!(reddit.walk("kettles+teapots").await, newest_first(&ids));
    assert_eq!(reddit.status("/r/teapots/new").await, 403);
}

#[tokio::test]
async fn entities_are_written_unless_raw_json_is_asked_for() {
    let reddit = Reddit::start(still()).await;
    let title = "a < b && c > \"d\" – 😀";
    let publication = freshet::simulator::Publication {
        title: Some(title.to_owned()),
        ..freshet::simulator::Publication::to(&subreddit("kettles"))
    };
    let id = reddit.simulator.control().publish(publication).unwrap();
    let read = async |path: &str| reddit.listing(path).await.children()[0]["data"]["title"].clone();
    let escaped = "a &lt; b &amp;&amp; c &gt; \"d\" – 😀";
    assert_eq!(read("/r/kettles/new").await, escaped);
    assert_eq!(read("/r/kettles/new?raw_json=1").await, title);
    let info = format!("/api/info?id={}", id.fullname());
    assert_eq!(read(&info).await, escaped);
    assert_eq!(read(&format!("{info}&raw_json=1")).await, title);
}
