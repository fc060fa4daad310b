//! The last snapshot on disk: an encoded image in chunks, and raft's meta.

use super::db::{Database, io_error};
use super::keys::{SNAPSHOT, SNAPSHOT_CHUNK, STATE, StateKey, snapshot_key};
use super::log_store::read_state;
use crate::raft::codec;
use crate::raft::types::{Snapshot, SnapshotMeta};
use bytes::{Bytes, BytesMut};
use rocksdb::WriteBatch;
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
    Ok(read_state::<Stored>(database, StateKey::Snapshot)?.map(|stored| stored.meta))
}

/// The stored snapshot.
pub(super) fn load(database: &Database) -> io::Result<Option<Snapshot>> {
    let Some(stored) = read_state::<Stored>(database, StateKey::Snapshot)? else {
        return Ok(None);
    };
    let family = database.family(SNAPSHOT)?;
    let mut content = BytesMut::new();
    for chunk in 0..stored.chunks {
        let piece = database
            .0
            .get_pinned_cf(family, snapshot_key(stored.generation, chunk))
            .map_err(io_error)?;
        let piece = piece.ok_or_else(|| damaged(&format!("chunk {chunk} of the snapshot is missing")))?;
        content.extend_from_slice(&piece);
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
    let family = database.family(SNAPSHOT)?;
    let old = read_state::<Stored>(database, StateKey::Snapshot)?;
    let generation = old.as_ref().map_or(1, |old| old.generation + 1);
    let mut batch = WriteBatch::default();
    let mut chunks = 0u32;
    for piece in content.chunks(SNAPSHOT_CHUNK) {
        batch.put_cf(family, snapshot_key(generation, chunks), piece);
        chunks += 1;
    }
    if let Some(old) = old {
        batch.delete_range_cf(
            family,
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
    batch.put_cf(
        database.family(STATE)?,
        StateKey::Snapshot.bytes(),
        codec::encode(&stored)?,
    );
    database.0.write(batch).map_err(io_error)
}

fn damaged(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions};
    use rocksdb::IteratorMode;

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
            let kept = database
                .0
                .iterator_cf(database.family(SNAPSHOT).unwrap(), IteratorMode::Start)
                .count();
            assert_eq!(kept, size.div_ceil(SNAPSHOT_CHUNK), "the one before is gone");
        }
        let family = database.family(SNAPSHOT).unwrap();
        let (key, _) = database
            .0
            .iterator_cf(family, IteratorMode::Start)
            .next()
            .unwrap()
            .unwrap();
        database.0.delete_cf(family, key).unwrap();
        assert!(load(database).is_err(), "a missing chunk is damage");
    }
}
