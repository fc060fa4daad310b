//! What a log says about itself.

use super::PartitionLog;
use crate::config::LogConfig;
use crate::error::LogError;
use milena_types::{Offset, TopicId, TopicPartition};
use std::path::PathBuf;
use std::sync::Arc;

impl PartitionLog {
    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The topic's id.
    #[must_use]
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// The partition's directory; it exists once something was appended.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.home.dir(&self.partition)
    }

    /// First offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.log_start
    }

    /// The offset after the last record.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.log_end
    }

    /// Every record below it is on disk.
    #[must_use]
    pub fn flushed_offset(&self) -> Offset {
        self.flushed
    }

    /// What belongs into the recovery point checkpoint: below it records **and** indexes are on disk.
    #[must_use]
    pub fn recovery_point(&self) -> Offset {
        self.in_flight
            .unsynced_seals
            .first()
            .map_or(self.flushed, |base| self.flushed.min(*base))
    }

    /// The high watermark that [`PartitionLog::on_high_watermark`] was told last.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Bytes of all log files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Bytes of the batches from the one that holds `offset` to the log's end, or a little more: as exactly as the index knows.
    ///
    /// # Errors
    /// The segment that holds `offset` could not be opened.
    pub fn bytes_from(&self, offset: Offset) -> Result<u64, LogError> {
        let Some(at) = self.segment_of(offset).filter(|_| offset < self.log_end) else {
            return Ok(0);
        };
        let delta = u32::try_from(offset.since(self.segments[at].base).max(0)).unwrap_or(u32::MAX);
        let entry = self.open_segment(at)?.offsets().entry_before(delta);
        let skipped = entry.map_or(0, |entry| u64::from(entry.position));
        let bytes: u64 = self.segments[at..].iter().map(|segment| segment.size).sum();
        Ok(bytes.saturating_sub(skipped))
    }

    /// How many segments there are; 0 before the first append.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Base offset of the segment that is being written.
    #[must_use]
    pub fn active_base_offset(&self) -> Option<Offset> {
        self.segments.last().map(|segment| segment.base)
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// Replaces the settings; they hold from the next call on.
    pub fn set_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// True while files are open for appends.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.active.is_some()
    }

    /// True after a write that failed and could not be undone, or a compaction whose swap was not completed: every append is
    /// refused, and the log is to be opened again.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.failed
    }
}
