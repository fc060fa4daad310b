//! How long nothing came.

use std::time::Duration;

/// The longest time within `[from, to]` without any of `times`, which come in any order.
#[must_use]
pub fn gap_in(times: impl Iterator<Item = Duration>, from: Duration, to: Duration) -> Duration {
    let inside = times.filter(|at| (from..=to).contains(at));
    let mut all: Vec<Duration> = inside.chain([from, to]).collect();
    all.sort_unstable();
    all.windows(2)
        .map(|two| two[1] - two[0])
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::gap_in;
    use std::time::Duration;

    #[test]
    fn a_gap_counts_from_the_fault_and_to_the_end() {
        let ms = Duration::from_millis;
        let gap = |from, to| gap_in([50, 10, 20, 90].map(ms).into_iter(), ms(from), ms(to)).as_millis();
        assert_eq!(gap(15, 95), 40);
        assert_eq!(gap(50, 60), 10);
        assert_eq!(gap(91, 191), 100, "nothing came at all");
    }
}
