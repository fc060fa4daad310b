//! The last snapshot on disk: an encoded image in chunks, and raft's meta.

use super::backend::{Batch, Database};
use super::keys::{Family, SNAPSHOT_CHUNK, StateKey, snapshot_key};
use crate::raft::codec;
use crate::raft::types::{Snapshot, SnapshotMeta};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::io;

/// What the `state` family keeps about the snapshot.
#[derive(Serialize, Deserialize)]
struct Stored {
    generation: u64,
    chunks: u32,
    bytes: u64,
    meta: SnapshotMeta,
}

/// The meta of the stored snapshot.
pub(super) fn stored_meta(database: &Database) -> io::Result<Option<SnapshotMeta>> {
    Ok(database
        .state::<Stored>(StateKey::Snapshot)?
        .map(|stored| stored.meta))
}

/// The stored snapshot.
pub(super) fn load(database: &Database) -> io::Result<Option<Snapshot>> {
    let Some(stored) = database.state::<Stored>(StateKey::Snapshot)? else {
        return Ok(None);
    };
    let mut content = BytesMut::new();
    for chunk in 0..stored.chunks {
        let key = snapshot_key(stored.generation, chunk);
        let found = database.get(Family::Snapshot, &key, &mut |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        if !found {
            return Err(damaged(&format!("chunk {chunk} of the snapshot is missing")));
        }
    }
    if content.len() as u64 != stored.bytes {
        return Err(damaged(&format!(
            "the snapshot has {} bytes instead of {}",
            content.len(),
            stored.bytes
        )));
    }
    Ok(Some(Snapshot {
        meta: stored.meta,
        snapshot: content.freeze(),
    }))
}

/// Replaces the stored snapshot in one atomic write; the caller syncs.
pub(super) fn save(database: &Database, meta: &SnapshotMeta, content: &Bytes) -> io::Result<()> {
    let old = database.state::<Stored>(StateKey::Snapshot)?;
    let generation = old.as_ref().map_or(1, |old| old.generation + 1);
    let mut batch = Batch::default();
    let mut chunks = 0u32;
    for from in (0..content.len()).step_by(SNAPSHOT_CHUNK) {
        let piece = content.slice(from..content.len().min(from + SNAPSHOT_CHUNK));
        batch.put(Family::Snapshot, snapshot_key(generation, chunks), piece);
        chunks += 1;
    }
    if let Some(old) = old {
        batch.delete_range(
            Family::Snapshot,
            snapshot_key(old.generation, 0),
            snapshot_key(old.generation, u32::MAX),
        );
    }
    let stored = Stored {
        generation,
        chunks,
        bytes: content.len() as u64,
        meta: meta.clone(),
    };
    batch.put(Family::State, StateKey::Snapshot.bytes(), codec::encode(&stored)?);
    database.write(batch)
}

fn damaged(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions};
    use std::ops::ControlFlow;

    #[test]
    fn large_snapshots_survive_and_replace_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &StoreOptions::default()).unwrap();
        let database = &store.database;
        assert!(load(database).unwrap().is_none());
        let meta = SnapshotMeta {
            last_log_id: None,
            last_membership: openraft::StoredMembership::default(),
        };
        for size in [3 * SNAPSHOT_CHUNK + 17, 0, SNAPSHOT_CHUNK, 5] {
            let content: Bytes = (0..size).map(|at| at as u8).collect();
            save(database, &meta, &content).unwrap();
            let loaded = load(database).unwrap().unwrap();
            assert_eq!(loaded.snapshot.len(), size);
            assert!(loaded.snapshot == content);
            let mut kept = 0;
            let count = &mut |_: &[u8], _: &[u8]| {
                kept += 1;
                Ok(ControlFlow::Continue(()))
            };
            database.scan(Family::Snapshot, &[], None, count).unwrap();
            assert_eq!(kept, size.div_ceil(SNAPSHOT_CHUNK), "the one before is gone");
        }
        let (key, _) = database.last(Family::Snapshot).unwrap().unwrap();
        database.delete(Family::Snapshot, key).unwrap();
        assert!(load(database).is_err(), "a missing chunk is damage");
    }
}
