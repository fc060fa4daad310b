//! What lies under a partition's name in the directory that it is to be moved to: it must not become the partition's log, and the
//! copy needs the name.
//!
//! | there                                                             | then                                  |
//! |-------------------------------------------------------------------|---------------------------------------|
//! | nothing                                                           | the move goes on                      |
//! | the log of another topic, thus of a deleted one                   | it is set aside as a stray            |
//! | a former log of this one, which a move that is complete has left  | it is removed                         |
//! | anything else: it may be the log that knows more                  | the move is refused, nothing touched  |
//!
//! See [`super::found_logs`], which goes by the same rules.

use super::former_topics::set_old_life_aside;
use super::log_dirs::LogDirs;
use super::retention::remove_in_background;
use milena_log::LogError;
use milena_types::{TopicIdPartition, TopicPartition};
use std::io::ErrorKind;
use std::path::PathBuf;

/// Why a partition cannot be moved to a directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum DestinationError {
    /// Something has the name, and nothing says that it is out of use.
    #[error("{0} is there already: remove it if it is of no use")]
    Occupied(PathBuf),
    /// The directory is out of use.
    #[error("the log directory is offline")]
    Offline,
    /// It could not be looked at, or cleared.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl LogDirs {
    /// Makes sure that directory `to` has nothing under the name of a partition whose log lies in `from`. Blocks: a look at a
    /// name, and seldom two flushes of names.
    ///
    /// # Errors
    /// [`DestinationError`].
    pub(super) fn clear_destination(
        &self,
        from: usize,
        to: usize,
        id: TopicIdPartition,
        name: &TopicPartition,
    ) -> Result<(), DestinationError> {
        let (dir, checkpoints) = self.checkpoints(to).ok_or(DestinationError::Offline)?;
        let path = dir.partition_path(name);
        match dir.env().fs.read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(DestinationError::Occupied(path));
            }
            listed => drop(listed.map_err(|source| LogError {
                operation: "list",
                path: path.clone(),
                source,
            })?),
        }
        match dir.topic_id(&path)? {
            Some(topic) if topic != id.topic => {
                set_old_life_aside(dir, name)?;
            }
            Some(_) if self.is_moved_in(from, name)? && !dir.has_moved_in(&path)? => {
                tracing::info!(partition = %name, path = %path.display(), "completes an earlier move: the former log goes");
                remove_in_background(vec![dir.retire_dir(name, &path)?]);
            }
            _ => return Err(DestinationError::Occupied(path)),
        }
        checkpoints.forget(name);
        self.has_one_less(to);
        Ok(())
    }

    /// No other log of that name is left.
    pub(super) fn forget_moved_in(&self, index: usize, name: &TopicPartition) -> Result<(), LogError> {
        let Some((dir, _)) = self.checkpoints(index) else {
            return Ok(());
        };
        let path = dir.partition_path(name);
        if dir.has_moved_in(&path)? {
            dir.forget_moved_in(&path)?;
        }
        Ok(())
    }

    fn is_moved_in(&self, index: usize, name: &TopicPartition) -> Result<bool, LogError> {
        let Some((dir, _)) = self.checkpoints(index) else {
            return Ok(false);
        };
        dir.has_moved_in(&dir.partition_path(name))
    }
}
