//! Offsets: positions of records in one partition's log.

/// The position of a record in its partition, from 0. `-1` on the wire is `None` in the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of an empty partition.
    pub const ZERO: Offset = Offset(0);

    /// This offset moved forward by `count` records.
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }

    /// How many offsets lie in `[earlier, self)`; negative when `earlier` is ahead.
    #[must_use]
    pub fn since(self, earlier: Offset) -> i64 {
        self.0 - earlier.0
    }
}

impl std::fmt::Display for Offset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A half-open range `[from, to)` of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    /// First offset inside.
    pub from: Offset,
    /// First offset outside.
    pub to: Offset,
}

impl OffsetRange {
    /// True when no offset lies inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// True when `offset` lies inside.
    #[must_use]
    pub fn contains(&self, offset: Offset) -> bool {
        self.from <= offset && offset < self.to
    }
}

impl std::fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {})", self.from, self.to)
    }
}
