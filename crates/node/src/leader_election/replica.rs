//! What one replica's log holds, whoever leads: asked as a tool asks, not as a consumer.

use super::ElectionError;
use super::cluster::{Cluster, PartitionState, topic_name};
use super::plan::Candidate;
use milena_types::{BrokerId, ErrorCode, LeaderEpoch, Offset};
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use milena_wire::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest};

const LIST_OFFSETS_VERSION: i16 = 7;
const EPOCH_VERSION: i16 = 4;
/// `ListOffsetsRequest.DEBUGGING_REPLICA_ID`: any replica answers, up to its log end.
const DEBUGGING_REPLICA: i32 = -2;
/// Milena's own: any replica answers for the epochs of its log.
const ANY_REPLICA: i32 = -3;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Asks a broker how far its log of the partition goes, and in which leader epoch it ends.
pub(super) fn ask(
    cluster: &mut Cluster,
    broker: BrokerId,
    state: &PartitionState,
) -> Result<Candidate, ElectionError> {
    let log_start = offset(cluster, broker, state, EARLIEST)?;
    let log_end = offset(cluster, broker, state, LATEST)?;
    let last = epoch_end(cluster, broker, state, LeaderEpoch(i32::MAX))?;
    Ok(Candidate {
        broker,
        log_start,
        log_end,
        last_epoch: last.map(|(epoch, _)| epoch),
    })
}

fn offset(
    cluster: &mut Cluster,
    broker: BrokerId,
    state: &PartitionState,
    which: i64,
) -> Result<Offset, ElectionError> {
    let connection = cluster.broker(broker)?;
    let partition = ListOffsetsPartition::default()
        .with_partition_index(state.partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(which);
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name(&state.topic))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(DEBUGGING_REPLICA.into())
        .with_topics(vec![topic]);
    let response = connection.call(LIST_OFFSETS_VERSION, &request)?;
    let found = response.topics.first().and_then(|topic| topic.partitions.first());
    let found = found.ok_or_else(|| connection.refused("nothing about the partition"))?;
    match ErrorCode::from_code(found.error_code) {
        ErrorCode::None => Ok(Offset(found.offset)),
        error => Err(connection.refused(format!("{error:?}"))),
    }
}

/// The largest epoch at or below `epoch` in a broker's log, and where it ends there.
pub(super) fn epoch_end(
    cluster: &mut Cluster,
    broker: BrokerId,
    state: &PartitionState,
    epoch: LeaderEpoch,
) -> Result<Option<(LeaderEpoch, Offset)>, ElectionError> {
    let connection = cluster.broker(broker)?;
    let partition = OffsetForLeaderPartition::default()
        .with_partition(state.partition)
        .with_current_leader_epoch(-1)
        .with_leader_epoch(epoch.0);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic_name(&state.topic))
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default()
        .with_replica_id(ANY_REPLICA.into())
        .with_topics(vec![topic]);
    let response = connection.call(EPOCH_VERSION, &request)?;
    let found = response.topics.first().and_then(|topic| topic.partitions.first());
    let found = found.ok_or_else(|| connection.refused("nothing about the partition"))?;
    match ErrorCode::from_code(found.error_code) {
        ErrorCode::None if found.leader_epoch < 0 => Ok(None),
        ErrorCode::None => Ok(Some((LeaderEpoch(found.leader_epoch), Offset(found.end_offset)))),
        error => Err(connection.refused(format!("{error:?}"))),
    }
}
