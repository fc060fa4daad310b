//! What of one batch stays. Pure: a batch and what is known in, the batch's fate out.
//!
//! Source: `Cleaner.cleanInto`, `Cleaner.shouldRetainRecord`, `MemoryRecords.filterTo`.

use super::map::OffsetMap;
use super::transactions::CleanedTransactions;
use crate::partition::AbortedTxn;
use bytes::Bytes;
use milena_record::{BatchError, BatchHeader, RecordView, rebuild_batch, rebuild_empty_batch, unpack};
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};
use std::collections::HashMap;

/// The last thing that the log holds of an active producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastRecord {
    /// Its newest data batch ends here.
    Data(Offset),
    /// Only a marker of this epoch.
    Marker(ProducerEpoch),
}

/// What the decisions depend on besides the log itself.
#[derive(Clone, Debug)]
pub(crate) struct FilterRules {
    /// The clock, when the compaction began.
    pub(crate) now: Timestamp,
    /// `delete.retention.ms`.
    pub(crate) delete_retention_ms: i64,
    /// Every replica's log reaches this offset: tombstones and markers at or past it stay.
    pub(crate) replicated: Offset,
    /// Batches that end here stay, if only as headers: high watermark and log end.
    pub(crate) kept_ends: [Offset; 2],
    /// Batches that end here stay too: the end of the group that is being compacted.
    pub(crate) group_end: Offset,
    /// Their newest batches stay, if only as headers: the sequence would be forgotten.
    pub(crate) producers: HashMap<ProducerId, LastRecord>,
    /// Most bytes that a batch may unpack to.
    pub(crate) decompressed_bytes_max: usize,
    /// The level for codecs that have one.
    pub(crate) compression_level: Option<i32>,
}

/// What becomes of a batch.
#[derive(Debug)]
pub(super) enum Fate {
    /// It goes.
    Gone,
    /// It stays as it is.
    Same,
    /// It is written like this.
    Changed(Bytes),
}

/// The fate of one batch.
#[derive(Debug)]
pub(super) struct Filtered {
    pub(super) fate: Fate,
    /// Belongs into the transaction index.
    pub(super) index_entry: Option<AbortedTxn>,
    /// The last tombstone or marker in it that goes.
    pub(super) last_delete: Option<Offset>,
}

/// Decides on one batch; batches come in the order of the log, from its beginning.
pub(super) fn filter(
    header: &BatchHeader,
    batch: &[u8],
    map: &OffsetMap,
    transactions: &mut CleanedTransactions,
    rules: &FilterRules,
) -> Result<Filtered, BatchError> {
    let mut filtered = Filtered {
        fate: Fate::Same,
        index_entry: None,
        last_delete: None,
    };
    if header.is_control() {
        filter_control(header, batch, map, transactions, rules, &mut filtered)?;
    } else if transactions.on_data(header) {
        filtered.fate = nothing_left(header, rules);
    } else {
        filter_data(header, batch, map, rules, &mut filtered)?;
    }
    Ok(filtered)
}

fn filter_control(
    header: &BatchHeader,
    batch: &[u8],
    map: &OffsetMap,
    transactions: &mut CleanedTransactions,
    rules: &FilterRules,
    filtered: &mut Filtered,
) -> Result<(), BatchError> {
    let marker =
        (header.records_count > 0).then(|| crate::partition::marker_of(batch).map(|(commit, _)| commit));
    let fate = transactions.on_control(header, marker);
    filtered.index_entry = fate.index_entry;
    if header.records_count == 0 {
        filtered.fate = nothing_left(header, rules);
        return Ok(());
    }
    if !fate.empty {
        return Ok(());
    }
    match header.delete_horizon() {
        Some(horizon) if horizon <= rules.now && header.next_offset() <= rules.replicated => {
            filtered.last_delete = Some(header.last_offset());
            filtered.fate = nothing_left(header, rules);
        }
        None if is_mapped(header, map) => {
            let unpacked = unpack(batch, rules.decompressed_bytes_max)?;
            let records = unpacked.records().map(|record| Ok(record?.1));
            let records: Vec<_> = records.collect::<Result<_, BatchError>>()?;
            filtered.fate = Fate::Changed(rebuild(header, &records, new_horizon(rules), rules));
        }
        Some(_) | None => {}
    }
    Ok(())
}

fn filter_data(
    header: &BatchHeader,
    batch: &[u8],
    map: &OffsetMap,
    rules: &FilterRules,
    filtered: &mut Filtered,
) -> Result<(), BatchError> {
    let unpacked = unpack(batch, rules.decompressed_bytes_max)?;
    let (mut count, mut kept) = (0, Vec::new());
    let deletes_may_go = header
        .delete_horizon()
        .is_some_and(|horizon| horizon <= rules.now);
    let mut tombstones = false;
    for record in unpacked.records() {
        let (offset, record) = record?;
        count += 1;
        if !is_last_of_its_key(offset, &record, map) {
            continue;
        }
        if record.value.is_none() {
            if deletes_may_go && offset < rules.replicated && map.latest() >= Some(offset) {
                filtered.last_delete = Some(offset);
                continue;
            }
            tombstones = true;
        }
        kept.push(record);
    }
    filtered.fate = if kept.is_empty() {
        nothing_left(header, rules)
    } else {
        let horizon = header.delete_horizon();
        let sets_horizon = tombstones && horizon.is_none() && is_mapped(header, map);
        if kept.len() == count && !sets_horizon {
            Fate::Same
        } else {
            let horizon = if sets_horizon { new_horizon(rules) } else { horizon };
            Fate::Changed(rebuild(header, &kept, horizon, rules))
        }
    };
    Ok(())
}

/// Records past the key map are not judged; one without a key has no place in a compacted log.
fn is_last_of_its_key(offset: Offset, record: &RecordView<&[u8]>, map: &OffsetMap) -> bool {
    if map.latest() < Some(offset) {
        return true;
    }
    record
        .key
        .is_some_and(|key| map.get(key).is_none_or(|last| offset >= last))
}

/// The key map has seen all of it: earlier values of its keys go in this pass, and tombstones may begin to age.
fn is_mapped(header: &BatchHeader, map: &OffsetMap) -> bool {
    map.latest() >= Some(header.last_offset())
}

fn new_horizon(rules: &FilterRules) -> Option<Timestamp> {
    Some(Timestamp(rules.now.0.saturating_add(rules.delete_retention_ms)))
}

fn rebuild(
    header: &BatchHeader,
    records: &[RecordView<&[u8]>],
    horizon: Option<Timestamp>,
    rules: &FilterRules,
) -> Bytes {
    rebuild_batch(header, records, horizon, rules.compression_level).freeze()
}

/// A batch without records goes, unless its offsets or its producer would be forgotten.
fn nothing_left(header: &BatchHeader, rules: &FilterRules) -> Fate {
    let last_of_producer = header
        .producer_id
        .and_then(|id| rules.producers.get(&id))
        .is_some_and(|last| match last {
            LastRecord::Data(offset) => header.last_offset() == *offset,
            LastRecord::Marker(epoch) => header.is_control() && header.producer_epoch == *epoch,
        });
    let end = header.next_offset();
    if !last_of_producer && !rules.kept_ends.contains(&end) && end != rules.group_end {
        Fate::Gone
    } else if header.records_count == 0 {
        Fate::Same
    } else {
        Fate::Changed(rebuild_empty_batch(header).freeze())
    }
}
