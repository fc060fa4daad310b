//! How a replica is, what the controller is told about it, and the repair of a damaged one.
//!
//! ```text
//! condition of the replica here ─┐
//! what the metadata says of it  ─┴─► wanted_report ─► report ─► answer, and the metadata that follows from it ─► again
//! ```
//!
//! Reports follow from comparing the two sides, at every change of either, so that none is lost: one that could not be
//! delivered, or was overtaken, is found wanting again.
//!
//! A damaged log is cut at the damage and filled again from the leader, but only after the controller has agreed that what
//! this replica held counts no more: a short log must never lead, or the others would be cut to its length.
//!
//! A log in doubt (its tail past the recovery point may be damaged, or a write that was never completed) is treated so too,
//! for a while, in which who has what it lacks may come back and lead; then it is cut, and what is left of it may lead (`Cut`).
//! See ADR 0009.

use super::context::Context;
use super::dir_state::DirState;
use super::mailbox::with_local;
use super::partition::Partition;
use super::state::Shard;
use milena_log::{CorruptionPolicy, LogError, ReadError, format};
use milena_metadata::record::PartitionRegistration;
use milena_metadata::request::{ReplicaState, ReplicaStateItem};
use milena_types::{BrokerId, ErrorCode, MetadataVersion, Offset, TopicIdPartition};
use std::io;
use std::time::{Duration, Instant};

/// The pause before a report that the controller did not accept is looked at again.
const REPORT_PAUSE: Duration = Duration::from_millis(500);

/// Why a replica of this broker cannot do its work, with an open log or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Its directory is offline.
    Offline,
    /// Its log is damaged, where it had been on disk for certain.
    Damaged,
    /// The tail of its log may be: until then others may lead who know better.
    Doubtful { until: Instant },
    /// There is no space to append to it, or there was none, or too few files or too little memory, to open it.
    NotNow,
}

/// How a replica is.
type Condition = Result<(), Unusable>;

/// What a read has found out.
#[derive(Debug)]
pub(super) struct Damage {
    /// Every record below it is good.
    offset: Offset,
    error: String,
}

/// How closely a log is looked at when it is opened: where others may have what it lacks, doubts are refused.
pub(super) fn corruption_policy(state: &PartitionRegistration) -> CorruptionPolicy {
    match state.replicas.len() {
        0 | 1 => CorruptionPolicy::Refuse,
        _ => CorruptionPolicy::RefuseDoubtful,
    }
}

/// What the controller is to be told at this moment, if anything.
fn wanted_report(
    now: Instant,
    condition: Condition,
    node: BrokerId,
    state: &PartitionRegistration,
) -> Option<ReplicaState> {
    let listed = state.offline.contains(&node);
    let others_in_sync = state.isr.iter().any(|member| *member != node);
    let other_leads = state.leader.is_some_and(|leader| leader != node);
    match condition {
        Ok(()) => listed.then_some(ReplicaState::Online),
        Err(Unusable::Offline) => (!listed).then_some(ReplicaState::Offline),
        // It keeps its place while a leader may be one that is dead, or has not opened its own log yet.
        Err(Unusable::Doubtful { .. }) if !listed => Some(ReplicaState::Offline),
        Err(Unusable::Doubtful { until }) if now < until => None,
        Err(Unusable::Doubtful { .. }) if other_leads => Some(ReplicaState::Refill),
        Err(Unusable::Doubtful { .. }) => Some(ReplicaState::Cut),
        Err(Unusable::Damaged) if other_leads => Some(ReplicaState::Refill),
        Err(Unusable::Damaged) => (!listed).then_some(ReplicaState::Offline),
        Err(Unusable::NotNow) => {
            let in_the_way = !listed && others_in_sync && state.isr.contains(&node);
            in_the_way.then_some(ReplicaState::Full)
        }
    }
}

impl Shard {
    fn condition(&self, id: TopicIdPartition) -> Option<Condition> {
        if let Some((_, unusable)) = self.cx.unusable.get(&id) {
            return Some(Err(*unusable));
        }
        let partition = self.partitions.get(&id)?;
        Some(match self.cx.dirs.state(partition.dir) {
            DirState::Offline => Err(Unusable::Offline),
            _ if partition.damaged.is_some() => Err(Unusable::Damaged),
            DirState::Full => Err(Unusable::NotNow),
            DirState::Online => Ok(()),
        })
    }

