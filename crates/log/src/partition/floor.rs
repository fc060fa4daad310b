//! The recovery floor: a durable bound on the recovery point of one log.
//!
//! The recovery point lives in a checkpoint of the whole directory that is written every now and then. A log that is
//! truncated, or deleted and created again, is for a while shorter than its checkpoint says; after a power cut its new
//! tail would be trusted without a look. So truncation first writes, durably, how far the log may be trusted.
//!
//! It goes as soon as the checkpoint has been written: one that is older than the checkpoint would have a crash forget what was
//! flushed, committed and deleted, and nothing that is lost then be missed. So whoever has a floor is told of the next checkpoint
//! whether that is news or not; a clean shutdown, whose checkpoints are younger than any, removes what is left; and so does a
//! start after one.

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
    let bytes = match read_small_file(fs, &dir.join(RECOVERY_FLOOR_FILE), 1 << 10) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(Vec::new()),
        bytes => bytes?,
    };
    Ok(bytes.map(|bytes| {
        let text = String::from_utf8_lossy(&bytes);
        Offset(text.trim_end().parse().unwrap_or(0).max(0))
    }))
}

/// Removes the floor of the log in `dir`, durably; nothing is done where there is none.
pub(crate) fn remove_floor(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    match fs.remove_file(&dir.join(RECOVERY_FLOOR_FILE)) {
        Ok(()) => fs.sync_dir(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

impl PartitionLog {
    /// True while the log has a recovery floor: it is to be told of the next checkpoint ([`PartitionLog::on_recovery_point_saved`]).
    #[must_use]
    pub fn has_recovery_floor(&self) -> bool {
        self.has_floor
    }

    /// A log is opened that has one, or has none.
    pub(super) fn meet_floor(&mut self, has_floor: bool, clean: bool) -> Result<(), LogError> {
        self.has_floor = has_floor;
        if clean { self.remove_former_floor() } else { Ok(()) }
    }

    /// After a clean shutdown: no later crash may find a floor that is older than its checkpoints.
    pub(super) fn remove_former_floor(&mut self) -> Result<(), LogError> {
        if std::mem::take(&mut self.has_floor) {
            let dir = self.dir();
            remove_floor(&*self.env.fs, &dir).map_err(LogError::new("remove the recovery floor of", dir))?;
        }
        Ok(())
    }

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
            // Until a crash one that stays behind does no harm, and the next checkpoint is another try.
            match self.env.fs.remove_file(&self.dir().join(RECOVERY_FLOOR_FILE)) {
                Ok(()) => (self.has_floor, self.dir_dirty) = (false, true),
                Err(error) => {
                    tracing::warn!(dir = %self.dir().display(), %error, "could not remove the recovery floor")
                }
            }
        }
    }
}
