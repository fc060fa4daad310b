//! A log directory without space: nothing is appended, others lead, and once there is space all goes on.
//!
//! Kafka takes such a directory offline for good. Here an append that found no space has left the log as it was, so that
//! nothing is in doubt: see `milena_log`. Only a flush that fails does that: [`super::flusher`].

use super::dir_state::DirState;
use super::log_dirs::Distrust;
use super::mailbox::with_local;
use super::role::Role;
use super::space::has_room;
use super::state::Shard;
use milena_types::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a full directory is looked at.
const SPACE_CHECK: Duration = Duration::from_millis(500);
/// Written to find out whether there is space for this process: quotas are not in the file system's numbers.
const PROBE_FILE: &str = ".space-probe";
const PROBE_BYTES: usize = 256 << 10;

impl Shard {
    /// Writes have found no space.
    pub(super) fn take_full_dirs(&mut self) {
        for dir in std::mem::take(&mut self.cx.dirs_full) {
            if !self.cx.dirs.mark_full(dir) {
                continue;
            }
            let path = self.cx.dirs.path(dir).map(Path::to_owned).unwrap_or_default();
            tracing::error!(path = %path.display(), "log directory is full: nothing is appended to its partitions until there is space");
            let tell = move |shard: &mut Shard| shard.on_dir_full(dir);
            self.cx.mailboxes.run_on_others(self.cx.shard, tell);
            self.on_dir_full(dir);
            tokio::task::spawn_local(wait_for_space(dir, path));
        }
    }

    /// Followers stop to follow; the controller moves leaders where others can go on. What is left is only read.
    fn on_dir_full(&mut self, dir: usize) {
        if self.cx.dirs.state(dir) != DirState::Full {
            return;
        }
        for id in self.partitions_in(dir) {
            if let Some(partition) = self.partitions.get_mut(&id)
                && matches!(partition.role, Role::Follower(_))
            {
                partition.leave_role(&mut self.cx, ErrorCode::KafkaStorageError);
            }
            self.settle_replica(id);
        }
    }

    /// There is space again: roles are taken as the metadata says, flushes that had to wait are made.
    fn on_dir_drained(&mut self, dir: usize) {
        for id in self.partitions_in(dir) {
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            if partition.log.is_failed() {
                // A truncation got stuck half-way: the log is read again from the disk.
                tracing::info!(partition = %partition.name, "opens the log again");
                self.reopen_partition(id, Distrust::ChangedHere);
            } else {
                partition.queue_flush(&mut self.cx);
                self.apply_partition(id);
            }
        }
        for id in self.unusable_for_now() {
            self.apply_partition(id);
        }
    }
}

async fn wait_for_space(dir: usize, path: PathBuf) {
    loop {
        tokio::time::sleep(SPACE_CHECK).await;
        let at = path.clone();
        let found = tokio::task::spawn_blocking(move || has_space(&at)).await;
        let state = with_local(|shard| shard.cx.dirs.state(dir));
        if state != Some(DirState::Full) {
            return;
        }
        if matches!(found, Ok(Ok(true))) {
            break;
        }
    }
    with_local(|shard| {
        if !shard.cx.dirs.mark_drained(dir) {
            return;
        }
        tracing::info!(path = %path.display(), "log directory has space again");
        let tell = move |shard: &mut Shard| shard.on_dir_drained(dir);
        shard.cx.mailboxes.run_on_others(shard.cx.shard, tell);
        shard.on_dir_drained(dir);
    });
}

/// True when there is space worth going on with.
fn has_space(dir: &Path) -> io::Result<bool> {
    if !has_room(dir, 0)? {
        return Ok(false);
    }
    let probe = dir.join(PROBE_FILE);
    let written = std::fs::write(&probe, vec![0; PROBE_BYTES]);
    let removed = std::fs::remove_file(&probe);
    Ok(written.is_ok() && removed.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_gone_has_no_space_and_a_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert!(has_space(&dir.path().join("gone")).is_err());
        let found = has_space(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(found, has_room(dir.path(), 0).unwrap());
    }
}
