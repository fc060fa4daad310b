//! A leader epoch that no leader can have had: damage that no checksum covers.
//!
//! The epoch lies outside a batch's checksum, and the controller knows the newest that it has given out. A batch that claims
//! more, or less than none (-1), is damaged there and nowhere else: taken at its word it would push the true epochs out of the
//! cache, and nothing could be read behind it. Another replica has the batch as it was; a log that is alone puts it right.

use super::PartitionLog;
use crate::checkpoint::parse_epochs;
use crate::env::{OpenMode, read_small_file};
use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::format::{EPOCH_CHECKPOINT_FILE, EPOCH_FILE_BYTES_MAX, FileKind};
use milena_record::{BatchHeader, check_crc, stamp};
use milena_types::{LeaderEpoch, Offset};
use std::fmt;

/// What a batch without an epoch has. Source: `RecordBatch.NO_PARTITION_LEADER_EPOCH`.
const NONE: LeaderEpoch = LeaderEpoch(-1);
/// So many are put right in one log. More are no flipped bits.
pub(super) const MENDED_MAX: usize = 16;

/// A batch with such an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrongEpoch {
    /// The base of its segment.
    pub(super) segment: Offset,
    pub(super) position: u64,
    pub(super) header: BatchHeader,
    /// That of the batch before it.
    pub(super) previous: Option<LeaderEpoch>,
    /// The newest that there can be.
    pub(super) newest: LeaderEpoch,
}

impl WrongEpoch {
    /// Says whether the batch at `(segment, position)`, behind one with the epoch `previous`, has one.
    pub(super) fn of(
        header: &BatchHeader,
        (segment, position): (Offset, u64),
        previous: Option<LeaderEpoch>,
        newest: LeaderEpoch,
    ) -> Option<Self> {
        let may_be = (NONE..=newest).contains(&header.partition_leader_epoch);
        (!may_be).then_some(Self {
            segment,
            position,
            header: *header,
            previous,
            newest,
        })
    }
}

impl fmt::Display for WrongEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offset, found) = (self.header.base_offset, self.header.partition_leader_epoch);
        write!(
            f,
            "batch at offset {offset} has leader epoch {found}, the newest is {}",
            self.newest
        )
    }
}

impl PartitionLog {
    /// Gives the batch the epoch that the epoch file, or else the batch before it, says that it has, durably. False, and
    /// nothing was changed, when neither says it or more of the batch is damaged.
    pub(super) fn mend_epoch(&self, wrong: &WrongEpoch) -> Result<bool, LogError> {
        let fits = |epoch: &LeaderEpoch| *epoch <= wrong.newest && wrong.previous.is_none_or(|p| p <= *epoch);
        let offset = wrong.header.base_offset;
        let filed = self.filed_epochs()?.epoch_for_offset(offset).filter(fits);
        let Some(epoch) = filed.or(wrong.previous) else {
            return Ok(false);
        };
        let path = self.path(wrong.segment, FileKind::Log);
        let mend = || {
            let file = self.env.fs.open(&path, OpenMode::Write)?;
            let mut batch = Vec::new();
            file.read_at(&mut batch, wrong.header.size_bytes(), wrong.position)?;
            if batch.len() < wrong.header.size_bytes() || check_crc(&batch).is_err() {
                return Ok(false);
            }
            stamp(&mut batch, offset, epoch);
            file.write_all_at(&batch, wrong.position)?;
            file.sync_data()?;
            Ok(true)
        };
        let mended = mend().map_err(LogError::new("mend", &path))?;
        if mended {
            tracing::error!(partition = %self.partition, path = %path.display(), position = wrong.position, offset = offset.0,
                found = wrong.header.partition_leader_epoch.0, newest = wrong.newest.0, leader_epoch = epoch.0,
                "the leader epoch of a batch was damaged, its records are whole: put right");
        }
        Ok(mended)
    }

    /// What the epoch file says; nothing when it is not there or cannot be read as one.
    fn filed_epochs(&self) -> Result<EpochCache, LogError> {
        let path = self.dir().join(EPOCH_CHECKPOINT_FILE);
        let bytes = read_small_file(&*self.env.fs, &path, EPOCH_FILE_BYTES_MAX)
            .map_err(LogError::new("read", &path))?;
        let entries = bytes.and_then(|bytes| parse_epochs(&bytes).ok());
        Ok(EpochCache::from_entries(entries.unwrap_or_default()))
    }
}
