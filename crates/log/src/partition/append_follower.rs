//! Appending as a follower: offsets and epochs as the leader gave them.
//!
//! Source: `UnifiedLog.appendAsFollower`, KAFKA-18723 (batches of a newer epoch than the replica's are not taken).

use super::PartitionLog;
use crate::durable_file::replace_file;
use crate::error::{FollowerAppendError, LogError};
use crate::format::HOLES_FILE;
use bytes::Bytes;
use milena_record::{BatchHeader, batches, check_crc};
use milena_types::mutants::{Mutant, on};
use milena_types::{LeaderEpoch, Offset, OffsetRange, Timestamp};

impl PartitionLog {
    /// Appends whole batches from the leader; the first one begins at the log end.
    ///
    /// Batches from the first one with an epoch above `epoch` on are left out: a leader of that epoch will send them. Checksums
    /// are verified. The range tells what was appended; it may be empty.
    ///
    /// # Errors
    /// [`FollowerAppendError`]; nothing was written then.
    pub fn append_as_follower(
        &mut self,
        bytes: Bytes,
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<OffsetRange, FollowerAppendError> {
        let first = BatchHeader::parse(&bytes)?;
        let holes = self.config.compact;
        self.append_from_leader(first.base_offset, bytes, epoch, now, holes)
    }

    /// Like [`Self::append_as_follower`], for logs with holes (compaction): the leader vouches that it has no record in
    /// `[from, first batch)`, and that the holes between batches are its own.
    ///
    /// # Errors
    /// [`FollowerAppendError`]; nothing was written then.
    pub fn append_as_follower_from(
        &mut self,
        from: Offset,
        bytes: Bytes,
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<OffsetRange, FollowerAppendError> {
        self.append_from_leader(from, bytes, epoch, now, true)
    }

    fn append_from_leader(
        &mut self,
        from: Offset,
        bytes: Bytes,
        epoch: LeaderEpoch,
        now: Timestamp,
        holes: bool,
    ) -> Result<OffsetRange, FollowerAppendError> {
        self.refuse_if_failed()?;
        let start = self.log_end;
        if from != start {
            return Err(FollowerAppendError::Position {
                found: from,
                log_end: start,
            });
        }
        let taken = self.check_leader_batches(&bytes, epoch, holes)?;
        if taken > 0 {
            self.allow_holes(&bytes[..taken])?;
            self.write_batches(&bytes[..taken], now)?;
        }
        Ok(OffsetRange {
            from: start,
            to: self.log_end,
        })
    }

    /// Recovery takes a hole for damage unless the log says that it has some; the word is on disk before the first hole.
    fn allow_holes(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let mut expected = self.log_end;
        let mut hole = false;
        for (header, _) in batches(bytes).flatten() {
            hole |= header.base_offset != expected;
            expected = header.next_offset();
        }
        if hole { self.remember_holes() } else { Ok(()) }
    }

    /// Puts it on disk that offsets may be missing between batches.
    pub(super) fn remember_holes(&mut self) -> Result<(), LogError> {
        if self.has_holes {
            return Ok(());
        }
        let fs = &*self.env.fs;
        let path = self.dir().join(HOLES_FILE);
        fs.create_dir(&self.dir())
            .and_then(|()| replace_file(fs, &path, b""))
            .map_err(LogError::new("write", &path))?;
        self.has_holes = true;
        Ok(())
    }

    /// How many bytes may be appended.
    fn check_leader_batches(
        &self,
        bytes: &[u8],
        epoch: LeaderEpoch,
        holes: bool,
    ) -> Result<usize, FollowerAppendError> {
        let mut expected = self.log_end;
        let mut previous = self.last_batch_epoch();
        let mut taken = 0;
        for batch in batches(bytes) {
            let (header, batch) = batch?;
            if header.partition_leader_epoch > epoch && !on(Mutant::NoLeaderEpochFence) {
                break;
            }
            check_crc(batch)?;
            let (offset, found) = (header.base_offset, header.partition_leader_epoch);
            if offset < expected || (offset > expected && !holes) {
                return Err(FollowerAppendError::NotContiguous {
                    found: offset,
                    expected,
                });
            }
            if let Some(previous) = previous.filter(|previous| found < *previous) {
                return Err(FollowerAppendError::EpochWentBack {
                    offset,
                    found,
                    previous,
                });
            }
            previous = Some(found);
            expected = header.next_offset();
            taken += batch.len();
        }
        Ok(taken)
    }

    /// The epoch of the last record, not of an epoch that has no record yet.
    fn last_batch_epoch(&self) -> Option<LeaderEpoch> {
        if self.log_end <= self.log_start {
            return None;
        }
        self.epochs.epoch_for_offset(self.log_end.plus(-1))
    }
}
