//! Reading raft's log: whole and gapless ranges, or an error that stops raft.

use super::backend::Database;
use super::keys::{Family, StateKey, log_index, log_key};
use crate::raft::codec;
use crate::raft::types::{Entry, TypeConfig, Vote};
use openraft::entry::RaftEntry;
use openraft::storage::RaftLogReader;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, ControlFlow, RangeBounds};

/// How many bytes of entries one replication message takes; a single larger entry still goes.
const REPLICATION_BYTES: usize = 1024 * 1024;

/// Reads the log; any number of them at the same time.
pub(crate) struct LogReader {
    database: Database,
}

impl LogReader {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The entries of `[from, to)` that exist, up to `bytes_max` but at least one.
    fn read(&self, from: u64, to: Option<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if to.is_some_and(|to| from >= to) {
            return Ok(Vec::new());
        }
        let below = to.map(log_key);
        let below = below.as_ref().map(<[u8; 8]>::as_slice);
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0usize;
        let mut see = |key: &[u8], value: &[u8]| {
            bytes = bytes.saturating_add(value.len());
            if bytes > bytes_max && !entries.is_empty() {
                return Ok(ControlFlow::Break(()));
            }
            let entry: Entry = codec::decode(value)?;
            let expected = entries.last().map(|last| last.log_id().index + 1);
            let index = entry.log_id().index;
            if log_index(key) != Some(index) || expected.is_some_and(|expected| expected != index) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("metadata log has a gap: found entry {index} where {expected:?} belongs"),
                ));
            }
            entries.push(entry);
            Ok(ControlFlow::Continue(()))
        };
        self.database.scan(Family::Log, &log_key(from), below, &mut see)?;
        Ok(entries)
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => Some(index.saturating_add(1)),
            Bound::Excluded(index) => Some(*index),
            Bound::Unbounded => None,
        };
        self.read(from, to, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.database.state(StateKey::Vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, Some(end), REPLICATION_BYTES)
    }
}
