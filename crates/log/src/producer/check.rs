//! May this batch of this producer be appended? Source: `ProducerAppendInfo.java`.
//!
//! Checks never change the state; a batch is applied after it was written.

use super::entry::{BatchMetadata, ProducerEntry};
use super::state::ProducerState;
use milena_record::BatchHeader;
use milena_types::{Offset, ProducerEpoch, ProducerId};

/// Who wrote the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOrigin {
    /// A producer over the network: sequences and epochs are checked.
    Client,
    /// A coordinator of this broker: epochs are checked. Whether markers need a higher epoch than the producer's
    /// (transaction version 2, KIP-890) is said here.
    Coordinator {
        /// True under transaction version 2.
        marker_epoch_must_grow: bool,
    },
    /// The partition's leader: it has checked everything.
    Replication,
}

/// The outcome for a data batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataCheck {
    /// Append it.
    New,
    /// It is in the log already, as this batch.
    Duplicate(BatchMetadata),
}

/// Why a producer's batch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// The producer has been fenced by a newer epoch (INVALID_PRODUCER_EPOCH).
    #[error("epoch {epoch} of producer {producer_id} is smaller than the last seen epoch {current}")]
    InvalidEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch in the batch.
        epoch: ProducerEpoch,
        /// The epoch that is known.
        current: ProducerEpoch,
    },
    /// A gap or a repetition beyond the remembered batches (OUT_OF_ORDER_SEQUENCE_NUMBER).
    #[error(
        "out of order sequence number for producer {producer_id}: {sequence} (incoming), {last} (current end)"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// First sequence in the batch.
        sequence: i32,
        /// Last sequence that is known; -1 for none.
        last: i32,
    },
    /// A record outside a transaction while one is open (INVALID_TXN_STATE).
    #[error(
        "producer {producer_id} sent a non-transactional batch while its transaction from offset {since} is open"
    )]
    TransactionOpen {
        /// The producer.
        producer_id: ProducerId,
        /// First offset of the open transaction.
        since: Offset,
    },
    /// A marker of a coordinator that has been replaced (TRANSACTION_COORDINATOR_FENCED).
    #[error("coordinator epoch {epoch} of a marker for producer {producer_id} is smaller than {current}")]
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch in the marker.
        epoch: i32,
        /// The epoch that is known.
        current: i32,
    },
}

impl ProducerState {
    /// Judges a data batch; one without a producer id is always new.
    ///
    /// # Errors
    /// [`ProducerError`] says which rule it breaks.
    pub fn check_data(&self, header: &BatchHeader, origin: BatchOrigin) -> Result<DataCheck, ProducerError> {
        let (Some(producer_id), false) = (header.producer_id, origin == BatchOrigin::Replication) else {
            return Ok(DataCheck::New);
        };
        let Some(entry) = self.entry(producer_id) else {
            return Ok(DataCheck::New);
        };
        if origin == BatchOrigin::Client
            && let Some(original) = entry.duplicate_of(header)
        {
            return Ok(DataCheck::Duplicate(original));
        }
        check_epoch(entry, producer_id, header.producer_epoch, false)?;
        if origin == BatchOrigin::Client {
            check_sequence(entry, producer_id, header)?;
        }
        match entry.txn_first_offset() {
            Some(since) if !header.is_transactional() => {
                Err(ProducerError::TransactionOpen { producer_id, since })
            }
            _ => Ok(DataCheck::New),
        }
    }

    /// Judges a transaction marker.
    ///
    /// # Errors
    /// [`ProducerError::InvalidEpoch`] or [`ProducerError::CoordinatorFenced`].
    pub fn check_marker(
        &self,
        header: &BatchHeader,
        coordinator_epoch: i32,
        origin: BatchOrigin,
    ) -> Result<(), ProducerError> {
        let (
            Some(producer_id),
            BatchOrigin::Coordinator {
                marker_epoch_must_grow,
            },
        ) = (header.producer_id, origin)
        else {
            return Ok(());
        };
        let Some(entry) = self.entry(producer_id) else {
            return Ok(());
        };
        // A repeated marker of the same epoch finds no open transaction; it is then harmless and accepted.
        let must_grow = marker_epoch_must_grow && entry.txn_first_offset().is_some();
        check_epoch(entry, producer_id, header.producer_epoch, must_grow)?;
        if entry.coordinator_epoch > coordinator_epoch {
            let current = entry.coordinator_epoch;
            return Err(ProducerError::CoordinatorFenced {
                producer_id,
                epoch: coordinator_epoch,
                current,
            });
        }
        Ok(())
    }
}

fn check_epoch(
    entry: &ProducerEntry,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    must_grow: bool,
) -> Result<(), ProducerError> {
    match entry.epoch {
        Some(current) if epoch < current || (must_grow && epoch == current) => {
            Err(ProducerError::InvalidEpoch {
                producer_id,
                epoch,
                current,
            })
        }
        _ => Ok(()),
    }
}

fn check_sequence(
    entry: &ProducerEntry,
    producer_id: ProducerId,
    header: &BatchHeader,
) -> Result<(), ProducerError> {
    // Without a known epoch everything the producer wrote has been deleted: any sequence may come.
    let Some(current) = entry.epoch else { return Ok(()) };
    let last = if header.producer_epoch == current {
        entry.last_sequence()
    } else {
        None
    };
    let sequence = header.base_sequence;
    let follows = match last {
        Some(i32::MAX) => sequence == 0,
        Some(last) => sequence == last + 1,
        None => sequence == 0,
    };
    if follows {
        Ok(())
    } else {
        let last = entry.last_sequence().unwrap_or(-1);
        Err(ProducerError::OutOfOrderSequence {
            producer_id,
            sequence,
            last,
        })
    }
}
