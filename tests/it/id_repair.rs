//! Gaps that are closed by ids: each id of their time is asked for, for all subreddits at once.

use crate::store::fixtures::member;
use crate::support::discovery::{World, our_clock};
use freshet::backfill::repair_gaps_by_ids;
use freshet::queue::{Handler, Outcome, SliceId};
use freshet::simulator::{
    Endpoint, Fault, Ids, Oddities, Publication, SimulatorOptions, SubredditState, Truth,
};
use freshet::store::{GapCause, GapRecord, GapState, Interval, PollRecord, SliceState};
use freshet::submission::{SubmissionId, SubredditName};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::task::Poll;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A world of `count` subreddits, each of which but the first is watched and has a gap of ten minutes.
struct Gapped {
    world: World,
    names: Vec<SubredditName>,
    gap: Interval,
    backfill: i64,
    /// The clock when it began, and what was asked for by then.
    asked: u64,
}

/// Subreddits that get 60 submissions an hour each, among a rest that gets one in two seconds.
async fn gapped(count: usize, unused: f64, oddities: Oddities) -> Gapped {
    let options = SimulatorOptions {
        ids: Ids {
            counter: true,
            unused,
            rest_per_second: 0.5,
        },
        oddities,
        steady: true,
        history: HOUR / 3,
        ..SimulatorOptions::world(11, count, 60.0)
    };
    let world = World::new(options, &[], 0).await;
    let names = world.simulator.control().subreddits().into_iter().skip(1);
    let names: Vec<SubredditName> = names
        .filter(|name| name.as_str() != "everything_else")
        .collect();
    world.watch(&names).await;
    world.advance(20 * MINUTE);
    let now = our_clock() / 1000;
    let gap = Interval {
        start: now - 1_000,
        end: now - 400,
    };
    open_gaps(&world, gap).await;
    let asked = world.simulator.control().stats().of(Endpoint::Info);
    let begun = repair_gaps_by_ids(&world.store, None, our_clock()).await;
    let begun = begun.unwrap().unwrap();
    assert_eq!(begun.gaps, names.len());
    Gapped {
        world,
        names,
        gap,
        backfill: begun.backfill,
        asked,
    }
}

/// What a poll of each left.
async fn open_gaps(world: &World, interval: Interval) {
    let claimed = world.store.claim_due("test", our_clock(), 60_000, 1_000);
    let members: Vec<_> = claimed
        .await
        .unwrap()
        .iter()
        .map(|claimed| {
            let mut member = member(&claimed.claim);
            member.gap = Some(GapRecord {
                interval,
                cause: GapCause::Cap,
            });
            member
        })
        .collect();
    let poll = PollRecord {
        listed: &[],
        undecodable: &[],
        members: &members,
        sweep: None,
        now_ms: our_clock(),
    };
    world.store.record_poll(&poll).await.unwrap();
}

impl Gapped {
    /// Does what can be done now; whether that was all.
    async fn work(&self) -> bool {
        let handler = self.world.slices();
        for slice in self.world.store.slices(self.backfill).await.unwrap() {
            if slice.state == SliceState::Waiting {
                let outcome = handler.run(SliceId(slice.id)).await;
                assert!(
                    matches!(
                        outcome,
                        Outcome::Stored | Outcome::Returned | Outcome::Obsolete
                    ),
                    "{outcome:?}"
                );
            }
        }
        self.is_done().await
    }

    async fn is_done(&self) -> bool {
        let slices = self.world.store.slices(self.backfill).await.unwrap();
        slices.iter().all(|slice| slice.state == SliceState::Done)
    }

    /// Whose gaps are open still.
    async fn open(&self) -> BTreeSet<String> {
        let gaps = self
            .world
            .store
            .gaps(None, Some(GapState::Open))
            .await
            .unwrap();
        gaps.iter().map(|gap| gap.subreddit.to_string()).collect()
    }

    async fn reason(&self) -> String {
        let slices = self.world.store.slices(self.backfill).await.unwrap();
        slices[0].reason.clone().unwrap_or_default()
    }

    fn requests(&self) -> u64 {
        self.world.simulator.control().stats().of(Endpoint::Info) - self.asked
    }

