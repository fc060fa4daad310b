//! How long a new leader takes to its first acknowledgement. Pure; the clock is read only when it matters.
//!
//! ```text
//! takes over ──(a producer asks within ASKED_WITHIN)──> asked ──> appended ──> acknowledged: observed, once a leadership
//!            ──(nobody asks)──> says nothing: it is not the broker that was slow
//! ```
//! What a producer made after that was not waiting: then its time begins when it was made, by its timestamp. A clock that is fast
//! makes it shorter, one that is slow at most as long as the leadership is old.

use milena_replication::Moment;
use milena_types::Offset;
use std::time::Duration;

/// A producer that was writing before the failover asks the new leader within this time.
const ASKED_WITHIN: Duration = Duration::from_secs(30);

/// What is known of a leadership's first acknowledgement: nothing once it is over, or when it is of no interest, as that of a
/// new partition's first leader. Boxed, because most idle partitions await none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstAck(Option<Box<Awaited>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Awaited {
    /// When this broker took over, or the first records that it was asked for were made, if that was later.
    since: Moment,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has asked for one yet.
    Quiet,
    /// Somebody has: all the time since this broker took over counts.
    Asked,
    /// It comes when the high watermark reaches the end of the first acks=all batch.
    Appended(Offset),
}

impl FirstAck {
    /// This broker has taken over.
    pub(in crate::shard) fn awaited(since: Moment) -> Self {
        let stage = Stage::Quiet;
        Self(Some(Box::new(Awaited { since, stage })))
    }

    /// A producer asks, now, with records that are so old.
    pub(in crate::shard) fn on_asked(&mut self, asked: impl FnOnce() -> (Moment, Duration)) {
        let Some(awaited) = &mut self.0 else { return };
        if awaited.stage == Stage::Quiet {
            let (now, age) = asked();
            awaited.stage = Stage::Asked;
            if between(awaited.since, now) > ASKED_WITHIN {
                self.0 = None;
            } else {
                let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                let made = Moment(now.0.saturating_sub(age));
                awaited.since = awaited.since.max(made);
            }
        }
    }

    /// A batch that ends at `end` is acknowledged when it is committed.
    pub(in crate::shard) fn on_appended(&mut self, end: Offset) {
        if let Some(awaited) = &mut self.0
            && awaited.stage == Stage::Asked
        {
            awaited.stage = Stage::Appended(end);
        }
    }

    /// The high watermark is here now: how long it took, if this was what was waited for.
    pub(in crate::shard) fn on_committed(
        &mut self,
        high_watermark: Offset,
        now: impl FnOnce() -> Moment,
    ) -> Option<Duration> {
        let is_over = |awaited: &mut Box<Awaited>| match awaited.stage {
            Stage::Appended(end) => end <= high_watermark,
            Stage::Quiet | Stage::Asked => false,
        };
        self.0
            .take_if(is_over)
            .map(|awaited| between(awaited.since, now()))
    }

    /// A batch was acknowledged at once.
    pub(in crate::shard) fn on_acknowledged(&mut self, now: impl FnOnce() -> Moment) -> Option<Duration> {
        let is_over = |awaited: &mut Box<Awaited>| awaited.stage == Stage::Asked;
        self.0
            .take_if(is_over)
            .map(|awaited| between(awaited.since, now()))
    }
}

fn between(since: Moment, now: Moment) -> Duration {
    Duration::from_millis(now.0.saturating_sub(since.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    /// Older than any leadership.
    const OLD: Duration = Duration::MAX;

    #[test]
    fn the_first_committed_batch_counts_once() {
        let mut first = FirstAck::awaited(Moment(100));
        assert_eq!(
            first.on_committed(Offset(9), || Moment(110)),
            None,
            "what the former leader has left"
        );
        first.on_asked(|| (Moment(120), OLD));
        first.on_asked(|| (Moment(40_000), OLD));
        first.on_appended(Offset(10));
        first.on_appended(Offset(20));
        assert_eq!(first.on_committed(Offset(9), || Moment(130)), None);
        assert_eq!(first.on_committed(Offset(10), || Moment(150)), Some(MS(50)));
        assert_eq!(first.on_committed(Offset(20), || Moment(160)), None);
    }

    #[test]
    fn without_waiting_the_append_is_the_acknowledgement() {
        let mut first = FirstAck::awaited(Moment(100));
        first.on_asked(|| (Moment(120), OLD));
        assert_eq!(first.on_acknowledged(|| Moment(121)), Some(MS(21)));
        assert_eq!(first.on_acknowledged(|| Moment(122)), None);
    }

    #[test]
    fn a_producer_that_had_nothing_to_say_did_not_wait() {
        let mut first = FirstAck::awaited(Moment(100));
        first.on_asked(|| (Moment(10_000), MS(30)));
        assert_eq!(first.on_acknowledged(|| Moment(10_005)), Some(MS(35)));
        // What was made before this broker took over has waited since then.
        let mut first = FirstAck::awaited(Moment(100));
        first.on_asked(|| (Moment(200), MS(5_000)));
        assert_eq!(first.on_acknowledged(|| Moment(205)), Some(MS(105)));
    }

    #[test]
    fn a_partition_that_nobody_writes_to_says_nothing() {
        let mut first = FirstAck::awaited(Moment(100));
        first.on_asked(|| (Moment(30_101), OLD));
        first.on_appended(Offset(10));
        assert_eq!(first.on_committed(Offset(10), || Moment(30_102)), None);
        let mut new = FirstAck::default();
        new.on_asked(|| (Moment(1), OLD));
        assert_eq!(new.on_acknowledged(|| Moment(1)), None);
    }
}
