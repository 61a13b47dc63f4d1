use super::*;
use proptest::prelude::*;

/// Ids with the time from which each is given out; none that are given to nothing.
struct Counter {
    first: i64,
    visible_ms: Vec<Option<i64>>,
    /// When each id came into being, ascending.
    made_ms: Vec<i64>,
}

impl Counter {
    fn given_out(&self, ids: &[i64], now_ms: i64) -> HashSet<i64> {
        let at = |id: &i64| usize::try_from(id - self.first).ok();
        let visible = |id: &i64| {
            let visible = at(id).and_then(|place| self.visible_ms.get(place)).copied();
            visible.flatten().is_some_and(|since| since <= now_ms)
        };
        ids.iter().copied().filter(|id| visible(id)).collect()
    }

    fn last(&self) -> i64 {
        self.first + i64::try_from(self.visible_ms.len()).unwrap() - 1
    }
}

/// As the ledger in the database does it.
#[derive(Default)]
struct Stored {
    ledger: IdLedger,
    seen: BTreeMap<i64, i64>,
    gone: BTreeMap<i64, i64>,
    tries: BTreeMap<i64, u32>,
}

impl Stored {
    fn record(&mut self, answer: &Answer, now_ms: i64) {
        for id in &answer.seen {
            assert_eq!(self.seen.insert(*id, now_ms), None, "{id} is seen once");
            assert!(!self.gone.contains_key(id), "{id} is absent for good");
        }
        for id in &answer.gone {
            assert_eq!(self.gone.insert(*id, now_ms), None);
            assert!(!self.seen.contains_key(id));
        }
        let retries = &mut self.ledger.retries;
        retries.retain(|it| !answer.seen.contains(&it.id) && !answer.gone.contains(&it.id));
        for retry in &answer.absent {
            *self.tries.entry(retry.id).or_default() += 1;
            retries.retain(|it| it.id != retry.id);
            retries.push(*retry);
        }
        self.ledger.head = self.ledger.head.max(answer.head);
        for asked in &answer.asked {
            let old = without(&self.ledger.runs, &[*asked]);
            assert_eq!(
                old, self.ledger.runs,
                "nothing is asked for again as if it were open"
            );
            self.ledger.runs.push(*asked);
        }
        self.ledger.runs.sort();
    }

    /// Every id from the first to the head is in exactly one state.
    fn is_whole(&self, skipped: i64) {
        let Stored {
            ledger, seen, gone, ..
        } = self;
        let all = ledger.head + 1 - ledger.first;
        let known = seen.len() + gone.len() + ledger.retries.len();
        assert_eq!(i64::try_from(known).unwrap() + skipped, all);
    }
}

fn ledger(first: i64) -> IdLedger {
    IdLedger {
        first,
        head: first - 1,
        ..IdLedger::default()
    }
}

/// One step, as the loop makes it: requests until the end is met, at most so many.
fn step(
    scan: &mut Scan,
    stored: &mut Stored,
    counter: &Counter,
    now_ms: i64,
    most: usize,
) -> usize {
    scan.begin_step();
    for number in 1..=most {
        let request = scan.request(now_ms, true);
        assert!(request.ids.len() <= MAX_INFO_IDS && !request.ids.is_empty());
        let answer = scan.answer(&request, &counter.given_out(&request.ids, now_ms), now_ms);
        stored.record(&answer, now_ms);
        scan.apply(&answer);
        stored.is_whole(scan.skipped());
        if !scan.goes_on(now_ms) {
            return number;
        }
    }
    most
}

