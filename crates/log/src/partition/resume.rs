//! Having an idle log back from what it knew of itself, and the check that its files are still the ones it knew.
//!
//! After a clean shutdown the check waits for the first use of a file; after a crash it comes first. It lists the
//! directory and looks at the sizes; of no file but transaction indexes is the content read.

use super::idle_log::IdleLog;
use super::listing::list;
use super::txn_index::read_txn_index;
use super::{OpenOptions, PartitionLog};
use crate::error::LogError;
use crate::format::{FileKind, is_temporary};
use milena_types::{Offset, Timestamp};
use std::io;

impl PartitionLog {
    /// What the log knows of itself, while everything is on disk and no file is open; `None` otherwise, and for a log
    /// without files.
    #[must_use]
    pub fn idle_log(&self) -> Option<IdleLog> {
        let idle = self.active.is_none()
            && !self.segments.is_empty()
            && !self.failed
            && self.in_flight.removals.is_empty()
            && !self.is_compacting()
            && !self.has_dirty_data()
            && self.in_flight.pending.small_files_are_durable()
            && self.recovery_point() == self.log_end;
        idle.then(|| IdleLog {
            partition: self.partition.clone(),
            topic_id: self.topic_id,
            log_start: self.log_start,
            log_end: self.log_end,
            modified: self.modified,
            has_holes: self.has_holes,
            has_floor: self.has_floor,
            parted: self.parted,
            segments: self.segments.clone(),
            epochs: self.epochs.clone(),
            snapshots: self.snapshots.clone(),
            producers: self.producers.clone(),
        })
    }

    /// A log that does not exist yet: its directory was not there when the log directory was listed.
    #[must_use]
    pub fn absent(opts: &OpenOptions) -> Self {
        Self::empty(opts, opts.log_start_offset.max(Offset::ZERO))
    }

    /// The log that `idle` describes, after a clean shutdown. Touches no file, unless it had a recovery floor: what it says is
    /// compared with the files when one of them is used for the first time. `None` when it is another topic's log or says too little.
    #[must_use]
    pub fn resume_clean(opts: &OpenOptions, idle: IdleLog) -> Option<Self> {
        let mut log = Self::resume(opts, idle)?;
        // Opening the log says what is wrong.
        log.remove_former_floor().ok()?;
        log.unverified.set(true);
        Some(log)
    }

    /// The log that `idle` describes, if its files are still as they were: the cheap way after a crash. Lists the directory.
    ///
    /// `None` when anything differs, so that the log has to be opened and recovered.
    #[must_use]
    pub fn resume_unchanged(opts: &OpenOptions, idle: IdleLog) -> Option<Self> {
        let log = Self::resume(opts, idle).filter(|log| !log.has_floor)?;
        let unchanged = log
            .compare_with_files()
            .is_ok_and(|difference| difference.is_none());
        let last = log.segments.last()?.base;
        let same_time = opts.env.fs.modified(&log.path(last, FileKind::Log));
        let same_time = same_time.is_ok_and(|modified| Timestamp(modified) == log.modified);
        (unchanged && same_time).then_some(log)
    }

    fn resume(opts: &OpenOptions, idle: IdleLog) -> Option<Self> {
        let other_topic = !opts.topic_id.0.is_zero() && opts.topic_id != idle.topic_id;
        if other_topic || opts.partition != idle.partition || opts.log_start_offset > idle.log_end {
            return None;
        }
        if idle.epochs.latest() > Some(opts.leader_epoch) {
            // To be looked at: the metadata is older than the log, or the word is wrong.
            return None;
        }
        let mut log = Self::empty(opts, idle.log_start.max(opts.log_start_offset));
        (log.log_end, log.flushed, log.submitted) = (idle.log_end, idle.log_end, idle.log_end);
        log.modified = idle.modified;
        (log.has_holes, log.has_floor, log.parted) = (idle.has_holes, idle.has_floor, idle.parted);
        (log.segments, log.snapshots) = (idle.segments, idle.snapshots);
        (log.epochs, log.producers) = (idle.epochs, idle.producers);
        log.epochs.truncate_from_start(log.log_start);
        log.producers.expire(opts.now, log.config.producer_expiration_ms);
        log.shrink();
        Some(log)
    }

    /// Says how the files differ from what is known of them.
    fn compare_with_files(&self) -> io::Result<Option<String>> {
        let Some(listing) = list(&*self.env.fs, &self.dir())? else {
            return Ok(Some("the directory is gone".to_owned()));
        };
        if !listing
            .logs
            .iter()
            .eq(self.segments.iter().map(|segment| &segment.base))
        {
            return Ok(Some("there are other segments".to_owned()));
        }
        // A snapshot that is not known would outlive a truncation, and then tell of records that are gone.
        let same_snapshots = listing.snapshots.iter().eq(self.snapshots.iter());
        // Of Kafka's compaction there is no word in the directory.
        let same_marks = listing.has_floor == self.has_floor
            && (self.has_holes || !listing.has_holes)
            && self.parted == listing.is_parted;
        // A small file may be on its way to the disk.
        let strays = listing.strays.iter().any(|name| !is_temporary(name));
        if !same_snapshots || !same_marks || listing.unfinished_swap || strays {
            return Ok(Some("somebody worked on it".to_owned()));
        }
        for segment in &self.segments {
            let size = self.env.fs.file_len(&self.path(segment.base, FileKind::Log))?;
            if size != Some(segment.size) {
                let base = segment.base;
                return Ok(Some(format!(
                    "segment {base} has {size:?} bytes and not {}",
                    segment.size
                )));
            }
        }
        for segment in self.segments.iter().filter(|segment| segment.aborted.entries > 0) {
            // Small, and the only file whose damage would hide something: opening the log builds it again.
            match read_txn_index(&*self.env.fs, &self.dir(), segment.base, segment.aborted) {
                Err(error) if error.source.kind() != io::ErrorKind::InvalidData => return Err(error.source),
                Err(error) => return Ok(Some(error.to_string())),
                Ok(_) => {}
            }
        }
        Ok(None)
    }

    /// Compares a log that was resumed after a clean shutdown with its files, the first time that one of them is used.
    ///
    /// # Errors
    /// They are not what the shutdown left. Nothing of the log can be believed; the next start, which will not be after a
    /// clean shutdown, goes by the files alone.
    pub(super) fn verify(&self) -> Result<(), LogError> {
        if self.unverified.get() {
            let failed = LogError::new("verify", self.dir());
            match self.compare_with_files() {
                Ok(None) => self.unverified.set(false),
                Ok(Some(difference)) => {
                    return Err(failed(io::Error::new(io::ErrorKind::InvalidData, difference)));
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Gives back the memory that growing lists have in reserve.
    pub(super) fn shrink(&mut self) {
        self.segments.shrink_to_fit();
        self.snapshots.shrink();
        self.in_flight.shrink();
        self.epochs.shrink();
        self.producers.shrink();
    }
}
