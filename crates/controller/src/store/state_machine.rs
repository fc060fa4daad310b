//! The state machine: committed entries into the image, and the image into snapshots.
//!
//! Invariant: the image that [`CommittedLog`] publishes is exactly the committed batches up to `last_applied`.

use super::backend::Database;
use super::snapshot;
use crate::publish::CommittedLog;
use crate::raft::types::{Applied, Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use milena_metadata::image::MetadataImage;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use std::io;
use std::sync::Arc;

/// Raft's state machine over the metadata image.
pub(crate) struct StateMachine {
    database: Database,
    committed: Arc<CommittedLog>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

impl StateMachine {
    pub(super) fn open(database: Database, committed: Arc<CommittedLog>) -> io::Result<Self> {
        let mut machine = Self {
            database,
            committed,
            last_applied: None,
            membership: StoredMembership::default(),
        };
        if let Some(stored) = snapshot::load(&machine.database)? {
            machine.adopt(&stored.meta, &stored.snapshot)?;
        }
        Ok(machine)
    }

    fn adopt(&mut self, meta: &SnapshotMeta, content: &[u8]) -> io::Result<()> {
        let image = milena_rpc::decode_image(content)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.committed.replace(image);
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    fn apply_entry(&mut self, entry: Entry) -> io::Result<Applied> {
        let log_id = entry.log_id();
        let applied = match entry.payload {
            EntryPayload::Blank => Applied::Nothing,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership);
                Applied::Nothing
            }
            // A batch that this build cannot read was committed by a newer one: stop rather than diverge.
            EntryPayload::Normal(proposal) => self.committed.apply(proposal.0).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("entry {log_id}: {error}"))
            })?,
        };
        self.last_applied = Some(log_id);
        Ok(applied)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let applied = self.apply_entry(entry)?;
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            database: self.database.clone(),
            image: self.committed.image(),
            meta: SnapshotMeta {
                last_log_id: self.last_applied,
                last_membership: self.membership.clone(),
            },
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, content: Bytes) -> io::Result<()> {
        // Raft installs the stored snapshot again at every start: that needs no write.
        if snapshot::stored_meta(&self.database)?.as_ref() != Some(meta) {
            snapshot::save(&self.database, meta, &content)?;
            self.database.sync().await?;
        }
        if self.last_applied != meta.last_log_id || self.last_applied.is_none() {
            self.adopt(meta, &content)?;
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        snapshot::load(&self.database)
    }
}

/// Builds one snapshot from a frozen image, off the control thread.
pub(crate) struct SnapshotBuilder {
    database: Database,
    image: Arc<MetadataImage>,
    meta: SnapshotMeta,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (image, meta) = (Arc::clone(&self.image), self.meta.clone());
        let built = self.database.aside(move |database| {
            let content = milena_rpc::encode_image(&image);
            snapshot::save(database, &meta, &content)?;
            Ok(Snapshot {
                meta,
                snapshot: content,
            })
        });
        let built = built.await?;
        self.database.sync().await?;
        tracing::info!(
            last_log_id = ?built.meta.last_log_id.map(|id| id.index),
            bytes = built.snapshot.len(),
            "metadata snapshot written"
        );
        Ok(built)
    }
}
