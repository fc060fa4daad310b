//! The mark of a voter whose log is empty or being restored: while it stands, the voter grants no votes.
//!
//! A voter that lost its disk has forgotten what it acknowledged and whom it voted for. The mark is on disk before raft
//! sees the empty log, and goes when the voter has caught up with a leader, or has agreed with the others that there
//! is no cluster yet.

use super::backend::Database;
use super::keys::{Family, StateKey};
use std::io;

/// The mark on disk.
#[derive(Clone)]
pub(crate) struct JoinMarker {
    database: Database,
}

impl JoinMarker {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Sets the mark when there is neither log nor vote; true when it stands.
    pub(crate) async fn check(&self) -> io::Result<bool> {
        if self.database.has(StateKey::Joining)? {
            return Ok(true);
        }
        let is_empty = self.database.last(Family::Log)?.is_none();
        if !is_empty || self.database.has(StateKey::Vote)? || self.database.has(StateKey::Purged)? {
            return Ok(false);
        }
        self.database
            .put(Family::State, StateKey::Joining.bytes(), vec![1])?;
        self.database.sync().await?;
        Ok(true)
    }

    /// Takes the mark away; durable when it returns.
    pub(crate) async fn clear(&self) -> io::Result<()> {
        self.database.delete(Family::State, StateKey::Joining.bytes())?;
        self.database.sync().await
    }
}
