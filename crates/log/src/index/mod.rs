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
