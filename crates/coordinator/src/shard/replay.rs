//! The shard's state out of the log. Source: `replay` in `GroupMetadataManager` and `OffsetMetadataManager`.

use super::GroupShard;
use super::outbox::Output;
use super::timers::Timer;
use crate::api::JoinProtocol;
use crate::clock::Now;
use crate::group::{ClassicGroup, GroupId, Member};
use crate::offsets::CommittedOffset;
use crate::record::{CoordinatorRecord, GroupMetadataValue};
use milena_types::{Offset, ProducerId, Timestamp};

impl GroupShard {
    /// Applies one record of the log. `producer` is the producer id of its batch when that is transactional.
    ///
    /// Total: an odd record (a group whose leader is no member) gives a state that is consistent in itself.
    pub fn replay(&mut self, offset: Offset, producer: Option<ProducerId>, record: CoordinatorRecord) {
        match record {
            CoordinatorRecord::Offset(key, Some(value)) => {
                // A group that only stores offsets has no record of its own.
                if !self.groups.contains_key(key.group.as_str()) {
                    let id: GroupId = key.group.as_str().into();
                    let mut group = ClassicGroup::new(id.clone(), Timestamp::NONE);
                    group.state_timestamp = None;
                    self.groups.insert(id, group);
                }
                let committed = CommittedOffset {
                    value,
                    record_offset: offset,
                };
                match producer {
                    Some(producer) => self.offsets.put_pending(producer, key, committed),
                    None => self.offsets.put(key, committed),
                }
            }
            CoordinatorRecord::Offset(key, None) => self.offsets.forget(&key),
            CoordinatorRecord::Group(group_id, Some(value)) => {
                let id: GroupId = group_id.as_str().into();
                self.groups.insert(id.clone(), restore(id, value));
            }
            CoordinatorRecord::Group(group_id, None) => self.forget_group(&group_id),
        }
    }

    fn forget_group(&mut self, group_id: &str) {
        let Some(group) = self.groups.remove(group_id) else {
            return;
        };
        let members = group
            .members()
            .map(|member| &member.id)
            .chain(group.pending_ids());
        for member in members {
            self.timers
                .cancel(&Timer::Session(group.id.clone(), member.clone()));
        }
        self.timers.cancel(&Timer::Join(group.id.clone()));
        self.timers.cancel(&Timer::Sync(group.id.clone()));
    }

    /// A transaction ended: a control record of the log, or news of one that was just written.
    pub fn transaction_ended(&mut self, producer: ProducerId, commit: bool) {
        self.offsets.end_transaction(producer, commit);
    }

    /// The log has been replayed to its end: sessions start anew, and the shard begins to serve.
    pub fn loaded(&mut self, now: Now) -> Output {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            self.on_group(&id, now, |step| {
                let members: Vec<_> = step.group.members().map(|member| member.id.clone()).collect();
                for member in &members {
                    step.renew_session(member);
                }
                if members.len() > step.limits.members_max {
                    step.prepare_rebalance("the group is larger than it may be");
                }
            });
        }
        self.schedule_retention(now);
        self.finish()
    }
}

fn restore(id: GroupId, value: GroupMetadataValue) -> ClassicGroup {
    let mut group = ClassicGroup::new(id, Timestamp::NONE);
    let protocol = value.protocol.unwrap_or_default();
    for member in value.members {
        let is_duplicate = group.has_member(&member.member_id)
            || member
                .group_instance_id
                .as_deref()
                .is_some_and(|id| group.static_member_id(id).is_some());
        if is_duplicate {
            continue;
        }
        let member = Member {
            id: member.member_id.as_str().into(),
            instance_id: member.group_instance_id,
            client_id: member.client_id,
            client_host: member.client_host,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            protocols: vec![JoinProtocol {
                name: protocol.clone(),
                metadata: member.subscription,
            }],
            assignment: member.assignment,
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        };
        group.add(member, &value.protocol_type);
    }
    group.protocol_type = Some(value.protocol_type).filter(|t| !t.is_empty());
    group.protocol_name = Some(protocol).filter(|_| group.member_count() > 0);
    group.generation = value.generation;
    group.state_timestamp = value.current_state_timestamp;
    // Without a valid leader the first member leads, as `add` has decided.
    if let Some(leader) = value
        .leader
        .and_then(|leader| group.member(&leader).map(|m| m.id.clone()))
    {
        group.leader = Some(leader);
    }
    group.restored()
}