/// One more request, for what lies below the head.
fn below(scan: &mut Scan, stored: &mut Stored, counter: &Counter, now_ms: i64) {
    let request = scan.request(now_ms, false);
    assert!(request.ids.iter().all(|id| *id <= scan.head()));
    let answer = scan.answer(&request, &counter.given_out(&request.ids, now_ms), now_ms);
    stored.record(&answer, now_ms);
    scan.apply(&answer);
    stored.is_whole(scan.skipped());
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    AtOnce,
    Late(i64),
    Never,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        90 => Just(Fate::AtOnce),
        4 => (1_i64..2_000).prop_map(Fate::Late),
        3 => (2_000_i64..120_000_000).prop_map(Fate::Late),
        3 => Just(Fate::Never),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_id_is_accounted_for_after_its_last_retry_whatever_its_order_or_lateness(
        fates in proptest::collection::vec((fate(), 0_i64..400), 1..1_200),
        restarts in proptest::collection::vec(0_usize..200, 0..3),
        back_ms in prop_oneof![Just(0_i64), 1_i64..100_000_000],
    ) {
        let mut at_ms = 1_000_000_000_000_i64;
        let mut counter = Counter { first: 5_000, visible_ms: Vec::new(), made_ms: Vec::new() };
        for (fate, gap_ms) in &fates {
            at_ms += gap_ms;
            counter.made_ms.push(at_ms);
            counter.visible_ms.push(match fate {
                Fate::AtOnce => Some(at_ms),
                Fate::Late(ms) => Some(at_ms + ms),
                Fate::Never => None,
            });
        }
        // One more, so that what is before it is below the head.
        counter.visible_ms.push(Some(at_ms));
        let mut stored = Stored { ledger: ledger(counter.first), ..Stored::default() };
        let mut now_ms = 1_000_000_000_000;
        let mut scan = Scan::new(&stored.ledger, &DELAYS_MS, now_ms);
        let mut steps = 0;
        while now_ms < at_ms + DELAYS_MS[4] + 10_000_000 {
            now_ms += if now_ms < at_ms + 30_000 { 2_000 } else { 2_000_000 };
            step(&mut scan, &mut stored, &counter, now_ms, 4);
            steps += 1;
            if restarts.contains(&steps) {
                stored.ledger.retries.sort_by_key(|it| it.id);
                scan = Scan::new(&stored.ledger, &DELAYS_MS, now_ms);
            }
        }
        // A clock that is set back loses nothing; it only makes the retries later.
        now_ms -= back_ms;
        for _ in 0..100 {
            now_ms += 4_000_000;
            step(&mut scan, &mut stored, &counter, now_ms, 4);
        }
        prop_assert_eq!(stored.ledger.head, counter.last());
        prop_assert_eq!(scan.pending(), 0);
        for (place, visible) in counter.visible_ms.iter().enumerate() {
            let id = counter.first + i64::try_from(place).unwrap();
            let seen = stored.seen.get(&id);
            match visible {
                None => prop_assert!(stored.gone.contains_key(&id), "{} never existed", id),
                Some(since) => {
                    let made_ms = counter.made_ms.get(place).copied().unwrap_or(at_ms);
                    if since - made_ms < DELAYS_MS[4] - 10_000_000 {
                        prop_assert!(seen.is_some(), "{} came {} ms late", id, since - made_ms);
                    }
                }
            }
        }
    }
}

/// All of Reddit: so many ids a second for so long, some of which never appear or appear late.
fn reddit(per_second: i64, seconds: i64) -> Counter {
    let mut counter = Counter {
        first: 3_983_689_053,
        visible_ms: Vec::new(),
        made_ms: Vec::new(),
    };
    for number in 0..per_second * seconds {
        let at_ms = number * 1000 / per_second;
        counter.made_ms.push(at_ms);
        counter.visible_ms.push(match number % 200 {
            7 | 90 | 151 => None,
            13 | 77 | 130 | 180 => Some(at_ms + 40_000 + (number * 7_919) % 3_000_000),
            _ => Some(at_ms),
        });
    }
    counter
}