    /// Tells the controller how the replica is, if it does not know and has not just been told.
    pub(super) fn settle_replica(&mut self, id: TopicIdPartition) {
        let Some(condition) = self.condition(id).filter(|_| !self.cx.reporting.contains(&id)) else {
            return;
        };
        let Some(registered) = self.cx.image.partition(id) else {
            return;
        };
        if !registered.replicas.contains(&self.cx.node) {
            return;
        }
        let Some(state) = wanted_report(Instant::now(), condition, self.cx.node, registered) else {
            return;
        };
        self.cx.reporting.insert(id);
        let seen = self.cx.image.version;
        let answer = self.cx.control.report_replica(ReplicaStateItem { id, state });
        tokio::task::spawn_local(async move {
            let error = answer.await;
            if error == ErrorCode::None {
                with_local(|shard| shard.on_reported(id, state, seen));
                return;
            }
            tracing::debug!(%id, ?state, %error, "the controller did not take the report on a replica");
            tokio::time::sleep(REPORT_PAUSE).await;
            with_local(|shard| {
                shard.cx.reporting.remove(&id);
                shard.settle_replica(id);
            });
        });
    }

    /// The controller has taken a report. The metadata that follows from it may be here already, or on its way.
    fn on_reported(&mut self, id: TopicIdPartition, state: ReplicaState, seen: MetadataVersion) {
        self.cx.reporting.remove(&id);
        if matches!(state, ReplicaState::Refill | ReplicaState::Cut) {
            self.refill(id);
        } else if self.cx.image.version > seen {
            // What came while the answer was on its way has not been looked at.
            self.settle_replica(id);
        }
    }

    /// Nobody leads yet who is sure to have what the log here may lack: from `until` on that is not waited for any more.
    pub(super) fn wait_for_others(&self, id: TopicIdPartition, until: Instant) {
        tokio::task::spawn_local(async move {
            tokio::time::sleep_until(until.into()).await;
            with_local(|shard| shard.settle_replica(id));
        });
    }

    /// What this replica held counts no more: its log is cut where it is damaged, and the leader fills it again. (Or there is
    /// no other, and it leads.)
    fn refill(&mut self, id: TopicIdPartition) {
        let corruption = match self.condition(id) {
            Some(Err(Unusable::Damaged)) => CorruptionPolicy::Truncate,
            // Where more turns out to be damaged than that, it is refused again.
            Some(Err(Unusable::Doubtful { .. })) => CorruptionPolicy::Refuse,
            _ => return,
        };
        if self.cx.unusable.remove(&id).is_some() {
            self.apply_partition_as(id, corruption);
            return;
        }
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        partition.cut_damage(&mut self.cx);
        self.apply_partition(id);
    }

    /// Reads have met damage: the replicas neither lead nor follow until they are repaired.
    pub(super) fn stand_down(&mut self) {
        for (id, damage) in std::mem::take(&mut self.cx.damage_found) {
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            if partition.damaged.is_none() {
                tracing::error!(partition = %partition.name, error = damage.error, offset = %damage.offset,
                    "the log is damaged: this replica stands down until it is filled again by another one");
                partition.leave_role(&mut self.cx, ErrorCode::KafkaStorageError);
                self.cx
                    .leadership
                    .publish(id, &partition.name.topic, partition.replica_role());
            }
            let earliest = partition
                .damaged
                .map_or(damage.offset, |known| known.min(damage.offset));
            partition.damaged = Some(earliest);
            self.settle_replica(id);
        }
    }

    /// A read on another thread has failed.
    pub(super) fn on_read_failed(&mut self, id: TopicIdPartition, error: &ReadError) {
        if let Some(partition) = self.partitions.get(&id) {
            partition.read_error(&mut self.cx, error);
        }
    }
}

impl Partition {
    /// What a client is told when a read failed. Damage, and a directory that cannot be read, are looked into after the
    /// present piece of work.
    pub(super) fn read_error(&self, cx: &mut Context, error: &ReadError) -> ErrorCode {
        match error {
            ReadError::OutOfRange { .. } => {}
            ReadError::Unreadable { .. } => {
                tracing::warn!(partition = %self.name, %error, "cannot read the log");
            }
            ReadError::Corrupt { offset, .. } => cx.damage_found.push((
                self.id,
                Damage {
                    offset: *offset,
                    error: error.to_string(),
                },
            )),
            ReadError::Log(cause) => self.cannot_read(cx, cause),
        }
        error.code()
    }