    /// What was created in the gap and is visible, of each that is watched.
    fn visible(&self) -> BTreeMap<String, BTreeSet<String>> {
        let truth = self.world.simulator.control().truth().into_iter();
        let is_in = |truth: &Truth| {
            (self.gap.start..self.gap.end).contains(&truth.created_utc)
                && truth.state == "public"
                && self
                    .names
                    .iter()
                    .any(|name| name.as_str() == truth.subreddit)
        };
        let mut visible: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for truth in truth.filter(is_in) {
            visible.entry(truth.subreddit).or_default().insert(truth.id);
        }
        visible
    }

    /// What is proven is stored, all of it.
    async fn is_true(&self) {
        let (open, stored) = (self.open().await, self.world.stored().await);
        for (name, visible) in self.visible() {
            let coverage = self
                .world
                .store
                .coverage(&name.parse().unwrap())
                .await
                .unwrap();
            let is_proven = coverage
                .iter()
                .any(|(start, end)| *start <= self.gap.start && self.gap.end <= *end);
            assert_eq!(is_proven, !open.contains(&name), "{name}: {coverage:?}");
            if is_proven {
                let lost: Vec<_> = visible.iter().filter(|id| !stored.contains(*id)).collect();
                assert!(lost.is_empty(), "{name} lost {lost:?}");
            }
        }
    }

