//! Aborted transactions and the last stable offset. An abort is noted in the index of the segment of its marker.

use super::PartitionLog;
use crate::error::LogError;
use crate::producer::CompletedTxn;
use milena_types::{Offset, ProducerId};

/// An aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// Below it every transaction was decided when this one was.
    pub last_stable_offset: Offset,
}

impl PartitionLog {
    /// First offset of a transaction that is open, or whose marker lies at or above the high watermark.
    ///
    /// The last stable offset is the smaller of this and the high watermark. Source: `UnifiedLog.fetchLastStableOffset`.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        self.producers
            .first_unstable_offset()
            .map(|offset| offset.max(self.log_start))
    }

    /// Tells the log how far all in-sync replicas are; it never goes back, except with a truncation.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        if high_watermark > self.high_watermark {
            self.high_watermark = high_watermark;
            self.producers.on_high_watermark(high_watermark);
        }
    }

    /// Transactions that were aborted and have a record in `[from, upper)`: what a read_committed fetch of that range carries.
    ///
    /// # Errors
    /// A transaction index could not be read, or is not what was written.
    pub fn aborted_transactions(&self, from: Offset, upper: Offset) -> Result<Vec<AbortedTxn>, LogError> {
        let mut found = Vec::new();
        for at in self.segment_of(from).unwrap_or(0)..self.segments.len() {
            if self.segments[at].aborted.entries == 0 {
                continue;
            }
            for aborted in self.read_txn_index(at)? {
                if aborted.last_offset >= from && aborted.first_offset < upper {
                    found.push(aborted);
                }
                if aborted.last_stable_offset >= upper {
                    return Ok(found);
                }
            }
        }
        // Entries that wait for space come after all others.
        let unsaved = self.in_flight.unsaved_aborts.iter().copied();
        found.extend(unsaved.filter(|aborted| aborted.last_offset >= from && aborted.first_offset < upper));
        Ok(found)
    }

    /// Takes note of an abort for the transaction index of the last segment; commits leave no trace there.
    pub(super) fn note_completed_txn(&mut self, completed: &CompletedTxn) {
        if completed.aborted {
            let stable = self.producers.last_stable_offset_after(completed);
            self.in_flight
                .unsaved_aborts
                .push(AbortedTxn::of(completed, stable));
        }
    }

    /// Writes the aborts that wait into the transaction index of the last segment. What cannot be written goes on waiting.
    pub(super) fn save_aborts(&mut self) -> Result<(), LogError> {
        let last = self.segments.len().saturating_sub(1);
        while let Some(entry) = self.in_flight.unsaved_aborts.first().copied() {
            self.add_aborted(last, &entry)?;
            self.in_flight.unsaved_aborts.remove(0);
        }
        Ok(())
    }
}

impl AbortedTxn {
    /// The entry of a transaction that an abort marker ended.
    pub(super) fn of(completed: &CompletedTxn, last_stable_offset: Offset) -> Self {
        Self {
            producer_id: completed.producer_id,
            first_offset: completed.first_offset,
            last_offset: completed.last_offset,
            last_stable_offset,
        }
    }
}
