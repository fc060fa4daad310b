//! Segments that should be there and are not: refused, or the log ends before them.

use super::doubt::Tail;
use super::listing::Listing;
use super::{CorruptionPolicy, OpenOptions, OpenReport, PartitionLog};
use crate::checkpoint::parse_epochs;
use crate::env::read_small_file;
use crate::error::{LogError, OpenError};
use crate::format::{EPOCH_CHECKPOINT_FILE, EPOCH_FILE_BYTES_MAX, FileKind};
use milena_types::Offset;

impl PartitionLog {
    /// Looks for segments that are not there any more: their indexes without them, at or past the log start (a deletion leaves the
    /// segment under another name until the indexes have theirs), or the one that holds its start, by word of the log or of its
    /// epoch file, which says where the log begins before a deletion removes a segment. Under [`CorruptionPolicy::Truncate`] the log
    /// ends where the first of them began. Gives how far the log may be trusted.
    pub(super) fn check_missing(
        &mut self,
        opts: &OpenOptions,
        listing: &Listing,
        trusted: Offset,
        report: &mut OpenReport,
    ) -> Result<Offset, OpenError> {
        let begin = self.segments.first().map_or(Offset(i64::MAX), |first| first.base);
        // Nothing is missing before a log that begins where the checkpoint says.
        let filed = match opts.log_start_offset < begin {
            true => self.filed_start()?,
            false => None,
        };
        let log_start = opts.log_start_offset.max(filed.unwrap_or_default());
        let known = |base: &Offset| *base < trusted && *base >= log_start;
        let is_told = opts.has_files || (filed.is_some() && !listing.has_retired(log_start));
        let lost_start = is_told && !self.segments.is_empty() && log_start < begin;
        let missing = match lost_start {
            true => Some(log_start),
            false => listing.without_log().filter(known).min(),
        };
        let Some(offset) = missing else {
            return Ok(trusted);
        };
        let path = self.path(offset, FileKind::Log);
        if Self::refuse_damage(opts.corruption) {
            return Err(OpenError::Corrupt {
                path,
                position: 0,
                offset,
                recovery_point: trusted,
                error: match lost_start {
                    true => format!(
                        "the segment is missing: the log begins at {begin} now; to give up what came before, remove {EPOCH_CHECKPOINT_FILE} and start again"
                    ),
                    false => "the segment is missing".to_owned(),
                },
            });
        }
        tracing::error!(partition = %self.partition, path = %path.display(), offset = offset.0, recovery_point = trusted.0,
            "a segment is missing: what lies behind it is removed");
        let doomed = self.segments.partition_point(|segment| segment.base <= offset);
        let tail = Tail {
            at: doomed,
            position: 0,
            expected: offset,
            stale_below: None,
        };
        self.set_aside(&tail, &format!("segment {offset} is missing"), trusted, opts)?;
        self.write_recovery_floor(offset)?;
        while self.segments.last().is_some_and(|last| last.base > offset) {
            if let Some(doomed) = self.segments.pop() {
                self.remove_segment_files(doomed.base)?;
            }
        }
        if self.segments.is_empty() {
            (self.log_start, self.log_end, self.flushed) = (offset, offset, offset);
        }
        self.dir_dirty = true;
        report.lost_flushed = true;
        Ok(trusted.min(offset))
    }

    /// Where the log begins at the latest, by its epoch file.
    fn filed_start(&self) -> Result<Option<Offset>, LogError> {
        let path = self.dir().join(EPOCH_CHECKPOINT_FILE);
        let bytes = read_small_file(&*self.env.fs, &path, EPOCH_FILE_BYTES_MAX)
            .map_err(LogError::new("read", &path))?;
        let entries = bytes.and_then(|bytes| parse_epochs(&bytes).ok());
        Ok(entries.and_then(|entries| entries.first().map(|(_, start)| *start)))
    }

    /// Refuses a log that had segments, flushed ones, and has none now.
    pub(super) fn refuse_lost_segments(
        &mut self,
        opts: &OpenOptions,
        listing: &Listing,
        floor: Option<Offset>,
        report: &mut OpenReport,
    ) -> Result<(), OpenError> {
        let had_log =
            opts.has_files || listing.had_log || !listing.others.is_empty() || !listing.snapshots.is_empty();
        let lost = self.segments.is_empty() && had_log && floor.is_none() && !report.lost_flushed;
        if !lost || opts.recovery_point <= opts.log_start_offset {
            return Ok(());
        }
        if Self::refuse_damage(opts.corruption) {
            return Err(OpenError::Corrupt {
                path: opts.dir.clone(),
                position: 0,
                offset: opts.log_start_offset,
                recovery_point: opts.recovery_point,
                error: "no segment is there".to_owned(),
            });
        }
        tracing::error!(dir = %opts.dir.display(), recovery_point = opts.recovery_point.0, "no segment is there: flushed records are gone");
        report.lost_flushed = true;
        Ok(self.write_recovery_floor(opts.log_start_offset)?)
    }

    /// What to do about damage below the recovery point.
    pub(super) fn refuse_damage(policy: CorruptionPolicy) -> bool {
        policy != CorruptionPolicy::Truncate
    }
}
