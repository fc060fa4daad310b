//! One producer: its epoch, its last five batches, its open transaction. Source: `ProducerStateEntry.java`.

use crate::small::Small;
use milena_record::{BatchHeader, increment_sequence};
use milena_types::{Offset, ProducerEpoch, Timestamp};

/// One remembered batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Sequence of its last record.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Last offset minus first offset.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: Timestamp,
}

impl BatchMetadata {
    /// What is remembered of this batch.
    pub(super) fn of(header: &BatchHeader) -> Self {
        Self {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    /// Offset of its first record.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }

    /// Sequence of its first record; sequences wrap from `i32::MAX` to 0.
    #[must_use]
    pub fn first_sequence(&self) -> i32 {
        if self.last_sequence >= self.offset_delta {
            self.last_sequence - self.offset_delta
        } else {
            i32::MAX - (self.offset_delta - self.last_sequence) + 1
        }
    }
}

/// What is known of one producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerEntry {
    /// At most [`ProducerEntry::BATCHES_MAX`] batches of the current epoch, oldest first.
    batches: Vec<BatchMetadata>,
    /// The current epoch; `None` until a record or marker showed one.
    pub epoch: Option<ProducerEpoch>,
    /// Epoch of the transaction coordinator that wrote the last marker; -1 for none.
    pub coordinator_epoch: i32,
    /// Timestamp of the last batch or marker.
    pub last_timestamp: Timestamp,
    txn_first_offset: Option<Small<-1>>,
}

impl ProducerEntry {
    /// How many batches are remembered, as clients rely on (`max.in.flight.requests.per.connection` up to 5).
    pub const BATCHES_MAX: usize = 5;

    /// An entry without any knowledge.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            coordinator_epoch: -1,
            last_timestamp: Timestamp::NONE,
            ..Self::default()
        }
    }

    /// First offset of the open transaction.
    #[must_use]
    pub fn txn_first_offset(&self) -> Option<Offset> {
        self.txn_first_offset.map(|first| Offset(first.get()))
    }

    /// A transaction is open from this offset on, which is not -1; `None`: no more.
    pub(crate) fn set_txn_first_offset(&mut self, first: Option<Offset>) {
        self.txn_first_offset = first.and_then(|first| Small::new(first.0));
    }

    /// The remembered batches, oldest first.
    #[must_use]
    pub fn batches(&self) -> &[BatchMetadata] {
        &self.batches
    }

    /// Sequence of the last record; `None` when no batch of this epoch is remembered.
    #[must_use]
    pub fn last_sequence(&self) -> Option<i32> {
        self.batches.last().map(|batch| batch.last_sequence)
    }

    /// Moves to `epoch`, forgetting the batches of another one.
    pub(crate) fn move_to_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != Some(epoch) {
            self.batches.clear();
            self.epoch = Some(epoch);
        }
    }

    /// Remembers a batch, forgetting the sixth oldest.
    pub(crate) fn add(&mut self, epoch: ProducerEpoch, batch: BatchMetadata) {
        self.move_to_epoch(epoch);
        if self.batches.len() == Self::BATCHES_MAX {
            self.batches.remove(0);
        }
        self.batches.push(batch);
        self.last_timestamp = batch.timestamp;
    }

    pub(super) fn shrink(&mut self) {
        self.batches.shrink_to_fit();
    }

    /// May an older batch of this epoch be in the log that belongs to the remembered ones?
    ///
    /// Sequence 0 is the first of an epoch; after 2^31 records it comes again, and then a short window stays short.
    pub(super) fn is_incomplete(&self) -> bool {
        let oldest = self.batches.first();
        self.batches.len() < Self::BATCHES_MAX && oldest.is_some_and(|batch| batch.first_sequence() != 0)
    }

    /// Puts a batch from further down the log before the remembered ones, if it is the one that came before them. Changes
    /// nothing else. True while a still older one may belong to them.
    pub(super) fn add_older(&mut self, epoch: ProducerEpoch, batch: BatchMetadata) -> bool {
        let Some(oldest) = self.batches.first().filter(|_| self.epoch == Some(epoch)) else {
            return false;
        };
        if batch.last_offset >= oldest.first_offset() {
            // It is one of them.
            return self.is_incomplete();
        }
        if !self.is_incomplete() || increment_sequence(batch.last_sequence, 1) != oldest.first_sequence() {
            return false;
        }
        self.batches.insert(0, batch);
        self.is_incomplete()
    }

    /// The remembered batch that has the same epoch and the same first and last sequence.
    pub(super) fn duplicate_of(&self, header: &BatchHeader) -> Option<BatchMetadata> {
        if self.epoch != Some(header.producer_epoch) {
            return None;
        }
        let same = |b: &&BatchMetadata| {
            b.first_sequence() == header.base_sequence && b.last_sequence == header.last_sequence()
        };
        self.batches.iter().find(same).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_transaction_is_known_by_its_first_offset() {
        let mut entry = ProducerEntry::unknown();
        assert_eq!(entry.txn_first_offset(), None);
        for first in [Some(Offset(0)), None, Some(Offset(7)), Some(Offset(i64::MAX))] {
            entry.set_txn_first_offset(first);
            assert_eq!(entry.txn_first_offset(), first);
        }
    }

    #[test]
    fn first_sequences_wrap() {
        let at = |last_sequence, offset_delta| BatchMetadata {
            last_sequence,
            offset_delta,
            last_offset: Offset(100),
            timestamp: Timestamp(0),
        };
        assert_eq!(at(9, 9).first_sequence(), 0);
        assert_eq!(at(0, 0).first_sequence(), 0);
        assert_eq!(at(0, 1).first_sequence(), i32::MAX);
        assert_eq!(at(2, 4).first_sequence(), i32::MAX - 1);
        assert_eq!(at(2, 4).first_offset(), Offset(96));
    }
}
