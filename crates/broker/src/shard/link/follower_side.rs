//! The follower's side of the streams: which partitions are wanted from whom, and what is to be said next.

use super::Lane;
use super::body::BodySignal;
use super::connect::first_message;
use super::framing::encode_message;
use crate::shard::mailbox::with_local;
use crate::shard::pace::Booking;
use crate::shard::quarantine::LossEvent;
use crate::shard::role::Role;
use crate::shard::state::Shard;
use bytes::Bytes;
use milena_log::FollowerAppendError;
use milena_replication::{AttachIds, Following, Truncation, loss, truncation_out_of_range};
use milena_rpc::proto::{
    Attach, FollowerMessage, FrameKind, LeaderMessage, PartitionFrame, Pause, ReplicaAck,
};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, TopicIdPartition};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Most attaches in one message.
const ATTACHES_MAX: usize = 2000;
/// The pause before a partition that was refused is attached again. Roles change within it, as a rule.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// The pause after records that could not be appended: most likely the next ones cannot either.
const APPEND_FAILED_PAUSE: Duration = Duration::from_millis(500);

/// Names one stream of a follower's data thread.
pub(crate) type LinkKey = (BrokerId, Lane);

/// The streams that this data thread follows by.
#[derive(Default)]
pub(crate) struct InLinks {
    links: HashMap<LinkKey, InLink>,
    attach_ids: AttachIds,
    /// This broker's registration that the present connections were opened under.
    registration: Option<BrokerEpoch>,
}

/// One stream, connected or not.
#[derive(Default)]
pub(super) struct InLink {
    /// To be attached.
    pending: Vec<TopicIdPartition>,
    attached: HashMap<u64, TopicIdPartition>,
    detach: Vec<u64>,
    acks: Vec<(u64, TopicIdPartition)>,
    pauses: Vec<Pause>,
    /// Attachments whose records came faster than the rate allows: up to which booking that is not paid for.
    owed: HashMap<u64, Booking>,
    /// Records taken whose credit has not been given back.
    credit_due: u64,
    /// Wakes the request body of the present connection.
    signal: Option<Arc<BodySignal>>,
    /// A task drives this link.
    running: bool,
    /// Wakes that task between connections.
    retry: Arc<Notify>,
}

impl InLink {
    fn wake(&self) {
        if let Some(signal) = &self.signal {
            signal.wake();
        }
    }

    fn is_wanted(&self) -> bool {
        !self.pending.is_empty() || !self.attached.is_empty()
    }
}

impl InLinks {
    /// The partition is to be followed on this stream.
    pub(crate) fn want(&mut self, leader: BrokerId, lane: Lane, id: TopicIdPartition) {
        let link = self.links.entry((leader, lane)).or_default();
        if !link.pending.contains(&id) {
            link.pending.push(id);
        }
        link.wake();
        if !link.running {
            link.running = true;
            tokio::task::spawn_local(super::follow((leader, lane)));
        }
    }

    /// The partition is followed there no more.
    pub(crate) fn unwant(&mut self, leader: BrokerId, id: TopicIdPartition, attach: Option<u64>) {
        for lane in [Lane::Live, Lane::CatchUp] {
            let Some(link) = self.links.get_mut(&(leader, lane)) else {
                continue;
            };
            link.pending.retain(|pending| *pending != id);
            if let Some(attach) = attach
                && link.attached.remove(&attach).is_some()
            {
                link.detach.push(attach);
                link.wake();
            }
        }
    }

    /// The partition's log has something to acknowledge.
    pub(crate) fn queue_ack(&mut self, leader: BrokerId, attach: u64, id: TopicIdPartition) {
        for lane in [Lane::Live, Lane::CatchUp] {
            let Some(link) = self.links.get_mut(&(leader, lane)) else {
                continue;
            };
            if link.attached.contains_key(&attach) {
                link.acks.push((attach, id));
                link.wake();
            }
        }
    }

    /// The partition of an attachment by this stream.
    pub(super) fn attached(&self, key: LinkKey, attach: u64) -> Option<TopicIdPartition> {
        self.links.get(&key)?.attached.get(&attach).copied()
    }

