//! A small seeded generator: a run is a pure function of its seed.

use crate::time::Micros;
use milena_metadata::plan::SeedRng;
use milena_types::Uuid;

/// The generator of the plans, with what a simulator draws.
#[derive(Clone, Debug)]
pub struct Random(SeedRng);

impl Random {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(SeedRng::new(
            seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9,
        ))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `[0, bound)`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }

    /// A number in `[low, high]`.
    pub fn between(&mut self, low: Micros, high: Micros) -> Micros {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// One of them; `None` of nothing.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of.get(at).copied()
    }

    /// 128 bits that look like an id of Kafka.
    pub fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[0] &= 0x7f;
        bytes[0] |= 0x10;
        Uuid(bytes)
    }
}
