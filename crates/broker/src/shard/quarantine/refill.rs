//! A damaged log was cut, and its leader fills it again: when all of that is there, its copy in the quarantine is removed.
//! When the leader has less, or is damaged itself, it stays, and a line says which records are gone.
//!
//! What has become of it is decided in [`milena_replication::refilled`]. Nothing of this outlives the process: after a restart
//! the copy stays until the quarantine's rules remove it.

use super::damage::{Copy, these_records};
use crate::shard::context::Context;
use crate::shard::partition::Partition;
use crate::shard::role::Role;
use milena_metadata::record::PartitionRegistration;
use milena_replication::{CutTail, Filled, FilledLog, Refilled, refilled};
use milena_types::{BrokerId, LeaderEpoch, Offset, OffsetRange, TopicIdPartition, TopicPartition};
use std::collections::HashMap;
use std::path::Path;
use tokio::task::spawn_blocking;

/// The logs that are to be filled again.
pub(in crate::shard) type Refills = HashMap<TopicIdPartition, Refill>;

/// What was cut from a log, and who is to fill it again.
#[derive(Debug)]
pub(in crate::shard) struct Refill {
    name: TopicPartition,
    cut: CutTail,
    copies: Vec<Copy>,
    /// The leader that was seen last.
    filler: Option<BrokerId>,
    /// Since the cut this replica was seen out of sync: from then on the ISR is right about it.
    was_out: bool,
    /// From there on it was said to be gone.
    told: Option<Offset>,
}

impl Refill {
    pub(super) fn new(name: TopicPartition, cut: CutTail, copies: Vec<Copy>) -> Self {
        Self {
            name,
            cut,
            copies,
            filler: None,
            was_out: false,
            told: None,
        }
    }

    /// Both were cut from the same log, before the leader has filled in anything.
    pub(in crate::shard) fn and(mut self, later: Self) -> Self {
        self.copies.extend(later.copies);
        self.cut = both(&self.cut, &later.cut);
        self
    }

    /// Takes note of the metadata. True when whoever was to fill the log is out of use, and nobody else leads.
    fn follow(&mut self, node: BrokerId, state: &PartitionRegistration) -> bool {
        self.was_out |= !state.isr.contains(&node);
        match state.leader {
            Some(leader) => {
                self.filler = Some(leader);
                false
            }
            None => {
                let is_offline = |filler: &BrokerId| *filler != node && state.offline.contains(filler);
                match &self.filler {
                    Some(filler) => is_offline(filler),
                    None => state.replicas.iter().any(is_offline),
                }
            }
        }
    }

    /// Where the copies are that the quarantine still holds.
    fn paths(&self) -> Vec<&Path> {
        let there = self.copies.iter().filter(|copy| copy.waiting.is_there());
        there.map(|copy| copy.kept.path.as_path()).collect()
    }

    fn kept_words(&self, there: usize) -> &'static str {
        match there {
            0 => "no copy of them is kept",
            there if there < self.copies.len() => "a part of this replica's copy is in quarantine",
            _ => "this replica's copy is in quarantine",
        }
    }

    fn tell_unsure(&self) {
        let OffsetRange { from, to } = self.cut.range;
        let these = these_records(self.cut.is_end_known);
        let paths = self.paths();
        let kept = self.kept_words(paths.len());
        tracing::warn!(target: "milena::unclean", partition = %self.name, from = from.0, to = to.0, ?paths,
            "{these} were cut here, and others are in their place: whether they are the same, and all of them, cannot be told; {kept}");
    }

    /// Says that the records from `from` on are gone, unless that was said. `is_certain`: no other reason could be that they were
    /// never committed.
    fn tell_gone(&mut self, from: Offset, is_certain: bool, why: &str) {
        if self.told == Some(from) {
            return;
        }
        self.told = Some(from);
        let CutTail {
            range,
            committed_to,
            is_end_known,
            ..
        } = self.cut;
        let (lost_from, committed_to, lost_to) = (from.0, committed_to.max(from).0, range.to.0);
        let these = these_records(is_end_known);
        let paths = self.paths();
        let kept = self.kept_words(paths.len());
        if is_certain || from < self.cut.committed_to {
            tracing::error!(target: "milena::unclean", partition = %self.name, lost_from, committed_to, lost_to, ?paths,
                "{why}: {these}, which were cut here, are in no log that is in use; {kept}");
        } else {
            tracing::warn!(target: "milena::unclean", partition = %self.name, lost_from, lost_to, ?paths,
                "{why}: {these}, which were cut here and are not known to have been committed, are in no log that is in use; {kept}");
        }
    }

    /// All of it is in the log again.
    fn release(self) {
        let OffsetRange { from, to } = self.cut.range;
        tracing::info!(partition = %self.name, from = from.0, to = to.0, "the damaged log is filled again: nothing of it is lost");
        if self.copies.is_empty() {
            return;
        }
        spawn_blocking(move || {
            for Copy { quarantine, kept, .. } in self.copies {
                if let Err(error) = quarantine.release(&kept) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(path = %kept.path.display(), error, "a copy that is not needed any more cannot be removed");
                }
            }
        });
    }
}

