//! Numbers that leave room for "none" in themselves.

use std::num::NonZeroI64;

/// Any `i64` but `NONE`, so that an `Option` of it takes eight bytes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Small<const NONE: i64>(NonZeroI64);

impl<const NONE: i64> Small<NONE> {
    /// `None` for the one number that stands for it.
    pub(crate) fn new(number: i64) -> Option<Self> {
        NonZeroI64::new(number ^ NONE).map(Self)
    }

    /// The number.
    pub(crate) fn get(self) -> i64 {
        self.0.get() ^ NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_all_but_none<const NONE: i64>() {
        for number in [i64::MIN, i64::MIN + 1, -2, -1, 0, 1, i64::MAX] {
            let kept = Small::<NONE>::new(number).map(Small::get);
            assert_eq!(kept, (number != NONE).then_some(number), "{NONE}");
        }
    }

    #[test]
    fn an_optional_number_is_no_larger_and_loses_nothing() {
        keeps_all_but_none::<-1>();
        keeps_all_but_none::<{ i64::MIN }>();
        assert_eq!(size_of::<Option<Small<-1>>>(), 8);
    }
}
