//! How a replica is, what the controller is told about it, and the repair of a damaged one.
//!
//! What is to be reported is decided in [`milena_metadata::replica_report`].
//!
//! A damaged log is cut at the damage and filled again from the leader, but only after the controller has agreed that what
//! this replica held counts no more: a short log must never lead, or the others would be cut to its length.
//!
//! A log in doubt (its tail past the recovery point may be damaged, or a write that was never completed) is treated so too,
//! for a while, in which who has what it lacks may come back and lead; then it is cut, and what is left of it may lead (`Cut`).
//! See ADR 0009.

use super::context::Context;
use super::dir_state::DirState;
use super::log_dirs::Distrust;
use super::mailbox::with_local;
use super::partition::Partition;
use super::state::Shard;
use milena_log::{CorruptionPolicy, LogError, ReadError, format};
use milena_metadata::replica_report::{ReplicaCondition, wanted_report};
use milena_metadata::request::{ReplicaState, ReplicaStateItem};
use milena_types::{ErrorCode, MetadataVersion, Offset, TopicIdPartition};
use std::io;
use std::time::{Duration, Instant};

/// The pause before a report that the controller did not accept is looked at again.
const REPORT_PAUSE: Duration = Duration::from_millis(500);
/// So often the leader epochs of a log are read from its batches again before a batch that contradicts them is damaged. More than
/// once: a read that began before may still be on its way.
const EPOCHS_REREAD_MAX: u8 = 2;

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

impl Unusable {
    /// The log is as the last life left it, and the next start has to recover it: no mark of a clean shutdown may vouch for it. A
    /// doubt has to be met again.
    pub(super) fn is_unseen(self) -> bool {
        match self {
            Self::Doubtful { .. } | Self::NotNow => true,
            Self::Offline | Self::Damaged => false,
        }
    }

    fn condition(self) -> ReplicaCondition {
        match self {
            Self::Offline => ReplicaCondition::Offline,
            Self::Damaged => ReplicaCondition::Damaged,
            Self::Doubtful { until } => ReplicaCondition::Doubtful {
                waited: Instant::now() >= until,
            },
            Self::NotNow => ReplicaCondition::NotNow,
        }
    }
}

/// What a read has found out.
#[derive(Debug)]
pub(super) struct Damage {
    /// Every record below it is good.
    pub(super) offset: Offset,
    /// What is wrong, in words.
    pub(super) error: String,
}

impl Shard {
    fn condition(&self, id: TopicIdPartition) -> Option<ReplicaCondition> {
        if let Some((_, unusable)) = self.cx.unusable.get(&id) {
            return Some(unusable.condition());
        }
        let partition = self.partitions.get(&id)?;
        Some(match self.cx.dirs.state(partition.dir) {
            DirState::Offline => ReplicaCondition::Offline,
            _ if partition.damaged.is_some() => ReplicaCondition::Damaged,
            DirState::Full => ReplicaCondition::NotNow,
            DirState::Online if self.cx.flush.is_stalled(partition.dir) => ReplicaCondition::NotNow,
            DirState::Online => ReplicaCondition::InUse,
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
        let Some(state) = wanted_report(condition, self.cx.node, registered) else {
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
            Some(ReplicaCondition::Damaged) => CorruptionPolicy::Truncate,
            // Where more turns out to be damaged than that, it is refused again.
            Some(ReplicaCondition::Doubtful { .. }) => CorruptionPolicy::Refuse,
            _ => return,
        };
        if self.cx.unusable.remove(&id).is_some() {
            self.apply_partition_as(id, corruption);
            return;
        }
        self.cut_damaged(id);
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
            let known = partition.damaged.take();
            let earliest = known.filter(|known| known.offset <= damage.offset);
            partition.damaged = Some(earliest.unwrap_or_else(|| Box::new(damage)));
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

impl Context {
    /// The log is opened again, and its leader epochs are what its batches say. False: that was done, and did not help.
    fn rereads_epochs(&mut self, id: TopicIdPartition) -> bool {
        if self.to_reopen.iter().any(|(queued, _)| *queued == id) {
            return true;
        }
        let times = self.epochs_reread.entry(id).or_default();
        if *times >= EPOCHS_REREAD_MAX {
            return false;
        }
        *times += 1;
        self.to_reopen.push((id, Distrust::Epochs));
        true
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
            ReadError::Corrupt {
                other_epoch: true, ..
            } if cx.rereads_epochs(self.id) => {
                tracing::warn!(partition = %self.name, %error, "a batch contradicts the leader epochs that are known: they are read from the batches again");
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

    /// Cuts the log where it is damaged; what goes was set aside, or told. False: it could not be cut.
    pub(super) fn cut_damage(&mut self, cx: &mut Context) -> bool {
        let Some(damage) = self.damaged.take() else {
            return false;
        };
        let cut = if damage.offset > self.log.log_start_offset() {
            self.log.truncate_to(damage.offset)
        } else {
            self.log.truncate_fully_and_start_at(self.log.log_start_offset())
        };
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        // Whether committed records are gone by that is known once the leader has filled the log again.
        let _ = self.high_watermark.on_truncated(start, end);
        cx.checkpoint_dirty.insert(self.id);
        if let Err(error) = cut {
            self.damaged = Some(damage);
            self.storage_failed(cx, &error);
            return false;
        }
        tracing::info!(partition = %self.name, log_end = %end, "cut the damaged log");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clean_mark_vouches_for_a_log_that_was_not_opened() {
        let until = Instant::now();
        assert!(Unusable::NotNow.is_unseen() && Unusable::Doubtful { until }.is_unseen());
        // The one is marked by nobody, the other says itself what is wrong.
        assert!(!Unusable::Offline.is_unseen() && !Unusable::Damaged.is_unseen());
    }
}
