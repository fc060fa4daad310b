//! The mark of a voter whose log is empty or being restored: while it stands, the voter grants no votes.
//!
//! A voter that lost its disk has forgotten what it acknowledged and whom it voted for. The mark is on disk before raft
//! sees the empty log, and goes when the voter has caught up with a leader, or has agreed with the others that there
//! is no cluster yet.

use super::db::{Database, io_error};
use super::flusher::FlushHandle;
use super::keys::{LOG, STATE, StateKey};
use rocksdb::IteratorMode;
use std::io;

/// The mark on disk.
#[derive(Clone)]
pub(crate) struct JoinMarker {
    database: Database,
    flusher: FlushHandle,
}

impl JoinMarker {
    pub(super) fn new(database: Database, flusher: FlushHandle) -> Self {
        Self { database, flusher }
    }

    /// Sets the mark when there is neither log nor vote; true when it stands.
    pub(crate) async fn check(&self) -> io::Result<bool> {
        let state = self.database.family(STATE)?;
        let has = |key: StateKey| {
            Ok::<_, io::Error>(
                self.database
                    .0
                    .get_pinned_cf(state, key.bytes())
                    .map_err(io_error)?
                    .is_some(),
            )
        };
        if has(StateKey::Joining)? {
            return Ok(true);
        }
        let first = self
            .database
            .0
            .iterator_cf(self.database.family(LOG)?, IteratorMode::Start)
            .next();
        let is_empty = first.transpose().map_err(io_error)?.is_none();
        if !is_empty || has(StateKey::Vote)? || has(StateKey::Purged)? {
            return Ok(false);
        }
        self.database
            .0
            .put_cf(state, StateKey::Joining.bytes(), [1])
            .map_err(io_error)?;
        self.flusher.sync().await?;
        Ok(true)
    }

    /// Takes the mark away; durable when it returns.
    pub(crate) async fn clear(&self) -> io::Result<()> {
        self.database
            .0
            .delete_cf(self.database.family(STATE)?, StateKey::Joining.bytes())
            .map_err(io_error)?;
        self.flusher.sync().await
    }
}
