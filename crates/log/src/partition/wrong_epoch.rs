//! A leader epoch that no leader can have had: damage that no checksum covers.
//!
//! The epoch lies outside a batch's checksum, and the controller knows the newest that it has given out. A batch that claims
//! more, or less than none (-1), is damaged there and nowhere else: taken at its word it would push the true epochs out of the
//! cache, and nothing could be read behind it. So is one that has another epoch than the batch before it and the batch behind it,
//! which have the same: epochs do not fall. Another replica has the batch as it was; a log that is alone puts it right.

use super::PartitionLog;
use crate::checkpoint::parse_epochs;
use crate::env::{LogFile, OpenMode, read_small_file};
use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::format::{EPOCH_CHECKPOINT_FILE, EPOCH_FILE_BYTES_MAX, FileKind};
use crate::segment::Scanner;
use milena_record::{BatchHeader, HEADER_BYTES, check_crc, stamp};
use milena_types::{LeaderEpoch, Offset};
use std::fmt;
use std::io;

/// What a batch without an epoch has. Source: `RecordBatch.NO_PARTITION_LEADER_EPOCH`.
const NONE: LeaderEpoch = LeaderEpoch(-1);
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
    /// It may have been given out, but both its neighbours have this one.
    pub(super) between: Option<LeaderEpoch>,
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
            between: None,
        })
    }

    /// Says whether the batch, behind one with the epoch `before`, contradicts that one and `next`, which is right behind it.
    fn between(
        header: &BatchHeader,
        (segment, position): (Offset, u64),
        before: LeaderEpoch,
        next: &BatchHeader,
        newest: LeaderEpoch,
    ) -> Option<Self> {
        let odd = header.partition_leader_epoch != before && next.partition_leader_epoch == before;
        odd.then_some(Self {
            segment,
            position,
            header: *header,
            previous: Some(before),
            newest,
            between: Some(before),
        })
    }

    fn read(&self, file: &dyn LogFile) -> io::Result<Vec<u8>> {
        let mut batch = Vec::new();
        file.read_at(&mut batch, self.header.size_bytes(), self.position)?;
        Ok(batch)
    }
}

impl fmt::Display for WrongEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offset, found) = (self.header.base_offset, self.header.partition_leader_epoch);
        write!(f, "batch at offset {offset} has leader epoch {found}, ")?;
        match self.between {
            Some(epoch) => write!(f, "the batches before and behind it have {epoch}"),
            None => write!(f, "the newest is {}", self.newest),
        }
    }
}

impl PartitionLog {
    /// Says whether the batch that was scanned last, behind one with the epoch `previous`, has one. The scan goes on behind it.
    pub(super) fn wrong_epoch(
        &self,
        header: &BatchHeader,
        place: (Offset, u64),
        previous: Option<LeaderEpoch>,
        newest: LeaderEpoch,
        scanner: &mut Scanner<'_>,
    ) -> io::Result<Option<WrongEpoch>> {
        let wrong = WrongEpoch::of(header, place, previous, newest);
        let epoch = Some(header.partition_leader_epoch);
        // Behind a truncation may be stale bytes: they fit, and have an older epoch.
        if wrong.is_some() || self.has_floor || previous == epoch {
            return Ok(wrong);
        }
        let next = self.header_behind(header, place, scanner)?;
        let Some(next) = next.filter(|next| Some(next.partition_leader_epoch) != epoch) else {
            return Ok(None);
        };
        let filed = self.filed_epochs()?.epoch_for_offset(header.base_offset);
        if filed == epoch {
            // An epoch begins, and it is the next batch that is wrong.
            return Ok(None);
        }
        // Or what the scan begins with.
        let before = previous.or(filed);
        Ok(before.and_then(|before| WrongEpoch::between(header, place, before, &next, newest)))
    }

