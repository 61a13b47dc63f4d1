//! How much of the queue work of lower priority may take.
//!
//! The queue is first in, first out: a live submission waits behind whatever is in it. So background work
//! is enqueued only up to one request's worth, or what the workers finish in two seconds: a live one
//! waits for that at most, and a backlog is worked off as fast as the budget and the workers allow.
//! Knows no queue and no database, only how many jobs there are and when.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// One request's worth.
const MIN_JOBS: u32 = 100;
/// Background work may take what was finished within this time.
const WINDOW: Duration = Duration::from_secs(2);
/// Where no job has ended for so long and none waits, the workers hold jobs that hang, and others may go
/// on beside them.
const STALLED: Duration = Duration::from_secs(10);

/// What was seen of the queue.
#[derive(Debug)]
pub(super) struct Background {
    /// Jobs that wait or run, by the last look and what was pushed since.
    jobs: Option<u32>,
    /// When how many jobs had ended.
    ended: VecDeque<(Instant, u32)>,
    /// When the last job ended, or was let in since none did.
    last_end: Instant,
}

impl Background {
    pub(super) fn new(now: Instant) -> Background {
        Background {
            jobs: None,
            ended: VecDeque::new(),
            last_end: now,
        }
    }

    /// How many jobs of lower priority may be pushed, where so many wait and run.
    pub(super) fn room(&mut self, waiting: u32, running: u32, now: Instant) -> u32 {
        let jobs = waiting.saturating_add(running);
        let ended = self.jobs.map_or(0, |before| before.saturating_sub(jobs));
        self.jobs = Some(jobs);
        if ended > 0 {
            self.ended.push_back((now, ended));
        }
        if ended > 0 || jobs == 0 {
            self.last_end = now;
        }
        while self.ended.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.ended.pop_front();
        }
        let recently = self.ended.iter().map(|(_, jobs)| jobs);
        let recently = recently.fold(0, |sum: u32, jobs| sum.saturating_add(*jobs));
        let room = recently.max(MIN_JOBS).saturating_sub(jobs);
        if room == 0 && waiting == 0 && now - self.last_end >= STALLED {
            self.last_end = now;
            return MIN_JOBS;
        }
        room
    }

    /// So many were pushed, of whatever priority.
    pub(super) fn pushed(&mut self, jobs: usize) {
        let pushed = u32::try_from(jobs).unwrap_or(u32::MAX);
        self.jobs = self.jobs.map(|jobs| jobs.saturating_add(pushed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers that finish `lot` jobs every `every`, fed by looks every 25 ms for `seconds`; how many
    /// background jobs were finished, and the most that a live one would have had to wait for.
    fn worked_off(lot: u32, every: Duration, seconds: u64) -> (u64, u32) {
        let begun = Instant::now();
        let mut background = Background::new(begun);
        let (mut jobs, mut done, mut most) = (0_u32, 0_u64, 0_u32);
        let mut next = every;
        for tick in 0..seconds * 40 {
            let at = Duration::from_millis(tick * 25);
            while next <= at {
                let ended = jobs.min(lot);
                jobs -= ended;
                done += u64::from(ended);
                next += every;
            }
            let room = background
                .room(jobs, 0, begun + at)
                .min(2_000 - jobs.min(2_000));
            background.pushed(room as usize);
            jobs += room;
            most = most.max(jobs);
        }
        (done, most)
    }

    #[test]
    fn a_backlog_is_worked_off_at_the_full_rate_and_a_live_job_waits_for_two_seconds_of_it() {
        // Requests of a hundred, so many a minute: those of a small budget, and of one without limit.
        for requests_per_minute in [2, 4, 6, 15, 30, 60, 300, 1_000, 6_000] {
            let every = Duration::from_secs(60) / requests_per_minute;
            let (done, most) = worked_off(100, every, 120);
            // But for the last lot, which ends with the time.
            let possible = f64::from(requests_per_minute) * 2.0 * 100.0 - 100.0;
            let share = done as f64 / possible;
            assert!(share >= 0.95, "{requests_per_minute}: {share}");
            let two_seconds = requests_per_minute * 100 / 30;
            let allowed = (two_seconds + 100).min(2_000);
            assert!(most <= allowed, "{requests_per_minute}: {most} > {allowed}");
        }
    }

    #[test]
    fn live_jobs_take_the_place_of_background_jobs() {
        let now = Instant::now();
        let mut background = Background::new(now);
        assert_eq!(background.room(0, 0, now), 100);
        assert_eq!(background.room(30, 30, now), 40);
        assert_eq!(background.room(90, 30, now), 0);
        assert_eq!(background.room(2_000, 200, now), 0);
    }

    #[test]
    fn jobs_that_hang_keep_the_others_waiting_for_ten_seconds() {
        let begun = Instant::now();
        let mut background = Background::new(begun);
        assert_eq!(background.room(0, 100, begun), 0);
        let later = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(background.room(0, 100, later(9)), 0);
        assert_eq!(background.room(0, 100, later(10)), 100);
        background.pushed(100);
        assert_eq!(
            background.room(100, 100, later(30)),
            0,
            "no worker takes any"
        );
        assert_eq!(background.room(0, 200, later(31)), 100);
        assert_eq!(background.room(0, 200, later(32)), 0, "once in ten seconds");
    }
}
