//! ListOffsets (2): offsets by time or by meaning. Source: `KafkaApis.handleListOffsetRequest`, `ListOffsetsRequest`.

use crate::kafka::dispatch::Call;
use crate::kafka::topics;
use crate::shard::{ListOffsetsItem, ListOffsetsResult, OffsetSpec};
use milena_types::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use milena_wire::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use milena_wire::messages::{ListOffsetsResponse, TopicName};
use milena_wire::split::ListOffsetsRequest;
use std::collections::HashSet;

/// Who looks at a replica whether it leads or not. Source: `ListOffsetsRequest.DEBUGGING_REPLICA_ID`.
const DEBUGGING_REPLICA: i32 = -2;

pub(in crate::kafka) async fn handle(call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let image = call.peer.ctx.image();
    let read_committed = request.head.isolation_level == 1;
    let any_replica = request.head.replica_id.0 == DEBUGGING_REPLICA;
    let duplicates = duplicates(&request);
    let mut response = Vec::with_capacity(request.len());
    let (mut items, mut places) = (Vec::new(), Vec::new());
    for topic in request.iter() {
        let mut answers = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let found = if duplicates.contains(&(topic.name.clone(), index)) {
                Err(ErrorCode::InvalidRequest)
            } else {
                topics::partition_by_name(&image, &topic.name, index)
            };
            let item = found.and_then(|id| {
                let spec = spec(partition.timestamp, call.version)?;
                let epoch = partition.current_leader_epoch;
                let current_leader_epoch = (epoch >= 0).then_some(LeaderEpoch(epoch));
                Ok(ListOffsetsItem {
                    id,
                    current_leader_epoch,
                    spec,
                    read_committed,
                    any_replica,
                })
            });
            let mut answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(index)
                .with_timestamp(-1)
                .with_offset(-1)
                .with_leader_epoch(-1);
            match item {
                Ok(item) => {
                    items.push(item);
                    places.push((response.len(), answers.len()));
                }
                Err(error) => answer.error_code = error.code(),
            }
            answers.push(answer);
        }
        response.push(
            ListOffsetsTopicResponse::default()
                .with_name(topic.name)
                .with_partitions(answers),
        );
    }
    if !items.is_empty() {
        let results = call.peer.ctx.router.list_offsets(items).await;
        for (result, (topic, partition)) in results.into_iter().zip(places) {
            fill(&mut response[topic].partitions[partition], &result, call.version);
        }
    }
    ListOffsetsResponse::default().with_topics(response)
}

/// Partitions that the request names more than once.
fn duplicates(request: &ListOffsetsRequest) -> HashSet<(TopicName, i32)> {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in request.iter() {
        for partition in &topic.partitions {
            let named = (topic.name.clone(), partition.partition_index);
            if !seen.insert(named.clone()) {
                twice.insert(named);
            }
        }
    }
    twice
}

/// What a timestamp of this version asks for.
fn spec(timestamp: i64, version: i16) -> Result<OffsetSpec, ErrorCode> {
    match timestamp {
        -1 => Ok(OffsetSpec::Latest),
        -2 => Ok(OffsetSpec::Earliest),
        -3 if version >= 7 => Ok(OffsetSpec::MaxTimestamp),
        -4 if version >= 8 => Ok(OffsetSpec::EarliestLocal),
        -5 if version >= 9 => Ok(OffsetSpec::LatestTiered),
        // Earliest pending upload: without tiered storage there is none, as for the latest tiered.
        -6 if version >= 11 => Ok(OffsetSpec::LatestTiered),
        time if time >= 0 => Ok(OffsetSpec::At(Timestamp(time))),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn fill(answer: &mut ListOffsetsPartitionResponse, result: &ListOffsetsResult, version: i16) {
    // Clients below version 5 do not know OFFSET_NOT_AVAILABLE.
    let error = match result.error {
        ErrorCode::OffsetNotAvailable if version < 5 => ErrorCode::LeaderNotAvailable,
        error => error,
    };
    answer.error_code = error.code();
    answer.offset = result.offset.map_or(-1, |Offset(offset)| offset);
    answer.timestamp = result.timestamp.map_or(-1, |Timestamp(time)| time);
    if version >= 4 {
        answer.leader_epoch = result.leader_epoch.map_or(-1, |LeaderEpoch(epoch)| epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_timestamps_need_their_version() {
        for (timestamp, since) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
            assert_eq!(
                spec(timestamp, since - 1),
                Err(ErrorCode::UnsupportedVersion),
                "{timestamp}"
            );
            assert!(spec(timestamp, since).is_ok(), "{timestamp}");
        }
        assert_eq!(spec(-7, 11), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(spec(0, 1), Ok(OffsetSpec::At(Timestamp(0))));
    }
}