    /// True when the batch behind it is above the newest as well: no flipped bit does that. The scan goes on behind this batch.
    pub(super) fn has_followers(&self, wrong: &WrongEpoch, scanner: &mut Scanner<'_>) -> io::Result<bool> {
        let above = |header: &BatchHeader| header.partition_leader_epoch > wrong.newest;
        let next = self.header_behind(&wrong.header, (wrong.segment, wrong.position), scanner)?;
        Ok(above(&wrong.header) && next.is_some_and(|next| above(&next)))
    }

    /// The batch behind the one that was scanned last, if it can be. The scan goes on behind that one.
    fn header_behind(
        &self,
        header: &BatchHeader,
        (segment, position): (Offset, u64),
        scanner: &mut Scanner<'_>,
    ) -> io::Result<Option<BatchHeader>> {
        let next = match scanner.next()? {
            Some(Ok(next)) => Some(next.header),
            Some(Err(_)) => None,
            None => self.first_header_after(segment)?,
        };
        scanner.go_to(position + header.size_bytes() as u64);
        Ok(next.filter(|next| next.base_offset >= header.next_offset()))
    }

    /// The first batch of the segments behind the one at `base`.
    fn first_header_after(&self, base: Offset) -> io::Result<Option<BatchHeader>> {
        let mut later = self.segments.iter().filter(|segment| segment.base > base);
        let Some(next) = later.find(|segment| segment.size > 0) else {
            return Ok(None);
        };
        let file = self
            .env
            .fs
            .open(&self.path(next.base, FileKind::Log), OpenMode::Read)?;
        let mut head = Vec::with_capacity(HEADER_BYTES);
        file.read_at(&mut head, HEADER_BYTES, 0)?;
        Ok(BatchHeader::parse(&head).ok())
    }

    /// The epoch that both its neighbours, or else the epoch file, or else the batch before it, say that the batch has. `None` when
    /// none of them says it, or more of the batch is damaged.
    pub(super) fn true_epoch(&self, wrong: &WrongEpoch) -> io::Result<Option<LeaderEpoch>> {
        let file = self
            .env
            .fs
            .open(&self.path(wrong.segment, FileKind::Log), OpenMode::Read)?;
        let batch = wrong.read(&*file)?;
        if batch.len() < wrong.header.size_bytes() || check_crc(&batch).is_err() {
            return Ok(None);
        }
        if wrong.between.is_some() {
            return Ok(wrong.between);
        }
        let fits = |epoch: &LeaderEpoch| *epoch <= wrong.newest && wrong.previous.is_none_or(|p| p <= *epoch);
        let filed = self.filed_epochs()?.epoch_for_offset(wrong.header.base_offset);
        Ok(filed.filter(fits).or(wrong.previous))
    }

    /// Gives the batch its epoch back, durably.
    pub(super) fn mend_epoch(&self, wrong: &WrongEpoch, epoch: LeaderEpoch) -> Result<(), LogError> {
        let path = self.path(wrong.segment, FileKind::Log);
        let mend = || {
            let file = self.env.fs.open(&path, OpenMode::Write)?;
            let mut batch = wrong.read(&*file)?;
            stamp(&mut batch, wrong.header.base_offset, epoch);
            file.write_all_at(&batch, wrong.position)?;
            file.sync_data()
        };
        mend().map_err(LogError::new("mend", &path))?;
        tracing::error!(partition = %self.partition, path = %path.display(), position = wrong.position, offset = wrong.header.base_offset.0,
            found = wrong.header.partition_leader_epoch.0, newest = wrong.newest.0, leader_epoch = epoch.0,
            "the leader epoch of a batch was damaged, its records are whole: put right");
        Ok(())
    }

    /// What the epoch file says; nothing when it is not there or cannot be read as one.
    fn filed_epochs(&self) -> io::Result<EpochCache> {
        let path = self.dir().join(EPOCH_CHECKPOINT_FILE);
        let bytes = read_small_file(&*self.env.fs, &path, EPOCH_FILE_BYTES_MAX)?;
        let entries = bytes.and_then(|bytes| parse_epochs(&bytes).ok());
        Ok(EpochCache::from_entries(entries.unwrap_or_default()))
    }
}
