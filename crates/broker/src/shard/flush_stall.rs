//! A disk that does not come back from a flush: others lead until it does.
//!
//! Nothing has failed, so nothing is in doubt; but a leader that cannot flush acknowledges nothing, and an in-sync follower that
//! cannot holds everybody's acknowledgements back for `replica.lag.time.max.ms`. After `milena.flush.stall.ms` such replicas are
//! reported like those of a full directory: whoever else is in sync goes on without them. Appends, reads and heartbeats do not
//! wait for a flush. When it comes back, the replicas do too.
//!
//! Kafka has no such rule: KIP-501 (KAFKA-8733) tells what that costs.

use super::state::Shard;
use std::time::{Duration, Instant};

/// What is known of the flush in flight of one (log directory, data thread).
#[derive(Debug, Default)]
pub(super) struct FlushWatch {
    /// Since when nothing has come back from it; `None`: none is in flight.
    since: Option<Instant>,
    stalled: bool,
}

impl FlushWatch {
    /// A flush has been begun, or a part of one has come back and there is more.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// All of it has come back.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// True while others should go on without this disk.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Looks at it: what changed, if anything. `stall`: the longest time that nothing may come back.
    fn look(&mut self, stall: Duration, now: Instant) -> Option<Change> {
        let waits = self.since.map(|since| now.saturating_duration_since(since));
        let stalled = waits.is_some_and(|waits| waits >= stall);
        if stalled == std::mem::replace(&mut self.stalled, stalled) {
            return None;
        }
        Some(match waits.filter(|_| stalled) {
            Some(waits) => Change::Stalled(waits),
            None => Change::Back,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Stalled(Duration),
    Back,
}

impl Shard {
    /// Now and then: directories whose flush does not come back lose their leaders, and get their replicas back when it does.
    pub(super) fn tick_flush_stall(&mut self) {
        let (stall, now) = (self.cx.config.replica.flush_stall, Instant::now());
        for dir in 0..self.cx.dirs.count() {
            let Some(change) = self.cx.flush.watch(dir).and_then(|watch| watch.look(stall, now)) else {
                continue;
            };
            let path = self.cx.dirs.path(dir).map(|path| path.display().to_string());
            let path = path.unwrap_or_default();
            match change {
                Change::Stalled(waits) => tracing::error!(
                    path,
                    waits_ms = waits.as_millis(),
                    "a flush does not come back: whoever else is in sync goes on without the replicas here"
                ),
                Change::Back => tracing::info!(path, "flushes come back again"),
            }
            for id in self.partitions_in(dir) {
                self.settle_replica(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_stalls_when_nothing_of_it_comes_back_for_so_long() {
        let (begin, stall) = (Instant::now(), Duration::from_secs(10));
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut watch = FlushWatch::default();
        assert_eq!(watch.look(stall, at(100)), None, "none is in flight");
        watch.begin(at(100));
        assert_eq!(watch.look(stall, at(109)), None);
        watch.begin(at(109));
        assert_eq!(watch.look(stall, at(118)), None, "a part of it came back");
        let stalled = Change::Stalled(Duration::from_secs(10));
        assert_eq!(watch.look(stall, at(119)), Some(stalled));
        assert!(watch.is_stalled());
        assert_eq!(watch.look(stall, at(130)), None, "that is known");
        watch.end();
        assert_eq!(watch.look(stall, at(131)), Some(Change::Back));
        assert!(!watch.is_stalled());
    }
}
