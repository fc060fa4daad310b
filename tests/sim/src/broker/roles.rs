//! Which role a registration makes, how it begins and how it ends.

use super::partition::{FollowerRole, LeaderRole, Role};
use super::process::Process;
use crate::client;
use crate::cx::Cx;
use crate::say;
use milena_metadata::MetadataImage;
use milena_metadata::record::PartitionRegistration;
use milena_replication::{Assigned, FollowerHighWatermark, Following, Leader, Transition, transition};
use milena_types::{BrokerId, ErrorCode, LeaderEpoch, TopicIdPartition};
use std::collections::VecDeque;
use std::sync::Arc;

impl Process {
    /// Becomes what the registration says.
    pub(super) fn apply_registration(
        &mut self,
        cx: &mut Cx,
        id: TopicIdPartition,
        state: &PartitionRegistration,
    ) {
        let node = self.node();
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let next = assigned(state);
        let at = (partition.leader_epoch, partition.partition_epoch);
        let transition = transition(node, partition.held(), at, true, &next);
        if transition == Transition::Ignore {
            return;
        }
        (partition.leader_epoch, partition.partition_epoch) = next.epochs();
        match transition {
            Transition::Ignore | Transition::Keep => {}
            Transition::Lead => self.become_leader(cx, id, state),
            Transition::Update => self.update_leader(cx, id, state),
            Transition::Follow(leader) => self.become_follower(cx, id, leader, state.leader_epoch),
            Transition::Leave(error) => self.leave_role(cx, id, error),
        }
    }

    fn update_leader(&mut self, cx: &mut Cx, id: TopicIdPartition, state: &PartitionRegistration) {
        let node = self.node();
        let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.leading()) else {
            return;
        };
        role.leader.on_committed(assigned(state).term(node), cx.moment());
        for broker in &state.replicas {
            tell_broker(&mut role.leader, &self.image, &state.offline, *broker);
        }
        self.complete_parked(cx, id);
        self.advance_high_watermark(cx, id);
        self.propose_isr(cx, id);
    }

    fn become_leader(&mut self, cx: &mut Cx, id: TopicIdPartition, state: &PartitionRegistration) {
        self.leave_role(cx, id, ErrorCode::NotLeaderOrFollower);
        let node = self.node();
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        partition.log.assign_epoch_at_become_leader(state.leader_epoch);
        let ends = partition.ends();
        let mut leader = Leader::new(
            assigned(state).term(node),
            Arc::clone(&partition.settings.rules),
            ends,
            partition.known_committed.get(),
            cx.moment(),
        );
        for broker in &state.replicas {
            tell_broker(&mut leader, &self.image, &state.offline, *broker);
        }
        say!(
            cx,
            "{node}: leads {} in {} from {}, isr {:?}",
            partition.name,
            state.leader_epoch,
            ends.log_end,
            state.isr
        );
        partition.role = Role::Leader(Box::new(LeaderRole {
            leader,
            parked: VecDeque::new(),
            feeds: Vec::new(),
        }));
        crate::oracle::leadership::on_leads(cx, self.host, partition, state);
        if ends.advertised < ends.log_end {
            self.queue_flush(id);
        }
        self.advance_high_watermark(cx, id);
        self.propose_isr(cx, id);
    }

    fn become_follower(&mut self, cx: &mut Cx, id: TopicIdPartition, leader: BrokerId, epoch: LeaderEpoch) {
        self.leave_role(cx, id, ErrorCode::NotLeaderOrFollower);
        let node = self.node();
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        say!(
            cx,
            "{node}: follows {leader} for {} in {epoch} from {}",
            partition.name,
            partition.log.log_end_offset()
        );
        partition.role = Role::Follower(FollowerRole {
            following: Following::new(leader, epoch),
            rounds: 0,
        });
        if partition.log.flushed_offset() < partition.log.log_end_offset() {
            self.queue_flush(id);
        }
        self.want(cx, leader, id);
    }

    /// Ends the role: whoever waits is told, streams forget the partition.
    pub(super) fn leave_role(&mut self, cx: &mut Cx, id: TopicIdPartition, error: ErrorCode) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut partition.role, Role::Idle) {
            Role::Leader(role) => {
                let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
                partition.known_committed =
                    FollowerHighWatermark::restore(role.leader.high_watermark(), start, end);
                self.uncommitted.remove(&id);
                for (_, _, waiting) in role.parked {
                    client::message::refuse(cx, self.host, &waiting, error);
                }
                for feed in &role.feeds {
                    self.refuse_feed(cx, feed.attachment, ErrorCode::NotLeaderOrFollower);
                }
            }
            Role::Follower(role) => {
                self.unwant(role.following.leader(), id, role.following.attachment());
            }
            Role::Idle => {}
        }
    }
}

/// What the metadata says of a partition, as far as roles depend on it.
pub(crate) fn assigned(state: &PartitionRegistration) -> Assigned<'_> {
    Assigned {
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        replicas: &state.replicas,
        isr: &state.isr,
        recovering: state.recovering,
    }
}

/// What the metadata says of a replica's broker.
pub(super) fn tell_broker(
    leader: &mut Leader,
    image: &MetadataImage,
    offline: &[BrokerId],
    broker: BrokerId,
) {
    let epoch = image.broker(broker).map(|registration| registration.epoch);
    let eligible = image.is_active(broker) && !offline.contains(&broker);
    leader.on_broker(broker, epoch, eligible);
}
