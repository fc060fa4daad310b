//! One segment: a log file and its indexes, while it is being written ([`ActiveSegment`]) or closed ([`SealedSegment`]).

mod active;
mod pool;
mod scan;
mod sealed;

pub(crate) use active::ActiveSegment;
pub(crate) use pool::{PoolKey, SealedPool};
pub(crate) use scan::{ScanDepth, ScanStop, Scanner, end_of};
pub(crate) use sealed::{SealedSegment, last_entries_fit};
