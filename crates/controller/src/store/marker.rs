//! The mark of a voter whose log is empty or being restored: while it stands, the voter grants no votes.
//!
//! A voter that lost its disk has forgotten what it acknowledged and whom it voted for. The mark is on disk before raft
//! sees the empty log, and is lifted when the voter has caught up with a leader, or has agreed with the others that there
//! is no cluster yet. That it was lifted stays on disk: a voter of a cluster that was just being founded has an empty log
//! and has forgotten nothing, and without its vote the others could not go on.

use super::backend::Database;
use super::keys::{Family, StateKey};
use std::io;

/// The values of the mark.
const STANDS: u8 = 1;
pub(super) const LIFTED: u8 = 2;

/// What the disk says of this voter at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// It has a log, or a vote.
    Whole,
    /// Its log is empty, and it has forgotten nothing.
    Fresh,
    /// Its log is empty or half restored: what it knew may be gone.
    Lost,
}

/// The mark on disk.
#[derive(Clone)]
pub(crate) struct JoinMarker {
    database: Database,
}

impl JoinMarker {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Sets the mark when there is neither log nor vote, and it was never lifted.
    pub(crate) async fn check(&self) -> io::Result<Memory> {
        let mut mark = None;
        self.database
            .get(Family::State, &StateKey::Joining.bytes(), &mut |value| {
                mark = value.first().copied();
                Ok(())
            })?;
        if mark == Some(STANDS) {
            return Ok(Memory::Lost);
        }
        let has_log = self.database.last(Family::Log)?.is_some();
        if has_log || self.database.has(StateKey::Vote)? || self.database.has(StateKey::Purged)? {
            return Ok(Memory::Whole);
        }
        if mark == Some(LIFTED) {
            return Ok(Memory::Fresh);
        }
        self.set(STANDS).await?;
        Ok(Memory::Lost)
    }

    /// Takes the mark away; durable when it returns.
    pub(crate) async fn lift(&self) -> io::Result<()> {
        self.set(LIFTED).await
    }

    async fn set(&self, mark: u8) -> io::Result<()> {
        self.database
            .put(Family::State, StateKey::Joining.bytes(), vec![mark])?;
        self.database.sync().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::Vote;
    use crate::store::Store;
    use crate::store::memory::MemoryDisk;
    use openraft::storage::RaftLogStorage;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn an_empty_voter_votes_again_only_if_its_disk_says_so() {
        let disk = MemoryDisk::default();
        let open = || Store::in_memory(disk.open(|| Duration::from_millis(1)));
        assert_eq!(open().marker().check().await.unwrap(), Memory::Lost);
        disk.crash(0);
        assert_eq!(open().marker().check().await.unwrap(), Memory::Lost, "it stands");
        open().marker().lift().await.unwrap();
        disk.crash(0);
        assert_eq!(open().marker().check().await.unwrap(), Memory::Fresh);
        disk.wipe();
        assert_eq!(
            open().marker().check().await.unwrap(),
            Memory::Lost,
            "another disk"
        );
        open().marker().lift().await.unwrap();
        open().log().save_vote(&Vote::new(1, 1)).await.unwrap();
        assert_eq!(open().marker().check().await.unwrap(), Memory::Whole);
    }
}