    /// Something else than a read has met damage; every record below `offset` is good.
    pub(super) fn found_damage(&self, cx: &mut Context, offset: Offset, error: &str) {
        let error = error.to_owned();
        cx.damage_found.push((self.id, Damage { offset, error }));
    }

    fn cannot_read(&self, cx: &mut Context, error: &LogError) {
        let name = error.path.file_name().and_then(|name| name.to_str());
        let segment = name.and_then(format::parse_file_name);
        match (error.source.kind(), segment) {
            // The directory may be well; if it is not, the repair will tell.
            (io::ErrorKind::NotFound, Some((base, _))) => cx.damage_found.push((
                self.id,
                Damage {
                    offset: base,
                    error: format!("{} is missing", error.path.display()),
                },
            )),
            _ => {
                self.storage_failed(cx, error);
            }
        }
    }

    fn cut_damage(&mut self, cx: &mut Context) {
        let Some(offset) = self.damaged.take() else {
            return;
        };
        let cut = if offset > self.log.log_start_offset() {
            self.log.truncate_to(offset)
        } else {
            self.log.truncate_fully_and_start_at(self.log.log_start_offset())
        };
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        if self.high_watermark.on_truncated(start, end) {
            tracing::warn!(partition = %self.name, log_end = %end, "committed records are gone here; other replicas have them");
        }
        cx.checkpoint_dirty.insert(self.id);
        match cut {
            Ok(()) => {
                tracing::warn!(partition = %self.name, log_end = %end, "cut the damaged log; the leader fills it again");
            }
            Err(error) => {
                self.damaged = Some(offset);
                self.storage_failed(cx, &error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{LeaderEpoch, PartitionEpoch};

    const ME: BrokerId = BrokerId(1);

    fn registered(leader: Option<i32>, isr: &[i32], offline: &[i32]) -> PartitionRegistration {
        let ids = |list: &[i32]| list.iter().copied().map(BrokerId).collect();
        PartitionRegistration {
            replicas: ids(&[1, 2, 3]),
            isr: ids(isr),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            offline: ids(offline),
            adding: Vec::new(),
            removing: Vec::new(),
            leader: leader.map(BrokerId),
            recovering: false,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        }
    }

    #[test]
    fn reports_follow_from_the_condition_and_the_metadata() {
        use ReplicaState as R;
        use Unusable::{Damaged, Doubtful, NotNow, Offline};
        let now = Instant::now();
        let fresh = Doubtful {
            until: now + Duration::from_millis(1),
        };
        let waited = Doubtful { until: now };
        for (condition, leader, isr, offline, expected) in [
            (Ok(()), Some(1), &[1, 2][..], &[][..], None),
            (Ok(()), Some(2), &[2], &[1], Some(R::Online)),
            (Err(Offline), Some(1), &[1, 2], &[], Some(R::Offline)),
            (Err(Offline), Some(2), &[2], &[], Some(R::Offline)),
            (Err(Offline), Some(2), &[2], &[1], None),
            (Err(Damaged), Some(1), &[1, 2], &[], Some(R::Offline)),
            (Err(Damaged), None, &[], &[1], None),
            (Err(Damaged), Some(2), &[2], &[1], Some(R::Refill)),
            (Err(Damaged), Some(2), &[1, 2], &[], Some(R::Refill)),
            (Err(fresh), Some(1), &[1, 2], &[], Some(R::Offline)),
            (Err(fresh), None, &[1, 2], &[1], None),
            (Err(fresh), None, &[2], &[1], None),
            (Err(fresh), Some(2), &[1, 2], &[], Some(R::Offline)),
            (Err(fresh), Some(2), &[2], &[1], None),
            (Err(fresh), None, &[1, 2], &[1, 2], None),
            (Err(waited), None, &[1, 2], &[1], Some(R::Cut)),
            (Err(waited), None, &[], &[1], Some(R::Cut)),
            (Err(waited), Some(2), &[2], &[1], Some(R::Refill)),
            (Err(waited), Some(2), &[2], &[], Some(R::Offline)),
            (Err(NotNow), Some(1), &[1, 2], &[], Some(R::Full)),
            (Err(NotNow), Some(1), &[1], &[], None),
            (Err(NotNow), Some(2), &[2], &[], None),
            (Err(NotNow), Some(2), &[1, 2], &[], Some(R::Full)),
            (Err(NotNow), Some(2), &[2], &[1], None),
        ] {
            let found = wanted_report(now, condition, ME, &registered(leader, isr, offline));
            assert_eq!(found, expected, "{condition:?} {leader:?} {isr:?} {offline:?}");
        }
    }
}
