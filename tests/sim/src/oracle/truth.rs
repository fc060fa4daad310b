//! What is known of a partition: what was committed and promised, by whom it was led.

use super::identity;
use crate::event::Host;
use milena_log::{PartitionLog, ReadError};
use milena_record::{BatchHeader, batches};
use milena_types::{BrokerId, LeaderEpoch, Offset};
use std::collections::{BTreeMap, BTreeSet};

/// A batch that a producer has made.
#[derive(Clone, Debug)]
pub struct Sent {
    /// By whom.
    pub producer: usize,
    /// For which of its partitions.
    pub lane: usize,
    /// Its first record's number there.
    pub first: u64,
    /// How many records.
    pub count: i32,
    /// The log keeps it from being there twice.
    pub idempotent: bool,
    /// It was made again from records that may be there already.
    pub repeated: bool,
}

/// A partition.
#[derive(Debug, Default)]
pub struct Truth {
    /// Batches below a leader's high watermark, by where they begin.
    pub committed: BTreeMap<Offset, Placed>,
    /// Where the committed batches end.
    pub committed_end: Offset,
    /// Batches that were acknowledged by all.
    pub acked: BTreeMap<Offset, u64>,
    /// Who was elected in which epoch.
    pub owners: BTreeMap<LeaderEpoch, Option<BrokerId>>,
    /// Which process has led in which epoch.
    pub led_by: BTreeMap<LeaderEpoch, Host>,
    /// Epochs that began with an unclean election.
    pub unclean: BTreeMap<LeaderEpoch, BrokerId>,
    /// The epoch in which the present life began: the last unclean election that took effect.
    pub life: Option<LeaderEpoch>,
    /// How far records were to be deleted.
    pub deleted: Offset,
    /// Acknowledged batches that the unclean election of a later life has taken; one that was sent again may lie at the same
    /// offset in a later epoch.
    pub lost_acked: BTreeSet<(Offset, LeaderEpoch, u64)>,
    /// Acknowledged batches that recorded unclean elections have cost.
    pub lost: u64,
}

impl Truth {
    /// A leader of that epoch speaks of a life that is over.
    #[must_use]
    pub fn is_past(&self, epoch: LeaderEpoch) -> bool {
        self.life.is_some_and(|life| epoch < life)
    }

    /// A leader begins whose log, of these batches, is all that counts: the election in epoch `life`, or one before it since, was
    /// unclean.
    pub fn begin_life(
        &mut self,
        life: Option<LeaderEpoch>,
        batches: &[Placed],
        start: Offset,
        known: Offset,
    ) {
        self.life = life;
        let before = self.acked.len();
        let gone = self
            .acked
            .iter()
            .filter(|(base, identity)| **base >= start && !has(batches, **base, **identity));
        let gone =
            gone.filter_map(|(base, identity)| Some((*base, self.committed.get(base)?.epoch, *identity)));
        self.lost_acked.extend(gone);
        self.committed.retain(|base, _| *base < start);
        self.committed_end = start;
        self.acked
            .retain(|base, identity| *base < start || has(batches, *base, *identity));
        self.lost += (before - self.acked.len()) as u64;
        self.learn(batches, known);
        self.committed_end = known;
    }

    /// A leader takes its log for committed up to `known`.
    pub fn learn(&mut self, batches: &[Placed], known: Offset) {
        let more = batches
            .iter()
            .filter(|batch| batch.base >= self.committed_end && batch.end <= known);
        self.committed.extend(more.map(|batch| (batch.base, *batch)));
        self.committed_end = self.committed_end.max(known);
    }
}

/// True when that batch lies there.
#[must_use]
pub fn has(batches: &[Placed], base: Offset, identity: u64) -> bool {
    let at = batches.partition_point(|batch| batch.base < base);
    let found = batches.get(at);
    found.is_some_and(|batch| batch.base == base && batch.identity == identity)
}

/// One batch of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its first offset.
    pub base: Offset,
    /// The offset after it.
    pub end: Offset,
    /// The epoch of who appended it.
    pub epoch: LeaderEpoch,
    /// What it is.
    pub identity: u64,
}

impl Placed {
    fn of(header: &BatchHeader, bytes: &[u8]) -> Self {
        Self {
            base: header.base_offset,
            end: header.next_offset(),
            epoch: header.partition_leader_epoch,
            identity: identity(bytes),
        }
    }
}

/// The batches of a buffer.
#[must_use]
pub fn placed(bytes: &[u8]) -> Vec<Placed> {
    let found = batches(bytes).flatten();
    found.map(|(header, batch)| Placed::of(&header, batch)).collect()
}

/// The batches of a log from `from` up to `upper`, as they are read.
///
/// # Errors
/// The log cannot be read.
pub fn read(log: &PartitionLog, from: Offset, upper: Offset) -> Result<Vec<Placed>, ReadError> {
    let mut all = Vec::new();
    let mut at = from.max(log.log_start_offset());
    while at < upper {
        let read = log.read(at, 1 << 20, upper, true)?;
        if read.next_offset <= at {
            break;
        }
        all.extend(placed(&read.records));
        at = read.next_offset;
    }
    Ok(all)
}
