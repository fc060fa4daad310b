//! Sparse indexes of one segment: from offsets to positions, from timestamps to offsets.
//!
//! Both live as the bytes of their files: the active segment's in memory ([`IndexBuilder`]), a sealed segment's mapped
//! read-only ([`IndexBytes`]). An index may always be rebuilt from its log and is never trusted without a look at the
//! batch that it points to.

mod builder;
mod mmap;
mod offset;
mod time;

pub(crate) use builder::IndexBuilder;
pub(crate) use mmap::IndexBytes;
pub(crate) use offset::{OffsetEntry, OffsetIndex};
pub(crate) use time::{TimeEntry, TimeIndex};

/// How many of `len` entries, from the first on, fulfil `holds`, when none behind one that does not fulfils it.
fn prefix(len: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1
        } else {
            high = middle
        }
    }
    low
}
