//! All producers of one partition, and its open and unreplicated transactions.
//!
//! Invariants: `ongoing` holds exactly the entries whose transaction is open; `completed` holds transactions whose
//! marker may still lie at or above the high watermark. Source: `ProducerStateManager.java`.

use super::entry::{BatchMetadata, ProducerEntry};
use super::map::ProducerMap;
use milena_record::BatchHeader;
use milena_types::{Offset, ProducerId, Timestamp};
use std::collections::BTreeMap;

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTxn {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// True for an abort.
    pub aborted: bool,
}

/// The producers of one partition. Empty for most: then it owns no heap memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerState {
    entries: ProducerMap,
    /// `None` when there is none, as in most partitions.
    transactions: Option<Box<Transactions>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Transactions {
    ongoing: BTreeMap<Offset, ProducerId>,
    /// First offset to marker offset.
    completed: BTreeMap<Offset, Offset>,
}

impl ProducerState {
    /// A state of these producers.
    #[must_use]
    pub fn from_entries(entries: impl IntoIterator<Item = (ProducerId, ProducerEntry)>) -> Self {
        let entries: ProducerMap = entries.into_iter().collect();
        let ongoing: BTreeMap<_, _> = entries
            .iter()
            .filter_map(|(id, e)| e.txn_first_offset().map(|first| (first, id)))
            .collect();
        let transactions = (!ongoing.is_empty()).then(|| {
            Box::new(Transactions {
                ongoing,
                completed: BTreeMap::new(),
            })
        });
        Self {
            entries,
            transactions,
        }
    }

    /// What is known of `producer_id`.
    #[must_use]
    pub fn entry(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.entries.get(producer_id)
    }

    /// Every producer, by ascending id.
    pub fn entries(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.entries.iter()
    }

    /// How many producers are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Takes note of a data batch that is in the log now.
    pub fn apply_data(&mut self, header: &BatchHeader) {
        let Some(producer_id) = header.producer_id else {
            return;
        };
        let entry = self.entries.get_or_insert(producer_id);
        entry.add(header.producer_epoch, BatchMetadata::of(header));
        if header.is_transactional() && entry.txn_first_offset().is_none() {
            entry.set_txn_first_offset(Some(header.base_offset));
            let transactions = self.transactions.get_or_insert_default();
            transactions.ongoing.insert(header.base_offset, producer_id);
        }
    }

    /// Producers of which older batches may belong to the remembered ones, each with the offset where its newest batch ends.
    pub fn incomplete(&self) -> impl Iterator<Item = (ProducerId, Offset)> {
        let newest = |entry: &ProducerEntry| entry.batches().last().map(|batch| batch.last_offset);
        self.entries()
            .filter(|(_, entry)| entry.is_incomplete())
            .filter_map(move |(id, entry)| Some((id, newest(entry)?)))
    }

    /// Is this data batch, the newest of its producer, remembered as such?
    #[must_use]
    pub fn knows(&self, header: &BatchHeader) -> bool {
        let entry = header.producer_id.and_then(|id| self.entry(id));
        let Some(entry) = entry else { return false };
        let newest = entry.batches().last().map(|batch| batch.last_offset);
        entry.epoch > Some(header.producer_epoch) || newest == Some(header.last_offset())
    }

    /// Completes what is remembered of a producer by a data batch that lies below it in the log; offered from the newest to
    /// the oldest. Nothing else changes. True while a still older one may be of use.
    pub fn add_older(&mut self, header: &BatchHeader) -> bool {
        let entry = header.producer_id.and_then(|id| self.entries.get_mut(id));
        entry.is_some_and(|entry| entry.add_older(header.producer_epoch, BatchMetadata::of(header)))
    }

    /// Takes note of a marker that is in the log now; gives the transaction that it ended, if one was open.
    pub fn apply_marker(
        &mut self,
        header: &BatchHeader,
        commit: bool,
        coordinator_epoch: i32,
    ) -> Option<CompletedTxn> {
        let producer_id = header.producer_id?;
        let entry = self.entries.get_or_insert(producer_id);
        entry.move_to_epoch(header.producer_epoch);
        entry.coordinator_epoch = coordinator_epoch;
        entry.last_timestamp = header.max_timestamp;
        let first_offset = entry.txn_first_offset()?;
        entry.set_txn_first_offset(None);
        let transactions = self.transactions.get_or_insert_default();
        transactions.ongoing.remove(&first_offset);
        let last_offset = header.last_offset();
        transactions.completed.insert(first_offset, last_offset);
        Some(CompletedTxn {
            producer_id,
            first_offset,
            last_offset,
            aborted: !commit,
        })
    }

    /// Below it every transaction is decided, once `completed` is: what the transaction index stores with an abort.
    #[must_use]
    pub fn last_stable_offset_after(&self, completed: &CompletedTxn) -> Offset {
        let open = self
            .transactions
            .as_ref()
            .map(|transactions| &transactions.ongoing);
        open.into_iter()
            .flat_map(BTreeMap::keys)
            .next()
            .copied()
            .unwrap_or(completed.last_offset.plus(1))
    }

    /// First offset of the oldest transaction that is open, or decided but not yet below the high watermark.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let transactions = self.transactions.as_ref()?;
        let open = transactions.ongoing.keys().next();
        let unreplicated = transactions.completed.keys().next();
        open.into_iter().chain(unreplicated).min().copied()
    }

    /// Forgets decided transactions whose marker lies below `high_watermark`.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        if let Some(transactions) = &mut self.transactions {
            transactions.completed.retain(|_, last| *last >= high_watermark);
            if transactions.completed.is_empty() && transactions.ongoing.is_empty() {
                self.transactions = None;
            }
        }
    }

    /// Forgets producers that were silent for `expiration_ms` and have no open transaction; returns how many.
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| {
            entry.txn_first_offset().is_some() || now.0.saturating_sub(entry.last_timestamp.0) < expiration_ms
        });
        before - self.entries.len()
    }

    /// Gives back spare memory.
    pub fn shrink(&mut self) {
        self.entries.shrink();
    }
}
