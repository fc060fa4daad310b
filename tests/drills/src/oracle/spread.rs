//! The spread of how long partitions could not be written.

use serde::Serialize;
use std::time::Duration;

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
    use super::Spread;
    use std::time::Duration;

    fn ms(list: &[u64]) -> Vec<Duration> {
        list.iter().copied().map(Duration::from_millis).collect()
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
