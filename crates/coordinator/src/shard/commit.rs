//! OffsetCommit and TxnOffsetCommit. Source: `OffsetMetadataManager.commitOffset`, `ClassicGroup.validateOffsetCommit`.

use super::GroupShard;
use super::outbox::Then;
use crate::api::{
    CommitPartition, CommitPartitionResult, CommitRequest, CommitResponse, CommitTopicResult,
    TxnCommitRequest,
};
use crate::clock::Now;
use crate::group::{ClassicGroup, GroupId, GroupState};
use crate::record::{CoordinatorRecord, OffsetCommitValue, OffsetKey};
use crate::request::{Reply, Ticket};
use milena_types::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId, Timestamp};

/// From this version a commit for a group that does not exist says so.
const GROUP_ID_NOT_FOUND_VERSION: i16 = 9;

/// The same for transactional commits (KIP-1319).
const TXN_GROUP_ID_NOT_FOUND_VERSION: i16 = 6;

impl GroupShard {
    pub(super) fn commit(&mut self, ticket: Ticket, request: CommitRequest, now: Now) {
        // Old simple consumers commit under the empty group id: it is allowed.
        let group = self.groups.get(request.group_id.as_str());
        let checked = check_group_id(&request.group_id).and_then(|()| check_commit(group, &request, false));
        if let Err(error) = checked {
            return self.outbox.reply(
                ticket,
                Reply::Commit(CommitResponse::uniform(&request.topics, error)),
            );
        }
        let keeps_session =
            group.is_some_and(|g| matches!(g.state(), GroupState::Stable | GroupState::PreparingRebalance));
        if keeps_session {
            self.on_group(&request.group_id, now, |step| {
                step.renew_session(&request.member_id)
            });
        }
        self.store(ticket, request, None, now);
    }

    pub(super) fn txn_commit(&mut self, ticket: Ticket, request: TxnCommitRequest, now: Now) {
        let TxnCommitRequest {
            commit,
            producer_id,
            producer_epoch,
        } = request;
        let group = self.groups.get(commit.group_id.as_str());
        let checked = if commit.group_id.is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else {
            check_group_id(&commit.group_id).and_then(|()| check_commit(group, &commit, true))
        };
        if let Err(error) = checked {
            return self.outbox.reply(
                ticket,
                Reply::Commit(CommitResponse::uniform(&commit.topics, error)),
            );
        }
        self.store(ticket, commit, Some((producer_id, producer_epoch)), now);
    }

    fn store(
        &mut self,
        ticket: Ticket,
        request: CommitRequest,
        transaction: Option<(ProducerId, ProducerEpoch)>,
        now: Now,
    ) {
        let expire = request.retention_ms.filter(|_| transaction.is_none());
        let expire = expire.map(|retention| Timestamp(now.wall.0.saturating_add(retention)));
        let mut records = Vec::new();
        let mut response = CommitResponse::default();
        for topic in request.topics {
            let mut result = CommitTopicResult {
                topic_id: topic.topic_id,
                name: topic.name,
                partitions: Vec::new(),
            };
            for partition in topic.partitions {
                let index = partition.partition;
                let error = match self.check_metadata(&partition) {
                    Ok(()) => {
                        let key = offset_key(&request.group_id, &result.name, index);
                        let value = offset_value(partition, now.wall, expire);
                        records.push(CoordinatorRecord::Offset(key, Some(value)));
                        ErrorCode::None
                    }
                    Err(error) => error,
                };
                result.partitions.push(CommitPartitionResult {
                    partition: index,
                    error,
                });
            }
            response.topics.push(result);
        }
        let reply = Reply::Commit(response);
        if records.is_empty() {
            return self.outbox.reply(ticket, reply);
        }
        let group: GroupId = request.group_id.as_str().into();
        self.outbox.write_in(
            transaction,
            &group,
            records,
            Then::Apply {
                answer: Some((ticket, reply)),
            },
        );
    }

    fn check_metadata(&self, partition: &CommitPartition) -> Result<(), ErrorCode> {
        let metadata = partition.metadata.as_deref().unwrap_or_default();
        // Kafka counts UTF-16 units, of which a text never has more than bytes.
        let is_short = metadata.len() <= self.limits.offset_metadata_max
            || metadata.encode_utf16().count() <= self.limits.offset_metadata_max;
        let fits_record = i16::try_from(metadata.len()).is_ok();
        if is_short && fits_record {
            Ok(())
        } else {
            Err(ErrorCode::OffsetMetadataTooLarge)
        }
    }
}

fn check_group_id(group_id: &str) -> Result<(), ErrorCode> {
    i16::try_from(group_id.len())
        .map(|_| ())
        .map_err(|_| ErrorCode::InvalidGroupId)
}

fn offset_key(group: &str, topic: &str, partition: PartitionIndex) -> OffsetKey {
    OffsetKey {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition,
    }
}

fn offset_value(
    partition: CommitPartition,
    wall: Timestamp,
    expire_timestamp: Option<Timestamp>,
) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: partition.offset,
        // The format that is written has room for either epoch or expiry, and none for the topic id: what is kept in
        // memory is what a failover would find.
        leader_epoch: partition
            .leader_epoch
            .filter(|epoch| epoch.0 >= 0 && expire_timestamp.is_none()),
        metadata: partition.metadata.unwrap_or_default(),
        commit_timestamp: wall,
        expire_timestamp,
        topic_id: None,
    }
}

/// May this caller commit offsets of the group now?
fn check_commit(
    group: Option<&ClassicGroup>,
    request: &CommitRequest,
    is_transactional: bool,
) -> Result<(), ErrorCode> {
    let Some(group) = group else {
        // Without generation it is a simple consumer or an administrator: the group comes to be with the offset.
        if request.generation_id < 0 {
            return Ok(());
        }
        let since = if is_transactional {
            TXN_GROUP_ID_NOT_FOUND_VERSION
        } else {
            GROUP_ID_NOT_FOUND_VERSION
        };
        let is_known = request.context.api_version >= since;
        return Err(if is_known {
            ErrorCode::GroupIdNotFound
        } else {
            ErrorCode::IllegalGeneration
        });
    };
    let is_empty = group.state() == GroupState::Empty;
    if request.generation_id < 0 && is_empty {
        return Ok(());
    }
    let names_member =
        request.generation_id >= 0 || !request.member_id.is_empty() || request.group_instance_id.is_some();
    if names_member {
        group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
    } else if !is_transactional && !is_empty {
        return Err(ErrorCode::UnknownMemberId);
    }
    // The member has joined the generation that is being completed: it must not commit what others may be given.
    if !is_transactional && group.state() == GroupState::CompletingRebalance {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}