    /// Records of the attachment were booked. True: it was not known to owe anything.
    pub(super) fn note_owed(&mut self, key: LinkKey, attach: u64, booking: Booking) -> bool {
        let link = self.links.get_mut(&key);
        link.is_some_and(|link| link.owed.insert(attach, booking).is_none())
    }

    /// What is not paid for, if the attachment still is one.
    pub(super) fn owed(&mut self, key: LinkKey, attach: u64) -> Option<Booking> {
        let link = self.links.get_mut(&key)?;
        if !link.attached.contains_key(&attach) {
            link.owed.remove(&attach);
        }
        link.owed.get(&attach).copied()
    }

    pub(super) fn note_paid(&mut self, key: LinkKey, attach: u64) {
        if let Some(link) = self.links.get_mut(&key) {
            link.owed.remove(&attach);
        }
    }

    /// The leader is to pause an attachment of this stream.
    pub(super) fn pause(&mut self, key: LinkKey, pause: Pause) {
        if let Some(link) = self.links.get_mut(&key) {
            link.pauses.retain(|other| other.attach_id != pause.attach_id);
            link.pauses.push(pause);
            link.wake();
        }
    }

    /// A broker registered anew or was unfenced: try at once instead of after the pause.
    pub(crate) fn peer_changed(&self, broker: BrokerId) {
        for lane in [Lane::Live, Lane::CatchUp] {
            if let Some(link) = self.links.get(&(broker, lane)) {
                link.retry.notify_one();
            }
        }
    }

    /// This broker registered anew: leaders take nothing any more from connections that were opened before.
    pub(crate) fn follow_registration(&mut self, epoch: Option<BrokerEpoch>) {
        if std::mem::replace(&mut self.registration, epoch) != epoch {
            for signal in self.links.values().filter_map(|link| link.signal.as_ref()) {
                signal.close();
            }
        }
    }

    /// What wakes a link's task between connections.
    pub(super) fn retry_signal(&self, key: LinkKey) -> Arc<Notify> {
        self.links
            .get(&key)
            .map(|link| Arc::clone(&link.retry))
            .unwrap_or_default()
    }

    /// True while somebody wants this link; else its task ends, and the next `want` starts another.
    pub(super) fn keep_running(&mut self, key: LinkKey) -> bool {
        let Some(link) = self.links.get_mut(&key) else {
            return false;
        };
        link.running = link.is_wanted();
        link.running
    }
}

impl Shard {
    /// A connection begins: everything that is wanted is attached anew. Gives what to say first; from now on another registration
    /// closes it.
    pub(super) fn on_connected(&mut self, key: LinkKey, signal: &Arc<BodySignal>) -> Option<FollowerMessage> {
        self.reset_link(key);
        if let Some(link) = self.cx.links_in.links.get_mut(&key) {
            link.signal = Some(Arc::clone(signal));
        }
        first_message(&self.cx, key)
    }

    /// A connection has ended: its attachments are void.
    pub(super) fn on_disconnected(&mut self, key: LinkKey) {
        self.reset_link(key);
        if let Some(link) = self.cx.links_in.links.get_mut(&key) {
            link.signal = None;
        }
    }

    fn reset_link(&mut self, key: LinkKey) {
        let Some(link) = self.cx.links_in.links.get_mut(&key) else {
            return;
        };
        link.detach.clear();
        link.acks.clear();
        link.pauses.clear();
        link.owed.clear();
        link.credit_due = 0;
        for (attach, id) in std::mem::take(&mut link.attached) {
            link.pending.push(id);
            if let Some(role) = follower_role(&mut self.partitions, id) {
                role.ended(attach);
            }
        }
    }

    /// What the follower has to say now; `None`: nothing.
    pub(super) fn next_follower_message(&mut self, key: LinkKey) -> Option<Vec<Bytes>> {
        let link = self.cx.links_in.links.get_mut(&key)?;
        let pauses = std::mem::take(&mut link.pauses);
        let message = FollowerMessage {
            detach: std::mem::take(&mut link.detach),
            credit_bytes: std::mem::take(&mut link.credit_due),
            acks: self.take_acks(key),
            attach: self.take_attaches(key),
            pauses,
            hello: None,
        };
        (message != FollowerMessage::default()).then(|| vec![encode_message(&message)])
    }

