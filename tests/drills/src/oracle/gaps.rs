//! How long a partition could not be written: the longest time between two acknowledgements around a fault.

use serde::Serialize;
use std::time::Duration;

/// The longest time within `[from, to]` without any of `times`, which ascend.
#[must_use]
pub fn gap_in(times: &[Duration], from: Duration, to: Duration) -> Duration {
    let inside = times.iter().copied().filter(|at| (from..=to).contains(at));
    let mut longest = Duration::ZERO;
    let mut last = from;
    for at in inside.chain([to]) {
        longest = longest.max(at.saturating_sub(last));
        last = at;
    }
    longest
}

/// The spread of some times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: usize,
    /// Half of them are at most this.
    pub p50: u64,
    /// 99 of 100 are at most this; with fewer than 100 of them the largest.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    /// Of these times; all zero when there are none.
    #[must_use]
    pub fn of(times: &[Duration]) -> Self {
        let ms = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut sorted: Vec<u64> = times.iter().map(ms).collect();
        sorted.sort_unstable();
        // Nearest rank.
        let rank = |percent: usize| {
            sorted
                .get((sorted.len() * percent).div_ceil(100).saturating_sub(1))
                .copied()
        };
        Self {
            count: sorted.len(),
            p50: rank(50).unwrap_or(0),
            p99: rank(99).unwrap_or(0),
            max: sorted.last().copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Spread, gap_in};
    use std::time::Duration;

    fn ms(list: &[u64]) -> Vec<Duration> {
        list.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_gap_counts_from_the_fault_and_to_the_end() {
        let times = ms(&[10, 20, 50, 90]);
        let gap =
            |from, to| gap_in(&times, Duration::from_millis(from), Duration::from_millis(to)).as_millis();
        assert_eq!(gap(15, 95), 40);
        assert_eq!(gap(50, 60), 10);
        assert_eq!(gap(91, 191), 100, "nothing came at all");
    }

    #[test]
    fn a_spread_is_by_nearest_rank() {
        let spread = Spread::of(&ms(&[4, 1, 3, 2]));
        assert_eq!((spread.p50, spread.p99, spread.max), (2, 4, 4));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(Spread::of(&ms(&hundred)).p99, 99);
        assert_eq!(Spread::of(&[]), Spread::default());
    }
}
