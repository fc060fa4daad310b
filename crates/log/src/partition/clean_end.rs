//! Where a log ends that was shut down cleanly: the last batches of the last segment say so, the rest is not looked at.

use super::PartitionLog;
use super::recover::Progress;
use super::wrong_epoch::WrongEpoch;
use crate::error::LogError;
use crate::format::FileKind;
use crate::segment::{ScanDepth, Scanner};
use milena_record::BatchHeader;
use milena_types::{LeaderEpoch, Offset};

/// The end of a clean log.
#[derive(Clone, Copy, Debug)]
pub(super) struct CleanEnd {
    pub(super) offset: Offset,
    /// Of the last batch of the last segment, when that was looked at.
    pub(super) epoch: Option<LeaderEpoch>,
    /// The last data batch of a producer that was seen on the way.
    pub(super) produced: Option<BatchHeader>,
}

impl PartitionLog {
    /// The log end after a clean shutdown; `None` when the last segment is not as a clean shutdown leaves it.
    pub(super) fn end_of_clean_log(
        &self,
        trusted: Offset,
        newest: LeaderEpoch,
    ) -> Result<Option<CleanEnd>, LogError> {
        let mut end = CleanEnd {
            offset: self.log_end,
            epoch: None,
            produced: None,
        };
        let Some(meta) = self.segments.last() else {
            return Ok(Some(end));
        };
        end.offset = meta.base;
        let segment = self.open_segment(self.segments.len() - 1)?;
        let indexed = segment.offsets().last();
        let mut progress = Progress::at(meta.base, meta.base);
        let from = indexed.map_or(0, |entry| u64::from(entry.position));
        let mut scanner = Scanner::new(&**segment.file(), from, meta.size, ScanDepth::Headers);
        let failed = LogError::new("read", self.path(meta.base, FileKind::Log));
        let mut walk = || {
            while let Some(batch) = scanner.next()? {
                let header = match batch {
                    Ok(batch) => batch.header,
                    Err(stop) => return Ok(Some(stop.error.to_string())),
                };
                if end.epoch.is_none() && indexed.is_some() {
                    // The batch that the index names; those before it are not looked at.
                    progress = Progress::at(meta.base, header.base_offset);
                }
                if let Some(wrong) = WrongEpoch::of(&header, (meta.base, 0), end.epoch, newest) {
                    return Ok(Some(wrong.to_string()));
                }
                if let Some(reason) = progress.judge(&header, self.may_have_holes()) {
                    return Ok(Some(reason));
                }
                end.offset = header.next_offset();
                end.epoch = Some(header.partition_leader_epoch);
                if header.producer_id.is_some() && !header.is_control() {
                    end.produced = Some(header);
                }
            }
            // A clean shutdown leaves them equal; 0 is said of a log whose checkpoint is lost.
            let other_end = trusted > Offset::ZERO && end.offset != trusted;
            Ok(other_end.then(|| format!("its recovery point is {trusted}")))
        };
        let Some(reason) = walk().map_err(failed)? else {
            return Ok(Some(end));
        };
        tracing::warn!(partition = %self.partition, base = meta.base.0, log_end = end.offset.0, reason,
            "the log was shut down cleanly and is not as a clean shutdown leaves it; recovering it");
        Ok(None)
    }
}
