//! Times that lie ahead of our clock: another machine's is ahead, or ours has since been set back.

/// More than the clocks of several machines should differ (milliseconds). What was timed further ahead
/// than this was timed under such a clock, and its time is not believed.
pub(super) const AHEAD_MS: i64 = 60_000;

/// A claim or lease may seem to end this many times its length ahead before it is taken for one
/// timed by a clock that has since been set back: twice, so that machines whose clocks differ a
/// little do not take it from one another.
pub(super) const LENGTHS_AHEAD: i64 = 2;
