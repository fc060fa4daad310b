//! Which transactions a pass over the log has met, and which of their markers still say something.
//!
//! Source: `CleanedTransactionMetadata.java`.

use crate::partition::AbortedTxn;
use milena_record::BatchHeader;
use milena_types::{Offset, ProducerId};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// What a marker is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MarkerFate {
    /// No batch of its transaction is left: it may go, after its delete horizon.
    pub(super) empty: bool,
    /// It stays, and this entry with it in the transaction index.
    pub(super) index_entry: Option<AbortedTxn>,
}

#[derive(Debug)]
struct Aborting {
    txn: AbortedTxn,
    met_data: bool,
}

/// Follows a pass from the beginning of the log, batch by batch.
#[derive(Debug, Default)]
pub(super) struct CleanedTransactions {
    /// Aborted transactions that begin further on, by first offset.
    ahead: BinaryHeap<Reverse<(Offset, usize)>>,
    all: Vec<AbortedTxn>,
    committing: HashSet<ProducerId>,
    aborting: HashMap<ProducerId, Aborting>,
}

impl CleanedTransactions {
    /// A pass over batches that these aborted transactions overlap.
    pub(super) fn new(aborted: Vec<AbortedTxn>) -> Self {
        let ahead = aborted
            .iter()
            .enumerate()
            .map(|(at, txn)| Reverse((txn.first_offset, at)));
        Self {
            ahead: ahead.collect(),
            all: aborted,
            ..Self::default()
        }
    }

    fn pass(&mut self, offset: Offset) {
        while let Some(Reverse((first, at))) = self.ahead.peek().copied() {
            if first > offset {
                return;
            }
            self.ahead.pop();
            let txn = self.all[at];
            self.aborting
                .entry(txn.producer_id)
                .or_insert(Aborting { txn, met_data: false });
        }
    }

    /// A data batch: true when it belongs to an aborted transaction.
    pub(super) fn on_data(&mut self, header: &BatchHeader) -> bool {
        self.pass(header.last_offset());
        let Some(producer_id) = header.producer_id.filter(|_| header.is_transactional()) else {
            return false;
        };
        match self.aborting.get_mut(&producer_id) {
            Some(aborting) => {
                aborting.met_data = true;
                true
            }
            None => {
                self.committing.insert(producer_id);
                false
            }
        }
    }

    /// A control batch; `marker`: commit (true) or abort, `None` for an empty batch, `Some(None)` for another control type.
    pub(super) fn on_control(&mut self, header: &BatchHeader, marker: Option<Option<bool>>) -> MarkerFate {
        self.pass(header.last_offset());
        let fate = |empty, index_entry| MarkerFate { empty, index_entry };
        let Some(producer_id) = header.producer_id else {
            return fate(false, None);
        };
        match marker {
            // What is left of a marker that went.
            None => fate(true, None),
            Some(None) => fate(false, None),
            Some(Some(true)) => fate(!self.committing.remove(&producer_id), None),
            Some(Some(false)) => match self.aborting.remove(&producer_id) {
                Some(aborting) if aborting.met_data => fate(false, Some(aborting.txn)),
                _ => fate(true, None),
            },
        }
    }
}
