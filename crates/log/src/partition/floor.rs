//! The recovery floor: a durable bound on the recovery point of one log.
//!
//! The recovery point lives in a checkpoint of the whole directory that is written every now and then. A log that is
//! truncated, or deleted and created again, is for a while shorter than its checkpoint says; after a power cut its new
//! tail would be trusted without a look. So truncation first writes, durably, how far the log may be trusted. A clean
//! shutdown writes the checkpoint again: after one, a floor that is still there says nothing.

use super::PartitionLog;
use crate::durable_file::replace_file;
use crate::env::{FileSystem, read_small_file};
use crate::error::LogError;
use crate::format::RECOVERY_FLOOR_FILE;
use milena_types::Offset;
use std::io;
use std::path::Path;

/// The floor of the log in `dir`, if it has one. A damaged file counts as 0: everything is scanned.
pub(crate) fn read_floor(fs: &dyn FileSystem, dir: &Path) -> io::Result<Option<Offset>> {
    let bytes = read_small_file(fs, &dir.join(RECOVERY_FLOOR_FILE), 1 << 10)?;
    Ok(bytes.map(|bytes| {
        let text = String::from_utf8_lossy(&bytes);
        Offset(text.trim_end().parse().unwrap_or(0).max(0))
    }))
}

impl PartitionLog {
    /// Makes sure that nothing at or past `offset` is trusted by the next recovery.
    pub(super) fn write_recovery_floor(&mut self, offset: Offset) -> Result<(), LogError> {
        let path = self.dir().join(RECOVERY_FLOOR_FILE);
        // Also after an error, which may come when the file has its name.
        self.has_floor = true;
        replace_file(&*self.env.fs, &path, format!("{offset}\n").as_bytes())
            .map_err(LogError::new("write", path))
    }

    /// Tells the log that its current [`PartitionLog::recovery_point`] is durable in the directory's checkpoint.
    pub fn on_recovery_point_saved(&mut self, saved: Offset) {
        self.stale_offset = saved;
        if saved <= self.recovery_point() {
            self.remove_recovery_floor();
        }
    }

    pub(super) fn remove_recovery_floor(&mut self) {
        if self.has_floor {
            // A floor that stays behind only makes the next recovery look further back.
            match self.env.fs.remove_file(&self.dir().join(RECOVERY_FLOOR_FILE)) {
                Ok(()) => self.has_floor = false,
                Err(error) => {
                    tracing::warn!(dir = %self.dir().display(), %error, "could not remove the recovery floor")
                }
            }
        }
    }
}