    fn take_acks(&mut self, key: LinkKey) -> Vec<ReplicaAck> {
        let Some(link) = self.cx.links_in.links.get_mut(&key) else {
            return Vec::new();
        };
        let mut acks = Vec::with_capacity(link.acks.len());
        for (attach_id, id) in link.acks.drain(..) {
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            let ends = partition.ends();
            let log_start_offset = partition.log.log_start_offset().0;
            let Role::Follower(role) = &mut partition.role else {
                continue;
            };
            if role.take_ack(attach_id) {
                let (log_end_offset, advertised_offset) = (ends.log_end.0, ends.advertised.0);
                acks.push(ReplicaAck {
                    attach_id,
                    log_end_offset,
                    advertised_offset,
                    log_start_offset,
                });
            }
        }
        acks
    }

    fn take_attaches(&mut self, key: LinkKey) -> Vec<Attach> {
        let links = &mut self.cx.links_in;
        let Some(link) = links.links.get_mut(&key) else {
            return Vec::new();
        };
        let count = link.pending.len().min(ATTACHES_MAX);
        let mut attaches = Vec::with_capacity(count);
        for id in link.pending.drain(..count) {
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            if self.cx.quarantining.contains_key(&id) {
                // Wanted again when its tail is kept.
                continue;
            }
            let (ends, last_epoch) = (partition.ends(), partition.log.last_epoch());
            let Role::Follower(role) = &mut partition.role else {
                continue;
            };
            let Some(attach_id) = role.attach(key.0, &mut links.attach_ids) else {
                continue;
            };
            link.attached.insert(attach_id, id);
            attaches.push(Attach {
                attach_id,
                topic_id: Bytes::copy_from_slice(&id.topic.0.0),
                partition: id.partition.0,
                leader_epoch: role.leader_epoch().0,
                last_epoch: last_epoch.map_or(-1, |epoch| epoch.0),
                log_end_offset: ends.log_end.0,
                advertised_offset: ends.advertised.0,
            });
        }
        attaches
    }

    /// Takes a frame from the leader. Credit is given back for all records in it, wanted or not.
    pub(super) fn on_leader_message(&mut self, key: LinkKey, message: LeaderMessage) {
        let mut taken = 0;
        for frame in message.partitions {
            taken += frame.records.len() as u64;
            self.on_partition_frame(key, &frame);
            self.on_throttled_bytes(key, &frame);
        }
        let grant = self.cx.config.replica.link_credit_bytes as u64;
        if let Some(link) = self.cx.links_in.links.get_mut(&key) {
            link.credit_due += taken;
            if link.credit_due >= grant / 4 {
                link.wake();
            }
        }
    }

    fn on_partition_frame(&mut self, key: LinkKey, frame: &PartitionFrame) {
        let Some(link) = self.cx.links_in.links.get_mut(&key) else {
            return;
        };
        let Some(id) = link.attached.get(&frame.attach_id).copied() else {
            return;
        };
        let kind = frame.kind();
        if kind != FrameKind::FrameData {
            link.attached.remove(&frame.attach_id);
        }
        let Ok((partition, cx)) = self.partition(id) else {
            return;
        };
        let Role::Follower(role) = &mut partition.role else {
            return;
        };
        if !role.takes(frame.attach_id) {
            return;
        }
        let epoch = role.leader_epoch();
        if kind != FrameKind::FrameData {
            role.ended(frame.attach_id);
        }
        match kind {
            FrameKind::FrameData => {
                let followed = partition.follow(cx, epoch, frame);
                if let Err(FollowerAppendError::Log(error)) = &followed {
                    // It is attached again when the directory has space, or soon.
                    let soon = error.is_shortage();
                    partition.storage_failed(cx, error);
                    if soon {
                        self.on_append_failed(key, frame.attach_id, id);
                    }
                } else if let Err(error) = followed {
                    tracing::error!(partition = %partition.name, %error, "cannot append what the leader sent");
                    self.on_append_failed(key, frame.attach_id, id);
                }
            }
            FrameKind::FrameDiverged => {
                let (start, end) = (Offset(frame.log_start_offset), Offset(frame.end_offset));
                let truncation = partition.diverged(LeaderEpoch(frame.epoch), end, start);
                self.cut_to_leader(key, id, truncation, frame);
            }
            FrameKind::FrameOutOfRange => {
                let (start, end) = (Offset(frame.log_start_offset), Offset(frame.end_offset));
                let own = (partition.log.log_start_offset(), partition.log.log_end_offset());
                let truncation = truncation_out_of_range(own.0, own.1, start, end);
                self.cut_to_leader(key, id, truncation, frame);
            }
            FrameKind::FrameOtherLane => cx.links_in.want(key.0, key.1.other(), id),
            FrameKind::FrameRefused => {
                let error = ErrorCode::from_code(i16::try_from(frame.error).unwrap_or(-1));
                tracing::debug!(partition = %partition.name, leader = %key.0, %error, "the leader does not feed yet");
                self.attach_later(key, id);
            }
        }
    }

