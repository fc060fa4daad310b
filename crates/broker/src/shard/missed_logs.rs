//! Logs of which a checkpoint knows records, and no directory is left.
//!
//! A partition without records has no directory, so that only a checkpoint, of whichever log directory, tells that one is missed.

use super::log_dirs::LogDirs;
use milena_log::{CorruptionPolicy, OpenError};
use milena_types::{Offset, TopicPartition};
use std::path::PathBuf;

impl LogDirs {
    /// The high watermark of records that some checkpoint says a log of that name had.
    pub(super) fn missed(&self, name: &TopicPartition) -> Option<Offset> {
        let online = (0..self.count()).filter_map(|index| self.checkpoints(index));
        let known = online.map(|(_, checkpoints)| checkpoints.of(name));
        let with_records = known.filter(|known| known.high_watermark > known.log_start);
        with_records.map(|known| known.high_watermark).max()
    }

    /// Of a log that is to be opened there is no directory: in doubt, or it is agreed that it begins anew. Then no checkpoint says
    /// anything of it any more: it must not begin where the lost one did, which its leader need not have.
    ///
    /// # Errors
    /// `Doubtful`.
    pub(super) fn without_directory(
        &self,
        path: PathBuf,
        name: &TopicPartition,
        corruption: CorruptionPolicy,
    ) -> Result<(), OpenError> {
        match self.missed(name) {
            Some(high_watermark) if corruption == CorruptionPolicy::RefuseDoubtful => {
                let doubt = format!("the high watermark was {high_watermark}");
                let error = "the directory is not there";
                Err(OpenError::doubtful(path, Offset::ZERO, error, doubt))
            }
            _ => {
                let online = (0..self.count()).filter_map(|index| self.checkpoints(index));
                online.for_each(|(_, checkpoints)| checkpoints.forget(name));
                Ok(())
            }
        }
    }
}