/// One tail for two of the same log. It ends where the longer one does; what is not known of one is not known of both.
fn both(one: &CutTail, other: &CutTail) -> CutTail {
    let (longer, shorter) = match one.range.to >= other.range.to {
        true => (one, other),
        false => (other, one),
    };
    let is_end_known = longer.is_end_known && shorter.is_end_known;
    let at_the_end = longer.range.to == shorter.range.to;
    let agree = !at_the_end || longer.last_epoch == shorter.last_epoch;
    CutTail {
        range: OffsetRange {
            from: one.range.from.min(other.range.from),
            to: longer.range.to,
        },
        committed_to: one.committed_to.max(other.committed_to),
        is_end_known,
        last_epoch: longer.last_epoch.filter(|_| is_end_known && agree),
    }
}

impl Context {
    /// A log was cut: its leader is to fill it again.
    pub(in crate::shard) fn await_refill(&mut self, id: TopicIdPartition, refill: Refill) {
        let refill = match self.refills.remove(&id) {
            Some(earlier) => earlier.and(refill),
            None => refill,
        };
        self.refills.insert(id, refill);
    }
}

impl Partition {
    /// The log has grown, or the metadata says something new: has it been filled again?
    pub(in crate::shard) fn look_at_refill(&mut self, cx: &mut Context) {
        let Some(mut refill) = cx.refills.remove(&self.id) else {
            return;
        };
        let state = cx.image.partition(self.id);
        let is_forsaken = state.is_some_and(|state| refill.follow(cx.node, state));
        let in_sync = state.is_some_and(|state| state.isr.contains(&cx.node));
        let leads = matches!(self.role, Role::Leader(_));
        let log_end = self.log.log_end_offset();
        let cut = CutTail {
            last_epoch: self.comparable_epoch(&refill.cut, cx),
            ..refill.cut
        };
        let log = FilledLog {
            log_start: self.log.log_start_offset(),
            log_end,
            epoch_end: cut
                .last_epoch
                .and_then(|epoch| self.log.end_offset_for_epoch(epoch)),
            filled: match self.role {
                Role::Leader(_) => Filled::Leads,
                Role::Follower(_) if refill.was_out && in_sync => Filled::InSync,
                Role::Follower(_) | Role::Idle => Filled::NotYet,
            },
        };
        match refilled(&cut, &log) {
            Refilled::Whole if self.log.flushed_offset() < cut.range.to.min(log_end) => {
                self.queue_flush(cx);
            }
            Refilled::Whole => return refill.release(),
            Refilled::Unsure => return refill.tell_unsure(),
            Refilled::Less { from, parted } => {
                let why = match leads {
                    true => "this replica leads with less than it had",
                    false => "the leader has less than this replica had",
                };
                refill.tell_gone(from, leads, why);
                if parted || leads {
                    // That does not change any more.
                    return;
                }
            }
            Refilled::NotYet if is_forsaken => {
                let from = log_end.max(cut.range.from);
                refill.tell_gone(from, false, "the leader is damaged or offline itself");
            }
            Refilled::NotYet => {}
        }
        cx.refills.insert(self.id, refill);
    }

