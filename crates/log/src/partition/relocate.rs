//! A log that moves to another directory: the copy is made under a name of its own, and takes the place of the original.
//!
//! ```text
//! <to>/<topic>-<p>.<uuid>-future   the copy; the original serves
//!    copy complete and flushed: `moved-in` is written into it
//! <to>/<topic>-<p>                 renamed; from here on it is the log, wherever else one of that name may be
//! <from>/<topic>-<p>.<uuid>-delete the original goes, durably; then `moved-in`
//! ```
//!
//! After a crash there may be two logs of one name. The one with `moved-in` is the newer one: the other was not written
//! any more when it came to be. Source: `LogManager.replaceCurrentWithFutureLog`, which leaves this case to the operator.

use super::PartitionLog;
use super::flush::PendingVersions;
use super::home::Home;
use crate::durable_file::replace_file;
use crate::error::LogError;
use crate::format::MOVED_IN_FILE;
use std::path::Path;

impl PartitionLog {
    /// Grows with every truncation: what was copied before one may be gone since.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Notes, durably, that this copy is complete: from its renaming on it is the log.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn write_moved_in(&self) -> Result<(), LogError> {
        let path = self.dir().join(MOVED_IN_FILE);
        replace_file(&*self.env.fs, &path, b"").map_err(LogError::new("write", path))
    }

    /// Gives the log's directory another name in the same log directory. The name is durable with the next flush, and no
    /// record that is appended from here on before it.
    ///
    /// # Errors
    /// The directory could not be renamed; nothing has changed.
    pub fn rename_dir(&mut self, to: &Path) -> Result<(), LogError> {
        self.save_aborts()?;
        if let Some(active) = &mut self.active {
            active
                .seal()
                .map_err(LogError::new("write index in", self.dir()))?;
            // Its index files are opened by name.
            self.active = None;
        }
        self.env
            .fs
            .rename(&self.dir(), to)
            .map_err(LogError::new("rename", self.dir()))?;
        // What is opened later is found under the new name.
        self.env.sealed.remove_log(self.log_id);
        self.home = Home::new(&self.env, to, &self.partition);
        // Nothing of what was said about the files under the old name holds for the new one.
        self.in_flight.small_files = None;
        self.in_flight.pending = PendingVersions::none();
        (self.epochs_dirty, self.sums_dirty) = (true, true);
        self.dir_dirty = true;
        self.parent_dirty = true;
        Ok(())
    }
}