    /// The leader's log has another end than this one. What it never had, or has deleted, goes; what it has lost is kept first.
    fn cut_to_leader(
        &mut self,
        key: LinkKey,
        id: TopicIdPartition,
        truncation: Truncation,
        frame: &PartitionFrame,
    ) {
        let broker = self.cx.node;
        let Ok((partition, cx)) = self.partition(id) else {
            return;
        };
        let taken = match truncation.of_whole_batches(|offset| partition.log.cut_offset(offset)) {
            Ok(taken) => taken,
            Err(error) => {
                partition.storage_failed(cx, &error);
                self.attach_after_cut(key, id, false);
                return;
            }
        };
        let unclean = frame.unclean_epoch.map(LeaderEpoch);
        let Some(loss) = loss(taken, &partition.log_tail(), unclean) else {
            let cut = partition.truncate(cx, truncation, None);
            self.attach_after_cut(key, id, cut);
            return;
        };
        let event = LossEvent {
            id,
            name: partition.name.clone(),
            broker,
            leader: key.0,
            leader_epoch: partition.leader_epoch,
            loss,
        };
        self.lose_tail(key, truncation, event);
    }

    fn on_append_failed(&mut self, key: LinkKey, attach: u64, id: TopicIdPartition) {
        if let Some(link) = self.cx.links_in.links.get_mut(&key)
            && link.attached.remove(&attach).is_some()
        {
            link.detach.push(attach);
        }
        if let Some(role) = follower_role(&mut self.partitions, id) {
            role.ended(attach);
        }
        self.attach_after(key, id, APPEND_FAILED_PAUSE);
    }

    /// A log that could not be cut would only be refused again.
    pub(in crate::shard) fn attach_after_cut(&mut self, key: LinkKey, id: TopicIdPartition, cut: bool) {
        if cut {
            self.cx.links_in.want(key.0, key.1, id);
        } else {
            self.attach_later(key, id);
        }
    }

    fn attach_later(&mut self, key: LinkKey, id: TopicIdPartition) {
        self.attach_after(key, id, REFUSED_PAUSE);
    }

    pub(in crate::shard) fn attach_after(&mut self, key: LinkKey, id: TopicIdPartition, pause: Duration) {
        tokio::task::spawn_local(async move {
            tokio::time::sleep(pause).await;
            with_local(|shard| {
                let wanted = follower_role(&mut shard.partitions, id).is_some_and(|role| role.wants(key.0));
                if wanted {
                    shard.cx.links_in.want(key.0, key.1, id);
                }
            });
        });
    }
}

fn follower_role(
    partitions: &mut HashMap<TopicIdPartition, Box<crate::shard::partition::Partition>>,
    id: TopicIdPartition,
) -> Option<&mut Following> {
    match &mut partitions.get_mut(&id)?.role {
        Role::Follower(role) => Some(&mut **role),
        Role::Leader(_) | Role::Idle => None,
    }
}