    /// Something of a watched subreddit that was created in the gap.
    fn one_of(&self, name: &SubredditName) -> SubmissionId {
        let visible = self.visible();
        visible[name.as_str()].first().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn one_pass_closes_the_gaps_of_all_subreddits_of_that_time() {
    let gapped = gapped(40, 0.0, Oddities::none()).await;
    assert!(gapped.work().await, "{}", gapped.reason().await);
    assert_eq!(gapped.open().await, BTreeSet::new());
    let gaps = gapped.world.store.gaps(None, None).await.unwrap();
    assert!(
        gaps.iter()
            .all(|gap| gap.repaired_by.as_deref() == Some("ids"))
    );
    let visible: usize = gapped.visible().values().map(BTreeSet::len).sum();
    assert!(visible > 200, "{visible}");
    gapped.is_true().await;
    // Nobody waits for a fetch: what came was whole.
    assert_eq!(gapped.world.store.totals().await.unwrap().discovered, 0);
    // Some 1.15 ids a second, with what lies around them.
    assert!(gapped.requests() < 40, "{}", gapped.requests());
    let again = repair_gaps_by_ids(&gapped.world.store, None, our_clock()).await;
    assert_eq!(again.unwrap(), None);
}

#[tokio::test]
async fn a_gap_stays_open_while_an_absent_id_of_it_may_appear_late_and_is_closed_when_none_may() {
    let gapped = gapped(6, 0.03, Oddities::none()).await;
    let (world, control) = (&gapped.world, gapped.world.simulator.control());
    // As if a filter held one back of each kind: for a while, and for ever.
    let late = gapped.one_of(&gapped.names[0]);
    control.hide_from_info(&late, Some(5 * HOUR)).unwrap();
    let stopped: Vec<_> = control.subreddits();
    for name in &stopped {
        control.set_rate(name, 0.0).unwrap();
    }
    let mut passed = Duration::ZERO;
    for by in [
        Duration::from_secs(10),
        MINUTE,
        15 * MINUTE,
        4 * HOUR,
        2 * HOUR,
        20 * HOUR,
        9 * HOUR,
    ] {
        assert!(!gapped.work().await, "after {passed:?}");
        assert_eq!(gapped.open().await.len(), gapped.names.len());
        let is_stored = world.stored().await.contains(late.as_str());
        assert_eq!(is_stored, passed > 6 * HOUR, "after {passed:?}");
        world.advance(by);
        passed += by;
        // Something new shows what time it is.
        for _ in 0..10 {
            control.publish(Publication::to(&gapped.names[0])).unwrap();
        }
    }
    let reason = gapped.reason().await;
    assert!(reason.contains("absent and may appear late"), "{reason}");
    world.advance(2 * HOUR);
    for _ in 0..10 {
        control.publish(Publication::to(&gapped.names[0])).unwrap();
    }
    // Whatever is asked for, absence is believed at the second answer.
    gapped.work().await;
    world.advance(MINUTE / 6);
    assert!(gapped.work().await, "{}", gapped.reason().await);
    assert_eq!(gapped.open().await, BTreeSet::new());
    gapped.is_true().await;
}

#[tokio::test]
async fn a_pass_that_is_killed_anywhere_loses_nothing_and_proves_nothing_that_is_not_stored() {
    let gapped = gapped(12, 0.0, Oddities::none()).await;
    for killed in 1.. {
        let slice = gapped.world.store.slices(gapped.backfill).await.unwrap()[0].id;
        let begun = gapped.world.store.id_slice(slice).await.unwrap().is_some();
        // Once its ids are found, a request or two into them: before the last answer is read, or after its
        // next step.
        let requests = if begun { 3 + killed % 2 } else { 4 + killed };
        let until = gapped.requests() + requests;
        let work = gapped.work();
        tokio::pin!(work);
        let done = std::future::poll_fn(|context| {
            if killed % 3 > 0 && gapped.requests() >= until {
                return Poll::Ready(false);
            }
            match work.as_mut().poll(context) {
                Poll::Pending if gapped.requests() >= until => Poll::Ready(false),
                polled => polled,
            }
        })
        .await;
        gapped.is_true().await;
        if done {
            assert!(killed > 3, "{killed}");
            break;
        }
        // Its claim runs out.
        gapped.world.advance(Duration::from_secs(21));
        assert!(killed < 40, "it gets on: {}", gapped.reason().await);
    }
    assert_eq!(gapped.open().await, BTreeSet::new());
    gapped.is_true().await;
}

#[tokio::test]
async fn whoever_was_paused_or_is_not_shown_or_lacks_what_is_stored_keeps_its_gap() {
    let gapped = gapped(8, 0.0, Oddities::none()).await;
    let (world, control) = (&gapped.world, gapped.world.simulator.control());
    let store = &world.store;
    let [paused, private, lacking, removed, ..] = &gapped.names[..] else {
        panic!("there are seven");
    };
    // One is known, and ids do not show it; one was removed, which they do show.
    let hidden = gapped.one_of(lacking);
    let mut polls = HashSet::new();
    for name in [lacking, private] {
        polls.insert(gapped.one_of(name));
    }
    list(world, &polls).await;
    control.hide_from_info(&hidden, None).unwrap();
    store.pause_subreddit(paused).await.unwrap();
    control
        .set_subreddit_state(private, SubredditState::Private)
        .unwrap();
    assert!(!gapped.work().await, "ids are absent");
    store
        .resume_subreddit(paused, our_clock() / 1000)
        .await
        .unwrap();
    world.advance(37 * HOUR);
    gapped.work().await;
    world.advance(MINUTE / 6);
    assert!(gapped.work().await, "{}", gapped.reason().await);
    let kept = [paused, private, lacking].map(ToString::to_string);
    assert_eq!(gapped.open().await, BTreeSet::from(kept));
    assert!(!gapped.open().await.contains(removed.as_str()));
    let reason = gapped.reason().await;
    assert!(reason.contains("stay open"), "{reason}");
    gapped.is_true().await;
}

/// Has these listed by a poll.
async fn list(world: &World, ids: &HashSet<SubmissionId>) {
    let client = world.client(Duration::from_secs(30));
    let ids: Vec<SubmissionId> = ids.iter().cloned().collect();
    let page = client.info(&ids, freshet::source::RequestClass::Poll).await;
    let poll = PollRecord {
        listed: &page.unwrap().items,
        undecodable: &[],
        members: &[],
        sweep: None,
        now_ms: our_clock(),
    };
    world.store.record_poll(&poll).await.unwrap();
}

#[tokio::test]
async fn where_ids_are_not_in_the_order_of_creation_nothing_is_proven() {
    let gapped = gapped(6, 0.3, Oddities::none()).await;
    let control = gapped.world.simulator.control();
    // In place of ids that were given to nothing, what was created in the gap has ids from long before.
    let truth = control.truth();
    let used: HashSet<i64> = truth.iter().map(|it| number(&it.id)).collect();
    let mut free =
        (number(&truth[0].id)..number(&truth[truth.len() - 1].id)).filter(|id| !used.contains(id));
    for _ in 0..60 {
        let id = free.nth(4).unwrap();
        let publication = Publication {
            id: Some(SubmissionId::from_number(id).to_string()),
            created_utc: Some(gapped.gap.start + 5),
            ..Publication::to(&gapped.names[0])
        };
        control.publish(publication).unwrap();
    }
    gapped.work().await;
    gapped.world.advance(37 * HOUR);
    gapped.work().await;
    gapped.world.advance(MINUTE / 6);
    assert!(gapped.work().await, "{}", gapped.reason().await);
    assert_eq!(gapped.open().await.len(), gapped.names.len());
    let reason = gapped.reason().await;
    assert!(reason.contains("not in the order"), "{reason}");
}

#[tokio::test]
async fn what_was_proven_and_turns_out_to_lack_submissions_is_withdrawn() {
    let gapped = gapped(6, 0.0, Oddities::none()).await;
    let store = &gapped.world.store;
    let name = gapped.names[0].as_str();
    // Somebody is wrong about one of them.
    let whole = [gapped.gap];
    let proven = store.prove_backfill(gapped.backfill, name, &whole, None, our_clock());
    assert_eq!(proven.await.unwrap(), 1);
    assert!(gapped.visible()[name].len() >= 5);
    gapped.world.advance(HOUR);
    assert!(gapped.work().await, "{}", gapped.reason().await);
    let open = store.gaps(None, Some(GapState::Open)).await.unwrap();
    let open: Vec<_> = open
        .iter()
        .map(|gap| (gap.subreddit.as_str(), gap.cause))
        .collect();
    assert_eq!(open, [(name, GapCause::Contradicted)]);
    let covered = store.coverage(&gapped.names[0]).await.unwrap();
    let seconds: i64 = covered.iter().map(|(start, end)| end - start).sum();
    assert!(seconds < 200, "{covered:?}");
}

fn number(id: &str) -> i64 {
    id.parse::<SubmissionId>().unwrap().number().unwrap()
}

#[tokio::test]
async fn an_id_for_which_every_request_fails_leaves_the_time_around_it_open_and_nothing_else() {
    for fault in [
        Fault::ErrorEmpty { status: 500 },
        Fault::Nothing,
        Fault::ErrorEmpty { status: 400 },
    ] {
        let gapped = gapped(6, 0.0, Oddities::none()).await;
        let (world, control) = (&gapped.world, gapped.world.simulator.control());
        let bad = gapped.one_of(&gapped.names[2]);
        control.poison(bad.as_str(), Some(fault)).unwrap();
        // Whatever was known of it before, its absence is not believed.
        for turn in 0..10 {
            if gapped.work().await {
                break;
            }
            assert!(turn < 9, "{fault:?}: {}", gapped.reason().await);
            world.advance(12 * HOUR);
            for _ in 0..10 {
                control.publish(Publication::to(&gapped.names[0])).unwrap();
            }
        }
        let reason = gapped.reason().await;
        assert!(reason.contains("while others succeed"), "{reason}");
        let stored = world.stored().await;
        let mut left_open = 0;
        for (name, visible) in gapped.visible() {
            let name: SubredditName = name.parse().unwrap();
            let proven = world.store.coverage(&name).await.unwrap();
            let truth = control.truth();
            for id in &visible {
                let created = truth.iter().find(|it| &it.id == id).unwrap().created_utc;
                let is_proven = proven
                    .iter()
                    .any(|(from, to)| (*from..*to).contains(&created));
                assert!(
                    stored.contains(id) || id == bad.as_str(),
                    "{fault:?}: {id} is missing"
                );
                assert!(
                    !is_proven || stored.contains(id),
                    "{fault:?}: {id} is proven"
                );
                left_open += usize::from(!is_proven);
            }
            assert!(!proven.is_empty(), "{fault:?}: {name}");
        }
        let all: usize = gapped.visible().values().map(BTreeSet::len).sum();
        assert!(
            left_open * 2 < all,
            "{fault:?}: {left_open} of {all} lie in open time"
        );
        assert!(gapped.requests() < 250, "{fault:?}: {}", gapped.requests());
    }
}

#[tokio::test]
async fn an_outage_and_answers_that_give_out_nothing_only_delay_it() {
    let gapped = gapped(6, 0.0, Oddities::none()).await;
    let control = gapped.world.simulator.control();
    control.outage(true);
    // Its client waits for Reddit; the slice is let go in the end, or cut off.
    let _ = tokio::time::timeout(Duration::from_millis(300), gapped.work()).await;
    gapped.is_true().await;
    assert!(!gapped.is_done().await);
    control.outage(false);
    gapped.world.advance(Duration::from_secs(21));
    assert!(gapped.work().await, "{}", gapped.reason().await);
    assert_eq!(gapped.open().await, BTreeSet::new());
    gapped.is_true().await;
}
