//! OffsetDelete and DeleteGroups. Source: `OffsetMetadataManager.deleteOffsets`, `GroupCoordinatorShard.deleteGroups`.
//!
//! Tombstones are chosen by what is committed. A commit that is on its way when they are chosen would survive them, so a
//! group is deleted only between writes: it first waits for those on their way, and while its tombstones are written
//! every request for it waits.

use super::GroupShard;
use super::outbox::Then;
use crate::api::{
    CommitPartitionResult, DeletedGroup, OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteTopicResult,
};
use crate::clock::Now;
use crate::group::{ClassicGroup, GroupId, GroupState};
use crate::record::{CoordinatorRecord, OffsetKey};
use crate::request::{Reply, Request, Ticket};
use milena_types::ErrorCode;
use std::collections::VecDeque;

/// Tombstones in one write: bounds its size whatever the group holds.
pub(super) const TOMBSTONES_PER_WRITE: usize = 1000;

/// A group that is being deleted.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    /// The deletion that waits for the writes on their way.
    pub(super) delete: Option<Ticket>,
    /// What came after it.
    pub(super) waiting: VecDeque<(Ticket, Request)>,
}

impl GroupShard {
    pub(super) fn offset_delete(&mut self, ticket: Ticket, request: OffsetDeleteRequest) {
        let group = self.groups.get(request.group_id.as_str());
        let group = match check_offset_delete(&request, group) {
            Ok(group) => group,
            Err(error) => {
                return self
                    .outbox
                    .reply(ticket, Reply::OffsetDelete(OffsetDeleteResponse::failed(error)));
            }
        };
        let id = group.id.clone();
        let mut records = Vec::new();
        let mut topics = Vec::new();
        for topic in request.topics {
            let is_subscribed = group.is_subscribed_to(&topic.name);
            let error = if is_subscribed {
                ErrorCode::GroupSubscribedToTopic
            } else {
                ErrorCode::None
            };
            let answer = |partition| CommitPartitionResult { partition, error };
            topics.push(OffsetDeleteTopicResult {
                name: topic.name.clone(),
                partitions: topic.partitions.iter().copied().map(answer).collect(),
            });
            for partition in topic.partitions.into_iter().filter(|_| !is_subscribed) {
                // A commit on its way may be for this partition: a tombstone too many is harmless.
                let exists = self.offsets.get(&id, &topic.name, partition).is_some()
                    || self.offsets.is_pending(&id, &topic.name, partition)
                    || self.outbox.is_writing(&id);
                if exists {
                    let key = OffsetKey {
                        group: id.to_string(),
                        topic: topic.name.clone(),
                        partition,
                    };
                    records.push(CoordinatorRecord::Offset(key, None));
                }
            }
        }
        let reply = Reply::OffsetDelete(OffsetDeleteResponse {
            error: ErrorCode::None,
            topics,
        });
        if records.is_empty() {
            return self.outbox.reply(ticket, reply);
        }
        self.outbox.write(
            &id,
            records,
            Then::Apply {
                answer: Some((ticket, reply)),
            },
        );
    }

    pub(super) fn delete(&mut self, ticket: Ticket, group_id: &str) {
        if self.outbox.is_writing(group_id) {
            let blocked = Blocked {
                delete: Some(ticket),
                waiting: VecDeque::new(),
            };
            self.blocked.insert(group_id.into(), blocked);
        } else {
            self.start_delete(ticket, group_id);
        }
    }

    /// Begins the deletion of a group that has no write on its way. False when it is refused.
    pub(super) fn start_delete(&mut self, ticket: Ticket, group_id: &str) -> bool {
        let error = match self.groups.get(group_id).map(ClassicGroup::state) {
            None | Some(GroupState::Dead) => ErrorCode::GroupIdNotFound,
            Some(GroupState::Empty) => ErrorCode::None,
            Some(_) => ErrorCode::NonEmptyGroup,
        };
        if error != ErrorCode::None {
            let refusal = DeletedGroup {
                group_id: group_id.to_owned(),
                error,
            };
            self.outbox.reply(ticket, Reply::Delete(refusal));
            return false;
        }
        let id: GroupId = group_id.into();
        let keys = self.offsets.keys_of_group(group_id).into_iter().collect();
        self.write_tombstones(&id, keys, Then::Delete { ticket: Some(ticket) });
        true
    }

    /// Writes tombstones for `keys`, then for the group, and blocks the group until they are written.
    pub(super) fn write_tombstones(&mut self, group: &GroupId, keys: Vec<OffsetKey>, then: Then) {
        let mut records: Vec<CoordinatorRecord> =
            Vec::with_capacity(keys.len().min(TOMBSTONES_PER_WRITE) + 1);
        for key in keys {
            if records.len() == TOMBSTONES_PER_WRITE {
                let full = std::mem::take(&mut records);
                self.outbox.write(group, full, Then::Apply { answer: None });
            }
            records.push(CoordinatorRecord::Offset(key, None));
        }
        records.push(CoordinatorRecord::Group(group.to_string(), None));
        self.outbox.write(group, records, then);
        self.blocked.entry(group.clone()).or_default();
    }

    /// Lets the requests through that waited for the end of a deletion.
    pub(super) fn unblock(&mut self, group: &str, now: Now) {
        let Some(blocked) = self.blocked.remove(group) else {
            return;
        };
        for (ticket, request) in blocked.waiting {
            self.dispatch(ticket, request, now);
        }
    }
}

fn check_offset_delete<'a>(
    request: &OffsetDeleteRequest,
    group: Option<&'a ClassicGroup>,
) -> Result<&'a ClassicGroup, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let group = group.ok_or(ErrorCode::GroupIdNotFound)?;
    match group.state() {
        GroupState::Dead => Err(ErrorCode::GroupIdNotFound),
        GroupState::Empty => Ok(group),
        // Which topics the members of other protocol types use cannot be known.
        _ if !group.uses_consumer_protocol() => Err(ErrorCode::NonEmptyGroup),
        _ => Ok(group),
    }
}
