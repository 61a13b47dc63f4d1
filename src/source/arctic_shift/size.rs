//! How many rows to ask for at once, and how long to pause where that was too much.
//!
//! Large pages cost the archive's database time, and what takes it too long is refused. So the size is
//! halved when it is too slow, and grows again while it is not. Shared by all who ask.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The most that the archive gives out at once.
pub(super) const LARGEST: u32 = 100;
/// Below it, pages cost more by their number than by their size.
const SMALLEST: u32 = 10;
/// Rows more with each answer that came.
const STEP: u32 = 5;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct PageSize(Mutex<State>);

#[derive(Debug)]
struct State {
    rows: u32,
    /// Answers in a row that were too slow.
    slow: u32,
}

/// What one request is asked with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) rows: u32,
    slow: u32,
}

impl Default for PageSize {
    fn default() -> PageSize {
        PageSize(Mutex::new(State {
            rows: LARGEST,
            slow: 0,
        }))
    }
}

impl PageSize {
    /// What to ask for now; less than `at_least` only where the archive gives out less.
    pub(super) fn now(&self, at_least: u32) -> Asked {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Asked {
            rows: state.rows.max(at_least.min(LARGEST)),
            slow: state.slow,
        }
    }

    /// It was too much; how long to pause. Many that were too much together count once.
    pub(super) fn too_slow(&self, asked: Asked) -> Duration {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.slow == asked.slow {
            state.slow = state.slow.saturating_add(1);
            state.rows = state.rows.min((asked.rows / 2).max(SMALLEST));
        }
        let doublings = state.slow.saturating_sub(1);
        FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(LONGEST_PAUSE)
    }

    /// An answer came.
    pub(super) fn answered(&self, asked: Asked) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was asked before another was too slow says nothing about the time since.
        if state.slow == asked.slow {
            state.slow = 0;
            if asked.rows >= state.rows {
                state.rows = (state.rows + STEP).min(LARGEST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_slow_halves_down_to_ten_and_answers_grow_it_back() {
        let size = PageSize::default();
        let pauses: Vec<u64> = (0..7)
            .map(|_| size.too_slow(size.now(1)).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(size.now(1).rows, 10);
        assert_eq!((size.now(40).rows, size.now(500).rows), (40, 100));
        let mut rows = vec![];
        for _ in 0..20 {
            size.answered(size.now(1));
            rows.push(size.now(1).rows);
        }
        assert_eq!((rows[0], rows[1], rows[17], rows[19]), (15, 20, 100, 100));
    }

    #[test]
    fn many_that_are_too_slow_together_count_once() {
        let size = PageSize::default();
        let together = [size.now(1), size.now(1), size.now(1)];
        let pauses = together.map(|asked| size.too_slow(asked).as_secs());
        assert_eq!((pauses, size.now(1).rows), ([1, 1, 1], 50));
        size.answered(together[0]);
        assert_eq!(size.now(1).rows, 50, "it was asked before");
    }
}
