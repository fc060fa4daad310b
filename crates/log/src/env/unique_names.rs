//! Where names come from that nothing else has: of directories that are put out of use or written, and of files.

use super::faulty_state::SplitMix;
use milena_types::Uuid;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives names that it has not given before, and no other source has.
pub trait UniqueNames: std::fmt::Debug + Send + Sync {
    /// The next one.
    fn next(&self) -> Uuid;
}

/// Random names: of the real world.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomNames;

impl UniqueNames for RandomNames {
    fn next(&self) -> Uuid {
        Uuid::random()
    }
}

/// The same names in the same order for the same seed: so that what a test does on a
/// [`FaultyFileSystem`](super::FaultyFileSystem), which goes by the order of names, can be done again.
#[derive(Debug)]
pub struct SeededNames {
    seed: u64,
    /// Counts from 1, so that none is [`Uuid::ZERO`].
    next: AtomicU64,
}

impl SeededNames {
    /// Two sources with different seeds give different names.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            next: AtomicU64::new(1),
        }
    }
}

impl UniqueNames for SeededNames {
    /// Seed and count, each mixed, so that neither age nor seed shows in the order of names, and the count.
    fn next(&self) -> Uuid {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let names = SplitMix(self.seed).next() ^ SplitMix(count).next();
        let bytes = (u128::from(names) << 64) | u128::from(count);
        Uuid(bytes.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn seeded_names_are_unique_and_the_same_for_the_same_seed() {
        let names = |seed| {
            let source = SeededNames::new(seed);
            (0..1000).map(move |_| source.next())
        };
        assert!(names(7).eq(names(7)));
        let all: BTreeSet<Uuid> = (0..10).flat_map(names).collect();
        assert_eq!(all.len(), 10_000);
        let given: Vec<Uuid> = names(7).collect();
        assert!(!given.is_sorted(), "their order does not tell which is older");
    }
}
