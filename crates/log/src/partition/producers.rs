//! Producer state: kept up to date by appends, written as snapshots, loaded and replayed.

use super::PartitionLog;
use crate::env::{OpenMode, read_small_file};
use crate::error::LogError;
use crate::format::FileKind;
use crate::producer::{
    CompletedTxn, ProducerState, decode_snapshot, encode_snapshot, encoded_snapshot_bytes,
};
use bytes::Bytes;
use milena_record::control::ControlRecord;
use milena_record::{BatchHeader, records};
use milena_types::{Offset, Timestamp};

/// Snapshots above this size are not ours: some five million producers.
const SNAPSHOT_BYTES_MAX: usize = 256 << 20;
/// So much is appended between two snapshots inside a segment …
const SNAPSHOT_INTERVAL_BYTES: u64 = 64 << 20;
/// … and so many times the size of a snapshot, if that is more.
const SNAPSHOT_SHARE: u64 = 64;
/// A control batch holds one small record.
const CONTROL_BYTES_MAX: usize = 1 << 16;

/// What a control batch says: commit or abort, and by which coordinator epoch. `None` for other control types.
pub(crate) fn marker_of(batch: &[u8]) -> Option<(bool, i32)> {
    let records = records(&Bytes::copy_from_slice(batch), CONTROL_BYTES_MAX).ok()?;
    let record = records.first()?;
    let kind = ControlRecord::decode_key(record.key.as_ref()?).ok()??;
    let coordinator_epoch = ControlRecord::decode_value(record.value.as_ref()?).ok()?;
    Some((kind == ControlRecord::Commit, coordinator_epoch))
}

/// Applies one batch to a producer state; gives the transaction that it ended.
pub(super) fn apply_to(
    state: &mut ProducerState,
    header: &BatchHeader,
    batch: &[u8],
) -> Option<CompletedTxn> {
    if header.is_control() {
        let (commit, coordinator_epoch) = marker_of(batch)?;
        state.apply_marker(header, commit, coordinator_epoch)
    } else {
        state.apply_data(header);
        None
    }
}

impl PartitionLog {
    pub(super) fn note_producer(&mut self, header: &BatchHeader, batch: &[u8]) -> Option<CompletedTxn> {
        apply_to(&mut self.producers, header, batch)
    }

    /// The producers that the log knows.
    #[must_use]
    pub fn active_producers(&self) -> &ProducerState {
        &self.producers
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`; returns how many.
    pub fn expire_producers(&mut self, now: Timestamp) -> usize {
        self.producers.expire(now, self.config.producer_expiration_ms)
    }

    /// Writes the producer state as of the log end; the page cache will do, for the log can be replayed.
    pub(super) fn write_snapshot(&mut self) -> Result<(), LogError> {
        let offset = self.log_end;
        if let Err(error) = self.write_snapshot_file(offset, &self.producers) {
            self.snapshots.retain(|at| *at != offset);
            return Err(error);
        }
        self.add_snapshot(offset);
        self.bytes_since_snapshot = 0;
        // A recovery that begins at this snapshot keeps the transaction index below it, and wants to know whether it is the
        // right one: the sums are on disk before the recovery point is here.
        self.sums_dirty |= self.segments.last().is_some_and(|last| last.aborted.entries > 0);
        Ok(())
    }

    pub(super) fn write_snapshot_file(
        &self,
        offset: Offset,
        producers: &ProducerState,
    ) -> Result<(), LogError> {
        let path = self.path(offset, FileKind::Snapshot);
        let write = || {
            let file = self.env.fs.open(&path, OpenMode::Truncate)?;
            file.write_all_at(&encode_snapshot(producers), 0)
        };
        write().map_err(|error| {
            // A torn one would be found out, and a warning given, for nothing.
            let _ = self.env.fs.remove_file(&path);
            LogError::new("write", path)(error)
        })
    }

    pub(super) fn add_snapshot(&mut self, offset: Offset) {
        if let Err(at) = self.snapshots.binary_search(&offset) {
            self.snapshots.insert(at, offset);
        }
        self.dir_dirty = true;
    }

    /// Writes a snapshot when so much was appended that a replay from the last one would take long: recovery need not look far
    /// below the recovery point. Of those inside segments the newest two stay, for the newest may be past the recovery point.
    ///
    /// It waits while an abort is in no index: a recovery that begins behind the marker would never hear of it.
    pub(super) fn snapshot_when_due(&mut self) {
        if !self.in_flight.unsaved_aborts.is_empty() {
            return;
        }
        let snapshot_bytes = encoded_snapshot_bytes(&self.producers) as u64;
        if self.bytes_since_snapshot < SNAPSHOT_INTERVAL_BYTES.max(SNAPSHOT_SHARE * snapshot_bytes) {
            return;
        }
        let written = self.write_snapshot().and_then(|()| {
            let inside = |at: &Offset| self.segments.binary_search_by_key(at, |s| s.base).is_err();
            let strays = self.snapshots.iter().rev().copied().filter(inside);
            let doomed: Vec<Offset> = strays.skip(2).collect();
            self.remove_snapshots(|at| doomed.contains(&at))
        });
        if let Err(error) = written {
            // A replay from an older one gives the same.
            self.bytes_since_snapshot = 0;
            tracing::warn!(partition = %self.partition, %error, "cannot write a producer snapshot");
        }
    }

    /// Loads the newest good snapshot at or below `offset` into the producer state; gives its offset, and how many damaged
    /// ones were removed on the way.
    pub(super) fn load_snapshot(&mut self, offset: Offset) -> Result<(Option<Offset>, usize), LogError> {
        self.producers = ProducerState::default();
        let mut discarded = 0;
        let candidates: Vec<Offset> = self
            .snapshots
            .iter()
            .rev()
            .copied()
            .filter(|at| *at <= offset)
            .collect();
        for at in candidates {
            let path = self.path(at, FileKind::Snapshot);
            let bytes = read_small_file(&*self.env.fs, &path, SNAPSHOT_BYTES_MAX)
                .map_err(LogError::new("read", &path))?
                .unwrap_or_default();
            match decode_snapshot(&bytes).and_then(|state| state.lies_below(at)) {
                Ok(state) => {
                    self.producers = state;
                    return Ok((Some(at), discarded));
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "removed a damaged producer snapshot; its state is replayed from the log");
                    self.remove_snapshots(|snapshot| snapshot == at)?;
                    discarded += 1;
                }
            }
        }
        Ok((None, discarded))
    }

    /// Removes the snapshots that `doomed` names.
    pub(super) fn remove_snapshots(&mut self, doomed: impl Fn(Offset) -> bool) -> Result<(), LogError> {
        let (gone, kept): (Vec<_>, Vec<_>) = self.snapshots.iter().partition(|at| doomed(**at));
        self.snapshots = kept.into();
        self.dir_dirty |= !gone.is_empty();
        for at in gone {
            let path = self.path(at, FileKind::Snapshot);
            self.env
                .fs
                .remove_file(&path)
                .map_err(LogError::new("remove", &path))?;
        }
        Ok(())
    }
}
