//! The log's leader epochs. The file follows with the next flush, before the records of a new epoch are durable.

use super::PartitionLog;
use super::recover::begin_of;
use crate::error::LogError;
use crate::format::FileKind;
use crate::segment::{ScanDepth, Scanner};
use milena_types::{LeaderEpoch, Offset};

impl PartitionLog {
    /// Notes that this replica leads from the log end on in `epoch`.
    ///
    /// In memory; on disk with the flush of the epoch's first record, for an epoch without records ends with the leader that
    /// noted it: becoming a leader touches no file. Source: `LeaderEpochFileCache.assign`, KIP-101.
    pub fn assign_epoch_at_become_leader(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.log_end);
    }

    /// Notes the epoch of a record at `start` that is in the log.
    pub(super) fn assign_epoch(&mut self, epoch: LeaderEpoch, start: Offset) {
        let changed = self.epochs.assign(epoch, start);
        let first_record = self.epochs.entries().last() == Some(&(epoch, start));
        self.epochs_dirty |= changed || first_record;
    }

    /// The newest leader epoch that the log knows.
    #[must_use]
    pub fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// All leader epochs with their start offsets, oldest first.
    #[must_use]
    pub fn epoch_entries(&self) -> &[(LeaderEpoch, Offset)] {
        self.epochs.entries()
    }

    /// The epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.epoch_for_offset(offset)
    }

    /// The largest known epoch at or below `epoch` and its end offset; `None` when `epoch` is above all known ones.
    ///
    /// Source: `LeaderEpochFileCache.endOffsetFor`, KIP-279.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset_for(epoch, self.log_end)
    }

    /// The leader epoch of the first batch that ends past `offset`, as the batch says it: in a compacted log that may begin past it.
    ///
    /// # Errors
    /// The log could not be read.
    pub fn epoch_at(&self, offset: Offset) -> Result<Option<LeaderEpoch>, LogError> {
        for at in self.segment_of(offset).unwrap_or(0)..self.segments.len() {
            let meta = &self.segments[at];
            let path = self.path(meta.base, FileKind::Log);
            let failed = || LogError::new("read", &path);
            let segment = self.open_segment(at)?;
            let begin = begin_of(meta, &segment, offset).map_err(failed())?;
            let mut scanner = Scanner::new(&**segment.file(), begin, meta.size, ScanDepth::Headers);
            while let Some(Ok(batch)) = scanner.next().map_err(failed())? {
                if batch.header.last_offset() >= offset {
                    return Ok(Some(batch.header.partition_leader_epoch));
                }
            }
        }
        Ok(None)
    }
}