#[test]
fn all_of_reddit_is_seen_within_seconds_for_one_request_a_step() {
    let counter = reddit(18, 1_800);
    let mut stored = Stored {
        ledger: ledger(counter.first),
        ..Stored::default()
    };
    let mut scan = Scan::new(&stored.ledger, &DELAYS_MS, 0);
    let (mut now_ms, mut requests) = (0, 0);
    while now_ms < 1_800_000 {
        now_ms += 1_760;
        requests += step(&mut scan, &mut stored, &counter, now_ms, 4);
    }
    // 34 a minute are one a step.
    assert!(requests < 30 * 36, "{requests} requests in half an hour");
    let mut lags: Vec<i64> = Vec::new();
    for (place, visible) in counter.visible_ms.iter().enumerate() {
        let id = counter.first + i64::try_from(place).unwrap();
        if let (Some(visible), Some(seen)) = (visible, stored.seen.get(&id))
            && *visible == counter.made_ms[place]
        {
            lags.push(seen - visible);
        }
    }
    lags.sort_unstable();
    assert!(lags[lags.len() * 95 / 100] <= 1_800, "{lags:?}");
    assert!(lags[lags.len() - 1] <= 3_600);
    let share = scan.share().unwrap();
    assert!((0.95..=1.0).contains(&share), "{share}");
    let rate = scan.rate().unwrap();
    assert!((17.0..19.0).contains(&rate), "{rate}");
}

#[test]
fn a_burst_is_followed_at_once_and_what_was_missed_by_far_is_left_for_later() {
    let counter = reddit(60, 60);
    let mut stored = Stored {
        ledger: ledger(counter.first),
        ..Stored::default()
    };
    let mut scan = Scan::new(&stored.ledger, &DELAYS_MS, 0);
    step(&mut scan, &mut stored, &counter, 2_000, 4);
    assert_eq!(
        stored.ledger.head,
        counter.first + 120,
        "121 ids in two requests"
    );
    step(&mut scan, &mut stored, &counter, 4_000, 4);
    assert!(!scan.is_behind(6_000));
    // Nothing was asked for meanwhile.
    assert!(scan.is_behind(44_000));
    scan.jump(counter.last() - 100, 60_000);
    stored.ledger.head = scan.head();
    let skipped = scan.skipped();
    assert!(skipped > 3_000, "{skipped}");
    for second in 60..240 {
        step(&mut scan, &mut stored, &counter, second * 1_000, 1);
        if second == 61 {
            assert_eq!(stored.ledger.head, counter.last(), "new ones first");
            assert!(scan.skipped() > skipped - 200);
        }
    }
    assert_eq!(scan.skipped(), 0, "and the others beside them");
}

#[test]
fn an_answer_that_gives_out_nothing_is_no_evidence_of_absence() {
    let counter = reddit(18, 60);
    let mut stored = Stored {
        ledger: ledger(counter.first),
        ..Stored::default()
    };
    let mut scan = Scan::new(&stored.ledger, &DELAYS_MS, 0);
    step(&mut scan, &mut stored, &counter, 30_000, 9);
    let before = stored.ledger.clone();
    assert!(!before.retries.is_empty());
    for hour in 1..100 {
        let now_ms = 30_000 + hour * 3_600_000;
        let request = scan.request(now_ms, true);
        let answer = scan.answer(&request, &HashSet::new(), now_ms);
        assert_eq!((&answer.gone, &answer.absent), (&Vec::new(), &Vec::new()));
        scan.apply(&answer);
    }
    assert_eq!(scan.pending(), before.retries.len());
}

#[test]
fn where_few_ids_exist_the_scan_says_so_and_asks_for_the_others_only_once_more() {
    let mut counter = reddit(17, 600);
    for (place, visible) in counter.visible_ms.iter_mut().enumerate() {
        if place % 50 != 0 {
            *visible = None;
        }
    }
    let mut stored = Stored {
        ledger: ledger(counter.first),
        ..Stored::default()
    };
    let mut scan = Scan::new(&stored.ledger, &DELAYS_MS, 0);
    let mut requests = 0;
    for second in (2..600).step_by(2) {
        requests += step(&mut scan, &mut stored, &counter, second * 1_000, 4);
        if second % 8 == 0 && scan.fills_a_request(second * 1_000) {
            below(&mut scan, &mut stored, &counter, second * 1_000);
            requests += 1;
        }
    }
    assert!(scan.share().unwrap() < 0.1);
    let behind = counter.last() - stored.ledger.head;
    assert!(behind < 200, "{behind} behind, {requests} requests");
    assert!(
        scan.pending() < 2_000,
        "{} pending, {requests}",
        scan.pending()
    );
    assert!(requests < 40 * 10, "{requests}");
}
