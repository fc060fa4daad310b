//! The clients' batches of one led partition that wait for one that is being prepared elsewhere.
//!
//! While a heavy batch (`milena_log::Work`) is away, everything that comes after it waits, in order; Kafka's threads wait for the
//! lock of the partition in the same place. Other partitions go on. What waits is bounded by the requests in flight: a connection's
//! are bounded (`kafka::pending`) as long as it waits for their answers, and of those that have gone only so much is kept.

use super::api::ProduceResult;
use super::gather::Slot;
use bytes::BytesMut;
use milena_types::{Acks, TopicIdPartition};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// Bytes that may wait on a data thread before those whose connections have gone are dropped: nobody was told anything of them.
const ABANDONED_BYTES_MAX: usize = 64 << 20;

/// How, and for whom, a batch is appended.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) acks: Acks,
    pub(super) zstd_allowed: bool,
    pub(super) slot: Slot<ProduceResult>,
}

/// A batch that waits for its turn.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) batch: BytesMut,
    pub(super) asked: Asked,
}

/// Names one piece of work that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkId(u64);

/// The line of a partition that waits for work to come back.
#[derive(Debug)]
pub(super) struct Waiting {
    work: WorkId,
    /// Lives as long as somebody wants the work.
    _wanted: Arc<()>,
    /// Who asked for what is away; `None`: nothing is, but what is behind has not had its turn.
    pub(super) asked: Option<Asked>,
    pub(super) behind: VecDeque<Next>,
}

/// The lines of a data thread: few partitions have one.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<TopicIdPartition, Waiting>,
    last_work: u64,
    /// Of the batches that wait behind what is away.
    bytes: usize,
}

impl Lines {
    /// A piece of work of a partition without a line goes away; what is behind it waits. The second result says, on any thread,
    /// whether anybody still does.
    pub(super) fn begin(
        &mut self,
        id: TopicIdPartition,
        asked: Option<Asked>,
        behind: VecDeque<Next>,
    ) -> (WorkId, Weak<()>) {
        self.last_work += 1;
        let (work, wanted) = (WorkId(self.last_work), Arc::new(()));
        let is_wanted = Arc::downgrade(&wanted);
        if let Some(asked) = &asked {
            asked.slot.hold();
        }
        let waiting = Waiting {
            work,
            _wanted: wanted,
            asked,
            behind,
        };
        self.lines.insert(id, waiting);
        (work, is_wanted)
    }

    /// A batch goes to the end of the partition's line; given back when there is none: it is appended at once.
    pub(super) fn push(&mut self, id: TopicIdPartition, next: Next) -> Result<(), Next> {
        if self.lines.is_empty() {
            return Err(next);
        }
        let Some(waiting) = self.lines.get_mut(&id) else {
            return Err(next);
        };
        self.bytes += next.batch.len();
        next.asked.slot.hold();
        waiting.behind.push_back(next);
        if self.bytes > ABANDONED_BYTES_MAX {
            waiting.behind.retain(|next| {
                let keep = !next.asked.slot.is_abandoned();
                if !keep {
                    self.bytes -= next.batch.len();
                }
                keep
            });
        }
        Ok(())
    }

    /// The work is back; `None` when nobody waits for it any more. The line has to begin again if it is not at its end.
    pub(super) fn came_back(&mut self, id: TopicIdPartition, work: WorkId) -> Option<Waiting> {
        if self.lines.get(&id)?.work != work {
            return None;
        }
        let waiting = self.lines.remove(&id)?;
        if let Some(asked) = &waiting.asked {
            asked.slot.release();
        }
        Some(waiting)
    }

    /// The next one that waited behind what is back.
    pub(super) fn next(&mut self, behind: &mut VecDeque<Next>) -> Option<Next> {
        let next = behind.pop_front()?;
        self.bytes -= next.batch.len();
        next.asked.slot.release();
        Some(next)
    }

    /// Whoever waits for what is back, in order.
    pub(super) fn everybody(&mut self, waiting: Waiting) -> Vec<Asked> {
        let Waiting {
            asked, mut behind, ..
        } = waiting;
        let mut all: Vec<Asked> = asked.into_iter().collect();
        while let Some(next) = self.next(&mut behind) {
            all.push(next.asked);
        }
        all
    }

    /// Whoever waits in the partition's line, in order: it is not led any more, and what is away is not wanted.
    pub(super) fn give_up(&mut self, id: TopicIdPartition) -> Vec<Asked> {
        let Some(work) = self.lines.get(&id).map(|waiting| waiting.work) else {
            return Vec::new();
        };
        let waiting = self.came_back(id, work);
        waiting.map_or_else(Vec::new, |waiting| self.everybody(waiting))
    }

    /// What of the partition is away.
    #[cfg(test)]
    pub(super) fn away(&self, id: TopicIdPartition) -> Option<WorkId> {
        self.lines.get(&id).map(|waiting| waiting.work)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::Gather;
    use super::*;
    use milena_types::{PartitionIndex, TopicId};

    fn next(bytes: usize, slot: Slot<ProduceResult>) -> Next {
        Next {
            batch: BytesMut::zeroed(bytes),
            asked: Asked {
                acks: Acks::All,
                zstd_allowed: true,
                slot,
            },
        }
    }

    fn id(partition: i32) -> TopicIdPartition {
        TopicIdPartition {
            topic: TopicId::default(),
            partition: PartitionIndex(partition),
        }
    }

    #[test]
    fn of_connections_that_have_gone_only_so_much_is_kept() {
        let mut lines = Lines::default();
        let (gather, _done) = Gather::new(3);
        let refused = lines.push(id(0), next(1, gather.slot(0)));
        assert!(refused.is_err(), "there is no line");
        let (work, wanted) = lines.begin(id(0), None, VecDeque::new());
        let refused = lines.push(id(1), next(1, gather.slot(0)));
        assert!(refused.is_err(), "that is another partition's");
        for _ in 0..2 {
            let (gone, _) = Gather::new(1);
            let next = next(ABANDONED_BYTES_MAX / 2, gone.slot(0));
            lines.push(id(0), next).unwrap();
        }
        let behind = |lines: &Lines| lines.lines[&id(0)].behind.len();
        assert_eq!(behind(&lines), 2, "they are within the bound");
        lines.push(id(0), next(1, gather.slot(1))).unwrap();
        assert_eq!((behind(&lines), lines.bytes), (1, 1), "and go first");
        assert_eq!(gather.turns().held, 1);
        assert_eq!(wanted.strong_count(), 1);
        let waiting = lines.came_back(id(0), work).unwrap();
        assert!(lines.came_back(id(0), work).is_none());
        assert_eq!(lines.everybody(waiting).len(), 1);
        assert_eq!((lines.bytes, gather.turns().held), (0, 0));
    }

    #[test]
    fn what_nobody_waits_for_is_not_wanted() {
        let mut lines = Lines::default();
        let (gather, _done) = Gather::new(2);
        let first = next(0, gather.slot(0)).asked;
        let (work, wanted) = lines.begin(id(0), Some(first), VecDeque::new());
        lines.push(id(0), next(5, gather.slot(1))).unwrap();
        assert_eq!(lines.give_up(id(0)).len(), 2);
        let left = (wanted.strong_count(), lines.bytes, gather.turns().held);
        assert_eq!(left, (0, 0, 0));
        let (other, _) = lines.begin(id(0), None, VecDeque::new());
        assert_ne!(work, other);
        assert!(lines.came_back(id(0), work).is_none(), "that was another line");
    }
}