    /// The epoch of the tail's last record, when it is of use: compaction may have taken the records by which a log knows where an
    /// epoch ends. A batch of it at the tail's end tells all the same.
    fn comparable_epoch(&self, cut: &CutTail, cx: &mut Context) -> Option<LeaderEpoch> {
        let (last, to) = (cut.last_epoch?, cut.range.to);
        let compacted = self.log.may_have_holes();
        if !compacted || self.log.log_end_offset() < to {
            return Some(last).filter(|_| !compacted);
        }
        match self.log.epoch_at(to.plus(-1)) {
            Ok(found) => found.filter(|epoch| *epoch == last),
            Err(error) => {
                self.storage_failed(cx, &error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{PartitionIndex, TopicName};

    const ME: BrokerId = BrokerId(1);

    fn refill(from: i64, to: i64, epoch: Option<i32>) -> Refill {
        let name = TopicPartition {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionIndex(0),
        };
        let cut = CutTail {
            range: OffsetRange {
                from: Offset(from),
                to: Offset(to),
            },
            committed_to: Offset(to - 1),
            is_end_known: true,
            last_epoch: epoch.map(LeaderEpoch),
        };
        Refill::new(name, cut, Vec::new())
    }

    fn registered(leader: Option<i32>, isr: &[i32], offline: &[i32]) -> PartitionRegistration {
        let ids = |list: &[i32]| list.iter().copied().map(BrokerId).collect();
        PartitionRegistration {
            leader: leader.map(BrokerId),
            offline: ids(offline),
            ..PartitionRegistration::new(ids(&[1, 2, 3]), ids(isr))
        }
    }

    #[test]
    fn it_is_forsaken_when_its_leader_is_out_of_use_and_nobody_follows_it() {
        let mut refill = refill(80, 300, Some(5));
        assert!(
            !refill.follow(ME, &registered(None, &[], &[1])),
            "it says so of itself"
        );
        assert!(
            refill.follow(ME, &registered(None, &[], &[3])),
            "no leader was seen yet"
        );
        for (leader, offline, expected) in [
            (Some(2), &[][..], false),
            (None, &[], false),
            (None, &[3], false),
            (None, &[2], true),
            (Some(3), &[2], false),
            (None, &[2], false),
            (None, &[2, 3], true),
        ] {
            let state = registered(leader, &[], offline);
            assert_eq!(refill.follow(ME, &state), expected, "{leader:?} {offline:?}");
        }
    }

    #[test]
    fn it_is_in_sync_only_once_it_was_seen_out_of_sync() {
        let mut refill = refill(80, 300, Some(5));
        let _ = refill.follow(ME, &registered(Some(2), &[1, 2], &[]));
        assert!(!refill.was_out, "that is how it was before the cut");
        let _ = refill.follow(ME, &registered(Some(2), &[2], &[]));
        let _ = refill.follow(ME, &registered(Some(2), &[1, 2], &[]));
        assert!(refill.was_out);
    }

    #[test]
    fn what_is_cut_in_two_pieces_is_awaited_as_one() {
        let cut = refill(80, 300, Some(5)).and(refill(40, 80, None)).cut;
        assert_eq!(
            cut.range,
            OffsetRange {
                from: Offset(40),
                to: Offset(300)
            }
        );
        assert_eq!(
            (cut.committed_to, cut.last_epoch),
            (Offset(299), Some(LeaderEpoch(5)))
        );
    }

    #[test]
    fn what_is_not_known_of_one_piece_is_not_known_of_both() {
        let known = refill(40, 80, Some(5)).cut;
        let epoch = |one: &CutTail, other: &CutTail| {
            let cut = both(one, other);
            assert_eq!(cut, both(other, one));
            (cut.is_end_known, cut.last_epoch.map(|epoch| epoch.0))
        };
        let longer = refill(80, 300, None).cut;
        assert_eq!(epoch(&known, &longer), (true, None), "5 is not that of its end");
        assert_eq!(epoch(&known, &refill(30, 80, Some(6)).cut), (true, None));
        assert_eq!(epoch(&known, &refill(30, 80, Some(5)).cut), (true, Some(5)));
        let unknown = CutTail {
            is_end_known: false,
            ..refill(10, 20, None).cut
        };
        assert_eq!(epoch(&known, &unknown), (false, None), "it may reach further");
    }

    #[test]
    fn the_same_loss_is_told_once() {
        let mut refill = refill(80, 300, Some(5));
        refill.tell_gone(Offset(200), false, "");
        assert_eq!(refill.told, Some(Offset(200)));
        refill.tell_gone(Offset(180), true, "");
        assert_eq!(refill.told, Some(Offset(180)), "more of it");
    }
}
